"""The command `muniment image verify`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import muniment
from muniment.command import (
    Column,
    emit,
    emit_one,
    headers_option,
    json_option,
    pass_session,
    write_note,
)

from .picture_file import read_picture_file

if TYPE_CHECKING:
    from muniment_image.trust import Trust
    from muniment_image.verification import Verification

_UNKNOWN = 1
_COLUMNS: list[Column[Verification]] = [
    ("file", "file"),
    ("manifest", "manifest"),
    ("pixels", "pixels"),
    ("record", "record"),
]


@click.command
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@headers_option
@json_option
@pass_session
def verify(session: muniment.Session, files: tuple[Path, ...], as_json: bool) -> int:
    """Check whether picture files are unchanged, and find their records.

    The manifest is "intact, signed by this installation", "intact, trusted signer", "intact,
    unknown signer", "altered", or there is "no manifest". The pixels are the "same pixels" as a
    recorded output, "altered pixels" of the record that the file names, or there is "no exact
    match". A JPEG, scaled or labelled file has no exact match, because its pixels are others.

    The exit code is 0 if the pixels are recorded, or the signer is this installation or a trusted
    one. It is 4 if the file was altered. It is 1 if nothing is known about it. Of several files,
    each is a line, and the largest code counts. One that cannot be read then has the code 1.
    """
    from muniment_image.trust import read_trust

    trust = read_trust(session)
    if len(files) > 1:
        codes: list[int] = []
        results = _check_all(session, files, trust, codes)
        emit(results, _COLUMNS, as_json, cut="file")
        return max(codes)
    result = _check(session, files[0], trust)
    fields: list[Column[Verification]] = [
        ("manifest", "manifest"),
        ("signer", "signer"),
        ("failures", "codes"),
        ("pixels", "pixels"),
        ("record", "record"),
        ("named in the file", _named),
    ]
    emit_one(result, fields, as_json)
    for note in result.notes:
        write_note(note)
    return result.exit_code


def _check(session: muniment.Session, file: Path, trust: Trust) -> Verification:
    from muniment_image.verification import verify

    return verify(session, file, read_picture_file(file, trust))


def _check_all(
    session: muniment.Session, files: Sequence[Path], trust: Trust, codes: list[int]
) -> Iterator[Verification]:
    """Yield the result of each file that can be read, and append all exit codes to `codes`."""
    for file in files:
        try:
            result = _check(session, file, trust)
        except muniment.UsageError as error:
            codes.append(_UNKNOWN)
            write_note(f"Error: {error}")
            continue
        codes.append(result.exit_code)
        yield result
        for note in result.notes:
            write_note(f"{file}: {note}")


def _named(result: Verification) -> list[str]:
    return [id for id in result.named if id != result.record]
