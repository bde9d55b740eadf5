"""`plugins.lock`: plugins and what they need, pinned by version and hash, in pip's own form."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from muniment.config import normalised
from muniment.errors import UsageError

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==(\S+)((?:\s+--hash=sha256:[0-9a-f]{64})+)")


@dataclass(frozen=True, slots=True)
class Pin:
    """One distribution at one version, with the SHA-256 of each wheel of it that will do."""

    name: str
    version: str
    sha256: tuple[str, ...]

    @property
    def key(self) -> str:
        """The name as it is compared."""
        return normalised(self.name)

    @property
    def line(self) -> str:
        """The pin as pip reads it."""
        hashes = "".join(f" --hash=sha256:{hashed}" for hashed in self.sha256)
        return f"{self.name}=={self.version}{hashes}"


def lines(pins: Iterable[Pin]) -> str:
    """Return pins as a lock has them, a line each."""
    return "".join(f"{pin.line}\n" for pin in pins)


def parse(text: str, source: str) -> list[Pin]:
    """Read a lock; raises UsageError for a line that is no pin. `#` begins a comment."""
    pins = []
    joined = re.sub(r"\\\r?\n", " ", text)
    for number, line in enumerate(joined.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        if not line:
            continue
        found = _PIN.fullmatch(line)
        if found is None:
            raise UsageError(
                f"line {number} of {source} is no pin; write NAME==VERSION --hash=sha256:…, as "
                "`muniment plugins freeze` does"
            )
        hashes = tuple(re.findall(r"sha256:([0-9a-f]{64})", found[3]))
        pins.append(Pin(found[1], found[2], hashes))
    return pins
