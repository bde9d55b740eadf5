"""Files to give to `muniment image inspect` and `verify`, and the results of these commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import muniment
from muniment.provenance import sign, xmp
from muniment.testing import run_command
from muniment_image import png
from muniment_image.commands.inspect import inspect
from muniment_image.commands.verify import verify
from muniment_image.containers import embedded
from support.provenance import Issued, make_provenance

GenerateFile = Callable[..., muniment.Generation]
"""The fixture `generate_file`. Its arguments are a path, a seed and options of `generate`."""


def trust(home: Path, issued: Issued, *, own: bool) -> None:
    """Set the certificate, or only trust its root."""
    root = issued.certificate.with_name("root.pem")
    root.write_bytes(issued.root)
    with muniment.open(home) as session:
        if own:
            session.config.set("certificate", str(issued.certificate))
            session.config.set("certificate_key", str(issued.key))
        else:
            session.config.set("trusted_root", str(root))


def labelled(data: bytes) -> bytes:
    """Return a PNG file with the XMP label."""
    return with_texts(data, **{embedded.XMP_KEY: xmp([make_provenance()]).decode()})


def signed(data: bytes, issued: Issued, media_type: str = "image/png") -> bytes:
    """Return a file with a manifest that a certificate signed."""
    return sign(data, media_type, [make_provenance()], issued.credentials)


def inspected(file: Path) -> dict[str, Any]:
    """Return the result of `inspect` for a file, which must not fail."""
    result = run_command(inspect, str(file), "--json")
    assert result.code == 0, result.stderr
    [value] = result.json
    assert isinstance(value, dict)
    return value


def facts(file: Path, source: str) -> dict[str, str]:
    """Return the facts of a source. Those of the same name are joined."""
    values: dict[str, list[str]] = {}
    for fact in inspected(file)["facts"]:
        if fact["source"] == source:
            values.setdefault(fact["name"], []).append(fact["value"])
    return {name: "; ".join(each) for name, each in values.items()}


def verified(file: Path) -> tuple[int, str, str]:
    """Return the exit code, the manifest's result and that of the pixels."""
    result = run_command(verify, str(file), "--json")
    [value] = result.json
    return result.code, value["manifest"], value["pixels"]


def with_texts(data: bytes, **texts: str) -> bytes:
    """Return a PNG file in which these texts follow the header."""
    end = next(png.chunks(data)).end
    chunks = (png.international_chunk(key, text) for key, text in texts.items())
    return data[:end] + b"".join(chunks) + data[end:]
