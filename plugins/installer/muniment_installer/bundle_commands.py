"""The commands `muniment plugins freeze` and `bundle`."""

from __future__ import annotations

import os
import platform
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from muniment import UsageError
from muniment.command import (
    OutputFile,
    emit,
    json_option,
    overwrite_option,
    pass_session,
    progress,
    write_data,
    write_json,
    write_note,
)
from muniment_installer.commands import installer

if TYPE_CHECKING:
    from muniment import Session


@click.command
@click.argument("names", metavar="[NAME]...", nargs=-1)
@json_option
@pass_session
def freeze(session: Session, names: tuple[str, ...], as_json: bool) -> int:
    """Print installed plugins and their dependencies, pinned by version and hash.

    NAME selects a plugin and its dependencies. `muniment plugins restore` and pip read the
    output. Muniment, muniment-installer and their dependencies are omitted.

    Without NAME, a distribution that no hash can pin is omitted with a warning, and the exit code
    is 1.
    """
    import muniment
    from muniment.installation import CHANGED, code_digest
    from muniment_installer import bundle, locks

    plugin_installer = installer(session)
    with progress("reading plugins"):
        pins, errors = bundle.pins(plugin_installer, names)
    installed = plugin_installer.records.state().plugins
    for pin in pins:
        record = installed.get(pin.key)
        if record is not None and record.changed(pin.version, code_digest(pin.key)):
            write_note(f"Warning: {pin.name} was {CHANGED}; its pin is that of the installed wheel")
    for error in errors:
        write_note(f"Warning: {error}; it is omitted")
    if as_json:
        emit(pins, (), as_json)
    else:
        write_data(f"# with muniment {muniment.__version__} on Python {platform.python_version()}")
        for line in locks.lines(pins).splitlines():
            write_data(line)
    return 1 if errors else 0


@click.command
@click.argument("plugins", metavar="PLUGIN...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FILE", required=True, help="File to write.")
@overwrite_option
@json_option
@pass_session
def bundle(
    session: Session, plugins: tuple[str, ...], output: str, overwrite: bool, as_json: bool
) -> None:
    """Write plugins and their dependencies to one file, for use without a network.

    PLUGIN is the name of an installed plugin, which is packed as it is, or an argument of
    `muniment plugins install`. Muniment, muniment-installer and their dependencies are omitted. The
    bundle is signed with the key of the store, if there is one (`muniment keys generate`).
    """
    from muniment.installation import signer_text, signing_key
    from muniment_installer import bundle as packing, bundle_format

    inputs = filter(os.path.isfile, plugins)  # a bundle can be written into a plugin's folder
    destination = OutputFile(output, overwrite=overwrite, inputs=inputs)
    if destination.stdout or destination.special:
        raise UsageError("a bundle cannot be written to standard output or a device; use a file")
    key = signing_key(session)
    with (
        progress(f"bundling {', '.join(plugins)}"),
        tempfile.TemporaryDirectory() as folder,
    ):
        content = packing.pack(installer(session), plugins, Path(folder))
        with destination.open() as file:
            bundle_format.write(file, content.plugins, content.wheels, key)
    signer = None if key is None else bundle_format.fingerprint(key.public)
    if as_json:
        write_json(
            {
                "file": str(destination.target),
                "signer": signer,
                "plugins": list(content.plugins),
                "wheels": [
                    {"name": wheel.name, "version": wheel.version, "sha256": wheel.sha256}
                    for wheel in content.wheels
                ],
            }
        )
        return
    wheels = f"{len(content.wheels):,} {'wheel' if len(content.wheels) == 1 else 'wheels'}"
    write_data(f"wrote {destination.target}  {wheels}  {signer_text(signer)}")
    if key is None:
        write_note("the bundle is unsigned; `muniment keys generate` makes a key for the store")
