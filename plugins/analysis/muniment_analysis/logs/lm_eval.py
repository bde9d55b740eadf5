"""Read logs of samples of lm-evaluation-harness, `samples_TASK_TIME.jsonl`.

A line is an output under one filter. Its `metrics` names the fields with values. Older versions
lack it, and there every field that is not one of theirs is a metric. The model is that of
`results_TIME.json` in the same folder, or else the name of the folder. The format is documented at
https://github.com/EleutherAI/lm-evaluation-harness.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from muniment_analysis.errors import RowError

from .samples import Log, Measurement, identifier, number

_NAME = re.compile(
    r"samples_(?P<task>.+?)(?:_(?P<time>\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:][\d.]+))?\.jsonl"
)
_OWN_FIELDS = frozenset(
    "doc_id doc target arguments resps filtered_resps filter metrics doc_hash prompt_hash "
    "target_hash task split".split()
)


def is_row(row: object) -> bool:
    """Return whether the first row of a file is one of lm-evaluation-harness."""
    return isinstance(row, dict) and {"doc_id", "target"} <= row.keys()


def read_rows(path: Path, rows: Iterator[tuple[int, Any]]) -> Log:
    """Return the measurements of numbered rows. Raises RowError."""
    measurements: list[Measurement] = []
    lines: dict[tuple[str, str], int] = {}
    for line, row in rows:
        item = identifier(row.get("doc_id")) if is_row(row) else None
        if item is None:
            raise RowError(path, line, "it has no doc_id; use a log of samples")
        rule = str(row.get("filter", "none"))
        first = lines.setdefault((item, rule), line)
        if first != line:
            problem = (
                f"doc_id {item} with the filter {rule} stands in line {first}, too; remove one"
            )
            raise RowError(path, line, problem)
        for name in _metrics(row):
            measure = name if rule == "none" else f"{name},{rule}"
            measurements.append(Measurement(item, 1, measure, number(row.get(name), {})))
    match = _NAME.fullmatch(path.name)
    task, time = (match["task"], match["time"]) if match else (path.stem, None)
    return Log(_model(path, time), task, tuple(measurements))


def _metrics(row: dict[str, Any]) -> list[str]:
    metrics = row.get("metrics")
    if isinstance(metrics, list):
        return [name for name in metrics if isinstance(name, str)]
    return [name for name in row if name not in _OWN_FIELDS]


def _model(path: Path, time: str | None) -> str:
    """Return the name of the model from the results of the same time, or from the folder."""
    results = path.with_name(f"results_{time}.json")
    if time is not None and results.is_file():
        try:
            document = json.loads(results.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            document = None
        name = document.get("model_name") if isinstance(document, dict) else None
        if isinstance(name, str):
            return name
    return path.resolve().parent.name
