"""The presentation of new generations: on stdout, in files, and as notes on stderr."""

from __future__ import annotations

from functools import partial

import click

from muniment.cli import exit_codes
from muniment.cli.context import context_of
from muniment.cli.interruption import full_disk_as_error
from muniment.cli.items import write_notes
from muniment.cli.media_files import (
    NOT_WRITTEN,
    FileFormat,
    saving_command,
    show_json_as_text,
    show_media,
    write,
    write_combined,
)
from muniment.cli.notices import AnswerNotices
from muniment.cli.output import (
    on_terminal,
    one_line,
    write_chunk,
    write_data,
    write_json,
    write_note,
    write_rest,
)
from muniment.cli.output_file import OutputFile, content_to_stdout, to_stdout, without_end
from muniment.cli.status_line import write_status
from muniment.cli.values import short_id
from muniment.cli.verdicts import outcome_sentence
from muniment.types.generations import Generation
from muniment.types.replies import Chunk


class Answers:
    """The generations of a command, presented as they arrive.

    With `headings`, each of several generations has a line with its number above it.
    """

    def __init__(
        self,
        destination: OutputFile | None,
        file: FileFormat | None,
        notices: AnswerNotices,
        *,
        as_json: bool,
        total: int = 1,
        headings: bool = False,
    ) -> None:
        """Take the file of `-o`, or None for stdout, and the format of its content.

        `notices` has the seconds for which models were loaded.
        """
        self._notices = notices
        self.code = exit_codes.DONE  # the most severe one
        self._destination, self._file, self._as_json = destination, file, as_json
        self._total, self._headings = total, headings
        self._streamed, self._shown = "", 0  # a text so far, and its characters on the screen
        self._done: list[Generation] = []

    def show(self, item: Generation | Chunk) -> None:
        """Present a chunk, or a generation with the rest of its text."""
        if isinstance(item, Chunk):
            self._streamed += item.text
            with full_disk_as_error(item.request_id):
                self._shown = write_chunk(self._streamed, self._shown)
            return
        self._done.append(item)
        self._add_code(exit_codes.of_status(item.status))
        try:
            with full_disk_as_error(item.id):
                self._write(item)
        except NOT_WRITTEN as error:
            self._add_code(exit_codes.of_error(error))
            write_note(f"Error: {one_line(str(error))}")
        self._streamed, self._shown = "", 0
        write_notes(item)
        if item.status != "completed":
            store = context_of(click.get_current_context()).store
            write_note(outcome_sentence(item, store))
        if not self._as_json:
            self.write_status(item)

    def write_status(self, generation: Generation) -> None:
        """Write the one-line summary of a generation."""
        write_status(generation, self._notices.loading_seconds(generation))

    def break_line(self) -> None:
        """End the line of a text that was streamed and has no end."""
        if self._streamed:
            write_rest(self._streamed, self._shown)
            self._streamed, self._shown = "", 0

    def end(self) -> int:
        """Write the file of combined outputs, if any, and return the exit code."""
        if self._destination is not None and self._file is not None and self._file.combine:
            write_combined(self._destination, self._file, self._done)
        return self.code

    def _add_code(self, code: int) -> None:
        self.code = exit_codes.worst((self.code, code))

    def _write(self, item: Generation) -> None:
        number = len(self._done)
        if self._as_json:
            write_json(item)
        elif self._destination is None:
            if self._total > 1 and self._headings:
                write_data(f"--- {number} of {self._total} ---")
            _to_stdout(item, self._file, self._shown, of_several=self._total > 1)
        if self._destination is not None and self._file is not None and not self._file.combine:
            write(self._destination, self._file, item, (number,) if self._total > 1 else ())


def _to_stdout(item: Generation, file: FileFormat | None, shown: int, *, of_several: bool) -> None:
    """Print the outputs of a generation, without the `shown` characters that were streamed.

    In a pipe, an empty line ends each of several lists.
    """
    if shown:
        write_rest(without_end(item.text), shown)
        if file is not None and file.label:
            write_data(file.label)
        return
    context = context_of(click.get_current_context())
    for output in item.outputs:
        wants_file = file is not None and file.has_options
        if not wants_file and show_json_as_text(context, output):
            if of_several and not on_terminal():
                write_data()
            continue
        if file is not None and file.exports:
            content, media_type = file.content(item, output), file.written_type(output)
            content_to_stdout(content, media_type, of_several=of_several)
            continue
        to_stdout(
            output if file is None else file.with_label(output),
            partial(saving_command, context, short_id(item.id), output.media_type),
        )
        if on_terminal() and output.text is None:
            show_media(context.media, output)
