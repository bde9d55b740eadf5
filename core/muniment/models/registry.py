"""The models of a home: adding, removing, choosing and resolving them.

`models/NAME/` holds the files as the generator that added them wants them; `models/NAME.json`
holds the digest they had then. A folder without its file is half-written and never used.
`models/.defaults.json` holds the default model of each generator.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from muniment.errors import ModelError, ModelTermsWarning, MunimentError, UnknownNameError
from muniment.hookspecs import ModelProvider
from muniment.models import lock
from muniment.models.digests import FileHashes, digest, files
from muniment.models.packaged import AdditionNotices, packaged_models
from muniment.types import Model, PackagedModel

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

Progress: TypeAlias = Callable[[str, float], None]


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
        self._defaults = self._folder / ".defaults.json"
        self.hash_cache = home / "file-hashes.json"

    def added(self, spoilt: Callable[[ModelError], None] | None = None) -> list[ModelRecord]:
        """Return the models that were added, by name.

        Raises ModelError for a record that cannot be read, or gives it to `spoilt` and goes on.
        """
        found = []
        for path in sorted(self._folder.glob("*.json")):
            if not MODEL_NAME.fullmatch(path.stem):
                continue
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
            if path.is_dir()
            and MODEL_NAME.fullmatch(path.name)
            and not self._record(path.name).exists()
        )
        return [ModelError(name, _half_written(name)) for name in names]

    def get(self, name: str) -> ModelRecord:
        """Return the added model of that name; raises UnknownNameError or ModelError."""
        record = self._folder / f"{name}.json"
        if not MODEL_NAME.fullmatch(name) or not record.is_file():
            if MODEL_NAME.fullmatch(name) and (self._folder / name).is_dir():
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
        if not MODEL_NAME.fullmatch(name) or not (
            self._record(name).is_file() or self._there(name)
        ):
            raise UnknownNameError("model", name, [model.name for model in self._readable()])

    def add(
        self,
        source: str,
        generator_name: str,
        generator: ModelProvider,
        *,
        name: str | None = None,
        progress: Progress = lambda step, fraction: None,
        waiting: Callable[[str], None] = lambda text: None,
        record: Callable[[ModelRecord], None] = lambda added: None,
    ) -> ModelRecord:
        """Have `generator` put the model of `source` into the home, and return it.

        The work happens beside the final place and is moved there at the end, so a kill leaves no
        model that looks whole. `record` is called before the model can be used, and its exception
        cancels the addition. A lock lets one process add at a time; `waiting` is called with the
        reason when the others wait. Raises ModelError, also when the name is taken.
        """
        self._check_addable(source, name)
        with self._adding(source, waiting):
            self._check_addable(source, name)  # another process may have added it meanwhile
            return self._add(source, generator_name, generator, name, progress, record)

    def add_packaged(
        self,
        packaged: PackagedModel,
        generator_name: str,
        generator: ModelProvider,
        notices: AdditionNotices,
        record: Callable[[ModelRecord], None],
    ) -> None:
        """Add a packaged model, unless another process adds it meanwhile.

        An exception of `notices` cancels the addition. `record` is called as `add` calls it.
        Raises ModelError.
        """
        self._check_name(packaged.name)
        with self._adding(packaged.name, notices.waiting):
            if self._record(packaged.name).exists():
                return
            notices.begin()
            source, name = packaged.source, packaged.name
            self._add(source, generator_name, generator, name, notices.progress, record)

    @contextlib.contextmanager
    def _adding(self, source: str, waiting: Callable[[str], None]) -> Iterator[None]:
        """Hold the lock of additions, and turn other exceptions of the block into a ModelError."""
        label = f"process {os.getpid()}, which adds model {source}"

        def held_by(holder: str) -> None:
            waiting(f"waiting for {holder or 'another process'}")

        try:
            with lock.exclusive(self._folder / ".lock", label, held_by):
                yield
        except (MunimentError, ModelTermsWarning):
            raise
        except (Exception, SystemExit) as error:
            raise ModelError(source, f"model {source} cannot be added: {_said(error)}") from error

    def _add(
        self,
        source: str,
        generator_name: str,
        generator: ModelProvider,
        name: str | None,
        progress: Progress,
        record: Callable[[ModelRecord], None],
    ) -> ModelRecord:
        working = self._folder / ".adding" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        # Only the holder of the lock works in there: the rest is of additions that were killed.
        shutil.rmtree(working.parent, ignore_errors=True)
        try:
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

            def before_rename() -> None:
                self._keep_default(added, generator)
                record(added)

            content = json.dumps(added.to_json(), indent=2, ensure_ascii=False) + "\n"
            try:
                _write(self._record(final), content, before_rename)
            except BaseException:
                shutil.rmtree(self.path(final), ignore_errors=True)
                raise
            known.save()
            return added
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

    def choose(
        self, wanted: str | None, generator_name: str, generator: object
    ) -> str | PackagedModel:
        """Return the model that a request means: a name to resolve, or a packaged model to add.

        None means the default of the generator: the one on record in this home; where none is
        on record, the only one added, else the generator's first packaged model. Never adds
        anything. Raises ModelError when there is no default.
        """
        if wanted is None:
            wanted = self._default(generator_name, generator)
        if not MODEL_NAME.fullmatch(wanted) or self._record(wanted).is_file():
            return wanted
        offered = (model for model in packaged_models(generator) if model.name == wanted)
        return next(offered, wanted)

    def default(self, generator_name: str) -> str | None:
        """Return the default model of a generator that is on record; None when none is."""
        return self._read_defaults().get(generator_name)

    def resolve(self, wanted: str, generator: object, *, remembered: bool = True) -> Model:
        """Return the model of a name, with the digest of its files as they are now.

        `wanted` is the name of an added model, the path of a folder or file, or whatever the
        generator can find (a hub id). `remembered` allows hashes remembered by file identity.
        Raises ModelError or UnknownNameError.
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

    def _locate(self, wanted: str, generator: object) -> tuple[str, Path, ModelRecord | None]:
        if MODEL_NAME.fullmatch(wanted):
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
        known = sorted({*known, *_names(packaged_models(generator))})
        hint = "or give the path of a model's folder"
        if is_path:
            hint += ": there is nothing at this one"
        raise UnknownNameError("model", wanted, known, hint)

    def _default(self, generator_name: str, generator: object) -> str:
        default = self.default(generator_name)
        packaged = _names(packaged_models(generator))
        if default is not None and (self._there(default) or default in packaged):
            return default
        names = _names_of(generator_name, self.added())
        setting = f"`muniment config set model.{generator_name} NAME`"
        if default is not None and names:
            raise ModelError(
                default,
                f"model {default}, the default of generator {generator_name}, is not in this "
                f"home; add it again, name another with -m, or set one with {setting}; "
                f"there are: {', '.join(names)}",
            )
        if len(names) == 1:
            return names[0]
        if packaged:
            return packaged[0]
        if names:
            raise ModelError(
                "",
                f"name a model with -m, or set one with {setting}; there are: {', '.join(names)}",
            )
        raise ModelError(
            "", "no model was added yet; add one with `muniment models add PATH_OR_ID`"
        )

    def _keep_default(self, added: ModelRecord, generator: object) -> None:
        """Put the generator's default on record, before the model that is added can change it.

        The record is the default so far; where there was none, it is the model that is added.
        """
        defaults = self._read_defaults()
        names = _names_of(added.generator, self._readable())
        packaged = _names(packaged_models(generator))
        default = defaults.get(added.generator)
        if default is not None and (names or default in packaged):
            return
        if len(names) == 1:
            default = names[0]
        elif packaged:
            default = packaged[0]
        elif not names:
            default = added.name
        if default is not None:
            _write(self._defaults, json.dumps({**defaults, added.generator: default}) + "\n")

    def _read_defaults(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._defaults.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError, TypeError) as error:
            message = f"{self._defaults} cannot be read: {error}; delete this file"
            raise ModelError("", message) from error

    def _check_addable(self, source: str, name: str | None) -> None:
        """Raise ModelError for a name that is taken or odd, before minutes of converting."""
        if name is not None:
            self._check_free(name)
        else:  # what the source most likely proposes
            self._check_not_taken(source)
            self._check_not_taken(Path(source).name)

    def _check_free(self, name: str) -> None:
        self._check_name(name)
        self._check_not_taken(name)

    def _check_name(self, name: str) -> None:
        if not MODEL_NAME.fullmatch(name) or name.endswith(".json"):
            raise ModelError(
                name,
                f"{name!r} is no name for a model; give one of letters, digits and .-_ with --name",
            )

    def _check_not_taken(self, name: str) -> None:
        if MODEL_NAME.fullmatch(name) and self._record(name).exists():
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


def _names(packaged: list[PackagedModel]) -> list[str]:
    return [model.name for model in packaged]


def _names_of(generator_name: str, models: list[ModelRecord]) -> list[str]:
    return [model.name for model in models if model.generator == generator_name]


def _write(path: Path, text: str, before_rename: Callable[[], None] = lambda: None) -> None:
    """Write a file beside its place and rename it."""
    beside = path.with_suffix(".new")
    try:
        beside.write_text(text, encoding="utf-8")
        before_rename()
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _half_written(name: str) -> str:
    return (
        f"model {name} is half-written: adding it was cut short; add it again with "
        f"`muniment models add`, or clear it away with `muniment models remove {name}`"
    )
