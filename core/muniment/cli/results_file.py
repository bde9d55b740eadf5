"""The file that `batch -o` writes: a result a line, and every recorded one after a resumption.

The store is where results are safe; the file follows it. A kill can come between recording and
writing, so a resumed batch makes the file anew from the store before it goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from muniment.cli.output import json_text
from muniment.cli.output_file import OutputFile
from muniment.errors import UsageError
from muniment.types import Generation

Recorded = Callable[[], Iterable[Generation]]
"""Gives what a run has answered so far, in the order of its lines."""


class Results:
    """The file under way: results are added to its end as they come."""

    def __init__(self, file: BinaryIO, last: int = 0) -> None:
        self.ordered = True
        self._file = file
        self._last = last

    def add(self, item: Generation) -> None:
        """Write a result."""
        self._file.write(_line(item))
        self._file.flush()
        number = item.line or 0
        self.ordered = self.ordered and number > self._last
        self._last = number


@contextlib.contextmanager
def results_file(
    path: str, *, overwrite: bool, run: str | None = None, recorded: Recorded = tuple
) -> Iterator[Results]:
    """Open a new file of results, or that of the `run` that is resumed, made whole first.

    A resumed run's file comes out in the order of the lines. Raises UsageError for a file that is
    there and holds anything else, unless `overwrite` is given.
    """
    resumed = run is not None
    destination = OutputFile(path, overwrite=overwrite or resumed)
    target = destination.target
    if destination.special:  # a device or a pipe takes what is new, as standard output does
        with target.open("wb") as file:
            yield Results(file)
        return
    last = 0
    if run is not None:
        if not overwrite and not _holds_only(target, run):
            raise UsageError(
                f"{path} holds more than results of run {run}; "
                "name another file, or use --overwrite"
            )
        last = _rewrite(target, recorded())
    empty = False
    try:
        with target.open("ab" if resumed else "wb") as file:
            try:
                results = Results(file, last)
                yield results
            finally:
                empty = file.tell() == 0
        if not results.ordered:
            _rewrite(target, recorded())
    finally:
        if empty:
            target.unlink()


def _line(item: Generation) -> bytes:
    return json_text(item.to_json()).encode() + b"\n"


def _rewrite(path: Path, items: Iterable[Generation]) -> int:
    """Replace the file by one of these results; return the line of the last."""
    last = 0
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            for item in items:
                file.write(_line(item))
                last = item.line or 0
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return last


def _holds_only(path: Path, run: str) -> bool:
    """Say whether a file holds results of a run and, at most, the beginning of one more."""
    if not path.exists():
        return True
    with path.open("rb") as lines:
        for raw in lines:
            if not raw.endswith(b"\n"):
                begins = b'{"id": "'
                return raw.startswith(begins) or begins.startswith(raw)
            try:
                value = json.loads(raw)
            except ValueError:
                return False
            if not isinstance(value, dict) or value.get("run_id") != run:
                return False
    return True
