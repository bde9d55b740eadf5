"""The formats of an export: how records, in the shape of `--json`, become the bytes of a file.

A file is written in two steps. While records are read, `lines` gives bytes that are appended to a
part of a file; they can be cut off after any page, which is what makes an export resumable. At
the end `finish` makes the file of it. Only Parquet, whose end says where everything is, has then
anything to do.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from msgspec import Raw
from msgspec.json import Encoder, decode
from msgspec.structs import asdict, replace

from muniment.errors import MunimentError
from muniment.files import replace_file, replacing
from muniment.store.export.records import Output, Record

GROUP_ROWS = 20_000  # rows of one group of a Parquet file
GROUP_BYTES = 64 << 20  # or bytes of their JSON, so that memory stays level where texts are long

_encoder = Encoder()


def _builtin(value: Any) -> Any:
    return decode(value) if isinstance(value, Raw) else asdict(value)


_plain = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_builtin
).encode


def _encode(value: Any) -> str:
    """Return a value as JSON; integers beyond 64 bits are written too."""
    try:
        return _encoder.encode(value).decode()
    except OverflowError:
        return _plain(value)


def _lines(records: Sequence[Record]) -> bytes:
    try:
        return _encoder.encode_lines(records)
    except OverflowError:
        return "".join([f"{_encode(record)}\n" for record in records]).encode()


class Format(Protocol):
    """How records are written; `name` is what `--format` takes."""

    name: str
    streams: bool

    def check(self) -> None:
        """Raise MunimentError where what the format needs is not installed."""

    def head(self) -> bytes:
        """Return what stands before the first record."""

    def lines(self, records: Sequence[Record]) -> bytes:
        """Return a page of records as it is appended to the part."""

    def finish(self, part: Path, target: Path) -> None:
        """Make the file of the finished part."""


class _Streamed:
    """A format whose part is the file."""

    streams = True

    def check(self) -> None:
        """Need nothing."""

    def finish(self, part: Path, target: Path) -> None:
        """Rename the part."""
        replace_file(part, target)


class Jsonl(_Streamed):
    """One object of the shape `generation` a line (docs/reference/json.md)."""

    name = "jsonl"

    def head(self) -> bytes:
        """Begin with the first record."""
        return b""

    def lines(self, records: Sequence[Record]) -> bytes:
        """Write each as it is."""
        return _lines(records)


def _json(value: Any) -> str:
    return _encode(value) if value else ""


def _text(value: Raw) -> str:
    return "" if value in _EMPTY else bytes(value).decode()


def _without_text(outputs: Sequence[Output]) -> list[Output]:
    return [replace(output, text=None) for output in outputs]


_EMPTY = (Raw(b"{}"), Raw(b"[]"))

CSV_COLUMNS: Mapping[str, Callable[[Record], Any]] = {
    "id": lambda r: r.id,
    "run_id": lambda r: r.run_id,
    "line": lambda r: r.line,
    "started_at": lambda r: r.started_at,
    "finished_at": lambda r: r.finished_at,
    "status": lambda r: r.status,
    "actor": lambda r: r.actor,
    "generator": lambda r: r.generator,
    "model": lambda r: r.model and r.model.name,
    "model_digest": lambda r: r.model and r.model.digest,
    "seed": lambda r: r.seed,
    "policy": lambda r: r.policy,
    "system": lambda r: r.system,
    "prompt": lambda r: r.prompt,
    "output": lambda r: "\n\n".join([o.text for o in r.outputs if o.text is not None]),
    "prompt_tokens": lambda r: r.usage and r.usage.prompt_tokens,
    "output_tokens": lambda r: r.usage and r.usage.output_tokens,
    "failure": lambda r: r.failure and r.failure.code,
    "failure_message": lambda r: r.failure and r.failure.message,
    "tags": lambda r: _json(r.tags),
    "erased": lambda r: _json(r.erased),
    "parents": lambda r: _json(r.parents),
    "parameters": lambda r: _text(r.parameters),
    "outputs": lambda r: _json(_without_text(r.outputs)),
    "verdicts": lambda r: _json(r.verdicts),
    "scores": lambda r: _json(r.scores),
    "plugins": lambda r: _text(r.plugins),
    "environment": lambda r: _text(r.environment),
}
"""A CSV file's columns in order. What is a list or an object is JSON in its cell; what is missing
is an empty cell."""


class Csv(_Streamed):
    """One row a generation, with a line of names above (RFC 4180, UTF-8)."""

    name = "csv"

    def head(self) -> bytes:
        """Begin with the columns' names."""
        return self._rows([list(CSV_COLUMNS)])

    def lines(self, records: Sequence[Record]) -> bytes:
        """Write a row for each record."""
        columns = list(CSV_COLUMNS.values())
        return self._rows([column(record) for column in columns] for record in records)

    def _rows(self, rows: Iterable[Sequence[Any]]) -> bytes:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        return text.getvalue().encode()


class Parquet:
    """One row a generation, with lists and structures as columns; needs pyarrow.

    The part holds JSON lines, in which what has no fixed fields is JSON in a string; pyarrow
    makes the file of them, a group of rows at a time.
    """

    name, streams = "parquet", False

    def check(self) -> None:
        """Import pyarrow."""
        try:
            import pyarrow.parquet  # noqa: F401 - is it there?
        except ImportError:
            raise MunimentError(
                "Parquet needs pyarrow, which is not installed; "
                "`pip install 'muniment[parquet]'` brings it"
            ) from None

    def head(self) -> bytes:
        """Begin with the first record."""
        return b""

    def lines(self, records: Sequence[Record]) -> bytes:
        """Write each with a string where the keys are anyone's."""
        return _lines([_fixed(record) for record in records])

    def finish(self, part: Path, target: Path) -> None:
        """Write the Parquet file from the part, which is then deleted."""
        from pyarrow import json as arrow_json
        from pyarrow import parquet

        schema = _schema()
        parsing = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error")
        with (
            part.open("rb") as source,
            replacing(target) as file,
            parquet.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for group in _groups(source):
                reading = arrow_json.ReadOptions(block_size=len(group) + 1)
                table = arrow_json.read_json(io.BytesIO(group), reading, parsing)
                writer.write_table(table.select(schema.names), row_group_size=GROUP_ROWS)
        part.unlink()


def _fixed(record: Record) -> Record:
    """Return a record in which what has no fixed fields is text; its seed is a number."""
    return replace(
        record,
        seed=int(record.seed),
        parameters=bytes(record.parameters).decode(),
        environment=bytes(record.environment).decode(),
        verdicts=[
            replace(verdict, categories=_encode(verdict.categories)) for verdict in record.verdicts
        ],
    )


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


def _schema() -> Any:
    import pyarrow as pa

    text, number, real = pa.string(), pa.int64(), pa.float64()
    moment = pa.timestamp("ms", tz="UTC")

    def struct(**fields: Any) -> Any:
        return pa.struct(list(fields.items()))

    reason = struct(category=text, message=text, start=number, end=number)
    return pa.schema(
        {
            "id": text,
            "run_id": text,
            "actor": text,
            "status": text,
            "generator": text,
            "model": struct(name=text, digest=text),
            "prompt": text,
            "system": text,
            "seed": pa.uint64(),
            "parameters": text,
            "policy": text,
            "outputs": pa.list_(
                struct(media_type=text, text=text, sha256=text, bytes=number, finish_reason=text)
            ),
            "verdicts": pa.list_(
                struct(
                    filter=text,
                    version=text,
                    stage=text,
                    decision=text,
                    action=text,
                    observed_action=text,
                    categories=text,
                    reasons=pa.list_(reason),
                    policy_version=text,
                    latency_ms=real,
                    failure=text,
                )
            ),
            "scores": pa.list_(
                struct(
                    evaluator=text,
                    version=text,
                    name=text,
                    value=real,
                    unit=text,
                    higher_is_better=pa.bool_(),
                    failure=text,
                )
            ),
            "usage": struct(prompt_tokens=number, output_tokens=number),
            "plugins": pa.list_(struct(distribution=text, version=text, digest=text)),
            "environment": text,
            "tags": pa.list_(text),
            "parents": pa.list_(text),
            "line": number,
            "failure": struct(code=text, message=text),
            "erased": pa.list_(text),
            "started_at": moment,
            "finished_at": moment,
        }
    )


FORMATS: Mapping[str, Format] = {format.name: format for format in (Jsonl(), Csv(), Parquet())}
