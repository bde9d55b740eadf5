"""Generation for the specs of a run, in batches that are grouped by generator and model."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence

from muniment.errors import ModelError, MunimentError, PluginError, UsageError
from muniment.generation.assessment import PolicyRunner, request_contents
from muniment.generation.pipeline import Pipeline
from muniment.generation.requests import BoundRequest, CheckedSpec, Resolver
from muniment.generation.specs import GenerationSpec, unresolved
from muniment.types.generations import Generation
from muniment.types.replies import Chunk
from muniment.types.requests import Request


class Runner:
    """Resolves the specs of one run and generates for them, in their order."""

    def __init__(
        self,
        resolver: Resolver,
        pipeline: Pipeline,
        moderator: PolicyRunner,
        run_id: str,
        actor: str,
        *,
        stream: bool,
    ) -> None:
        self._resolver, self._pipeline, self._moderator = resolver, pipeline, moderator
        self._run_id, self._actor, self._stream = run_id, actor, stream

    def run(
        self, specs: Iterable[GenerationSpec], size: int
    ) -> Generator[Generation | Chunk, None, None]:
        """Yield the generations of the specs, of which up to `size` are resolved at a time.

        With `stream`, chunks come first. A spec that cannot be resolved becomes a failed generation
        if it was read from a line, and raises otherwise.
        """
        remaining = iter(specs)
        while batch := list(itertools.islice(remaining, size)):
            yield from self._run_batch(batch)

    def _run_batch(self, specs: Sequence[GenerationSpec]) -> Iterator[Generation | Chunk]:
        order: list[str] = []
        groups: dict[tuple[str, str], list[BoundRequest]] = {}
        rejected: list[Generation] = []

        def reject(spec: GenerationSpec, error: MunimentError) -> None:
            if spec.line is None:
                raise error
            policy = self._moderator.policy
            named = self._resolver.with_model_name(spec)
            rejected.append(unresolved(named, str(error), self._run_id, self._actor, policy))
            order.append(rejected[-1].id)

        # All specs are checked before one is bound, because binding may add a model.
        for spec, checked in [(spec, self._check(spec)) for spec in specs]:
            if not isinstance(checked, CheckedSpec):
                reject(spec, checked)
                continue
            try:
                bound = self._bind(checked)
            except (UsageError, ModelError, PluginError) as error:
                reject(spec, error)
                continue
            order.append(bound.request.id)
            groups.setdefault(bound.group, []).append(bound)
        done = {item.id: item for item in self._pipeline.reject(rejected)} if rejected else {}
        for group in groups.values():
            for item in self._pipeline.run(group, stream=self._stream):
                if isinstance(item, Chunk):
                    yield item
                else:
                    done[item.id] = item
        for identifier in order:
            yield done[identifier]

    def _check(self, spec: GenerationSpec) -> CheckedSpec | UsageError | PluginError:
        """Return the spec checked, or the error of an invalid spec that was read from a line."""
        try:
            return self._resolver.check(spec)
        except (UsageError, PluginError) as error:
            if spec.line is None:
                raise
            return error

    def _bind(self, checked: CheckedSpec) -> BoundRequest:
        policy = self._moderator.policy
        return self._resolver.bind(checked, self._run_id, self._actor, policy, self._blocks)

    def _blocks(self, request: Request) -> bool:
        return self._moderator.blocks(request_contents(request))
