"""The provenance in an exported PNG file: JSON in an iTXt chunk with the key `muniment`."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from itertools import islice

import muniment

from . import png

MAX_CHUNKS = 100_000
"""The number of chunks that are searched for a stamp."""
MAX_BYTES = 16_000_000
"""The maximum size of a stamp that is read."""

_KEY = b"muniment\0"
_UNCOMPRESSED = b"\0\0\0\0"  # two flags of compression, no language, no translated key
_TEXTS = (b"iTXt", b"tEXt", b"zTXt")
_ID = re.compile("[0-9A-HJKMNP-TV-Z]{26}")


def stamped(file: bytes, provenance: muniment.Provenance) -> bytes:
    """Return a PNG file with the provenance of its picture. An earlier stamp is replaced."""
    return _with_text(file, _facts(provenance))


def stamped_sheet(file: bytes, provenances: Sequence[muniment.Provenance]) -> bytes:
    """Return a PNG file with the provenances of its pictures. `read_stamp` returns no id of it."""
    return _with_text(file, {"generations": [_facts(item) for item in provenances]})


def read_stamp(file: bytes) -> str | None:
    """Return the id that `stamped` wrote, or None. Other texts in the file are ignored."""
    for chunk in islice(png.chunks(file), MAX_CHUNKS):
        if chunk.kind == b"iTXt" and len(chunk.data) <= MAX_BYTES:
            start = _KEY + _UNCOMPRESSED
            if chunk.data.startswith(start) and (found := _id_of(chunk.data[len(start) :])):
                return found
    return None


def _with_text(file: bytes, value: object) -> bytes:
    """Return a PNG file with a value after its header. Raise ValueError if it has no header."""
    png.size(file)
    header, *others = png.chunks(file)
    # Without characters beyond ASCII, a text cannot change the terminal that prints it.
    text = json.dumps(value, ensure_ascii=True).encode()
    parts = [file[: header.end], png.chunk(b"iTXt", _KEY + _UNCOMPRESSED + text)]
    for chunk in others:
        if not (chunk.kind in _TEXTS and chunk.data.startswith(_KEY)):
            parts.append(file[chunk.start : chunk.end])
    return b"".join(parts)


def _facts(provenance: muniment.Provenance) -> dict[str, object]:
    # As in every JSON of Muniment, a seed is a text: few readers keep 64 bits of a number.
    return {
        **dataclasses.asdict(provenance),
        "seed": str(provenance.seed),
        "created_at": provenance.created_at.isoformat(),
    }


def _id_of(text: bytes) -> str | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = value.get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str) and _ID.fullmatch(found) else None
