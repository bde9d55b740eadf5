"""Name the generator that a model's folder was made for, when another generator refuses it."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from muniment.errors import ModelError, PluginError
from muniment.plugins.objects import RegisteredObject
from muniment.plugins.registry import Plugins

ADD = "muniment models add {source} --generator {generator}"
USE = "muniment generate {generator} -m {source}"


@contextlib.contextmanager
def naming_owner(
    source: str, registered: RegisteredObject, plugins: Plugins, command: str = USE
) -> Iterator[None]:
    """Replace a ModelError about a folder that another generator's `model_files` describe.

    The new error has that generator in the `command`, and the message of the first error at its
    end. An error of a generator without `model_files` stays, since any folder may be its own.
    """
    try:
        yield
    except ModelError as error:
        owner = _owner(Path(os.path.expanduser(source)), registered, plugins)
        if owner is None:
            raise
        fixed = command.format(source=shlex.quote(source), generator=owner)
        raise ModelError(
            error.model,
            f"{source} has the files of a model of generator {owner}, not {registered.name}; use "
            f"`{fixed}` ({error})",
        ) from error


def _owner(folder: Path, registered: RegisteredObject, plugins: Plugins) -> str | None:
    """Return the other generator of which most files are in a folder, or None.

    So generators can share some names of files, such as `model.json`.
    """
    # `Path.is_dir` raises for a name that is too long.
    if not _declared(registered) or not os.path.isdir(folder):
        return None
    found = {one.name: _described(folder, one) for one in plugins.objects("generator")}
    most = max(found.values(), default=0)
    owners = [name for name, number in found.items() if number == most]
    return None if not most or registered.name in owners else owners[0]


def _described(folder: Path, registered: RegisteredObject) -> int:
    """Return the number of a generator's `model_files` if a folder has all of them, else 0."""
    names = _declared(registered)
    return len(names) if all((folder / name).is_file() for name in names) else 0


def _declared(registered: RegisteredObject) -> Sequence[str]:
    """Return the `model_files` of a generator, or none if it cannot be loaded."""
    try:
        declared: Sequence[str] = getattr(registered.load_class(), "model_files", ())
    except PluginError:
        return ()
    return declared
