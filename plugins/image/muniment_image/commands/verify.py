"""The command `muniment image verify`."""

from __future__ import annotations

from pathlib import Path

import click

import muniment
from muniment.command import emit_one, json_option, pass_session, write_note

from .picture_file import read_picture_file


@click.command
@click.argument("file", type=click.Path(path_type=Path))
@json_option
@pass_session
def verify(session: muniment.Session, file: Path, as_json: bool) -> int:
    """Check whether a picture file is unchanged, and find its record.

    The manifest is "intact, signed by this installation", "intact, trusted signer", "intact,
    unknown signer", "altered", or there is "no manifest". The pixels are the "same pixels" as a
    recorded output, "altered pixels" of the record that the file names, or there is "no exact
    match". A JPEG, scaled or labelled file has no exact match, because its pixels are others.

    The exit code is 0 if the pixels are recorded, or the signer is this installation or a trusted
    one. It is 4 if the file was altered. It is 1 if nothing is known about it.
    """
    from muniment_image.trust import read_trust
    from muniment_image.verification import SAME, verify as verify_picture

    report = read_picture_file(file, read_trust(session))
    result = verify_picture(session, file, report)
    record = result.id if result.pixels == SAME else None
    emit_one(
        result,
        [
            ("manifest", "manifest"),
            ("signer", "signer"),
            ("failures", "codes"),
            ("pixels", "pixels"),
            ("record", lambda _: record),
            ("named in the file", lambda _: [id for id in result.named if id != record]),
        ],
        as_json,
        to_json=lambda _: result.to_json(),
    )
    for note in result.notes:
        write_note(note)
    return result.exit_code
