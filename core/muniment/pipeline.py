"""The one path of a generation.

    started committed → prompt filters → generate → output filters → evaluators → outcome committed

Every caller (command line, Python, batch) comes through `Pipeline.run`; no plugin can go around
it. What a caller gets back has been recorded, and what was blocked is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from muniment.answering import Answer, Unanswered, answers, facts, sentence
from muniment.evaluation import Evaluators
from muniment.moderation import Moderator
from muniment.resolving import Resolved, Resolver, now
from muniment.store import Store
from muniment.types import (
    Content,
    Failure,
    Generation,
    Piece,
    PluginRef,
    Reply,
    Verdict,
)


class Pipeline:
    """Carries resolved requests through the path, one model batch at a time."""

    def __init__(
        self,
        store: Store,
        resolver: Resolver,
        moderator: Moderator,
        evaluators: Evaluators,
        environment: dict[str, str | int],
        core: PluginRef,
    ) -> None:
        """Take the parts; `environment` and `core` say where, and by which core, all of it runs."""
        self._store = store
        self._resolver = resolver
        self._moderator = moderator
        self._evaluators = evaluators
        self._environment = environment
        self._core = core

    def reject(self, generations: Sequence[Generation]) -> list[Generation]:
        """Record requests that could not be resolved: started, and failed for the reason given."""
        self._start([replace(item, failure=None) for item in generations])
        failed = [replace(item, status="failed", finished_at=now()) for item in generations]
        self._finish(failed)
        return failed

    def run(
        self, batch: Sequence[Resolved], *, stream: bool = False
    ) -> Iterator[Piece | Generation]:
        """Carry a model batch (one generator, one model) through; yield what may be shown.

        Pieces come only where `stream` asks for them and no filter has a say on the output. The
        generations come last, in the batch's order, after their outcomes were committed. When
        this is interrupted (Ctrl-C, or the consumer stops), what was answered is recorded as it
        is, the rest as `interrupted`, and the interruption goes on.
        """
        self._start([item.generation for item in batch])
        open_ = {item.request.id: _Open(item) for item in batch}
        stream = stream and not self._moderator.judges_output(batch[0].offer.media_type)
        try:
            for item in open_.values():
                self._judge_prompt(item)
            waiting = [item for item in open_.values() if item.done is None]
            for answer in self._answers(waiting, stream):
                if isinstance(answer, Piece):
                    yield answer
                else:
                    item = open_[answer.request_id]
                    item.done = self._judge_output(item, answer)
        except BaseException:
            self._finish([item.done or item.interrupted() for item in open_.values()])
            raise
        finished = [item.done or item.interrupted() for item in open_.values()]
        self._finish(finished)
        for generation in finished:
            yield _shown(generation)

    def _start(self, generations: Sequence[Generation]) -> None:
        self._store.record_started(generations, policy_document=self._moderator.policy.document)

    def _finish(self, generations: Sequence[Generation]) -> None:
        self._store.record_outcomes(generations, declared_categories=self._moderator.categories)

    def _judge_prompt(self, item: _Open) -> None:
        request = item.resolved.request
        contents = [Content("prompt", "text/plain", request.prompt.encode())]
        if request.system is not None:
            contents.insert(0, Content("system", "text/plain", request.system.encode()))
        for content in contents:
            item.verdicts += self._moderator.check(content)
        if any(verdict.action == "block" for verdict in item.verdicts):
            item.done = self._outcome(item, status="blocked")

    def _judge_output(self, item: _Open, reply: Reply | Unanswered) -> Generation:
        if isinstance(reply, Unanswered):
            failure = Failure("generator", reply.reason)
            return self._outcome(item, status="failed", failure=failure)
        if reply.failure is not None:
            failure = Failure("refused", reply.failure)
            return self._outcome(item, status="failed", failure=failure)
        for output in reply.outputs:
            item.verdicts += self._moderator.check(
                Content("output", output.media_type, output.data)
            )
        blocked = any(verdict.action == "block" for verdict in item.verdicts)
        generation = self._outcome(
            item,
            status="blocked" if blocked else "completed",
            outputs=reply.outputs,
            usage=reply.usage,
            trace=reply.trace,
        )
        if blocked:
            return generation
        return replace(generation, scores=self._evaluators.scores(generation))

    def _outcome(self, item: _Open, **changes: object) -> Generation:
        used = [
            self._core,
            *item.resolved.generation.plugins,
            *self._moderator.plugins,
            *self._evaluators.plugins,
        ]
        return replace(
            item.resolved.generation,
            finished_at=now(),
            verdicts=tuple(item.verdicts),
            plugins=tuple(dict.fromkeys(used)),
            environment={**self._environment, **item.environment},
            **changes,  # type: ignore[arg-type]
        )

    def _answers(self, items: Sequence[_Open], stream: bool) -> Iterator[Answer]:
        """Yield pieces, and for each item one reply or why there is none."""
        if not items:
            return
        first = items[0].resolved
        try:
            generator = self._resolver.ready(first)
        except (Exception, SystemExit) as error:
            reason = sentence(error, first.offer)
            yield from (Unanswered(item.resolved.request.id, reason) for item in items)
            return
        environment = facts(generator)
        for item in items:
            item.environment = environment
        requests = [replace(item.resolved.request, stream=stream) for item in items]
        yield from answers(generator, first.offer, requests)


@dataclass(slots=True)
class _Open:
    """A generation under way."""

    resolved: Resolved
    verdicts: list[Verdict] = field(default_factory=list)
    environment: dict[str, str | int] = field(default_factory=dict)
    done: Generation | None = None

    def interrupted(self) -> Generation:
        return replace(
            self.resolved.generation,
            status="interrupted",
            finished_at=now(),
            verdicts=tuple(self.verdicts),
            environment=self.environment,
        )


def _shown(generation: Generation) -> Generation:
    """Return the generation as its caller may see it: nothing blocked leaves the store this way.

    A reason may quote what it is about, so what filters said of an output keeps its categories
    and places only, and what they raised its type.
    """
    if generation.status != "blocked":
        return generation
    verdicts = (_unquoted(verdict) for verdict in generation.verdicts)
    return replace(generation, outputs=(), trace=None, verdicts=tuple(verdicts))


def _unquoted(verdict: Verdict) -> Verdict:
    if verdict.stage != "output":
        return verdict
    reasons = tuple(replace(reason, message="") for reason in verdict.reasons)
    failure = verdict.failure and ": ".join(verdict.failure.split(": ")[:2])
    return replace(verdict, reasons=reasons, failure=failure)
