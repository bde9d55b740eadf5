"""Replay: repeat a recorded generation from its record and compare the outputs.

The result is one of:

- exact: the same bytes in the same environment.
- certified: the same bytes in a different environment, and every recorded margin is larger than
  the estimated difference of the logits.
- uncertified: the same bytes in a different environment, but a margin is missing or too small.
- diverged: different bytes.
- impossible: something that the replay needs is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import TypeAlias

from muniment.errors import MunimentError, SelectionError, UsageError
from muniment.generation.requests import BoundRequest, Resolver
from muniment.plugins.invocation import MissingReply, environment_of, error_message, run_generator
from muniment.types.generations import Generation
from muniment.types.outputs import Comparison, Output
from muniment.types.plugins import PluginRef
from muniment.types.replays import Difference, Replay, ReplayResult, compared_facts
from muniment.types.replies import Reply, Trace

# The kinds of texts that a replay reads. `entry` is an entry whose bytes were changed.
_READ = ("entry", "request", "prompt", "input", "output", "trace")
_MOST_NAMED = 5

Compare: TypeAlias = Callable[[Output, Output], Comparison | None]
Select: TypeAlias = Callable[[Generation], Generation]


class Replayer:
    """Repeats recorded generations and compares the outputs."""

    def __init__(
        self,
        resolver: Resolver,
        environment: Mapping[str, str | int],
        core: PluginRef,
        compare: Compare,
        select: Select,
    ) -> None:
        """Take the parts.

        `environment` describes the machine, and `core` is the version of the core. `compare`
        describes the difference of two outputs. `select` returns a generation with its selections.
        It raises SelectionError for one that is not as recorded, and MunimentError if none can be
        made.
        """
        self._resolver, self._environment, self._core = resolver, environment, core
        self._compare, self._select = compare, select

    def replay(self, generations: Iterable[Generation]) -> Iterator[Replay]:
        """Replay generations in groups of one generator and model, and yield each result.

        A repeated generation is replayed once. Results come in the order of the groups.
        """
        groups: dict[tuple[str, str], list[BoundRequest]] = {}
        for generation in {generation.id: generation for generation in generations}.values():
            try:
                bound = _bind(generation, self._resolver)
            except MunimentError as error:
                yield self._impossible(generation.id, str(error))
                continue
            groups.setdefault(bound.group, []).append(bound)
        for group in groups.values():
            yield from self._replay_group(group)

    def _replay_group(self, group: Sequence[BoundRequest]) -> Iterator[Replay]:
        recorded = {item.request.id: item for item in group}
        registered = group[0].registered
        try:
            generator = self._resolver.ready(group[0], retest=True)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            reason = error_message(error, registered)
            yield from (self._impossible(key, reason) for key in recorded)
            return
        current = {**self._environment, **environment_of(generator)}
        plugins = self._core, registered.plugin.ref()
        for answer in run_generator(generator, registered, [item.request for item in group]):
            if isinstance(answer, MissingReply):
                yield self._impossible(answer.request_id, answer.reason)
            elif isinstance(answer, Reply):
                item = recorded[answer.request_id]
                result = _compared(item, answer, current, self._core, self._compare)
                result = _with_selection(result, item.generation, self._select)
                yield replace(result, environment=current, plugins=plugins)

    def _impossible(self, id: str, reason: str) -> Replay:
        # No generator was loaded, so the core's own environment is used.
        environment = dict(self._environment)
        return Replay(id, "impossible", reason, environment=environment, plugins=(self._core,))


def _with_selection(result: Replay, generation: Generation, select: Select) -> Replay:
    """Return the result of equal candidates after a comparison of the recorded selection.

    It is diverged if the selection differs, and impossible if none can be made.
    """
    has_selection = any(output.selection is not None for output in generation.outputs)
    if has_selection and result.result != "diverged":
        try:
            select(generation)
        except SelectionError as error:
            return replace(result, result="diverged", detail=str(error))
        except MunimentError as error:  # the candidates were compared without their media type
            detail = f"the candidates are the same, but the selection is unknown: {error}"
            return replace(result, result="impossible", detail=detail)
    return result


def _bind(generation: Generation, resolver: Resolver) -> BoundRequest:
    """Return the request of a generation. Raise MunimentError if it cannot be replayed."""
    _check_replayable(generation)
    bound = resolver.again(generation)
    if bound.generator.determinism != "exact":
        raise UsageError(f"generator {bound.registered.name} is not deterministic")
    return bound


def _check_replayable(generation: Generation) -> None:
    """Raise UsageError with the reason if a generation cannot be replayed."""
    if changed := [kind for kind in _READ if kind in generation.altered]:
        raise UsageError(f"its {changed[0]} was changed after it was recorded")
    if generation.status not in ("completed", "blocked"):
        states = {"failed": "it failed", "interrupted": "it was interrupted"}
        state = states.get(generation.status, "it is still running")
        # A failed generation may have recorded chunks, which are a part of an output.
        output = "whole output" if generation.outputs else "output"
        raise UsageError(f"{state}: there is no {output} to compare with")
    if not generation.outputs:
        raise UsageError("it was blocked before anything was generated")
    # A replay compares the outputs themselves.
    if kinds := {kind for kind in generation.erased if kind != "fingerprint"}:
        raise UsageError(_erased_clause(kinds))


def _erased_clause(kinds: Set[str]) -> str:
    """Return a clause that names the erased contents. Those of other kinds are "other texts"."""
    contents = ("prompt", "input", "output")
    names = [kind for kind in contents if kind in kinds]
    if not names:
        return "some of its texts were erased"
    if kinds - {*contents}:
        names.append("other texts")
    verb = "was" if len(names) == 1 else "were"
    *first, last = names
    return f"its {' and '.join(filter(None, (', '.join(first), last)))} {verb} erased"


def _compared(
    item: BoundRequest,
    reply: Reply,
    environment: Mapping[str, str | int],
    core: PluginRef,
    compare: Compare,
) -> Replay:
    """Return the result for one reply, without its environment and plugins."""
    generation = item.generation
    differences = _differences(item, environment, core)
    if reply.failure is not None:
        return Replay(generation.id, "diverged", f"it failed: {reply.failure}", differences)
    recorded = [(output.media_type, output.data) for output in generation.outputs]
    replayed = [(output.media_type, output.data) for output in reply.outputs]
    if recorded != replayed:
        detail = _first_difference(generation, reply)
        comparison = _comparison(generation, reply, compare)
        if comparison is not None:
            detail = f"{detail}; {comparison}"
        return Replay(generation.id, "diverged", detail, differences, comparison=comparison)
    size = (
        f"{len(generation.trace.token_ids)} of {len(generation.trace.token_ids)} tokens"
        if (generation.trace is not None)
        else f"{sum(len(data) for _, data in recorded)} bytes"
    )
    if not differences:
        return Replay(generation.id, "exact", size)
    result, reason = _certify(generation.trace, reply.trace, differences)
    return Replay(generation.id, result, f"{size}; {reason}", differences)


def _certify(
    recorded: Trace | None, replayed: Trace | None, differences: Sequence[Difference]
) -> tuple[ReplayResult, str]:
    """Return whether equal bytes are certified, and the numbers that decide it.

    The largest change of a chosen token's log-probability estimates how far the logits moved. It
    must be smaller than the smallest recorded margin. For an output without margins, the names of
    the `differences` of the environment are returned.
    """
    if recorded is None or replayed is None:
        return "uncertified", _differing(differences)
    if list(recorded.token_ids) != list(replayed.token_ids):
        return "uncertified", "the same bytes have other tokens"
    pairs = zip(recorded.logprobs, replayed.logprobs, strict=True)
    change = max((abs(old - new) for old, new in pairs), default=0.0)
    margin = min(recorded.margins, default=float("inf"))
    detail = f"smallest margin {margin:.2g}, log-probabilities changed by up to {change:.2g}"
    return ("certified" if margin > change else "uncertified"), detail


def _differing(differences: Sequence[Difference]) -> str:
    names = [difference.name for difference in differences]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    verb = "differs" if len(names) == 1 else "differ"
    return f"{', '.join(names[:_MOST_NAMED])}{more} {verb} from the record"


def _first_difference(generation: Generation, reply: Reply) -> str:
    """Return the first token, or else the first byte, in which a replay differs, as a phrase."""
    recorded, replayed = generation.trace, reply.trace
    if recorded is not None and replayed is not None:
        token_ids = zip(recorded.token_ids, replayed.token_ids, strict=False)
        for index, (old, new) in enumerate(token_ids):
            if old != new:
                margin = recorded.margins[index]
                return (
                    f"token {index + 1} differs ({old} → {new}); the margin there was {margin:.2g}"
                )
        return f"{len(recorded.token_ids)} tokens became {len(replayed.token_ids)}"
    pairs = zip(generation.outputs, reply.outputs, strict=False)
    for number, (first, second) in enumerate(pairs, 1):
        if first.data != second.data:
            byte_pairs = zip(first.data, second.data, strict=False)
            position = next(
                (index for index, (a, b) in enumerate(byte_pairs, 1) if a != b),
                min(len(first.data), len(second.data)) + 1,
            )
            return f"output {number} differs from byte {position} on"
    return f"{len(generation.outputs)} outputs became {len(reply.outputs)}"


def _comparison(generation: Generation, reply: Reply, compare: Compare) -> Comparison | None:
    """Return the comparison of the first outputs that differ and are not text, if there is one."""
    for recorded, again in zip(generation.outputs, reply.outputs, strict=False):
        if recorded.data != again.data and recorded.text is None:
            return compare(recorded, again)
    return None


def _differences(
    item: BoundRequest, environment: Mapping[str, str | int], core: PluginRef
) -> tuple[Difference, ...]:
    """Return the values of the environment and the plugin versions that differ from the record."""
    recorded, now = compared_facts(item.generation.environment), compared_facts(environment)
    differences = [
        Difference(name, str(recorded.get(name, "")), str(now.get(name, "")))
        for name in sorted(recorded.keys() | now.keys())
        if recorded.get(name) != now.get(name)
    ]
    current = item.registered.plugin.ref()
    for plugin in item.generation.plugins:
        # Only the code counts: a release can change the version alone.
        if plugin.distribution == current.distribution and plugin.digest != current.digest:
            old = f"{plugin.version} {plugin.digest}"
            new = f"{current.version} {current.digest}"
            differences.append(Difference(plugin.distribution, old, new))
        elif plugin.distribution == core.distribution and plugin.version != core.version:
            # The core's digest is not compared: most of its code does not affect the outputs.
            differences.append(Difference(core.distribution, plugin.version, core.version))
    return tuple(differences)
