"""Trying a plugin in a fresh process: does it load, keep the contract, and go with the others.

`python -m muniment.installing.smoke_test DISTRIBUTION RESULT [DISABLED…]` writes what it found to
the file RESULT; whatever the plugin does to that process, `probe` here gets an answer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from muniment.config import normalised
from muniment.plugins.discovery import installed_plugins
from muniment.plugins.registry import Offer, Plugin, Plugins

IMPORT_LIMIT = 5.0  # seconds that loading a plugin may take: every command would wait for it
PROCESS_LIMIT = 20.0  # seconds for the whole process, the other plugins included


class Offered(msgspec.Struct, frozen=True):
    """One object that a plugin registers."""

    kind: str
    name: str
    media_type: str


class Probed(msgspec.Struct):
    """What came of trying a plugin: `message` says why not, in part of a sentence.

    `digest` is that of its code; `seconds` is how long it took to load.
    """

    distribution: str
    ok: bool
    message: str = ""
    traceback: str = ""
    seconds: float | None = None
    digest: str = ""
    offers: list[Offered] = []


def probe(
    distribution: str, disabled: Collection[str] = (), *, limit: float = PROCESS_LIMIT
) -> Probed:
    """Try the plugin of a distribution in a process of its own, which gets `limit` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        command = [sys.executable, "-P", "-m", __name__, distribution, str(result), *disabled]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=limit,
                env={name: held for name, held in os.environ.items() if name != "MUNIMENT_STORE"},
            )
        except subprocess.TimeoutExpired as late:
            said = (late.stderr or b"").decode("utf-8", "replace")
            why = f"it did not load within {limit:g} seconds"
            return Probed(distribution, False, why, said)
        said = done.stderr.decode("utf-8", "replace")
        try:
            return msgspec.json.decode(result.read_bytes(), type=Probed)
        except (OSError, msgspec.DecodeError):
            code = done.returncode
            why = f"signal {-code} ended" if code < 0 else f"exit code {code} ended"
            return Probed(distribution, False, f"{why} the process that loaded it", said)


def _probe(distribution: str, disabled: Collection[str]) -> Probed:
    own: list[Plugin] = []
    others: list[Plugin] = []
    for plugin in installed_plugins():
        name = normalised(plugin.distribution)
        if name == distribution:
            own.append(plugin)
        elif name not in disabled:
            others.append(plugin)
    if not own:
        return Probed(distribution, False, "it has nothing for muniment.v1")
    found = Probed(distribution, True, digest=own[0].ref().digest)
    began = time.perf_counter()
    plugins = Plugins(own)
    broken = plugins.load()
    found.seconds = round(time.perf_counter() - began, 3)
    if broken:
        found.ok = False
        found.message = broken[0].message
        found.traceback = "\n".join(item.traceback for item in broken)
        return found
    offers = list(_offers(plugins))
    found.offers = [Offered(offer.kind, offer.name, offer.media_type) for offer in offers]
    _judge(found, offers, Plugins(others))
    return found


def _judge(found: Probed, offers: list[Offer], others: Plugins) -> None:
    """Say what is wrong with a plugin that loads, if anything is."""
    if not offers:
        _refuse(found, "it registers nothing")
    for offer in offers:
        try:
            offer.load_class()
        except Exception as error:
            import traceback

            _refuse(found, str(error), traceback.format_exc())
    if (found.seconds or 0) > IMPORT_LIMIT:
        _refuse(found, f"loading it takes {found.seconds:.1f} seconds, more than {IMPORT_LIMIT:g}")
    taken = {(offer.kind, offer.name): offer.plugin.distribution for offer in _offers(others)}
    for offer in offers:
        if other := taken.get((offer.kind, offer.name)):
            _refuse(found, f"{other} has a {offer.kind} named {offer.name}, too")


def _refuse(found: Probed, message: str, traceback: str = "") -> None:
    if found.ok:
        found.ok, found.message, found.traceback = False, message, traceback


def _offers(plugins: Plugins) -> Iterator[Offer]:
    yield from plugins.offers("generator")
    yield from plugins.offers("filter")
    yield from plugins.offers("evaluator")


def main() -> None:
    """Probe the plugin that the arguments name."""
    distribution, result, *disabled = sys.argv[1:]
    found = _probe(distribution, disabled)
    Path(result).write_bytes(msgspec.json.encode(found))
    sys.stdout.flush()
    os._exit(0)  # threads that a plugin started must not keep the process


if __name__ == "__main__":
    main()
