"""The command `muniment image inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import muniment
from muniment.command import emit, headers_option, json_option, pass_session, write_json, write_note

from .picture_file import read_picture_file

if TYPE_CHECKING:
    from muniment_image.inspection.facts import Fact

_MAX_SHOWN = 1_000  # characters of a value outside of JSON


@click.command
@click.argument("file", type=click.Path(path_type=Path))
@headers_option
@json_option
@pass_session
def inspect(session: muniment.Session, file: Path, as_json: bool) -> None:
    """Print all that a picture file states about itself, and its record.

    Rows of the source `record` are from the store. They are called `named record` if the file only
    contains the id, and its pixels are others. All further rows are from the file, where anyone can
    write them. `muniment image verify` checks the signature and the pixels.

    Metadata of PNG, JPEG, WebP and AVIF files are read: those of Muniment, C2PA, XMP and EXIF. So
    are the parameters of A1111, ComfyUI, Fooocus, InvokeAI and NovelAI.
    """
    from muniment_image.trust import read_trust
    from muniment_image.verification import SAME, verify

    report = read_picture_file(file, read_trust(session))
    for problem in report.trust.problems:
        write_note(problem)
    result = verify(session, file, report)
    record = _record(session, result.id) if result.id is not None else {}
    # Anyone can write the id of a record into a file.
    is_same = result.pixels == SAME
    if as_json:
        write_json(
            {
                "file": str(file),
                "format": report.format,
                "manifest": result.manifest,
                "pixels": result.pixels,
                "record": record if is_same else None,
                "named_record": None if is_same else record or None,
                "facts": [fact._asdict() for fact in report.facts],
                "texts": [text._asdict() for text in report.texts],
            }
        )
        return
    from muniment_image.inspection.facts import Fact

    source = "record" if is_same else "named record"
    rows = [
        Fact("verification", "manifest", result.manifest),
        Fact("verification", "pixels", result.pixels),
        *(Fact(source, name, value) for name, value in record.items()),
        *report.facts,
    ]
    emit(rows, [("source", "source"), ("name", "name"), ("value", _shown)], as_json=False)
    if all(fact.source == "file" for fact in report.facts):
        write_note(f"{file} contains no metadata, which many programs remove")


def _record(session: muniment.Session, id: str) -> dict[str, str]:
    """Return the facts of a generation on record."""
    generation = session.generation(id)
    provenance = generation.provenance
    facts: dict[str, Any] = {
        "id": generation.id,
        "status": generation.status,
        "created": provenance.created_at.isoformat(),
        "actor": generation.actor,
        "generator": generation.generator,
        "model": provenance.model,
        "prompt": generation.prompt,
        "seed": str(generation.seed),
    }
    return {name: value for name, value in facts.items() if value}


def _shown(fact: Fact) -> str:
    """Return the beginning of a value, which can have a million characters."""
    if len(fact.value) <= _MAX_SHOWN:
        return fact.value
    return f"{fact.value[:_MAX_SHOWN]}… ({len(fact.value):,} characters, all of them with --json)"
