"""Measure how long an exported picture of 512 x 512 pixels takes in each format.

By turns in one process, a smooth picture is exported with its provenance, and the file is signed
with a certificate of its own. `encoding` is the time in which Pillow writes the same pixels without
metadata, which a PNG file does not need. `stamping` is the rest of the export. Times are medians in
milliseconds, by the clock and of the processor. Prints one JSON line.

    python benchmarks/stamping.py [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

import muniment
from muniment.provenance import Credentials, create_credentials, load_credentials, sign
from muniment_image import png
from muniment_image.formats import DEFAULT_QUALITY, OPTIONS
from muniment_image.media import Png

Times: TypeAlias = tuple[float, float]

SIDE = 512
LIMIT = 100.0  # milliseconds of stamping and signing
MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".avif": "image/avif",
}
FORMATS = {".jpg": "JPEG", ".webp": "WEBP", ".avif": "AVIF"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=20)
    options = arguments.parse_args()
    pixels = picture()
    data, provenance = png.encode(pixels), facts()
    suffixes = [suffix for suffix in MEDIA_TYPES if suffix in Png.suffixes]
    times: dict[str, dict[str, list[Times]]] = {
        suffix: {"encoding": [], "export": [], "signing": []} for suffix in suffixes
    }
    with tempfile.TemporaryDirectory() as folder:
        credentials = own_credentials(Path(folder))
        for _ in range(options.rounds + 1):
            for suffix, kinds in times.items():
                export = partial(Png().export, data, provenance, suffix, Png.Export())
                file = timed(export, kinds["export"])
                kind = MEDIA_TYPES[suffix]
                timed(partial(sign, file, kind, [provenance], credentials), kinds["signing"])
                timed(partial(encoded, pixels, suffix), kinds["encoding"])
    figures = {
        "benchmark": "stamping",
        "date": datetime.now(UTC).date().isoformat(),
        "side": SIDE,
        "milliseconds": {suffix: summary(kinds, 0) for suffix, kinds in times.items()},
        "processor milliseconds": {suffix: summary(kinds, 1) for suffix, kinds in times.items()},
        "limits": {"stamping and signing": LIMIT},
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "cores": os.cpu_count(),
    }
    print(json.dumps(figures))


def picture() -> np.ndarray:
    """Return pixels with the smooth changes and the noise of a photograph."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    shades = np.stack([rows, columns, (rows + columns) / 2], axis=2) * 200
    noise = np.random.default_rng(0).normal(20, 8, shades.shape)
    return (shades + noise).clip(0, 255).astype(np.uint8)


def facts() -> muniment.Provenance:
    """Return the provenance of an ordinary generation."""
    return muniment.Provenance(
        id="01M8JAX4EZFQ9APBTYN78F8QCV",
        generator="diffusers",
        prompt="红心 a red heart on a white wall, morning light, " * 4,
        seed=2**63,
        parameters={"steps": 30, "guidance": 7.5, "negative_prompt": "text", "scheduler": "ddim"},
        model="model",
        model_digest=f"tree1-sha256:{'0' * 64}",
        created_at=datetime(2026, 1, 31, tzinfo=UTC),
        versions={"muniment": "0.1.0", "muniment-image": "0.1.0"},
    )


def own_credentials(folder: Path) -> Credentials:
    """Return a new certificate with its key."""
    create_credentials(folder, name="benchmark")
    return load_credentials(folder / "certificate.pem", folder / "certificate.key")


def encoded(pixels: np.ndarray, suffix: str) -> bytes:
    """Return the pixels in a format without metadata, or nothing for PNG."""
    file = BytesIO()
    if suffix in FORMATS:
        kind = FORMATS[suffix]
        Image.fromarray(pixels).save(file, kind, quality=DEFAULT_QUALITY, **OPTIONS[kind])
    return file.getvalue()


def timed(action: Callable[[], bytes], times: list[Times]) -> bytes:
    """Return the result of an action, and add its milliseconds to a list."""
    start, processor = time.perf_counter(), time.process_time()
    result = action()
    end = time.perf_counter(), time.process_time()
    times.append(((end[0] - start) * 1000, (end[1] - processor) * 1000))
    return result


def summary(kinds: dict[str, list[Times]], clock: int) -> dict[str, float]:
    """Return the medians of all rounds but the first one, which loads libraries."""
    medians = {
        name: statistics.median(item[clock] for item in items[1:]) for name, items in kinds.items()
    }
    stamping = max(0.0, medians["export"] - medians["encoding"])
    both = {"stamping": stamping, "stamping and signing": stamping + medians["signing"]}
    return {name: round(value, 1) for name, value in (medians | both).items()}


if __name__ == "__main__":
    main()
