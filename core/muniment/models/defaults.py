"""The default models of generators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from muniment.errors import ModelError
from muniment.files import atomic_write
from muniment.hookspecs import Generator
from muniment.models.provided import packaged_names
from muniment.models.records import ModelRecord
from muniment.representation import showing


class DefaultModels:
    """The default model of each generator of a home, in one file."""

    __repr__ = showing("path")

    def __init__(self, path: Path) -> None:
        self.path = path

    def recorded(self, generator_name: str) -> str | None:
        """Return the default model on record for a generator, or None. Raises ModelError."""
        return self._read().get(generator_name)

    def choose(
        self,
        generator_name: str,
        generator: object,
        added: Callable[[], list[ModelRecord]],
        exists: Callable[[str], bool],
    ) -> str:
        """Return the name of the default model of a generator.

        It is the one on record, else the only added model, else the first packaged one. `added`
        returns the added models, and `exists` whether there is one of a name. Raises ModelError.
        """
        default = self.recorded(generator_name)
        packaged = packaged_names(generator)
        if default is not None and (exists(default) or default in packaged):
            return default
        names = _whole_models(generator_name, added())
        setting = f"`muniment config set model.{generator_name} NAME`"
        if default is not None and names:
            raise ModelError(
                default,
                f"model {default}, the default of generator {generator_name}, is not in this "
                f"home; add it again, name another with -m, or set one with {setting}; "
                f"available: {', '.join(names)}",
            )
        if len(names) == 1:
            return names[0]
        if packaged:
            return packaged[0]
        if names:
            raise ModelError(
                "",
                f"name a model with -m, or set one with {setting}; available: {', '.join(names)}",
            )
        add = f"{Generator.model_command} --generator {generator_name}"
        command = getattr(generator, "model_command", Generator.model_command)
        steps = f"`{add}`" if command == Generator.model_command else f"`{command}`, then `{add}`"
        message = f"no model was added yet; use {steps}, or -m with the folder of a model"
        raise ModelError("", message)

    def keep(self, added: ModelRecord, generator: object, models: list[ModelRecord]) -> None:
        """Record the generator's default, before the added model can change it.

        `models` are those that were added before. Without a previous default, the added model
        becomes the default unless it is a part.
        """
        defaults = self._read()
        names = _whole_models(added.generator, models)
        packaged = packaged_names(generator)
        default = defaults.get(added.generator)
        if default is not None and (names or default in packaged):
            return
        if len(names) == 1:
            default = names[0]
        elif packaged:
            default = packaged[0]
        elif not names and not added.is_part:
            default = added.name
        if default is not None:
            atomic_write(self.path, msgspec.json.encode({**defaults, added.generator: default}))

    def _read(self) -> dict[str, str]:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[str, str])
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            message = f"{self.path} cannot be read: {error}; delete this file"
            raise ModelError("", message) from error


def _whole_models(generator_name: str, models: list[ModelRecord]) -> list[str]:
    """Return the names of a generator's models, of which each can be its default."""
    return [
        model.name for model in models if model.generator == generator_name and not model.is_part
    ]
