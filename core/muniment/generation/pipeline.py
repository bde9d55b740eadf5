"""The pipeline, which carries every generation from its `started` entry to its outcome.

    started committed → prompt filters → generate → output filters → evaluators → outcome committed

Every caller (command line, Python, batch) uses `Pipeline.run`, and no plugin can bypass it. A
generation is returned only after its outcome was recorded, and blocked content is not returned.
Chunks are yielded as they arrive. The chunks that a caller received are always recorded, even if
the generation fails. A reply that does not begin with them fails.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from muniment.errors import MunimentError, PromptError
from muniment.failures import is_module_file
from muniment.generation.assessment import (
    JudgedOutput,
    PolicyRunner,
    request_contents,
    with_returned_outputs,
)
from muniment.generation.evaluation import Evaluators
from muniment.generation.notices import GenerationNotices
from muniment.generation.requests import BoundRequest, Resolver
from muniment.plugins.invocation import (
    Answer,
    MissingReply,
    environment_of,
    error_message,
    run_generator,
)
from muniment.plugins.quiet_output import quiet_stdout
from muniment.store import AlreadyRecordedError, Store
from muniment.types.generations import Failure, Generation
from muniment.types.outputs import Output
from muniment.types.plugins import PluginRef
from muniment.types.replies import Chunk, Reply
from muniment.types.verdicts import Verdict
from muniment.validation import escape_unencodable, now

if TYPE_CHECKING:
    from muniment.plugins.media import MediaTypes


class Pipeline:
    """Runs bound requests, one model batch at a time."""

    def __init__(
        self,
        store: Callable[[], Store],
        resolver: Resolver,
        policy_runner: PolicyRunner,
        evaluators: Evaluators,
        environment: dict[str, str | int],
        core: Callable[[], PluginRef],
        media: Callable[[], MediaTypes],
        notices: GenerationNotices,
    ) -> None:
        """Create a pipeline.

        `store` returns the store and is first called when there is something to record.
        `environment` describes the machine. `core` returns the version of the core, and `media`
        the media types, which outputs other than text need. `notices` receives the progress.
        """
        self._store = store
        self._resolver = resolver
        self._policy_runner = policy_runner
        self._evaluators = evaluators
        self._environment = environment
        self._core = core
        self._media = media
        self._notices = notices

    def reject(self, generations: Sequence[Generation]) -> list[Generation]:
        """Record requests that could not be resolved, each as started and then as failed.

        The failure of each generation must be set.
        """
        self._start([replace(item, failure=None) for item in generations])
        failed = [replace(item, status="failed", finished_at=now()) for item in generations]
        return self._finish(failed, {})

    def run(
        self, batch: Sequence[BoundRequest], *, stream: bool = False
    ) -> Iterator[Chunk | Generation]:
        """Run a model batch (one generator, one model) and yield chunks and generations.

        Chunks are yielded only if `stream` is true and no filter checks outputs of this media
        type. The generations follow in the batch's order, after their outcomes were committed,
        without blocked content. If the run is interrupted (by Ctrl-C, or because the consumer
        closes the iterator), finished generations are recorded as they are. The others are
        recorded as `interrupted`, with the text of their chunks, and the exception is re-raised.
        """
        if not batch[0].registered.media_type.startswith("text/"):
            self._media().registered(batch[0].registered.media_type)  # raises if two handle it
        self._start([item.generation for item in batch])
        in_flight = {item.request.id: _InFlight(item) for item in batch}
        media_type = batch[0].registered.media_type
        stream = stream and media_type.startswith("text/")
        withheld = stream and self._policy_runner.judges_output(media_type)
        yields = stream and not withheld
        try:
            # Standard output is redirected once for the batch. Redirecting it for each call
            # takes as long as recording.
            with quiet_stdout():
                for item in in_flight.values():
                    self._check_prompt(item)
            waiting = [item for item in in_flight.values() if item.outcome is None]
            if withheld and waiting:
                self._notices.withheld()
            with contextlib.nullcontext() if yields else quiet_stdout():
                for answer in self._answers(waiting, stream=stream, yields=yields):
                    if isinstance(answer, Chunk):
                        in_flight[answer.request_id].chunks.append(answer.text)
                        yield answer
                    else:
                        item = in_flight[answer.request_id]
                        item.outcome = self._check_reply(item, answer)
        except BaseException:
            self._finish_all(in_flight)
            raise
        for generation in self._finish_all(in_flight):
            yield without_blocked_content(in_flight[generation.id].returned(generation))

    def _start(self, generations: Sequence[Generation]) -> None:
        self._store().record_started(
            generations, policy_document=self._policy_runner.policy.document
        )

    def _finish_all(self, in_flight: Mapping[str, _InFlight]) -> list[Generation]:
        finished = [item.outcome or item.interrupted() for item in in_flight.values()]
        streamed = {key: item.streamed_outputs() for key, item in in_flight.items()}
        return self._finish(finished, streamed)

    def _finish(
        self, generations: Sequence[Generation], streamed: Mapping[str, tuple[Output, ...]]
    ) -> list[Generation]:
        """Record outcomes and return the recorded generations.

        An outcome that cannot be recorded is recorded as failed, with its `streamed` outputs (by
        generation id). The other outcomes are not affected.
        """
        categories = self._policy_runner.categories
        try:
            self._store().record_outcomes(generations, declared_categories=categories)
            return list(generations)
        except (ValueError, PromptError, AlreadyRecordedError) as error:
            if len(generations) > 1:
                return [
                    recorded for item in generations for recorded in self._finish([item], streamed)
                ]
            if isinstance(error, AlreadyRecordedError):
                # Another process found the lease expired and recorded an interruption, which
                # cannot be changed.
                return [self._store().generation(error.generation)]
            failed = _unrecordable(generations[0], error, streamed.get(generations[0].id, ()))
            self._store().record_outcomes([failed], declared_categories=categories)
            return [failed]

    def _check_prompt(self, item: _InFlight) -> None:
        """Run the filters on the prompts and the inputs, and set the outcome if blocked."""
        for content in request_contents(item.resolved.request):
            item.verdicts += self._policy_runner.check(content)
        if any(verdict.action == "block" for verdict in item.verdicts):
            item.outcome = self._outcome(item, status="blocked")

    def _check_reply(self, item: _InFlight, reply: Reply | MissingReply) -> Generation:
        """Return the outcome of a reply after the output filters and the evaluators ran."""
        reply = _check_chunks(item, reply)
        failure = None
        if isinstance(reply, MissingReply):
            failure = Failure("generator", reply.reason)
        elif reply.failure is not None:
            failure = Failure("refused", reply.failure)
        if isinstance(reply, MissingReply) or failure is not None:
            outputs = item.streamed_outputs()
            return self._outcome(item, status="failed", failure=failure, outputs=outputs)
        judged = []
        try:
            for output in self._judged(reply):
                item.verdicts += output.verdicts
                if output.reader is not None:
                    item.plugins.append(output.reader)
                judged.append(self._with_fingerprint(output))
        except MunimentError as error:
            failure, outputs = Failure("generator", str(error)), item.streamed_outputs()
            return self._outcome(item, status="failed", failure=failure, outputs=outputs)
        failures = [output.failure for output in judged if output.failure is not None]
        if any(output.blocked for output in judged):
            status = "blocked"
        else:
            status = "failed" if failures else "completed"
        generation = self._outcome(
            item,
            status=status,
            failure=Failure("generator", failures[0]) if status == "failed" else None,
            outputs=tuple(output.recorded for output in judged),
            usage=reply.usage,
            trace=reply.trace,
        )
        if status != "completed":
            return generation
        item.returned_outputs = tuple(output.returned for output in judged)
        returned = without_blocked_content(item.returned(generation))
        scores = self._evaluators.scores(returned)
        # An evaluator can have used a generator of another plugin meanwhile.
        used = dict.fromkeys([*generation.plugins, *self._evaluators.plugins])
        return replace(generation, scores=scores, plugins=tuple(used))

    def _judged(self, reply: Reply) -> Iterator[JudgedOutput]:
        """Return the outputs of a reply after the filters. Raises as `Lists.judge` does."""
        if reply.wanted is None and reply.outputs[0].media_type.startswith("text/"):
            return map(self._policy_runner.judge, reply.outputs)
        from muniment.generation.lists import Lists  # texts need none of it

        return Lists(self._media()).judge(reply, self._policy_runner)

    def _with_fingerprint(self, output: JudgedOutput) -> JudgedOutput:
        """Return an output with the fingerprint of the selection that callers get."""
        if output.returned.media_type.startswith("text/"):
            return output
        returned = self._media().with_fingerprint(output.returned)
        recorded = replace(output.recorded, fingerprint=returned.fingerprint)
        return replace(output, recorded=recorded, returned=returned)

    def _outcome(self, item: _InFlight, **changes: object) -> Generation:
        """Return the finished generation with verdicts, plugins and environment filled in."""
        used = [
            self._core(),
            *item.resolved.generation.plugins,
            *item.plugins,
            *self._policy_runner.plugins,
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

    def _answers(
        self, items: Sequence[_InFlight], *, stream: bool, yields: bool
    ) -> Iterator[Answer]:
        """Yield chunks, and for each item one reply or the reason why there is none.

        With `stream`, the generator is asked for chunks. They are yielded with `yields`, and
        otherwise only show the progress.
        """
        if not items:
            return
        first = items[0].resolved
        try:
            generator = self._resolver.ready(first)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            reason = error_message(error, first.registered)
            yield from (MissingReply(item.resolved.request.id, reason) for item in items)
            return
        environment = environment_of(generator)
        for item in items:
            item.environment = environment
        requests = [item.resolved.request for item in items]
        if stream:
            requests = [replace(request, stream=True) for request in requests]
        model = first.request.model
        name = first.registered.name if model is None else model.name
        with self._notices.generating(name, streams=yields) as count:
            for answer in run_generator(generator, first.registered, requests):
                if isinstance(answer, Chunk):
                    count(answer)
                    if not yields:
                        continue
                yield answer


@dataclass(slots=True)
class _InFlight:
    """A generation in progress.

    `chunks` are the texts that the caller has received. `outcome` is None until it is decided.
    `plugins` are those that read items of its outputs. `returned_outputs` are the outputs of a
    completed generation for callers and evaluators.
    """

    resolved: BoundRequest
    verdicts: list[Verdict] = field(default_factory=list)
    environment: dict[str, str | int] = field(default_factory=dict)
    chunks: list[str] = field(default_factory=list)
    outcome: Generation | None = None
    plugins: list[PluginRef] = field(default_factory=list)
    returned_outputs: tuple[Output, ...] = ()

    def returned(self, generation: Generation) -> Generation:
        """Return the recorded generation with the outputs that callers get."""
        if generation.status != "completed":
            return generation
        return with_returned_outputs(generation, self.returned_outputs)

    def streamed_outputs(self) -> tuple[Output, ...]:
        """Return the chunks as one output, for a generation that has no other output."""
        data = "".join(self.chunks).encode()
        return (Output(self.resolved.registered.media_type, data),) if data else ()

    def interrupted(self) -> Generation:
        """Return the generation as interrupted, with its chunks as output."""
        return replace(
            self.resolved.generation,
            status="interrupted",
            finished_at=now(),
            outputs=self.streamed_outputs(),
            verdicts=tuple(self.verdicts),
            environment=self.environment,
        )


def _check_chunks(item: _InFlight, reply: Reply | MissingReply) -> Reply | MissingReply:
    """Return the reply if it begins with the item's chunks, or else a MissingReply."""
    if not item.chunks or isinstance(reply, MissingReply) or reply.failure is not None:
        return reply
    text = "\n\n".join(output.text or "" for output in reply.outputs)
    # The record must contain the text that the caller received. The two can differ if a generator
    # raised during a batch and returned another text when the request was repeated alone.
    if text.startswith("".join(item.chunks)):
        return reply
    name = item.resolved.registered.name
    reason = f"generator {name} replied with a text that does not begin with its chunks"
    return MissingReply(reply.request_id, reason)


def _unrecordable(
    generation: Generation, error: Exception, outputs: tuple[Output, ...]
) -> Generation:
    """Return the failed generation to record instead of an outcome that an entry cannot hold."""
    reason = escape_unencodable(
        f"the output of generator {generation.generator} cannot be recorded: {error}"
    )
    return replace(
        generation,
        status="failed",
        outputs=outputs,
        verdicts=(),
        scores=(),
        usage=None,
        trace=None,
        environment={},
        failure=Failure("generator", reason),
    )


def without_blocked_content(generation: Generation) -> Generation:
    """Return a generation without the content that filters blocked.

    A blocked generation has no outputs and no trace. Neither has a failed one whose selection
    could not be made, or of which a filter blocked an output. Verdicts on blocked outputs and items
    keep the categories and spans of their reasons. Of an exception they keep only the type.
    """
    verdicts = generation.verdicts
    items = {verdict.item for verdict in verdicts if verdict.action == "block"} - {None}
    withheld = generation.status == "blocked" or _is_failed_list(generation)
    if not withheld and not items:
        return generation
    verdicts = tuple(
        _without_quotations(verdict)
        if verdict.item in items or (withheld and verdict.stage in ("output", "item"))
        else verdict
        for verdict in verdicts
    )
    if not withheld:
        return replace(generation, verdicts=verdicts)
    failure = generation.failure
    if failure is not None:
        failure = replace(failure, message=_without_message(failure.message))
    return replace(generation, outputs=(), trace=None, verdicts=verdicts, failure=failure)


def _is_failed_list(generation: Generation) -> bool:
    """Return whether a generation failed after its outputs were judged."""
    return generation.status == "failed" and (
        any(output.kept is not None for output in generation.outputs)
        or any(
            verdict.action == "block" and verdict.stage in ("output", "item")
            for verdict in generation.verdicts
        )
    )


def _without_quotations(verdict: Verdict) -> Verdict:
    # The message of a reason, or of an exception, may quote the blocked content.
    reasons = tuple(replace(reason, message="") for reason in verdict.reasons)
    failure = verdict.failure and _without_message(verdict.failure)
    return replace(verdict, reasons=reasons, failure=failure)


_SUBJECT_ENDS = (" failed", " cannot check the list")
_PLACE = re.compile(r" \(([^()]+):[0-9]+\)$")


def _without_message(failure: str) -> str:
    """Return a sentence of the form `SUBJECT failed: TYPE: message (FILE:LINE)` without `message`.

    The failure of a subject can be that of another, as in `FILTER cannot check the list: METHOD
    failed: TYPE: …`. The place is kept if a module has the file, so that no message looks like
    one.
    """
    place = _PLACE.search(failure)
    parts = failure.removesuffix(place[0] if place else "").split(": ")
    subjects = list(itertools.takewhile(lambda part: part.endswith(_SUBJECT_ENDS), parts))
    kept = place[0] if place and is_module_file(place[1]) else ""
    return ": ".join(parts[: len(subjects) + 1]) + kept
