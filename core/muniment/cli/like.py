"""The recorded requests, and those in exported files, that `generate --like` repeats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

import muniment
from muniment.cli.audit_find import write_remarks
from muniment.cli.context import CliContext, context_of
from muniment.cli.output import json_text, one_line, write_note
from muniment.cli.values import excerpt
from muniment.errors import UnknownFileError, UsageError
from muniment.generation.origin import find_origin, read_file
from muniment.plugins.objects import RegisteredObject
from muniment.store import NoStoreError
from muniment.types.provenance import Provenance

_SOURCES = "muniment.like_sources"


def generator_of(ctx: click.Context, reference: str) -> str:
    """Return the name of the generator of a recorded generation or of an exported file."""
    context, source = context_of(ctx), _source(ctx, reference)
    if isinstance(source, Provenance):
        # The name is a stranger's text, and must not be read as an option.
        return context.session.plugins.find("generator", source.generator).name
    # `last` can be another generation when the spec is made.
    ctx.meta[_SOURCES][reference] = id = context.store.find(source)
    return context.store.generation(id).generator


def spec_like(
    ctx: click.Context,
    reference: str,
    name: str,
    registered: RegisteredObject,
    changes: Mapping[str, Any],
) -> muniment.GenerationSpec:
    """Return the request of a generation or of a file with changes, and print what it takes.

    `name` is the generator or media kind of the command, and `registered` its generator.
    """
    session, source = context_of(ctx).session, _source(ctx, reference)
    spec = session.like(source, generator=name, **changes)
    recorded = source if isinstance(source, Provenance) else session.generation(source)
    if recorded.generator != registered.name:
        write_note(
            f"{one_line(reference)} is of generator {one_line(recorded.generator):.80}, so "
            f"{registered.name} uses its prompt and seed, and not its model and parameters"
        )
    if isinstance(source, Provenance):
        write_note(
            f"{one_line(reference)} was generated elsewhere, so the new generation has no parent; "
            "its request is what the file contains, which anyone can change"
        )
        for note in _contents(source, spec, registered, changes):
            write_note(note)
    return spec


def _contents(
    source: Provenance,
    spec: muniment.GenerationSpec,
    registered: RegisteredObject,
    changes: Mapping[str, Any],
) -> Iterator[str]:
    """Yield what is taken from a file, and what is not in it."""
    fields, given = registered.parameters.fields(), changes.get("parameters", {})
    facts: dict[str, object] = {"prompt": spec.prompt, "seed": spec.seed, "model": spec.model}
    taken = {
        name: value for name, value in facts.items() if name not in changes and value is not None
    }
    taken |= {name: value for name, value in spec.parameters.items() if name not in given}
    if taken:
        values = (f"{one_line(name)}={_shown(value)}" for name, value in taken.items())
        yield f"taken from the file: {', '.join(values)}"
    if not spec.prompt:
        yield "the file contains no prompt, as a private file; give one if the generator needs it"
    absent = [
        name for name, field in fields.items() if name not in spec.parameters and not field.model
    ]
    if absent:
        yield f"not in the file, so that the defaults apply: {', '.join(absent)}"


def _shown(value: object) -> str:
    return excerpt(json_text(value))


def _source(ctx: click.Context, reference: str) -> str | Provenance:
    """Return the id of the generation that a file came from. Return an id unchanged.

    Of a file from another store, return what it contains. A file is read once for each command.
    Raises UsageError for a file that stands for no output.
    """
    sources: dict[str, str | Provenance] = ctx.meta.setdefault(_SOURCES, {})
    if reference not in sources:
        is_file = Path(reference).is_file()
        sources[reference] = _source_of_file(context_of(ctx), reference) if is_file else reference
    return sources[reference]


def _source_of_file(context: CliContext, name: str) -> str | Provenance:
    file = read_file(name, lambda: context.media)
    try:
        origin = find_origin(file, context.store, lambda: context.media)
    except (NoStoreError, UnknownFileError):
        if len(file.provenances) != 1:
            raise
        return file.provenances[0]
    if origin.input is not None:
        raise UsageError(
            f"{name} is recorded as the input {origin.input} of generation {origin.id}, not as an "
            "output; use the id of the generation to repeat"
        )
    if origin.same_content is False:
        raise UsageError(
            f"{name} contains the id {origin.id}, but its content is not the recorded output; use "
            "the id to repeat that generation"
        )
    write_remarks(origin)
    return origin.id
