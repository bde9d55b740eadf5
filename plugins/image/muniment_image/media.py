"""The media type image/png: description, comparison, preview, and files with their provenance.

Large libraries are imported in the methods that need them, because listing the plugin imports this.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import muniment

from . import png, stamp


class Png(muniment.MediaType):
    """PNG files. The pixels are their content, and a recorded output has no metadata."""

    name, media_types, suffixes = "png", ("image/png",), (".png",)

    class Export(muniment.Parameters):
        """Options of contact sheets."""

        sheet_columns: int = muniment.param(
            0,
            ge=0,
            le=1000,
            combined=True,
            help="pictures in a row of a combined file; 0 = about as many as rows",
        )
        sheet_scale: int = muniment.param(
            0,
            ge=0,
            le=64,
            combined=True,
            help="factor of the pictures in a combined file; 0 = by their size",
        )

    def matches(self, data: bytes) -> bool:
        """Return whether the bytes begin as a PNG file does."""
        return data.startswith(png.SIGNATURE)

    def describe(self, data: bytes) -> str:
        """Return the size in pixels and in bytes."""
        width, height = png.size(data)
        return f"PNG, {width} x {height}, {_file_size(len(data))}"

    def preview(self, data: bytes, columns: int) -> str | None:
        """Return half blocks in 24-bit colours, or None if the user wants no colours."""
        if os.environ.get("NO_COLOR"):
            return None
        from .pictures import read_picture
        from .preview import half_blocks

        return half_blocks(read_picture(data), columns)

    def compare(self, recorded: bytes, again: bytes) -> muniment.Comparison:
        """Return the largest difference of a channel, from 0 to 255, and the first pixel."""
        import numpy as np

        from .pictures import read_picture

        old, new = read_picture(recorded), read_picture(again)
        if old.shape != new.shape:
            return muniment.Comparison(None, f"another size, {_shape(old)} and {_shape(new)}")
        differences = np.maximum(old, new) - np.minimum(old, new)
        rows, columns = np.nonzero(differences.max(axis=2))
        position = f"x {columns[0]}, y {rows[0]}" if len(rows) else ""
        unit = "largest difference of a pixel"
        return muniment.Comparison(int(differences.max()), unit, position)

    def fingerprint(self, data: bytes) -> bytes:
        """Return the size and the SHA-256 of the pixels as RGB on white."""
        from .pictures import read_picture

        pixels = read_picture(data)
        return f"{_shape(pixels)} ".encode() + sha256(pixels.data).digest()

    def export(
        self, data: bytes, provenance: muniment.Provenance, suffix: str, options: Any
    ) -> bytes:
        """Return the file with its provenance in one chunk."""
        return stamp.stamped(data, [provenance])

    def combine(
        self,
        outputs: Sequence[bytes],
        provenances: Sequence[muniment.Provenance],
        suffix: str,
        options: Any,
    ) -> bytes:
        """Return a contact sheet with the prompt and the seed under each picture."""
        from .pictures import read_picture
        from .sheet import compressed, contact_sheet

        sheet = contact_sheet(
            [read_picture(data) for data in outputs],
            [(item.prompt, f"seed {item.seed}") for item in provenances],
            columns=options.sheet_columns,
            scale=options.sheet_scale,
        )
        return stamp.stamped(compressed(sheet), provenances)

    def read_provenance(self, data: bytes) -> str | None:
        """Return the JSON in the chunk of `export`, or None."""
        return stamp.read_provenance(data)


def _file_size(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1000:.1f} kB" if count < 999_950 else f"{count / 1_000_000:.1f} MB"


def _shape(pixels: Any) -> str:
    height, width = pixels.shape[:2]
    return f"{width} x {height}"
