"""Load a plugin in a fresh process, and check it against the contract and the other plugins.

`python -m muniment.plugins.smoke_test DISTRIBUTION RESULT [DISABLED…]` writes a `SmokeTestResult`
to the file RESULT.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Collection
from pathlib import Path

import msgspec

from muniment.config import normalised
from muniment.errors import PluginError
from muniment.plugins.commands import load_command
from muniment.plugins.discovery import (
    COMMAND_GROUP,
    ENTRY_POINT_GROUP,
    Plugin,
    installed_commands,
    installed_plugins,
)
from muniment.plugins.registry import Plugins
from muniment.plugins.state import code_digest

IMPORT_LIMIT = 5.0  # seconds for loading the plugin, which every command that generates repeats
PROCESS_LIMIT = 20.0  # seconds for the whole process, the other plugins included


class SmokeTestResult(msgspec.Struct):
    """The result of loading a plugin.

    `message` is the reason for a failure, as part of a sentence. `digest` is that of the plugin's
    code, `seconds` the time that loading it took, `commands` are the paths of its commands.
    `objects` are the kind, the name and the media type of each object that it registers.
    """

    distribution: str
    ok: bool
    message: str = ""
    traceback: str = ""
    seconds: float | None = None
    digest: str = ""
    objects: list[dict[str, str]] = []
    commands: list[str] = []

    def fail(self, message: str, traceback: str = "") -> None:
        """Note a failure. Only the first one counts."""
        if self.ok:
            self.ok, self.message, self.traceback = False, message, traceback


def smoke_test(
    distribution: str, disabled: Collection[str] = (), *, limit: float = PROCESS_LIMIT
) -> SmokeTestResult:
    """Load the plugin of a distribution in a process that may take `limit` seconds.

    `disabled` are the normalised names of the plugins whose names may be used again.
    """
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
                env={name: value for name, value in os.environ.items() if name != "MUNIMENT_STORE"},
            )
        except subprocess.TimeoutExpired as late:
            stderr = (late.stderr or b"").decode("utf-8", "replace")
            message = f"it did not load within {limit:g} seconds"
            return SmokeTestResult(distribution, False, message, stderr)
        stderr = done.stderr.decode("utf-8", "replace")
        try:
            return msgspec.json.decode(result.read_bytes(), type=SmokeTestResult)
        except (OSError, msgspec.DecodeError):
            code = done.returncode
            end = f"signal {-code} ended" if code < 0 else f"exit code {code} ended"
            message = f"{end} the process that loaded it"
            return SmokeTestResult(distribution, False, message, stderr)


def _test(distribution: str, disabled: Collection[str]) -> SmokeTestResult:
    names = {plugin: normalised(plugin.distribution) for plugin in installed_plugins()}
    own = [plugin for plugin, name in names.items() if name == distribution]
    others = [plugin for plugin, name in names.items() if name not in {distribution, *disabled}]
    result = SmokeTestResult(distribution, True, digest=code_digest(distribution))
    if own:
        _test_objects(result, own, others)
    _test_commands(result)
    if not own and not result.commands:
        result.fail(f"it has no entry point in {ENTRY_POINT_GROUP} or {COMMAND_GROUP}")
    return result


def _test_objects(result: SmokeTestResult, own: list[Plugin], others: list[Plugin]) -> None:
    begin = time.perf_counter()
    plugins = Plugins(own)
    broken = plugins.load()
    result.seconds = round(time.perf_counter() - begin, 3)
    if broken:
        result.fail(broken[0].message, "\n".join(failure.traceback for failure in broken))
        return
    objects = plugins.all_objects()
    result.objects = [
        {
            "kind": item.kind,
            "name": item.name,
            "media_type": item.media_type or ", ".join(item.media_types),
        }
        for item in objects
    ]
    other_objects = Plugins(others).all_objects()
    taken = {(item.kind, item.name): item.plugin.distribution for item in other_objects}
    handled = {name: item for item in other_objects for name in item.media_types}
    for registered in objects:
        try:
            registered.load_class()
        except Exception as error:
            result.fail(str(error), traceback.format_exc())
        if other := taken.get((registered.kind, registered.name)):
            result.fail(f"{other} has a {registered.kind} named {registered.name}, too")
        for media_type in handled.keys() & set(registered.media_types):
            other = handled[media_type].plugin.distribution
            result.fail(f"{other} handles outputs of {media_type}, too")
    if result.seconds > IMPORT_LIMIT:
        result.fail(f"loading it takes {result.seconds:.1f} seconds, more than {IMPORT_LIMIT:g}")


def _test_commands(result: SmokeTestResult) -> None:
    for command in installed_commands():
        if normalised(command.distribution) != result.distribution:
            continue
        result.commands.append(command.name)
        try:
            load_command(command)
        except PluginError as error:
            result.fail(str(error), traceback.format_exc())


def main() -> None:
    """Test the plugin that the arguments name, and write the result."""
    distribution, path, *disabled = sys.argv[1:]
    result = _test(distribution, disabled)
    Path(path).write_bytes(msgspec.json.encode(result))
    sys.stdout.flush()
    os._exit(0)  # threads that a plugin started must not keep the process alive


if __name__ == "__main__":
    main()
