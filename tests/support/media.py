"""A plugin with a small media type: dots, which are bytes after a mark, and their generator."""

from datetime import UTC, datetime

from muniment import Provenance
from muniment.provenance import to_json

DOTS = """
from __future__ import annotations
import json
import time
import muniment
from muniment.provenance import to_json


class DotsType(muniment.MediaType):
    name, media_types, suffixes = "dots", ("application/x-dots",), (".dots", ".json")

    class Export(muniment.Parameters):
        scale: int = muniment.param(1, ge=1, le=9, help="size of a dot")

    def matches(self, data):
        return data.startswith((b"DOTS", b'{"dots"'))

    def describe(self, data):
        return f"{len(data) - 4} dots"

    def compare(self, recorded, again):
        pairs = list(zip(recorded[4:], again[4:]))
        place = next((index for index, (a, b) in enumerate(pairs) if a != b), len(pairs))
        distance = max((abs(a - b) for a, b in pairs), default=0)
        return muniment.Comparison(distance, "largest difference of a dot", f"dot {place + 1}")

    def preview(self, data, columns):
        return "\\x1b[31m" + "•" * min(columns, len(data) - 4) + "\\x1b[0m\\x1b]0;title\\x07"

    def export(self, data, provenance, suffix, options):
        if suffix == ".dots":
            return data + b"|" + to_json([provenance]).encode()
        content = {"dots": list(data[4:]), "from": to_json([provenance]), "scale": options.scale}
        return json.dumps(content).encode()

    def combine(self, outputs, provenances, suffix, options):
        dots = [list(data[4:]) for data in outputs]
        content = {"dots": dots, "from": to_json(provenances), "scale": options.scale}
        return json.dumps(content).encode()

    def read_provenance(self, data):
        if data.startswith(b"{"):
            return json.loads(data)["from"]
        return data.partition(b"|")[2].decode() or None

    def fingerprint(self, data):
        dots = json.loads(data)["dots"] if data.startswith(b"{") else data[4:].partition(b"|")[0]
        return bytes(dots)


class Dotter(muniment.Generator):
    name, media_type, determinism = "dotter", "application/x-dots", "exact"

    def generate(self, requests):
        for request in requests:
            words = request.prompt.split()
            last = time.time_ns() % 50 if "drift" in words else 50
            data = b"DOTS" + bytes([request.seed % 100, len(words), last])
            copies = 2 if "twice" in words else 1
            yield request.reply(*[muniment.Output("application/x-dots", data)] * copies)


@muniment.hookimpl
def muniment_media_types(register):
    register(DotsType)


@muniment.hookimpl
def muniment_generators(register):
    register(Dotter)
"""

# Sound, in a format that can be signed. A wave that is an input is repeated.
WAVES = """
from __future__ import annotations
import struct
import muniment
from muniment.provenance import to_json


def chunk(name, content):
    return struct.pack("<4sI", name, len(content)) + content + bytes(len(content) % 2)


def riff(body):
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WAVE" + body


def chunks(data):
    place = 12
    while place + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        yield name, data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2


class Wave(muniment.MediaType):
    name, media_types, suffixes = "wave", ("audio/wav",), (".wav",)

    def matches(self, data):
        return data[:4] == b"RIFF"

    def export(self, data, provenance, suffix, options):
        return self.combine([data], [provenance], suffix, options)

    def combine(self, outputs, provenances, suffix, options):
        samples = b"".join(map(self.fingerprint, outputs))
        form = next(content for name, content in chunks(outputs[0]) if name == b"fmt ")
        text = chunk(b"muni", to_json(provenances).encode())
        return riff(chunk(b"fmt ", form) + chunk(b"data", samples) + text)

    def read_provenance(self, data):
        return next((text.decode() for name, text in chunks(data) if name == b"muni"), None)

    def fingerprint(self, data):
        return next(content for name, content in chunks(data) if name == b"data")


class Beeper(muniment.Generator):
    name, media_type, determinism = "beeper", "audio/wav", "exact"
    inputs = (muniment.InputSpec("wave", ("audio/wav",)),)

    class Parameters(muniment.Parameters):
        length: int = muniment.param(8, ge=1, le=1000)

    def generate(self, requests):
        for request in requests:
            form = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
            samples = bytes([request.seed % 100, len(request.inputs)]) * request.parameters.length
            data = riff(chunk(b"fmt ", form) + chunk(b"data", samples))
            yield request.reply(muniment.Output("audio/wav", data))


@muniment.hookimpl
def muniment_media_types(register):
    register(Wave)


@muniment.hookimpl
def muniment_generators(register):
    register(Beeper)
"""


def with_id(data: bytes, id: str) -> bytes:
    """Return an exported file of dots with the provenance of a generation."""
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    provenance = Provenance(id, "dotter", "", 7, {}, "", "", moment, {})
    return data + b"|" + to_json([provenance]).encode()


def media_type(body: str, media_types: str = "('application/x-dots',)", name: str = "dots") -> str:
    """Return the source of a plugin with a media type that has these methods."""
    methods = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"""
from __future__ import annotations
import time
import muniment
from muniment import Comparison


class Made(muniment.MediaType):
    name, media_types, suffixes = {name!r}, {media_types}, (".dots",)

{methods}


@muniment.hookimpl
def muniment_media_types(register):
    register(Made)
"""
