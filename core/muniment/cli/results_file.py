"""The file of results that `batch -o` writes, one JSON object per line.

Results are recorded in the store first and then written to the file. A kill can come between, so
a resumed batch rewrites the file from the store before it continues.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from muniment.cli.output import json_text
from muniment.cli.output_file import OutputFile
from muniment.errors import UsageError
from muniment.files import open_private, replacing
from muniment.types import Generation

Recorded = Callable[[], Iterable[Generation]]
"""Returns the finished generations of a run in the order of its lines."""


class Results:
    """An open file of results, to which results are appended."""

    def __init__(self, file: BinaryIO, last: int = 0) -> None:
        self.ordered = True
        self._file = file
        self._last = last

    def add(self, item: Generation) -> None:
        """Append a result."""
        self._file.write(_line(item))
        self._file.flush()
        number = item.line or 0
        self.ordered = self.ordered and number > self._last
        self._last = number


@contextlib.contextmanager
def results_file(
    path: str,
    *,
    overwrite: bool,
    inputs: Iterable[str | None] = (),
    run: str | None = None,
    recorded: Recorded = tuple,
) -> Iterator[Results]:
    """Open a new file of results, or complete and continue that of the resumed `run`.

    The file of a resumed run is sorted by line at the end. Raises UsageError if the file contains
    anything else, unless `overwrite` is true, or if it is one of the `inputs`.
    """
    resumed = run is not None
    destination = OutputFile(path, overwrite=overwrite or resumed, inputs=inputs)
    target = destination.target
    if destination.special:  # a device or a pipe gets only new results, as stdout does
        with target.open("wb") as file:
            yield Results(file)
        return
    last = 0
    if run is not None:
        if not overwrite and not _holds_only(target, run):
            raise UsageError(
                f"{path} contains more than results of run {run}; use another file or --overwrite"
            )
        last = _rewrite(target, recorded())
    empty = False
    try:
        with open_private(target, "ab" if resumed else "wb") as file:
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
    """Replace the file's content by these results and return the line number of the last."""
    last = 0
    with replacing(path) as file:
        for item in items:
            file.write(_line(item))
            last = item.line or 0
    return last


def _holds_only(path: Path, run: str) -> bool:
    """Return whether a file contains only results of a run, the last perhaps incomplete."""
    if not path.exists():
        return True
    with path.open("rb") as lines:
        for raw in lines:
            if not raw.endswith(b"\n"):
                beginning = b'{"id": "'
                return raw.startswith(beginning) or beginning.startswith(raw)
            try:
                value = json.loads(raw)
            except ValueError:
                return False
            if not isinstance(value, dict) or value.get("run_id") != run:
                return False
    return True
