"""The models of a home: adding, removing, choosing and resolving them.

`models/NAME/` contains the files in the generator's format. `models/NAME.json` contains the digest
of the added files. A folder without this record is half-written and never used.
`models/.defaults.json` contains the default model of each generator.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from muniment.errors import ModelError, UnknownNameError
from muniment.files import make_folder, open_private, replacing, try_lock
from muniment.hookspecs import ModelProvider
from muniment.models.defaults import DefaultModels
from muniment.models.digests import FileHashes, digest, files
from muniment.models.notices import AdditionNotices
from muniment.models.provided import (
    is_hub_id,
    is_path,
    model_errors,
    model_facts,
    model_folder,
    packaged_models,
    packaged_names,
)
from muniment.models.records import ModelRecord
from muniment.names import RULE, is_name, normal_name, plain_path
from muniment.representation import showing
from muniment.times import iso
from muniment.types.models import Model, PackagedModel
from muniment.validation import recordable_name

_LOCK_PAUSE = 0.1  # seconds between two attempts to lock
_LABEL_BYTES = 1000


class Models:
    """The models of one home folder."""

    __repr__ = showing(folder=lambda models: models._folder)

    def __init__(self, home: Path) -> None:
        self._folder = home / "models"
        self._defaults = DefaultModels(self._folder / ".defaults.json")
        self.hash_cache = home / "file-hashes.json"
        self.plugin_caches = home / "cache"  # has a folder for each version of a plugin's code

    def added(self, on_error: Callable[[ModelError], None] | None = None) -> list[ModelRecord]:
        """Return the added models, ordered by name.

        Raises ModelError for a record that cannot be read, or calls `on_error` and continues.
        """
        records = []
        for path in self._folder.glob("*.json"):
            try:
                if is_name(path.stem):
                    records.append(self._read(path))
            except ModelError as error:
                if on_error is None:
                    raise
                on_error(error)
        return sorted(records, key=lambda model: model.name)

    def half_written(self) -> list[ModelError]:
        """Return an error for each folder whose addition was interrupted, ordered by name."""
        names = sorted(
            path.name
            for path in self._folder.glob("*")
            if path.is_dir() and is_name(path.name) and not self._record(path.name).exists()
        )
        return [ModelError(name, _half_written(name)) for name in names]

    def get(self, name: str) -> ModelRecord:
        """Return the added model of that name. Raise UnknownNameError or ModelError."""
        if (added := self._find(name)) is None:
            raise UnknownNameError("model", name, [model.name for model in self._readable()])
        return added

    def path(self, name: str) -> Path:
        """Return the folder of an added model."""
        return self._folder / normal_name(name)

    def files(self, name: str) -> dict[str, int]:
        """Return the files of an added model with their sizes in bytes. Raise ModelError."""
        try:
            return {key: path.stat().st_size for key, path in files(self.path(name)).items()}
        except OSError as error:
            raise ModelError(
                name,
                f"the files of model {name} cannot be read: {error} "
                f"(`muniment models remove {name}`, then add it again)",
            ) from error

    def check_removable(self, name: str) -> None:
        """Raise UnknownNameError unless a record or folder of that name exists."""
        if not is_name(normal_name(name)) or not (
            self._record(name).is_file() or self._exists(name)
        ):
            raise UnknownNameError("model", name, [model.name for model in self._readable()])

    def add(
        self,
        source: str,
        generator_name: str,
        generator: ModelProvider,
        *,
        name: str | None = None,
        notices: AdditionNotices | None = None,
        record: Callable[[ModelRecord], None] = lambda added: None,
    ) -> ModelRecord:
        """Add the model of `source` to the home with `generator`, and return its record.

        The files are written to a temporary folder that is renamed at the end, so a kill leaves
        no usable model. `record` is called before the model can be used, and its exception
        cancels the addition. A lock lets one process add at a time. Raises ModelError, also when
        the name is taken.
        """
        notices = notices or AdditionNotices()
        name = name and normal_name(name)
        self._check_addable(source, name)
        with self._adding(source, generator, notices):
            self._check_addable(source, name)  # another process may have added it meanwhile
            return self._add(source, generator_name, generator, name, notices, record)

    def add_packaged(
        self,
        packaged: PackagedModel,
        generator_name: str,
        generator: ModelProvider,
        notices: AdditionNotices,
        record: Callable[[ModelRecord], None],
    ) -> None:
        """Add a packaged model, unless another process added it while this one waited.

        An exception of `notices` cancels the addition. `record` is called as in `add`. Raises
        ModelError.
        """
        source, name = packaged.source, packaged.name
        with self._adding(name, generator, notices):
            if self._record(name).exists():
                return
            self._check_free(name)
            notices.begin(packaged)
            self._add(source, generator_name, generator, name, notices, record)

    @contextlib.contextmanager
    def _adding(
        self, source: str, generator: ModelProvider, notices: AdditionNotices
    ) -> Iterator[None]:
        """Hold the lock of additions, and convert exceptions of the block to ModelError.

        The lock's file has a label, which a process that waits shows. The operating system
        releases the lock of a killed process.
        """
        label = f"process {os.getpid()}, which adds model {source}"
        with model_errors(source, f"model {source} cannot be added", generator):
            make_folder(self._folder)
            with open_private(self._folder / ".lock", "a+b") as file:
                if not try_lock(file):
                    file.seek(0)
                    other = file.read(_LABEL_BYTES).decode(errors="replace")
                    notices.waiting(f"waiting for {other or 'another process'}")
                    while not try_lock(file):
                        time.sleep(_LOCK_PAUSE)
                file.truncate(0)
                file.write(label.encode(errors="replace")[:_LABEL_BYTES])
                file.flush()
                yield

    def _add(
        self,
        source: str,
        generator_name: str,
        generator: ModelProvider,
        name: str | None,
        notices: AdditionNotices,
        record: Callable[[ModelRecord], None],
    ) -> ModelRecord:
        working = self._folder / ".adding" / datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        # Only the process with the lock writes here, so other files are of killed additions.
        shutil.rmtree(working.parent, ignore_errors=True)
        try:
            make_folder(working)
            facts = model_facts(generator, source, working, notices)
            final = normal_name(name or facts.name or Path(source).name)
            self._check_free(final)
            hashes = FileHashes(self.hash_cache, _hashing_progress(working, notices))
            added = ModelRecord(
                name=final,
                digest=digest(working, hashes),
                generator=generator_name,
                source=source,
                added_at=iso(datetime.now(UTC)),
                roles=facts.roles,
                terms=facts.terms,
                is_part=facts.is_part,
            )
            shutil.rmtree(self.path(final), ignore_errors=True)  # a half-written predecessor
            working.rename(self.path(final))
            try:
                with replacing(self._record(final)) as file:
                    file.write(msgspec.json.format(msgspec.json.encode(added)) + b"\n")
                    file.flush()  # a full disk must fail before the addition is recorded
                    self._defaults.keep(added, generator, self._readable())
                    record(added)
            except BaseException:
                shutil.rmtree(self.path(final), ignore_errors=True)
                raise
            hashes.save()
            return added
        finally:
            shutil.rmtree(working, ignore_errors=True)

    def remove(self, name: str) -> None:
        """Delete an added or half-written model.

        Generations of the model stay recorded. Raises UnknownNameError or ModelError.
        """
        self.check_removable(name)
        try:
            self._record(name).unlink(missing_ok=True)
            if self.path(name).is_symlink():
                self.path(name).unlink()
            elif self._exists(name):
                shutil.rmtree(self.path(name))
        except OSError as error:
            raise ModelError(name, f"model {name} cannot be removed: {error}") from error

    def choose(
        self, reference: str | None, generator_name: str, generator: object
    ) -> str | PackagedModel:
        """Return the model of a request, as a name to resolve or a packaged model to add.

        None selects the generator's default. That is the default on record in this home, else
        the only model added for the generator, else its first packaged model. No model is added
        here. Raises ModelError when there is no default.
        """
        if reference is None:
            reference = self._defaults.choose(generator_name, generator, self.added, self._exists)
        name = normal_name(reference)
        if not is_name(name) or self._record(name).is_file():
            return reference
        matching = (model for model in packaged_models(generator) if model.name == name)
        return next(matching, reference)

    def default(self, generator_name: str) -> str | None:
        """Return the default model on record for a generator, or None."""
        return self._defaults.recorded(generator_name)

    def resolve(self, reference: str, generator: object, *, remembered: bool = True) -> Model:
        """Return the model of a name, with the digest of its current files.

        `reference` is the name of an added model, the path of a folder or file, or a hub id that
        the generator can find. `path_name` returns the name of a model at a path. `remembered`
        allows cached hashes. Raises ModelError or UnknownNameError.
        """
        hashes = FileHashes(self.hash_cache if remembered else None)
        name, path, added = self._locate(reference, generator)
        try:
            model_digest = digest(path, hashes)
        except OSError as error:
            raise ModelError(
                name, f"model {name} cannot be read ({error}); check its files"
            ) from error
        hashes.save()
        if added is not None and model_digest != added.digest:
            raise ModelError(
                name,
                f"model {name} was changed after it was added; remove it with "
                f"`muniment models remove {name}`, then add it again",
            )
        return Model(name, model_digest, str(path))

    def reference(self, reference: str, generator_name: str, generator: object) -> str:
        """Return a model's name or hub id, or the absolute path of a folder or file.

        Raises ModelError or UnknownNameError. A hub id is returned without finding it.
        """
        chosen = self.choose(reference, generator_name, generator)
        if isinstance(chosen, PackagedModel) or is_hub_id(chosen, generator):
            return reference
        _, path, added = self._locate(chosen, generator)
        if added is not None:
            return added.name
        plain = plain_path(str(path))
        return plain if _is_same_path(plain, str(path)) else str(path)

    def path_name(self, reference: str, generator: object = None) -> str:
        """Return the name of the model at a path: its plain form, such as `model` for `./model`.

        The reference is returned unchanged if its plain form is the path of another file, or the
        name of an added or packaged model. So is a reference that is no path.
        """
        plain = plain_path(reference)
        if plain == reference or not _is_same_path(plain, reference):
            return reference
        if recordable_name(plain) != plain:  # the name of a folder can be a space
            return reference
        name = normal_name(plain)
        is_taken = is_name(name) and (
            self._record(name).exists() or self._exists(name) or name in packaged_names(generator)
        )
        return reference if is_taken else plain

    def with_digest(self, model_digest: str, hint: Model, generator: object) -> Model | None:
        """Return a model with exactly that digest, computed without a cache, or None."""
        names = [model.name for model in self._readable() if model.digest == model_digest]
        # The path is first, because in another folder a relative one can be a hub id.
        for name in filter(None, dict.fromkeys([*names, hint.path, hint.name])):
            with contextlib.suppress(ModelError, UnknownNameError):
                model = self.resolve(name, generator, remembered=False)
                if model.digest == model_digest:
                    is_path = name == hint.path and hint.name
                    return replace(model, name=hint.name) if is_path else model
        return None

    def _find(self, name: str) -> ModelRecord | None:
        """Return the added model of a name, or None. Raise ModelError for a half-written one."""
        if not is_name(normal_name(name)):
            return None
        if self._record(name).is_file():
            return self._read(self._record(name))
        if self.path(name).is_dir():
            raise ModelError(name, _half_written(name))
        return None

    def _locate(self, reference: str, generator: object) -> tuple[str, Path, ModelRecord | None]:
        if (added := self._find(reference)) is not None:
            return added.name, self.path(added.name), added
        path = Path(os.path.expanduser(reference))
        if os.path.exists(path):
            return self.path_name(reference, generator), path.absolute(), None
        if isinstance(generator, ModelProvider) and is_hub_id(reference, generator):
            with model_errors(reference, f"model {reference} cannot be found", generator):
                return reference, model_folder(generator, reference), None
        names = [model.name for model in self._readable()]
        names = sorted({*names, *packaged_names(generator)})
        hint = "or use the path of a model's folder"
        if is_path(reference):
            hint = "this path does not exist"
        raise UnknownNameError("model", reference, names, hint)

    def _check_addable(self, source: str, name: str | None) -> None:
        """Raise ModelError for a taken or invalid name, before the conversion.

        Without a name, the generator most likely proposes the source or the last part of it.
        """
        proposals = filter(_is_model_name, map(normal_name, (source, Path(source).name)))
        for proposal in proposals if name is None else (name,):
            self._check_free(proposal)

    def _check_free(self, name: str) -> None:
        if not _is_model_name(name):
            raise ModelError(
                name,
                f"{name!r} is not a valid model name; use {RULE} in --name",
            )
        if self._record(name).exists():
            raise ModelError(
                name, f"a model named {name} exists already; remove it first, or use --name"
            )

    def _record(self, name: str) -> Path:
        return self._folder / f"{normal_name(name)}.json"

    def _exists(self, name: str) -> bool:
        return self.path(name).is_dir() or self.path(name).is_symlink()

    def _readable(self) -> list[ModelRecord]:
        return self.added(on_error=lambda error: None)

    def _read(self, record: Path) -> ModelRecord:
        try:
            return msgspec.json.decode(record.read_bytes(), type=ModelRecord)
        except (OSError, ValueError) as error:
            raise ModelError(
                record.stem,
                f"{record} cannot be read: {error} "
                f"(`muniment models remove {record.stem}`, then add it again)",
            ) from error


def _hashing_progress(folder: Path, notices: AdditionNotices) -> Callable[[int], None]:
    """Return a function that receives the sizes of hashed parts of the files of a folder."""
    total, done = sum(path.stat().st_size for path in files(folder).values()), 0

    def advance(size: int) -> None:
        nonlocal done
        done += size
        notices.progress("computing the digest", done / total)

    return advance


def _is_same_path(first: str, second: str) -> bool:
    """Return whether two references are paths of one existing file or folder."""
    paths = [os.path.expanduser(reference) for reference in (first, second)]
    # `link/..` is not the folder that has the link.
    return all(map(os.path.exists, paths)) and os.path.samefile(*paths)


def _is_model_name(name: str) -> bool:
    return is_name(name) and not name.endswith(".json")


def _half_written(name: str) -> str:
    return (
        f"model {name} is half-written because its addition was interrupted; add it again with "
        f"`muniment models add`, or remove it with `muniment models remove {name}`"
    )
