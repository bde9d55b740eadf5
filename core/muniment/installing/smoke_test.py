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
from muniment.plugins.registry import Plugin, Plugins, RegisteredObject

IMPORT_LIMIT = 5.0  # seconds that loading a plugin may take: every command would wait for it
PROCESS_LIMIT = 20.0  # seconds for the whole process, the other plugins included


class RegisteredName(msgspec.Struct, frozen=True):
    """One object that a plugin registers."""

    kind: str
    name: str
    media_type: str


class SmokeTestResult(msgspec.Struct):
    """What came of trying a plugin: `message` says why not, in part of a sentence.

    `digest` is that of its code; `seconds` is how long it took to load.
    """

    distribution: str
    ok: bool
    message: str = ""
    traceback: str = ""
    seconds: float | None = None
    digest: str = ""
    objects: list[RegisteredName] = []


def smoke_test(
    distribution: str, disabled: Collection[str] = (), *, limit: float = PROCESS_LIMIT
) -> SmokeTestResult:
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
            return SmokeTestResult(distribution, False, why, said)
        said = done.stderr.decode("utf-8", "replace")
        try:
            return msgspec.json.decode(result.read_bytes(), type=SmokeTestResult)
        except (OSError, msgspec.DecodeError):
            code = done.returncode
            why = f"signal {-code} ended" if code < 0 else f"exit code {code} ended"
            return SmokeTestResult(distribution, False, f"{why} the process that loaded it", said)


def _probe(distribution: str, disabled: Collection[str]) -> SmokeTestResult:
    own: list[Plugin] = []
    others: list[Plugin] = []
    for plugin in installed_plugins():
        name = normalised(plugin.distribution)
        if name == distribution:
            own.append(plugin)
        elif name not in disabled:
            others.append(plugin)
    if not own:
        return SmokeTestResult(distribution, False, "it has nothing for muniment.v1")
    found = SmokeTestResult(distribution, True, digest=own[0].ref().digest)
    began = time.perf_counter()
    plugins = Plugins(own)
    broken = plugins.load()
    found.seconds = round(time.perf_counter() - began, 3)
    if broken:
        found.ok = False
        found.message = broken[0].message
        found.traceback = "\n".join(item.traceback for item in broken)
        return found
    objects = list(_objects(plugins))
    found.objects = [
        RegisteredName(registered.kind, registered.name, registered.media_type)
        for registered in objects
    ]
    _judge(found, objects, Plugins(others))
    return found


def _judge(found: SmokeTestResult, objects: list[RegisteredObject], others: Plugins) -> None:
    """Say what is wrong with a plugin that loads, if anything is."""
    if not objects:
        _refuse(found, "it registers nothing")
    for registered in objects:
        try:
            registered.load_class()
        except Exception as error:
            import traceback

            _refuse(found, str(error), traceback.format_exc())
    if (found.seconds or 0) > IMPORT_LIMIT:
        _refuse(found, f"loading it takes {found.seconds:.1f} seconds, more than {IMPORT_LIMIT:g}")
    taken = {
        (registered.kind, registered.name): registered.plugin.distribution
        for registered in _objects(others)
    }
    for registered in objects:
        if other := taken.get((registered.kind, registered.name)):
            _refuse(found, f"{other} has a {registered.kind} named {registered.name}, too")


def _refuse(found: SmokeTestResult, message: str, traceback: str = "") -> None:
    if found.ok:
        found.ok, found.message, found.traceback = False, message, traceback


def _objects(plugins: Plugins) -> Iterator[RegisteredObject]:
    yield from plugins.objects("generator")
    yield from plugins.objects("filter")
    yield from plugins.objects("evaluator")


def main() -> None:
    """Probe the plugin that the arguments name."""
    distribution, result, *disabled = sys.argv[1:]
    found = _probe(distribution, disabled)
    Path(result).write_bytes(msgspec.json.encode(found))
    sys.stdout.flush()
    os._exit(0)  # threads that a plugin started must not keep the process


if __name__ == "__main__":
    main()
