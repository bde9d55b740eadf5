"""Printing of chunks, outputs and results as the pipeline yields them."""

from __future__ import annotations

import click

from muniment.cli import exit_codes
from muniment.cli.output import (
    on_terminal,
    outcome_sentence,
    printable,
    short_id,
    status_line,
    write_data,
    write_json,
    write_note,
)
from muniment.cli.output_file import OutputFile, to_stdout, without_end
from muniment.types import Chunk, Generation


class ResultPresenter:
    """Printer of chunks and generations, with the most severe exit code so far."""

    def __init__(self, total: int, destination: OutputFile | None, as_json: bool) -> None:
        self.code = exit_codes.DONE
        self._total = total
        self._destination = destination
        self._as_json = as_json
        self._number = 0
        self._streamed = ""

    def show(self, item: Generation | Chunk) -> None:
        """Print a chunk or a generation."""
        if isinstance(item, Chunk):
            self._streamed += item.text
            click.echo(printable(item.text) if on_terminal() else item.text, nl=False)
            return
        self._number += 1
        self.code = exit_codes.worst((self.code, exit_codes.of_status(item.status)))
        if self._as_json:
            write_json(item)
        elif self._destination is None:
            self._to_stdout(item)
        if self._destination is not None:
            number = (self._number,) if self._total > 1 else ()
            self._destination.write_all(item.outputs, number)
        if item.status != "completed":
            write_note(outcome_sentence(item))
        if not self._as_json:
            write_note(status_line(item))

    def _to_stdout(self, item: Generation) -> None:
        if self._streamed:  # the beginning is printed already
            write_data(without_end(item.text.removeprefix(self._streamed)))
            return
        if self._total > 1:
            write_data(f"--- {self._number} of {self._total} ---")
        for output in item.outputs:
            to_stdout(output, short_id(item.id))
