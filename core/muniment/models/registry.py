"""The models of one home: folders that were added once, each with what is known about it.

`models/NAME/` holds the files as the generator that added them wants them; `models/NAME.json`
holds the digest they had then. A folder without its file is half-written and never used.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from muniment.errors import ModelError, MunimentError, UnknownNameError
from muniment.hookspecs import ModelProvider
from muniment.models.digests import FileHashes, digest, files
from muniment.types import Model

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model that was added: its digest then, where it came from and what its files are for."""

    name: str
    digest: str
    generator: str
    source: str
    added_at: str
    roles: Mapping[str, str] = field(default_factory=dict)
    terms: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the model in the shape that `models list --json` prints."""
        return asdict(self)


class Models:
    """The models in one home folder."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "models"
        self.hash_cache = home / "file-hashes.json"

    def added(self, spoilt: Callable[[ModelError], None] | None = None) -> list[ModelRecord]:
        """Return the models that were added, by name.

        Raises ModelError for a record that cannot be read, or gives it to `spoilt` and goes on.
        """
        found = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                found.append(self._read(path))
            except ModelError as error:
                if spoilt is None:
                    raise
                spoilt(error)
        return sorted(found, key=lambda model: model.name)

    def half_written(self) -> list[ModelError]:
        """Return an error for each folder of a model whose adding was cut short, by name."""
        names = sorted(
            path.name
            for path in self._folder.glob("*")
            if path.is_dir() and _NAME.fullmatch(path.name) and not self._record(path.name).exists()
        )
        return [ModelError(name, _half_written(name)) for name in names]

    def get(self, name: str) -> ModelRecord:
        """Return the added model of that name; raises UnknownNameError or ModelError."""
        record = self._folder / f"{name}.json"
        if not _NAME.fullmatch(name) or not record.is_file():
            if _NAME.fullmatch(name) and (self._folder / name).is_dir():
                raise ModelError(name, _half_written(name))
            raise UnknownNameError("model", name, [model.name for model in self._readable()])
        return self._read(record)

    def path(self, name: str) -> Path:
        """Return the folder of an added model."""
        return self._folder / name

    def files(self, name: str) -> dict[str, int]:
        """Return the files of an added model and their sizes in bytes; raises ModelError."""
        try:
            return {key: path.stat().st_size for key, path in files(self.path(name)).items()}
        except OSError as error:
            raise ModelError(
                name,
                f"the files of model {name} cannot be read: {error} "
                f"(`muniment models remove {name}`, then add it again)",
            ) from error

    def check_removable(self, name: str) -> None:
        """Raise UnknownNameError unless there is something of that name to remove."""
        if not _NAME.fullmatch(name) or not (self._record(name).is_file() or self._there(name)):
            raise UnknownNameError("model", name, [model.name for model in self._readable()])

    def add(
        self,
        source: str,
        generator_name: str,
        generator: ModelProvider,
        *,
        name: str | None = None,
        progress: Callable[[str, float], None] = lambda what, fraction: None,
    ) -> ModelRecord:
        """Have `generator` put the model of `source` into the home, and return it.

        The work happens beside the final place and is moved there at the end, so a kill leaves no
        model that looks whole. Raises ModelError, also when the name is taken.
        """
        if name is not None:
            self._check_free(name)
        else:  # what the source most likely proposes; converting takes minutes
            self._check_not_taken(source)
            self._check_not_taken(Path(source).name)
        working = self._folder / ".adding" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        try:
            self._sweep(working.parent)
            working.mkdir(parents=True)
            facts = dict(generator.add_model(source, working, progress))
            final = name or str(facts.get("name") or Path(source).name)
            self._check_free(final)
            known = FileHashes(self.hash_cache)
            added = ModelRecord(
                name=final,
                digest=digest(working, known),
                generator=generator_name,
                source=source,
                added_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                roles=dict(facts.get("roles", {})),
                terms=str(facts.get("terms", "")),
            )
            shutil.rmtree(self.path(final), ignore_errors=True)  # a half-written predecessor
            working.rename(self.path(final))
            record = self._folder / f"{final}.json"
            record.with_suffix(".new").write_text(
                json.dumps(added.to_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )
            record.with_suffix(".new").replace(record)
            known.save()
            return added
        except MunimentError:
            raise
        except (Exception, SystemExit) as error:
            raise ModelError(source, f"model {source} cannot be added: {_said(error)}") from error
        finally:
            shutil.rmtree(working, ignore_errors=True)

    def remove(self, name: str) -> None:
        """Delete an added model, or what is left of one that was half-written.

        What was generated with it stays on record. Raises UnknownNameError or ModelError.
        """
        self.check_removable(name)
        try:
            self._record(name).unlink(missing_ok=True)
            if self.path(name).is_symlink():
                self.path(name).unlink()
            elif self._there(name):
                shutil.rmtree(self.path(name))
        except OSError as error:
            raise ModelError(name, f"model {name} cannot be removed: {error}") from error

    def resolve(self, wanted: str | None, generator: object, *, remembered: bool = True) -> Model:
        """Return the model that a request means, with the digest of its files as they are now.

        `wanted` is the name of an added model, the path of a folder or file, or whatever the
        generator can find (a hub id); None means the only one added. `remembered` allows hashes
        remembered by file identity. Raises ModelError or UnknownNameError.
        """
        hashes = FileHashes(self.hash_cache if remembered else None)
        name, path, added = self._locate(wanted, generator)
        try:
            found = digest(path, hashes)
        except OSError as error:
            raise ModelError(name, f"model {name} cannot be read: {error}") from error
        hashes.save()
        if added is not None and found != added.digest:
            raise ModelError(
                name,
                f"model {name} is not what was added: its files changed "
                f"(`muniment models remove {name}`, then add it again)",
            )
        return Model(name, found, str(path))

    def with_digest(self, wanted: str, hint: Model, generator: object) -> Model | None:
        """Return a model of exactly that digest, hashed afresh: by its name, or any that fits."""
        names = [model.name for model in self._readable() if model.digest == wanted]
        for name in filter(None, dict.fromkeys([*names, hint.name, hint.path])):
            try:
                model = self.resolve(name, generator, remembered=False)
            except (ModelError, UnknownNameError):
                continue
            if model.digest == wanted:
                return model
        return None

    def _locate(
        self, wanted: str | None, generator: object
    ) -> tuple[str, Path, ModelRecord | None]:
        if wanted is None:
            wanted = self._only(generator)
        if _NAME.fullmatch(wanted):
            if (record := self._folder / f"{wanted}.json").is_file():
                return wanted, self.path(wanted), self._read(record)
            if self.path(wanted).is_dir():
                raise ModelError(wanted, _half_written(wanted))
        path = Path(os.path.expanduser(wanted))
        if os.path.exists(path):
            return wanted, path.absolute(), None
        is_path = wanted.startswith((".", "~")) or path.is_absolute()
        if "/" in wanted and isinstance(generator, ModelProvider) and not is_path:
            try:
                return wanted, Path(generator.find_model(wanted)), None
            except MunimentError:
                raise
            except (Exception, SystemExit) as error:
                raise ModelError(
                    wanted, f"model {wanted} cannot be found: {_said(error)}"
                ) from error
        known = [model.name for model in self._readable()]
        hint = "or give the path of a model's folder"
        if is_path:
            hint += ": there is nothing at this one"
        raise UnknownNameError("model", wanted, known, hint)

    def _only(self, generator: object) -> str:
        names = [model.name for model in self.added()]
        if len(names) == 1:
            return names[0]
        if names:
            raise ModelError(
                "",
                f"name a model with -m, or set one with `muniment config set model NAME`; "
                f"there are: {', '.join(names)}",
            )
        proposal = getattr(generator, "suggested_model", None) or "PATH_OR_ID"
        raise ModelError(
            proposal, f"no model was added yet; add one with `muniment models add {proposal}`"
        )

    def _sweep(self, folder: Path) -> None:
        """Delete what was left behind, a day ago or earlier, by adding that was cut short."""
        yesterday = datetime.now(UTC).timestamp() - 86_400
        for left in folder.glob("*"):
            if left.stat().st_mtime < yesterday:
                shutil.rmtree(left, ignore_errors=True)

    def _check_free(self, name: str) -> None:
        if not _NAME.fullmatch(name) or name.endswith(".json"):
            raise ModelError(
                name,
                f"{name!r} is no name for a model; give one of letters, digits and .-_ with --name",
            )
        self._check_not_taken(name)

    def _check_not_taken(self, name: str) -> None:
        if _NAME.fullmatch(name) and self._record(name).exists():
            raise ModelError(
                name, f"a model named {name} is there already; remove it first, or use --name"
            )

    def _record(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _there(self, name: str) -> bool:
        return self.path(name).is_dir() or self.path(name).is_symlink()

    def _readable(self) -> list[ModelRecord]:
        return self.added(spoilt=lambda error: None)

    def _read(self, record: Path) -> ModelRecord:
        try:
            return ModelRecord(**json.loads(record.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ModelError(
                record.stem,
                f"{record} cannot be read: {error} "
                f"(`muniment models remove {record.stem}`, then add it again)",
            ) from error


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _half_written(name: str) -> str:
    return (
        f"model {name} is half-written: adding it was cut short; add it again with "
        f"`muniment models add`, or clear it away with `muniment models remove {name}`"
    )
