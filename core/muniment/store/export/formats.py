"""The formats of exports: JSON lines, CSV and Parquet.

A file is written in two steps. While records are read, `lines` returns bytes that are appended to
a part file, which can be truncated after any page to resume an export. Then `finish` makes the
file of it. Columns and schemas follow from `GenerationRecord`.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import types
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Union, get_args, get_origin, get_type_hints

from msgspec import Struct, UnsetType
from msgspec.json import Encoder
from msgspec.structs import replace

from muniment.errors import MunimentError
from muniment.files import replace_file, replacing
from muniment.records import GenerationRecord
from muniment.spreadsheets import spreadsheet_text
from muniment.types.scores import Score

GROUP_ROWS = 20_000  # rows of one group of a Parquet file
GROUP_BYTES = 64 << 20  # or bytes of their JSON, which limits memory where texts are long

_encoder = Encoder()


class Format(ABC):
    """A format of exports, whose part file is the finished file unless a subclass differs.

    `name` is the value of `--format`. `streams` is true if the part file is the finished file.
    """

    name: str
    streams = True

    def check(self) -> None:
        """Raise MunimentError if a package that the format needs is not installed."""

    def head(self) -> bytes:
        """Return the bytes before the first record."""
        return b""

    @abstractmethod
    def lines(self, records: Sequence[GenerationRecord]) -> bytes:
        """Return the bytes of some records."""

    def finish(self, part: Path, target: Path) -> None:
        """Make the file from the part file."""
        replace_file(part, target)


class Jsonl(Format):
    """One JSON object a line, of the shape `generation` (docs/reference/json.md)."""

    name = "jsonl"

    def lines(self, records: Sequence[GenerationRecord]) -> bytes:
        """Return a line for each record."""
        return _encoder.encode_lines(records)


# ---- CSV ---------------------------------------------------------------------------------------


def _fields(record_class: Any) -> dict[str, Any]:
    """Return the types of the fields of a structure or dataclass, without `None`."""
    return {name: _without_none(hint) for name, hint in get_type_hints(record_class).items()}


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        missing = (types.NoneType, UnsetType)
        members = [member for member in get_args(hint) if member not in missing]
        return members[0] if len(members) == 1 else Union[tuple(members)]  # noqa: UP007
    return hint


def _is_structure(hint: Any) -> bool:
    return isinstance(hint, type) and (issubclass(hint, Struct) or dataclasses.is_dataclass(hint))


_SHORT_NAMES = {
    "model_name": "model",
    "usage_prompt_tokens": "prompt_tokens",
    "usage_output_tokens": "output_tokens",
    "failure_code": "failure",
}


def _csv_columns() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the columns of a CSV file with the fields of a record that they contain."""
    for name, hint in _fields(GenerationRecord).items():
        if _is_structure(hint):
            for part in _fields(hint):
                column = f"{name}_{part}"
                yield _SHORT_NAMES.get(column, column), (name, part)
            continue
        if name == "outputs":
            yield "output", ("text",)
        if name == "feedback":
            yield from ((part, ("newest", part)) for part in ("rating", "comment"))
        if name == "reviews":
            yield "review", ("judgement",)
        yield name, (name,)


CSV_COLUMNS: Mapping[str, tuple[str, ...]] = dict(_csv_columns())
"""The columns of a CSV file. Lists and objects are JSON in their cells, empty cells are missing
values. `output` has the text outputs, which `outputs` then omits. `rating` and `comment` have the
newest ones of the whole generation, and `review` has the decision of the newest review."""


def _value(record: GenerationRecord, path: tuple[str, ...]) -> Any:
    if path == ("text",):
        texts = (output.text for output in record.outputs)
        return "\n\n".join(text for text in texts if text is not None)
    if path == ("judgement",):
        return record.reviews[-1].decision if record.reviews else ""
    if path[0] == "newest":
        about_all = [item for item in record.feedback or () if item.item is None]
        values = (getattr(item, path[1]) for item in reversed(about_all))
        return next((value for value in values if value is not None), "")
    value: Any = record
    for name in path:
        value = value and getattr(value, name)
    if path == ("outputs",):
        value = [replace(output, text=None) for output in record.outputs]
    if value is None or isinstance(value, str | int):
        return value
    return _encoder.encode(value).decode() if value else ""


class Csv(Format):
    """One row a generation, below a row of column names (RFC 4180, UTF-8), with unchanged texts."""

    name = "csv"

    def head(self) -> bytes:
        """Return the row of column names."""
        return self._rows([list(CSV_COLUMNS)])

    def lines(self, records: Sequence[GenerationRecord]) -> bytes:
        """Return a row for each record."""
        paths = list(CSV_COLUMNS.values())
        return self._rows([self._cell(record, path) for path in paths] for record in records)

    def _cell(self, record: GenerationRecord, path: tuple[str, ...]) -> Any:
        return _value(record, path)

    def _rows(self, rows: Iterable[Sequence[Any]]) -> bytes:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        return text.getvalue().encode()


class CsvExcel(Csv):
    """CSV for spreadsheets, in which an apostrophe begins texts that they would change.

    It has a byte order mark, without which Excel does not read the file as UTF-8.
    """

    name = "csv-excel"

    def head(self) -> bytes:
        """Return the mark and the row of column names."""
        return codecs.BOM_UTF8 + super().head()

    def _cell(self, record: GenerationRecord, path: tuple[str, ...]) -> Any:
        value = super()._cell(record, path)
        return spreadsheet_text(value) if isinstance(value, str) else value


# ---- Parquet -----------------------------------------------------------------------------------


class Parquet(Format):
    """One row a generation, with lists and structures as columns. Needs pyarrow.

    The part file contains JSON lines. Mappings are strings of JSON in it. pyarrow makes the file
    from it, a group of rows at a time.
    """

    name, streams = "parquet", False

    def check(self) -> None:
        """Raise MunimentError if pyarrow is not installed."""
        try:
            import pyarrow.parquet  # noqa: F401 - checks that it is installed
        except ImportError:
            raise MunimentError(
                "Parquet needs pyarrow, which is not installed; run `pip install "
                "'muniment[parquet]'`"
            ) from None

    def lines(self, records: Sequence[GenerationRecord]) -> bytes:
        """Return a line for each record, with its mappings as strings."""
        return _encoder.encode_lines(map(_without_mappings, records))

    def finish(self, part: Path, target: Path) -> None:
        """Write the Parquet file from the part file, which is then deleted."""
        from pyarrow import json as arrow_json, parquet

        schema = arrow_schema()
        parsing = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
        with (
            part.open("rb") as source,
            replacing(target, private=False) as file,
            parquet.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for group in _groups(source):
                reading = arrow_json.ReadOptions(block_size=len(group) + 1)
                table = arrow_json.read_json(io.BytesIO(group), reading, parsing)
                writer.write_table(table.select(schema.names), row_group_size=GROUP_ROWS)
        part.unlink()


def _without_mappings(record: GenerationRecord) -> GenerationRecord:
    """Return a record with JSON strings for its mappings, and its seed as a number."""
    values: dict[str, Any] = {
        "seed": int(record.seed),
        "parameters": _encoder.encode(record.parameters).decode(),
        "models": _encoder.encode(record.models).decode(),
        "environment": _encoder.encode(record.environment).decode(),
        "verdicts": [
            replace(verdict, categories=_encoder.encode(verdict.categories).decode())
            for verdict in record.verdicts
        ],
        "scores": list(map(_score_without_mappings, record.scores)),
    }
    return replace(record, **values)


def _score_without_mappings(score: Score) -> Score:
    values: dict[str, Any] = {
        "parameters": _encoder.encode(score.parameters).decode(),
        "models": _encoder.encode(score.models).decode(),
    }
    return dataclasses.replace(score, **values)


def _groups(source: BinaryIO) -> Iterator[bytes]:
    """Yield whole lines, as many as make a group of rows."""
    lines: list[bytes] = []
    size = 0
    for line in source:
        lines.append(line)
        size += len(line)
        if len(lines) == GROUP_ROWS or size >= GROUP_BYTES:
            yield b"".join(lines)
            lines, size = [], 0
    if lines:
        yield b"".join(lines)


def arrow_schema() -> Any:
    """Return the schema of Parquet files, which needs pyarrow."""
    import pyarrow

    special = {
        "seed": pyarrow.uint64(),
        "started_at": pyarrow.timestamp("ms", tz="UTC"),
        "finished_at": pyarrow.timestamp("ms", tz="UTC"),
    }
    columns = _fields(GenerationRecord).items()
    return pyarrow.schema({name: special.get(name) or _arrow_type(hint) for name, hint in columns})


def _arrow_type(hint: Any) -> Any:
    """Return the Arrow type of a field. A mapping is a string of JSON."""
    import pyarrow

    if _is_structure(hint):
        return pyarrow.struct([(name, _arrow_type(part)) for name, part in _fields(hint).items()])
    if get_origin(hint) is Sequence:
        return pyarrow.list_(_arrow_type(get_args(hint)[0]))
    scalars = {bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64()}
    return scalars.get(hint, pyarrow.string())


_FORMATS = (Jsonl(), Csv(), CsvExcel(), Parquet())
FORMATS: Mapping[str, Format] = {format.name: format for format in _FORMATS}
