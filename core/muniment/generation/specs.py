"""Generation specs, their samples, and the records of specs that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from muniment.errors import UsageError
from muniment.generation import seeds
from muniment.ids import new_id
from muniment.names import normal_name
from muniment.parameters import Value
from muniment.representation import showing
from muniment.types.experiments import Cell
from muniment.types.generations import Failure, Generation
from muniment.types.models import Model
from muniment.validation import check_counts, check_texts, escape_unencodable, now, recordable_name

if TYPE_CHECKING:
    from muniment.generation.policy import Policy


@dataclass(frozen=True, slots=True)
class GenerationSpec:
    """A request as a caller writes it, with None where defaults apply.

    A prompt of None means that there is none, which only some generators accept. The others refuse
    an empty prompt, and one of white space, too. `generator` is a generator's name or a media kind
    (`text`). A seed of None is drawn at random. `line` is the line of the batch file, if any, and
    `invalid` the reason it cannot be used. `inputs` has the content of each input by name, or the
    path of its file. A text that is not the path of a file can be the id of a generation, whose
    output is used. `ID:2` means its second output. That generation becomes a parent. `cell` is the
    place in an experiment. Several samples of a spec with a cell are its replicates from there on.

    Example:
        >>> spec = muniment.GenerationSpec("Once upon a time", seed=7, tags=("story",))
        >>> [done.text for done in session.run([spec])]
        ['Once upon a time, 你好']
    """

    prompt: str | None = None
    generator: str = "text"
    model: str | None = None
    system: str | None = None
    seed: int | str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    line: int | None = None
    invalid: str | None = None
    inputs: Mapping[str, Path | str | bytes] = field(default_factory=dict)
    cell: Cell | None = None

    __repr__ = showing("generator", "prompt", "model", "seed", "parameters", "line", "invalid")

    def __post_init__(self) -> None:
        """Raise UsageError if a field has another type."""
        for name in ("prompt", "system"):
            text: object = getattr(self, name)
            if text is not None and not isinstance(text, str):
                raise UsageError(f"the {name} must be a text, not {type(text).__name__}")
        if isinstance(self.generator, str):
            object.__setattr__(self, "generator", normal_name(self.generator))
        check_texts("tags", self.tags)
        check_texts("parents", self.parents)
        if self.inputs:
            _check_inputs(self.inputs)
        if self.cell is not None:
            object.__setattr__(self, "cell", Cell(*check_counts("cell", self.cell, Cell._fields)))


def unresolved(
    spec: GenerationSpec, reason: str, run_id: str, actor: str, policy: Policy | None = None
) -> Generation:
    """Return the record of a spec that could not be resolved, before its failure is recorded."""
    seed = requested_seed(spec)
    return Generation(
        id=new_id(),
        run_id=run_id,
        actor=actor,
        status="started",
        generator=recordable_name(spec.generator),
        prompt=escape_unencodable(spec.prompt or ""),
        seed=seeds.random_seed() if seed is None else seed,  # the record needs a valid seed
        started_at=now(),
        system=spec.system and escape_unencodable(spec.system),
        model=None if spec.model is None else Model(recordable_name(spec.model), "", ""),
        parameters={
            escape_unencodable(name): _requested_value(value)
            for name, value in spec.parameters.items()
        },
        policy=policy.label if policy else "",
        policy_digest=policy.digest if policy else "",
        tags=tuple(map(recordable_name, spec.tags)),
        line=spec.line,
        cell=spec.cell,
        failure=Failure("invalid", escape_unencodable(reason)),
    )


def requested_seed(spec: GenerationSpec) -> int | None:
    """Return the seed of a spec, or None if it has no valid one."""
    try:
        return None if spec.seed is None else seeds.parse_seed(spec.seed)
    except UsageError:
        return None


def _requested_value(value: object) -> Value:
    """Return the recorded form of a parameter whose declaration is unknown."""
    if isinstance(value, str):
        return escape_unencodable(value)
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(map(escape_unencodable, value))
    short = (
        isinstance(value, int) and not abs(value) >> 999
    )  # the limit of Python's int to str conversion
    if value is None or short or (isinstance(value, float) and isfinite(value)):
        return value  # type: ignore[return-value]
    try:
        return escape_unencodable(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        return type(value).__name__


def _check_inputs(inputs: object) -> None:
    """Raise UsageError unless `inputs` is a mapping of names to paths or contents."""
    advice = "use paths or bytes by name, such as {'context': 'report.txt'}"
    if not isinstance(inputs, Mapping):
        raise UsageError(f"inputs cannot be a {type(inputs).__name__}; {advice}")
    for name, source in inputs.items():
        if not isinstance(name, str):
            raise UsageError(f"the name of an input cannot be {name!r:.80}; {advice}")
        if not isinstance(source, Path | str | bytes):
            raise UsageError(f"input {name!r} cannot be a {type(source).__name__}; {advice}")


def samples(spec: GenerationSpec, count: int) -> list[GenerationSpec]:
    """Return `count` specs that differ only in their seeds, and in the replicates of their cells.

    The first has the spec's own seed.
    """
    # A new mapping, so that the resolver reads its files, once for all samples. `read_specs` makes
    # those of lines, which can share one.
    if spec.inputs and spec.line is None:
        spec = replace(spec, inputs=dict(spec.inputs))
    if count == 1:
        return [spec]
    first = seeds.random_seed() if spec.seed is None else seeds.parse_seed(spec.seed)
    cell = spec.cell
    return [
        replace(
            spec,
            seed=seeds.sample_seed(first, index),
            cell=cell and cell._replace(replicate=cell.replicate + index),
        )
        for index in range(count)
    ]
