"""The one path of a generation.

    started committed → prompt filters → generate → output filters → evaluators → outcome committed

Every caller (command line, Python, batch) comes through `Pipeline.run`; no plugin can go around
it. What a caller gets back has been recorded, and what was blocked is not shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from muniment.errors import MunimentError
from muniment.evaluation import Evaluators
from muniment.hookspecs import Generator
from muniment.moderation import Moderator
from muniment.plugins import describe, quiet_stdout
from muniment.resolving import Resolved, Resolver, now, storable
from muniment.store import Store
from muniment.types import (
    FINISH_REASONS,
    Content,
    Failure,
    Generation,
    Output,
    Piece,
    PluginRef,
    Reply,
    Trace,
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
        facts: dict[str, str | int],
        core: PluginRef,
    ) -> None:
        """Take the parts; `facts` and `core` say where, and by which core, all of it runs."""
        self._store = store
        self._resolver = resolver
        self._moderator = moderator
        self._evaluators = evaluators
        self._facts = facts
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

    def _judge_output(self, item: _Open, reply: Reply) -> Generation:
        if reply.failure is not None:
            failure = item.failure or Failure("refused", storable(reply.failure))
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
            environment={**self._facts, **item.environment},
            **changes,  # type: ignore[arg-type]
        )

    def _answers(self, items: Sequence[_Open], stream: bool) -> Iterator[Piece | Reply]:
        """Yield pieces, and one reply for each item: the generator's, or that it failed."""
        if not items:
            return
        try:
            generator = self._resolver.ready(items[0].resolved)
        except (Exception, SystemExit) as error:
            for item in items:
                yield item.fail(_sentence(error, item.resolved))
            return
        environment = _environment(generator)
        for item in items:
            item.environment = environment
        unanswered = {item.resolved.request.id: item for item in items}
        yield from _ask(generator, unanswered, stream)
        for alone in list(unanswered.values()):
            if len(items) > 1 and alone.error is not None:
                alone.error = None
                yield from _ask(generator, {alone.resolved.request.id: alone}, stream, unanswered)
        for item in unanswered.values():
            reason = item.error or f"generator {item.resolved.offer.name} did not answer"
            yield item.fail(reason)


@dataclass(slots=True)
class _Open:
    """A generation under way."""

    resolved: Resolved
    verdicts: list[Verdict] = field(default_factory=list)
    environment: dict[str, str | int] = field(default_factory=dict)
    error: str | None = None
    failure: Failure | None = None
    done: Generation | None = None

    def interrupted(self) -> Generation:
        return replace(
            self.resolved.generation,
            status="interrupted",
            finished_at=now(),
            verdicts=tuple(self.verdicts),
            environment=self.environment,
        )

    def fail(self, reason: str) -> Reply:
        self.failure = Failure("generator", storable(reason))
        return self.resolved.request.fail(reason)


def _ask(
    generator: Generator,
    items: dict[str, _Open],
    stream: bool,
    also: dict[str, _Open] | None = None,
) -> Iterator[Piece | Reply]:
    """Yield the generator's sound answers and take what was answered out of `items` and `also`.

    What the generator gets wrong becomes the error of the items concerned, or of all that are
    still unanswered when it raises.
    """
    requests = [replace(item.resolved.request, stream=stream) for item in items.values()]
    media_type = next(iter(items.values())).resolved.offer.media_type
    alone = requests[0] if len(requests) == 1 else None
    answers: Iterator[object] = iter(())
    try:
        with quiet_stdout():
            answers = iter(generator.generate(requests))
        while True:
            with quiet_stdout():
                answer = next(answers, None)
            if answer is None:
                break
            if isinstance(answer, Output) and alone is not None:
                answer = alone.reply(answer)
            if not isinstance(answer, Piece | Reply):
                raise TypeError(f"it gave {type(answer).__name__}; answer with request.reply(...)")
            if answer.request_id not in items:
                raise ValueError("it answered a request twice, or one that was not asked")
            if isinstance(answer, Piece):
                if stream:
                    yield answer
                continue
            item = items.pop(answer.request_id)
            if also is not None:
                also.pop(answer.request_id, None)
            yield _checked(item, answer, media_type)
    except (Exception, SystemExit) as error:
        for item in items.values():
            item.error = _sentence(error, item.resolved)
    finally:
        close = getattr(answers, "close", None)
        if close is not None:
            close()


def _checked(item: _Open, reply: Reply, media_type: str) -> Reply:
    """Return the reply if it keeps the contract, else the failure that it does not."""
    name = item.resolved.offer.name
    if reply.failure is not None:
        return reply
    if not reply.outputs:
        return item.fail(f"generator {name} answered without an output")
    outputs: tuple[object, ...] = reply.outputs
    for output in outputs:
        if not isinstance(output, Output) or not isinstance(output.data, bytes):
            return item.fail(f"generator {name} answered with something that is no Output")
        if output.media_type != media_type:
            return item.fail(
                f"generator {name} answered with {output.media_type}, not {media_type}"
            )
        if output.finish_reason not in FINISH_REASONS:
            return item.fail(f"generator {name} gave an unknown finish reason")
        if media_type.startswith("text/"):
            try:
                output.data.decode()
            except UnicodeDecodeError:
                return item.fail(f"generator {name} answered with text that is not UTF-8")
    if reply.trace is not None and not _is_sound(reply.trace):
        return item.fail(f"generator {name} gave a trace of unequal lengths or no finite numbers")
    return reply


def _is_sound(trace: Trace) -> bool:
    lengths = {len(trace.token_ids), len(trace.logprobs), len(trace.margins)}
    return len(lengths) == 1 and all(map(math.isfinite, (*trace.logprobs, *trace.margins)))


def _environment(generator: Generator) -> dict[str, str | int]:
    try:
        return dict(generator.environment())
    except Exception as error:
        return {"environment_failed": type(error).__name__}


def _sentence(error: BaseException, resolved: Resolved) -> str:
    if isinstance(error, MunimentError):
        return str(error)
    return f"generator {resolved.offer.name} failed: {describe(error)}"


def _shown(generation: Generation) -> Generation:
    """Return the generation as its caller may see it: nothing blocked leaves the store this way."""
    if generation.status != "blocked":
        return generation
    return replace(generation, outputs=(), trace=None)
