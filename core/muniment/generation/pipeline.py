"""The one path of a generation.

    started committed → prompt filters → generate → output filters → evaluators → outcome committed

Every caller (command line, Python, batch) comes through `Pipeline.run`; no plugin can go around
it. What a caller gets back has been recorded, and what was blocked is not shown. Pieces are shown
as they come; what was shown of a generation is recorded when it ends, however it ends: an answer
that does not begin with it fails.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from muniment.errors import PromptError
from muniment.generation.evaluation import Evaluators
from muniment.generation.moderation import PolicyRunner, prompt_contents
from muniment.generation.requests import BoundRequest, Resolver
from muniment.plugins.invocation import Answer, MissingReply, answers, environment_of, error_message
from muniment.plugins.registry import INTERRUPTIONS, quiet_stdout
from muniment.store import AlreadyRecordedError, Store
from muniment.types import (
    Chunk,
    Content,
    Failure,
    Generation,
    Output,
    PluginRef,
    Reply,
    Verdict,
)
from muniment.validation import escape_unencodable, now


class Pipeline:
    """Carries resolved requests through the path, one model batch at a time."""

    def __init__(
        self,
        store: Callable[[], Store],
        resolver: Resolver,
        moderator: PolicyRunner,
        evaluators: Evaluators,
        environment: dict[str, str | int],
        core: Callable[[], PluginRef],
    ) -> None:
        """Take the parts; `environment` and `core` say where, and by which core, all of it runs.

        `store` gives the store; it is first asked for when there is something to record.
        """
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
        return self._finish(failed, {})

    def run(
        self, batch: Sequence[BoundRequest], *, stream: bool = False
    ) -> Iterator[Chunk | Generation]:
        """Carry a model batch (one generator, one model) through; yield what may be shown.

        Pieces of text come only where `stream` asks and no filter has a say on the output. The
        generations come last, in the batch's order, after their outcomes were committed. When
        this is interrupted (Ctrl-C, or the consumer stops), what was answered is recorded as it
        is, the rest as `interrupted` with what was shown of it, and the interruption goes on.
        """
        self._start([item.generation for item in batch])
        open_ = {item.request.id: _InFlight(item) for item in batch}
        media_type = batch[0].registered.media_type
        stream = stream and media_type.startswith("text/")
        stream = stream and not self._moderator.judges_output(media_type)
        try:
            # Standard output is kept quiet once a batch: once a call costs as much as recording.
            with quiet_stdout():
                for item in open_.values():
                    self._judge_prompt(item)
            waiting = [item for item in open_.values() if item.done is None]
            with contextlib.nullcontext() if stream else quiet_stdout():
                for answer in self._answers(waiting, stream):
                    if isinstance(answer, Chunk):
                        open_[answer.request_id].shown.append(answer.text)
                        yield answer
                    else:
                        item = open_[answer.request_id]
                        item.done = self._judge_output(item, answer)
        except BaseException:
            self._finish_all(open_)
            raise
        for generation in self._finish_all(open_):
            yield without_blocked_content(generation)

    def _start(self, generations: Sequence[Generation]) -> None:
        self._store().record_started(generations, policy_document=self._moderator.policy.document)

    def _finish_all(self, open_: Mapping[str, _InFlight]) -> list[Generation]:
        finished = [item.done or item.interrupted() for item in open_.values()]
        return self._finish(finished, {name: item.said() for name, item in open_.items()})

    def _finish(
        self, generations: Sequence[Generation], said: Mapping[str, tuple[Output, ...]]
    ) -> list[Generation]:
        """Record outcomes and return what is recorded; one that cannot be costs only itself.

        What was `said` of that one is kept. Another process may have taken this one for dead and
        recorded an interruption: that stands.
        """
        categories = self._moderator.categories
        try:
            self._store().record_outcomes(generations, declared_categories=categories)
            return list(generations)
        except (ValueError, PromptError, AlreadyRecordedError) as error:
            if len(generations) > 1:
                return [done for item in generations for done in self._finish([item], said)]
            if isinstance(error, AlreadyRecordedError):
                return [self._store().generation(error.generation)]
            failed = _unrecordable(generations[0], error, said.get(generations[0].id, ()))
            self._store().record_outcomes([failed], declared_categories=categories)
            return [failed]

    def _judge_prompt(self, item: _InFlight) -> None:
        request = item.resolved.request
        for content in prompt_contents(request.prompt, request.system):
            item.verdicts += self._moderator.check(content)
        if any(verdict.action == "block" for verdict in item.verdicts):
            item.done = self._outcome(item, status="blocked")

    def _judge_output(self, item: _InFlight, reply: Reply | MissingReply) -> Generation:
        reply = _as_shown(item, reply)
        if isinstance(reply, MissingReply):
            failure = Failure("generator", reply.reason)
            return self._outcome(item, status="failed", failure=failure, outputs=item.said())
        if reply.failure is not None:
            failure = Failure("refused", reply.failure)
            return self._outcome(item, status="failed", failure=failure, outputs=item.said())
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

    def _outcome(self, item: _InFlight, **changes: object) -> Generation:
        used = [
            self._core(),
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

    def _answers(self, items: Sequence[_InFlight], stream: bool) -> Iterator[Answer]:
        """Yield pieces, and for each item one reply or why there is none."""
        if not items:
            return
        first = items[0].resolved
        try:
            generator = self._resolver.ready(first)
        except INTERRUPTIONS:
            raise
        except BaseException as error:
            reason = error_message(error, first.registered)
            yield from (MissingReply(item.resolved.request.id, reason) for item in items)
            return
        environment = environment_of(generator)
        for item in items:
            item.environment = environment
        requests = [replace(item.resolved.request, stream=stream) for item in items]
        yield from answers(generator, first.registered, requests)


@dataclass(slots=True)
class _InFlight:
    """A generation under way; `shown` are the pieces of it that its caller has seen."""

    resolved: BoundRequest
    verdicts: list[Verdict] = field(default_factory=list)
    environment: dict[str, str | int] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)
    done: Generation | None = None

    def said(self) -> tuple[Output, ...]:
        """Return what was shown as the output of a generation that will get no other."""
        data = "".join(self.shown).encode()
        return (Output(self.resolved.registered.media_type, data),) if data else ()

    def interrupted(self) -> Generation:
        return replace(
            self.resolved.generation,
            status="interrupted",
            finished_at=now(),
            outputs=self.said(),
            verdicts=tuple(self.verdicts),
            environment=self.environment,
        )


def _as_shown(item: _InFlight, reply: Reply | MissingReply) -> Reply | MissingReply:
    """Return the reply if what was shown in pieces is its beginning, else that it has none.

    What was seen is what must be recorded. A generator that raised in company and is asked again
    alone may say something else.
    """
    if isinstance(reply, MissingReply) or reply.failure is not None:
        return reply
    text = "\n\n".join(output.text or "" for output in reply.outputs)
    if text.startswith("".join(item.shown)):
        return reply
    name = item.resolved.registered.name
    reason = f"generator {name} answered with another text than was shown of it in pieces"
    return MissingReply(reply.request_id, reason)


def _unrecordable(generation: Generation, error: Exception, said: tuple[Output, ...]) -> Generation:
    """Return the failure to record instead of an outcome that does not fit an entry."""
    reason = escape_unencodable(
        f"generator {generation.generator} gave what cannot be recorded: {error}"
    )
    return replace(
        generation,
        status="failed",
        outputs=said,
        verdicts=(),
        scores=(),
        usage=None,
        trace=None,
        environment={},
        failure=Failure("generator", reason),
    )


def without_blocked_content(generation: Generation) -> Generation:
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
