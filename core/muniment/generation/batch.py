"""Batch files with one JSON request in each line. An invalid line does not affect other lines."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from muniment.errors import UsageError, explain_invalid
from muniment.generation.specs import GenerationSpec, requested_seed, unresolved
from muniment.names import model_names
from muniment.plugins.objects import RegisteredObject
from muniment.plugins.registry import Plugins
from muniment.store import Store
from muniment.types.generations import Generation
from muniment.types.models import Model
from muniment.validation import escape_unencodable, recordable_name

if TYPE_CHECKING:
    from muniment.generation.inputs import ReadInputs

_HINTS = {
    "prompt": 'add a text, e.g. {"prompt": "…"}',
    "system": "use a text",
    "generator": "use a text",
    "model": "use a text",
    "seed": "use a whole number",
    "parameters": "use an object",
    "tags": "use a list of texts",
    "inputs": 'use paths by name, e.g. {"init": "a.png"}, or texts, e.g. {"user": {"text": "u1"}}',
}


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    """An input that is a text of the line, not the path of a file."""

    text: str


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    prompt: str | msgspec.UnsetType = msgspec.UNSET
    system: str | None = None
    generator: str | None = None
    model: str | None = None
    seed: str | int | None = None
    parameters: dict[str, object] = {}
    tags: tuple[str, ...] = ()
    inputs: dict[str, str | _Text] = {}


ReadInputsOf: TypeAlias = Callable[[GenerationSpec, RegisteredObject], "ReadInputs"]
"""A function that returns the inputs of a spec for a generator."""


def read_specs(
    lines: Iterable[bytes],
    defaults: GenerationSpec | None = None,
    folder: Path = Path(),
) -> Iterator[GenerationSpec]:
    """Return an iterator of a spec for each non-blank line, with its line number counted from 1.

    An invalid line yields a spec with the line as its prompt and the reason in `invalid`.
    `defaults` provides the generator, model, parameters, tags and inputs that a line omits. Paths
    of inputs in a line are relative to `folder`. The first line is read at once. Raises UsageError
    if it is not encoded as UTF-8.
    """
    base = defaults or GenerationSpec()
    # A new mapping for each batch, so that its files are read again. Lines without inputs share it.
    base = replace(base, inputs=dict(base.inputs)) if base.inputs else base
    remaining = iter(lines)
    first = next(remaining, b"")
    _check_encoding(first)
    first = first.removeprefix(b"\xef\xbb\xbf")  # UTF-8 byte order mark
    numbered = enumerate(itertools.chain([first], remaining), 1)
    return (_spec(number, line, base, folder) for number, line in numbered if line.strip())


def _check_encoding(first_line: bytes) -> None:
    """Raise UsageError if the first line of a batch file is UTF-16 or UTF-32."""
    encoding = json.detect_encoding(first_line)
    if not encoding.startswith("utf-8"):
        raise UsageError(
            f"the batch file is encoded as {encoding[:6].upper()}; save it as UTF-8 and try again"
        )


def _spec(number: int, line: bytes, base: GenerationSpec, folder: Path) -> GenerationSpec:
    try:
        fields = _fields(line)
    except ValueError as error:
        text = line.decode(errors="backslashreplace").rstrip("\r\n")
        generator = _named_generator(line) or base.generator
        return GenerationSpec(
            text, generator=generator, line=number, invalid=f"line {number}: {error}"
        )
    return GenerationSpec(
        prompt=None if fields.prompt is msgspec.UNSET else fields.prompt,
        generator=base.generator if fields.generator is None else fields.generator,
        model=fields.model or base.model,
        system=fields.system,
        seed=fields.seed,
        parameters={**base.parameters, **fields.parameters},
        tags=(*base.tags, *fields.tags),
        line=number,
        inputs={**base.inputs, **_sources(fields, folder)} if fields.inputs else base.inputs,
    )


def _named_generator(line: bytes) -> str | None:
    """Return the generator that an invalid line names, or None if it names none."""
    try:
        fields = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    name = fields.get("generator") if isinstance(fields, dict) else None
    return name if isinstance(name, str) else None


def _sources(fields: _Line, folder: Path) -> dict[str, Path | str | bytes]:
    from muniment.generation.inputs import relative_to

    return {
        name: source.text.encode() if isinstance(source, _Text) else relative_to(folder, source)
        for name, source in fields.inputs.items()
    }


def _fields(line: bytes) -> _Line:
    """Return the fields of a line. Raise ValueError with the reason if it is invalid."""
    try:
        return msgspec.convert(json.loads(line.decode(), object_pairs_hook=_object), _Line)
    except UnicodeDecodeError as error:
        raise ValueError(f"not valid UTF-8 (at byte {error.start + 1})") from None
    except msgspec.ValidationError as error:
        raise ValueError(escape_unencodable(explain_invalid(error, _HINTS))) from None
    except _RepeatedKeyError:
        raise
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not valid JSON ({error})") from None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return a JSON object. Raise _RepeatedKeyError if a key occurs twice."""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        raise _RepeatedKeyError(next(name for name in names if names.count(name) > 1))
    return members


class _RepeatedKeyError(ValueError):
    def __init__(self, name: str) -> None:
        super().__init__(f"{escape_unencodable(name)} is given twice; remove one")


def unfinished_specs(
    specs: Iterable[GenerationSpec],
    run_id: str,
    store: Store,
    plugins: Plugins,
    read_inputs: ReadInputsOf,
) -> Iterator[GenerationSpec]:
    """Yield the specs of a batch that have no outcome in the run yet.

    A spec whose generation was interrupted gets the recorded seed. `read_inputs` returns the inputs
    of a spec. Raises UsageError if a line differs from the recorded one, or if the run is still in
    progress.
    """
    generations = {line.number: line.generation for line in store.lines(run_id)}
    if not generations:
        raise UsageError(f"run {run_id} is not a batch; use the id of a batch run")
    for spec in specs:
        if spec.line not in generations:
            yield spec
            continue
        recorded = generations[spec.line]
        changed = _changed(recorded, spec, plugins)
        if changed is None and recorded.plugins and (spec.inputs or recorded.inputs):
            changed = _changed_input(recorded, spec, plugins, read_inputs)
        if changed:
            raise UsageError(
                f"line {spec.line} differs from the recorded line of run {run_id} "
                f"in its {changed}; use the file and options that the run was started with"
            )
        if recorded.status == "started":
            raise UsageError(f"run {run_id} is still running; wait until it ends")
        if recorded.status == "interrupted":
            seed = recorded.seed if spec.seed is None else spec.seed
            yield replace(spec, seed=seed)


def _changed(recorded: Generation, spec: GenerationSpec, plugins: Plugins) -> str | None:
    """Return the name of the first field in which a spec differs from the recorded generation.

    Return None if the generation can have been made from the spec.
    """
    expected = unresolved(spec, "", recorded.run_id, recorded.actor)
    seed = requested_seed(spec)
    fields: list[tuple[str, object, object]] = [
        ("prompt", recorded.prompt, expected.prompt),
        ("system prompt", recorded.system, expected.system),
    ]
    if spec.invalid is None:
        fields += [
            ("seed", recorded.seed, recorded.seed if seed is None else seed),
            ("list of tags", recorded.tags, expected.tags),
            ("model", True, spec.model is None or _is_named(recorded.model, spec.model)),
        ]
    # A spec that could not be resolved has no plugins, and is recorded as requested.
    if spec.invalid is None and not recorded.plugins:
        fields += [
            ("generator", recorded.generator, expected.generator),
            ("parameters", recorded.parameters, expected.parameters),
        ]
    changed = next((name for name, old, new in fields if old != new), None)
    if changed or spec.invalid is not None or not recorded.plugins:
        return changed
    return _changed_request(recorded, spec, plugins)


def _is_named(model: Model | None, reference: str) -> bool:
    """Return whether a recorded model has one of the names that a reference can mean."""
    return model is not None and model.name in map(recordable_name, model_names(reference))


def _changed_input(
    recorded: Generation, spec: GenerationSpec, plugins: Plugins, read_inputs: ReadInputsOf
) -> str | None:
    """Return the name of an input that differs from the record, or None.

    An input that was erased, or whose file is gone, cannot be compared. Inputs that the generator's
    `resolve` added are no part of a line.
    """
    contents = {
        item.name: item.data
        for item in recorded.inputs
        if item.name not in recorded.resolved_inputs
    }
    # Without the payload `request` it is unknown which inputs `resolve` added.
    if "request" not in (*recorded.erased, *recorded.altered):
        for name in contents:
            if name not in spec.inputs:
                return f"input {name}"
    with contextlib.suppress(UsageError):
        registered = plugins.find("generator", recorded.generator)
        for item in read_inputs(spec, registered).inputs:
            if item.name not in contents or contents[item.name] not in (b"", item.data):
                return f"input {item.name}"
    return None


def _changed_request(recorded: Generation, spec: GenerationSpec, plugins: Plugins) -> str | None:
    """Return the name of a generator or parameter that differs from the record, or None."""
    try:
        registered = plugins.find("generator", recorded.generator)
    except UsageError:  # not installed any more, so its parameters cannot be parsed
        return None
    if spec.generator not in {registered.name, registered.media_kind} - {""}:
        return "generator"
    fields = registered.parameters.fields()
    for name, value in spec.parameters.items():
        if name not in recorded.parameters:
            return f"parameter {escape_unencodable(name)}"
        with contextlib.suppress(KeyError, UsageError):
            value = fields[name].parse(value)
        if value != recorded.parameters[name]:
            return f"parameter {name}"
    return None
