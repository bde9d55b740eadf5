"""Replay: make a recorded generation again from its record, and say how it compares.

exact: the same bytes in the same environment. certified: the same bytes in a different one, every
recorded margin above the estimated difference of logits. uncertified: the same bytes, but some
margin was too small to promise it. diverged: other bytes. impossible: something is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from muniment.errors import MunimentError
from muniment.generation.requests import BoundRequest, Resolver
from muniment.plugins.invocation import MissingReply, answers, environment_of, error_message
from muniment.plugins.registry import INTERRUPTIONS
from muniment.types import Difference, Generation, PluginRef, Replay, ReplayResult, Reply, Trace


def replay(
    generations: Sequence[Generation],
    resolver: Resolver,
    environment: Mapping[str, str | int],
    core: PluginRef,
) -> Iterator[Replay]:
    """Replay generations, those of one generator and model together, and yield each result.

    A generation given twice is replayed once. `environment` is what the core knows of where it
    runs, `core` which version of it. The order of results is that of the groups.
    """
    for found in _replay(generations, resolver, environment, core):
        if found.environment:
            yield found
        else:  # it did not come to anything being loaded
            yield replace(found, environment=dict(environment), plugins=(core,))


def _replay(
    generations: Sequence[Generation],
    resolver: Resolver,
    environment: Mapping[str, str | int],
    core: PluginRef,
) -> Iterator[Replay]:
    groups: dict[tuple[str, str], list[BoundRequest]] = {}
    for generation in {generation.id: generation for generation in generations}.values():
        if reason := _not_replayable(generation):
            yield Replay(generation.id, "impossible", reason)
            continue
        try:
            resolved = resolver.again(generation)
        except MunimentError as error:
            yield Replay(generation.id, "impossible", str(error))
            continue
        if resolved.generator.determinism != "exact":
            reason = f"generator {resolved.registered.name} promises no determinism"
            yield Replay(generation.id, "impossible", reason)
            continue
        model = generation.model.digest if generation.model else ""
        groups.setdefault((resolved.registered.name, model), []).append(resolved)
    for group in groups.values():
        yield from _replay_group(group, resolver, environment, core)


def _not_replayable(generation: Generation) -> str | None:
    if generation.status not in ("completed", "blocked"):
        did = {"failed": "it failed", "interrupted": "it was interrupted"}
        output = "whole output" if generation.outputs else "output"  # pieces may have been shown
        return (
            f"{did.get(generation.status, 'it is under way')}: there is no {output} to compare with"
        )
    if not generation.outputs:
        return "it was blocked before anything was generated"
    if generation.erased:
        gone = generation.erased
        return f"it was erased: its {' and '.join(gone)} {'is' if len(gone) == 1 else 'are'} gone"
    return None


def _replay_group(
    group: Sequence[BoundRequest],
    resolver: Resolver,
    environment: Mapping[str, str | int],
    core: PluginRef,
) -> Iterator[Replay]:
    recorded = {item.request.id: item for item in group}
    registered = group[0].registered
    try:
        generator = resolver.ready(group[0])
    except INTERRUPTIONS:
        raise
    except BaseException as error:
        yield from (
            Replay(name, "impossible", error_message(error, registered)) for name in recorded
        )
        return
    now = {**environment, **environment_of(generator)}
    for answer in answers(generator, registered, [item.request for item in group]):
        if isinstance(answer, MissingReply):
            yield Replay(answer.request_id, "impossible", answer.reason)
        elif isinstance(answer, Reply):
            found = _compare(recorded[answer.request_id], answer, now, core)
            yield replace(found, environment=now, plugins=(core, registered.plugin.ref()))


def _compare(
    item: BoundRequest, reply: Reply, now: Mapping[str, str | int], core: PluginRef
) -> Replay:
    generation = item.generation
    differences = _differences(item, now, core)
    if reply.failure is not None:
        return Replay(generation.id, "diverged", f"it failed: {reply.failure}", differences)
    before = [(output.media_type, output.data) for output in generation.outputs]
    after = [(output.media_type, output.data) for output in reply.outputs]
    if before != after:
        return Replay(generation.id, "diverged", _first_difference(generation, reply), differences)
    unit = (
        f"{len(generation.trace.token_ids)} of {len(generation.trace.token_ids)} tokens"
        if (generation.trace is not None)
        else f"{sum(len(data) for _, data in before)} bytes"
    )
    if not differences:
        return Replay(generation.id, "exact", unit)
    result, why = _certify(generation.trace, reply.trace)
    return Replay(generation.id, result, f"{unit}; {why}", differences)


def _certify(before: Trace | None, after: Trace | None) -> tuple[ReplayResult, str]:
    """Compare the recorded margins with how far log-probabilities of chosen tokens moved."""
    if before is None or after is None:
        return "uncertified", "no margins were recorded"
    if list(before.token_ids) != list(after.token_ids):
        return "uncertified", "other tokens spell the same bytes"
    pairs = zip(before.logprobs, after.logprobs, strict=True)
    moved = max((abs(was - now) for was, now in pairs), default=0.0)
    margin = min(before.margins, default=float("inf"))
    words = f"smallest margin {margin:.2g}, log-probabilities moved by up to {moved:.2g}"
    return ("certified" if margin > moved else "uncertified"), words


def _first_difference(generation: Generation, reply: Reply) -> str:
    before, after = generation.trace, reply.trace
    if before is not None and after is not None:
        for index, (was, is_) in enumerate(zip(before.token_ids, after.token_ids, strict=False)):
            if was != is_:
                margin = before.margins[index]
                return (
                    f"token {index + 1} differs ({was} → {is_}); the margin there was {margin:.2g}"
                )
        return f"{len(before.token_ids)} tokens became {len(after.token_ids)}"
    pairs = zip(generation.outputs, reply.outputs, strict=False)
    for number, (first, second) in enumerate(pairs, 1):
        if first.data != second.data:
            unequal = zip(first.data, second.data, strict=False)
            place = next(
                (index for index, (a, b) in enumerate(unequal, 1) if a != b),
                min(len(first.data), len(second.data)) + 1,
            )
            return f"output {number} differs from byte {place} on"
    return f"{len(generation.outputs)} outputs became {len(reply.outputs)}"


def _differences(
    item: BoundRequest, now: Mapping[str, str | int], core: PluginRef
) -> tuple[Difference, ...]:
    was = dict(item.generation.environment)
    rows = [
        Difference(name, str(was.get(name, "")), str(now.get(name, "")))
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    ]
    current = item.registered.plugin.ref()
    for plugin in item.generation.plugins:
        if plugin.distribution == current.distribution and plugin != current:
            before = f"{plugin.version} {plugin.digest}"
            rows.append(
                Difference(plugin.distribution, before, f"{current.version} {current.digest}")
            )
        elif plugin.distribution == core.distribution and plugin.version != core.version:
            # Not its digest: most of the core's code has no say in what a generator gives.
            rows.append(Difference(core.distribution, plugin.version, core.version))
    return tuple(rows)
