"""The command `muniment image certificate`."""

from __future__ import annotations

from pathlib import Path

import click

import muniment
from muniment.command import emit_one, json_option, pass_session, write_note

_DEFAULT_NAME = "Muniment installation"


@click.command
@click.option(
    "--name",
    metavar="NAME",
    default=_DEFAULT_NAME,
    show_default=True,
    help="Organization in the certificate, which every reader of a signed file sees.",
)
@click.option(
    "--years",
    metavar="N",
    type=click.IntRange(1, 50),
    default=10,
    show_default=True,
    help="Validity. Afterwards, readers reject the signatures.",
)
@json_option
@pass_session
def certificate(session: muniment.Session, name: str, years: int, as_json: bool) -> None:
    """Create a certificate that signs all files which are exported from now on.

    A root and a certificate that it issued are saved in the home folder with the private key. The
    settings `certificate`, `certificate_key` and `trusted_root` name them. Give `root.pem` to those
    who verify your files. To sign with a certificate of an authority, set `certificate` and
    `certificate_key` to its files instead.
    """
    from muniment import provenance

    for key in ("certificate", "certificate_key"):
        if (value := session.config.get(key)) is not None:
            raise muniment.UsageError(
                f"files are signed already, because the setting {key} is {value}; to replace it, "
                f"run `muniment config unset {key}` first"
            )
    provenance.can_sign("image/png")  # raises an error if the library is not installed
    # The settings are read in other current folders, too.
    folder = _unused_folder(session.home.absolute() / "certificates")
    credentials = provenance.create_credentials(folder, name=name, years=years)
    files = {
        "certificate": folder / "certificate.pem",
        "certificate_key": folder / "certificate.key",
        "trusted_root": folder / "root.pem",
    }
    is_trusting = session.config.get("trusted_root") is not None
    for key, path in files.items():
        if key != "trusted_root" or not is_trusting:
            session.config.set(key, str(path))
    record = {
        "name": credentials.name,
        "expires": credentials.expires_at,
        **{key: str(path) for key, path in files.items()},
    }
    emit_one(record, [(key, key) for key in record], as_json)
    if is_trusting:
        write_note(
            f"the setting trusted_root is unchanged ({session.config.get('trusted_root')}); this "
            "installation recognises its own signatures without it"
        )


def _unused_folder(parent: Path) -> Path:
    """Return a folder that does not exist, since old certificates still verify old files."""
    number = 1
    while (folder := parent / str(number)).exists():
        number += 1
    return folder
