"""The lines of `metadata.jsonl`, which describe the pictures of a folder.

A line is a JSON object with `file_name`, and with `label`, or captions in every field whose name is
`text` or begins with `caption`. A caption is a text or a list of texts.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

_CAPTION_FIELD = "caption"
_MOST_BYTES = 1 << 30


class MetadataError(ValueError):
    """A file `metadata.jsonl` that cannot be used. The message names the line."""


class Line(NamedTuple):
    """A picture, by its path from the folder, with its label and captions."""

    file: str
    label: str | None
    captions: tuple[str, ...]


def read(path: Path) -> list[Line]:
    """Return the pictures that a file describes, sorted by name. Raise MetadataError."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise MetadataError(f"has more than {_MOST_BYTES:,} bytes; divide the data")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MetadataError(f"cannot be read as UTF-8: {error}") from None
    lines: dict[str, Line] = {}
    for number, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            line = _line(json.loads(content))
        except (ValueError, RecursionError) as error:
            raise MetadataError(f"cannot be used: line {number}: {error}") from None
        if line.file in lines:
            raise MetadataError(
                f"cannot be used: line {number}: {line.file} is named twice; use one line with a "
                "list of captions"
            )
        lines[line.file] = line
    return [lines[file] for file in sorted(lines)]


def _line(value: Any) -> Line:
    """Return the picture that a JSON value describes, or raise ValueError."""
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    captions = [
        caption
        for name, content in value.items()
        if name == "text" or name.startswith(_CAPTION_FIELD)
        for caption in _captions(name, content)
    ]
    line = Line(_file(value.get("file_name")), _label(value.get("label")), tuple(captions))
    for text in (line.file, line.label or "", *captions):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{text!r:.80} has half of a character; correct that text") from None
    return line


def _file(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError("file_name must be a text")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ValueError(f"file_name {name!r} leads out of the folder")
    return path.as_posix()


def _label(label: Any) -> str | None:
    if label is None:
        return None
    if isinstance(label, bool) or not isinstance(label, str | int) or not str(label).strip():
        raise ValueError("label must be a text or a whole number")
    return str(label).strip()


def _captions(name: str, content: Any) -> list[str]:
    texts = content if isinstance(content, list) else [content]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{name} must be a text or a list of texts")
    return [text.strip() for text in texts if text.strip()]
