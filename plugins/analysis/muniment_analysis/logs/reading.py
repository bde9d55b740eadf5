"""Read several logs as one table, in which an item and a replicate name one output."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import Counter
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from muniment_analysis.errors import LogError, RowError

from . import inspect_log, lm_eval
from .samples import Log


class Row(NamedTuple):
    """A measured output, as a line of the table.

    `item` is the task and the id, since tasks number their items alike.
    """

    item: str
    replicate: int
    model: str
    task: str
    measure: str
    value: float


@dataclass
class Table:
    """The rows of all logs.

    Attributes:
        rows: The measured outputs.
        not_numbers: The number of values that are not a number, by measure.
        failed: The number of samples that ended with an error and have no value.
        incomplete: The logs that their tool had not finished.
    """

    rows: list[Row] = field(default_factory=list)
    not_numbers: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    incomplete: list[Path] = field(default_factory=list)


def read_logs(paths: Iterable[Path]) -> Table:
    """Return the measurements of logs. Raises LogError or RowError.

    The outputs of a second log of the same model and task are further replicates. A log that is
    given twice is refused, because its outputs would count twice.
    """
    table = Table()
    digests: dict[bytes, Path] = {}
    replicates: Counter[tuple[str, str]] = Counter()
    for path in paths:
        digest = _digest(path)
        if digest in digests:
            raise LogError(path, f"it has the same bytes as {digests[digest]}; name it once")
        digests[digest] = path
        log = read_log(path)
        earlier = replicates[log.model, log.task]
        for item, replicate, measure, value in log.measurements:
            if value is None:
                table.not_numbers[measure] += 1
                continue
            name = f"{log.task}/{item}"
            number = earlier + replicate
            table.rows.append(Row(name, number, log.model, log.task, measure, value))
        replicates[log.model, log.task] = earlier + max(
            (measurement.replicate for measurement in log.measurements), default=0
        )
        table.failed += log.failed
        if not log.is_complete:
            table.incomplete.append(path)
    return table


def read_log(path: Path) -> Log:
    """Return the measurements of a log, whose content shows its format.

    Raises LogError for another file, and RowError for a damaged line.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start == b"PK\x03\x04":
            return inspect_log.read_archive(path)
        return _read_text(path)
    except OSError as error:
        raise LogError(path, f"it cannot be read ({error.strerror}); use a file") from None
    except UnicodeDecodeError:
        raise LogError(path, "it is neither a ZIP archive nor text in UTF-8; use a log") from None


def _read_text(path: Path) -> Log:
    try:
        with contextlib.closing(_numbered_rows(path)) as rows:
            first = next(rows, None)
    except RowError:  # a document of several lines
        first = None
    if first is not None and lm_eval.is_row(first[1]):
        return lm_eval.read_rows(path, _numbered_rows(path))
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, RecursionError):
        document = None
    if inspect_log.is_document(document):
        return inspect_log.read_document(path, document)
    raise LogError(
        path,
        "it is no log of samples, or it is cut off; use .eval or .json of Inspect, or "
        "samples_*.jsonl of lm-evaluation-harness",
    )


def _numbered_rows(path: Path) -> Generator[tuple[int, Any]]:
    """Yield the JSON values of the lines, which are numbered from 1."""
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except (json.JSONDecodeError, RecursionError) as error:
                raise RowError(path, line, f"it is not JSON ({error}); correct it") from None
            yield line, row


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise LogError(path, f"it cannot be read ({error.strerror}); use a file") from None
