"""The folder of the files of exported outputs."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from msgspec.structs import replace

from muniment.cli.context import CliContext
from muniment.cli.items import selection_of
from muniment.cli.media_files import FileFormat, suffix_of_type
from muniment.cli.output import one_line, write_note
from muniment.cli.values import pluralize
from muniment.errors import MunimentError, ProvenanceError, UsageError
from muniment.files import open_shared, sync_folder
from muniment.store.export import OutputFiles
from muniment.types.generations import Generation
from muniment.types.outputs import Output

_FILE_NAME = re.compile(r"[0-9A-Z]{26}(-[0-9]+)?\.[^/]+")


class OutputFolder:
    """A folder of files, which are named by the ids of their generations.

    They are written to `FOLDER.part`, which gets the name of the folder when all are written. So an
    interrupted export leaves the folder unchanged, and can be resumed.
    """

    def __init__(self, context: CliContext, path: str, *, bare: bool, private: bool) -> None:
        self.path = Path(os.path.abspath(os.path.expanduser(path)))
        self._shown = Path(path)  # as the user wrote it
        self.state = OutputFiles(str(self.path), bare, private)
        self._context = context
        self._part = self.path.with_name(f"{self.path.name}.part")
        named = self._shown.name == self.path.name  # it is not for `.`
        self._shown_part = self._shown.with_name(self._part.name) if named else self._part
        self._formats: dict[str, FileFormat | MunimentError] = {}

    def resume(self, state: OutputFiles) -> None:
        """Continue with the folder of an interrupted export. Raise UsageError or OSError."""
        self.state = state
        self._begin(resume=True, overwrite=False)

    def begin(self, *, overwrite: bool) -> None:
        """Create the folder for the files. Raise UsageError or OSError.

        A folder that has files is refused, unless `overwrite` is true.
        """
        self._begin(resume=False, overwrite=overwrite)

    def _begin(self, *, resume: bool, overwrite: bool) -> None:
        if not self.path.parent.is_dir():
            raise UsageError(
                f"cannot write {self._shown}: the folder {self._shown.parent} does not exist"
            )
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"cannot write {self._shown}: it is not a folder; use another path")
        if not (resume or overwrite) and self.path.exists() and any(self.path.iterdir()):
            raise UsageError(f"{self._shown} is not empty; use another folder or --overwrite")
        if self._part.exists() and not resume:
            if not overwrite:
                raise UsageError(
                    f"{self._shown_part} is of an interrupted export; use --resume to continue it "
                    "or --overwrite to start again"
                )
            if not all(_FILE_NAME.fullmatch(file.name) for file in self._part.iterdir()):
                raise UsageError(f"{self._shown_part} has other files; move it away")
            shutil.rmtree(self._part)
        if not (resume and self.path.exists()):
            self._part.mkdir(exist_ok=True)

    def write(self, generation: Generation) -> list[str | None]:
        """Write the outputs of a generation, and return the names of their files.

        An erased or altered output has no file. One that cannot be written is reported at the end.
        Raises MunimentError if the folder cannot be written, or no file can be signed.
        """
        outputs = generation.outputs
        if {"output", "entry"} & {*generation.erased, *generation.altered}:
            return [None] * len(outputs)
        try:
            outputs = selection_of(self._context, generation).outputs
        except MunimentError as error:
            self._add_failure(generation, error, len(outputs))
            return [None] * len(outputs)
        several = len(outputs) > 1
        return [
            self._write(generation, output, f"-{number}" if several else "")
            for number, output in enumerate(outputs, 1)
        ]

    def finish(self) -> None:
        """Give the folder its name, or move the files to the folder if it has others."""
        if not self._part.is_dir():  # finished before an interruption
            return
        try:
            sync_folder(self._part)
            if not self.path.exists() or not any(self.path.iterdir()):
                if self.path.exists():
                    self.path.rmdir()
                self._part.rename(self.path)
            else:
                for file in self._part.iterdir():
                    os.replace(file, self.path / file.name)
                self._part.rmdir()
            sync_folder(self.path.parent)
        except OSError as error:
            raise MunimentError(f"cannot write {self._shown}: {error.strerror}") from error

    def report(self) -> bool:
        """Print the number of files, and return whether every output could be written."""
        state = self.state
        write_note(f"wrote {self._shown} ({pluralize(state.files, 'file')}, {state.size:,} bytes)")
        if state.failed:
            write_note(
                f"Warning: {pluralize(state.failed, 'output')} could not be written, the first "
                f"because {state.first_failure}"
            )
        return not state.failed

    def _write(self, generation: Generation, output: Output, number: str) -> str | None:
        file = self._format(output.media_type)
        if isinstance(file, MunimentError):
            self._add_failure(generation, file)
            return None
        try:
            content = file.content(generation, output)
        except MunimentError as error:
            self._add_failure(generation, error)
            return None
        name = f"{generation.id}{number}{file.suffix or suffix_of_type(output.media_type)}"
        try:
            # An interrupted export wrote it already, perhaps in part.
            with open_shared(self._part / name, "wb") as written:
                written.write(content)
                written.flush()
                os.fsync(written.fileno())  # the state of the export counts it as written
        except OSError as error:
            raise MunimentError(
                f"cannot write {self._shown_part / name}: {error.strerror}"
            ) from error
        state = self.state
        self.state = replace(state, files=state.files + 1, size=state.size + len(content))
        return name

    def _format(self, media_type: str) -> FileFormat | MunimentError:
        """Return the format of a media type, or the error of one that cannot be written."""
        if media_type not in self._formats:
            try:
                self._formats[media_type] = FileFormat(
                    lambda: self._context.media,
                    media_type,
                    None,
                    bare=self.state.bare,
                    private=self.state.private,
                )
            except ProvenanceError:  # of the certificate, which every file needs
                raise
            except MunimentError as error:
                self._formats[media_type] = error
        return self._formats[media_type]

    def _add_failure(self, generation: Generation, error: MunimentError, number: int = 1) -> None:
        state = self.state
        reason = f"generation {generation.id}: {one_line(str(error))}"
        self.state = replace(
            state, failed=state.failed + number, first_failure=state.first_failure or reason
        )
