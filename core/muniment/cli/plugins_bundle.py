"""`muniment plugins freeze` and `bundle`: plugins to take elsewhere."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muniment.cli.context import CliContext
from muniment.cli.options import json_option, overwrite_option
from muniment.cli.output import pluralize, write_data, write_json, write_note
from muniment.cli.output_file import OutputFile
from muniment.cli.plugins_install import installer
from muniment.cli.plugins_read import CHANGED, signed
from muniment.cli.progress import waiting

if TYPE_CHECKING:
    from muniment.ledger.keys import PrivateKey


@click.command
@click.argument("names", metavar="[NAME]...", nargs=-1)
@json_option
@click.pass_obj
def freeze(context: CliContext, names: tuple[str, ...], as_json: bool) -> None:
    """Print the installed plugins and what they need, pinned by version and hash.

    NAME pins only these and what they need.
    `muniment plugins restore` and pip read it. Muniment itself and what it needs are left out.
    """
    from muniment._version import __version__
    from muniment.installing import bundle, locks
    from muniment.installing.installer import code_digest

    here = installer(context)
    with waiting("looking at plugins"):
        pins = bundle.pins(here, names)
    installed = here.records.state().plugins
    for pin in pins:
        held = installed.get(pin.key)
        if held is not None and held.changed(pin.version, code_digest(pin.key)):
            write_note(f"Warning: {pin.name} was {CHANGED}; its pin is of what was installed")
    if as_json:
        for pin in pins:
            write_json({"name": pin.name, "version": pin.version, "sha256": list(pin.sha256)})
        return
    write_data(f"# with muniment {__version__} on Python {platform.python_version()}")
    for line in locks.lines(pins).splitlines():
        write_data(line)


@click.command
@click.argument("plugins", metavar="PLUGIN...", nargs=-1, required=True)
@click.option(
    "-o", "--output", metavar="FILE", required=True, help="The file to write, which must be new."
)
@overwrite_option
@json_option
@click.pass_obj
def bundle(
    context: CliContext, plugins: tuple[str, ...], output: str, overwrite: bool, as_json: bool
) -> None:
    """Write plugins and all they need into one file, to install where there is no network.

    PLUGIN is the name of an installed plugin, which is taken as it is here, or whatever
    `muniment plugins install` takes. Muniment, and what it needs itself, is left out. The bundle is
    signed with the key of this store's record, if there is one (`muniment keys generate`).
    """
    from muniment.installing import bundle, bundle_format

    destination = OutputFile(output, overwrite=overwrite)
    if destination.stdout or destination.special:
        raise click.UsageError("a bundle is written to a file.")
    key = _key(context)
    with (
        waiting(f"bundling {', '.join(plugins)}"),
        tempfile.TemporaryDirectory() as folder,
    ):
        packed = bundle.pack(installer(context), plugins, Path(folder))
        beside = destination.target.with_name(f".{destination.target.name}.part")
        try:
            bundle_format.write(beside, packed.plugins, packed.wheels, key)
            beside.replace(destination.target)
        finally:
            beside.unlink(missing_ok=True)
    signer = None if key is None else bundle_format.fingerprint(key.public)
    if as_json:
        write_json(
            {
                "file": str(destination.target),
                "signer": signer,
                "plugins": list(packed.plugins),
                "wheels": [
                    {"name": wheel.name, "version": wheel.version, "sha256": wheel.sha256}
                    for wheel in packed.wheels
                ],
            }
        )
        return
    write_data(
        f"wrote {destination.target}  {pluralize(len(packed.wheels), 'wheel')}  {signed(signer)}"
    )
    if key is None:
        write_note("no key signs this store's record; `muniment keys generate` makes one")


def _key(context: CliContext) -> PrivateKey | None:
    """Return the key of this store's record, or None where there is no store or no key."""
    from muniment.errors import StoreError
    from muniment.signing import FOLDER, KeyStore

    if not (context.home / FOLDER).is_dir():
        return None
    try:
        log = context.store.log
    except StoreError:
        return None
    return KeyStore(context.home).private_key(log)
