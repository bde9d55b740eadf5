"""Read and write `plugins.lock`: distributions pinned by version and hash, in pip's format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from muniment import UsageError
from muniment.installation import normalised

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)((?:\s+--hash=sha256:[0-9a-f]{64})+)")


@dataclass(frozen=True, slots=True)
class Pin:
    """One version of a distribution, with the SHA-256 of each wheel of it that is accepted."""

    name: str
    version: str
    sha256: tuple[str, ...]

    @property
    def key(self) -> str:
        """The normalised name."""
        return normalised(self.name)

    @property
    def line(self) -> str:
        """The pin as a line of a requirements file."""
        hashes = "".join(f" --hash=sha256:{hashed}" for hashed in self.sha256)
        return f"{self.name}=={self.version}{hashes}"


def lines(pins: Iterable[Pin]) -> str:
    """Return the text of a lock, one line a pin."""
    return "".join(f"{pin.line}\n" for pin in pins)


def parse(text: str, source: str) -> list[Pin]:
    """Return the pins in the text of a lock. Raise UsageError for a line that is not a pin.

    `#` begins a comment, and a backslash continues a line.
    """
    pins = []
    joined = re.sub(r"\\\r?\n", " ", text)
    for number, line in enumerate(joined.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        if not line:
            continue
        match = _PIN.fullmatch(line)
        if match is None:
            raise UsageError(
                f"line {number} of {source} is not a pin; use NAME==VERSION --hash=sha256:…, as "
                "`muniment plugins freeze` prints it"
            )
        hashes = tuple(re.findall(r"sha256:([0-9a-f]{64})", match[3]))
        pins.append(Pin(match[1], match[2], hashes))
    return pins
