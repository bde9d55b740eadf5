"""The provenance in an exported PNG file: JSON in an iTXt chunk with the key `muniment`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import muniment
from muniment.provenance import from_json, to_json

from . import png

MAX_CHUNKS = 100_000
"""The number of chunks that are searched for a provenance."""
MAX_BYTES = 16_000_000
"""The maximum size of a provenance that is read."""

_KEY = b"muniment\0"
_UNCOMPRESSED = b"\0\0\0\0"  # two flags of compression, no language, no translated key
_TEXTS = (b"iTXt", b"tEXt", b"zTXt")


def stamped(file: bytes, provenances: Sequence[muniment.Provenance]) -> bytes:
    """Return a PNG file with the provenances of its pictures after its header.

    Earlier ones are replaced. Raises ValueError if the file has no header.
    """
    png.size(file)
    header, *others = png.chunks(file)
    text = to_json(provenances).encode()
    parts = [file[: header.end], png.chunk(b"iTXt", _KEY + _UNCOMPRESSED + text)]
    for chunk in others:
        if not (chunk.kind in _TEXTS and chunk.data.startswith(_KEY)):
            parts.append(file[chunk.start : chunk.end])
    return b"".join(parts)


def read_provenance(file: bytes) -> str | None:
    """Return the JSON that `stamped` wrote, or None. Other texts in the file are ignored."""
    start = _KEY + _UNCOMPRESSED
    for chunk in islice(png.chunks(file), MAX_CHUNKS):
        if chunk.kind == b"iTXt" and len(chunk.data) <= MAX_BYTES and chunk.data.startswith(start):
            text = chunk.data[len(start) :].decode(errors="replace")
            try:
                from_json(text)
            except muniment.ProvenanceError:
                continue
            return text
    return None
