"""Load plugins in fresh processes, and check them against the contract and each other.

`python -m muniment.plugins.smoke_test RESULTS DISTRIBUTION…` loads plugins one after another, and
appends a line with the `SmokeTestResult` of each to the file RESULTS.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import msgspec

from muniment.config import normalised
from muniment.errors import PluginError
from muniment.plugins.commands import load_command
from muniment.plugins.discovery import (
    COMMAND_GROUP,
    ENTRY_POINT_GROUP,
    Plugin,
    PluginCommand,
    installed_commands,
    installed_plugins,
)
from muniment.plugins.registry import Plugins
from muniment.plugins.state import code_digest

IMPORT_LIMIT = 5.0  # seconds for loading a plugin, which every command that generates repeats
PROCESS_LIMIT = 20.0  # seconds for a whole process


class SmokeTestResult(msgspec.Struct):
    """The result of loading a plugin.

    `distribution` is the normalised name of its distribution, and `name` the name itself, empty if
    it only adds commands. `message` is the reason for a failure, as part of a sentence. `digest` is
    that of the plugin's code, empty if the plugin shared the process. `seconds` is the time that
    loading it took, and `commands` are the paths of its commands. `objects` have the kind, the name
    and the media types of each object that it registers.
    """

    distribution: str
    ok: bool
    message: str = ""
    traceback: str = ""
    seconds: float | None = None
    digest: str = ""
    objects: list[dict[str, str]] = []
    commands: list[str] = []
    name: str = ""

    def fail(self, message: str, traceback: str = "") -> None:
        """Note a failure. Only the first one counts."""
        if self.ok:
            self.ok, self.message, self.traceback = False, message, traceback


def smoke_test(
    distribution: str, disabled: Collection[str] = (), *, limit: float = PROCESS_LIMIT
) -> SmokeTestResult:
    """Load the plugin of a distribution in a process, and compare it with the other plugins.

    A process may take `limit` seconds. `disabled` are the normalised names of the plugins whose
    names may be used again.
    """
    result = load_alone(distribution, limit)
    if result.ok and result.objects:
        names = {normalised(plugin.distribution) for plugin in installed_plugins()}
        others = load_together(sorted(names - {distribution, *disabled}), limit)
        find_conflict(result, others.values())
    return result


def load_alone(distribution: str, limit: float = PROCESS_LIMIT) -> SmokeTestResult:
    """Load the plugin of a distribution in a process of its own."""
    (result,) = load_together([distribution], limit).values()
    return result


def load_together(
    distributions: Sequence[str], limit: float = PROCESS_LIMIT
) -> dict[str, SmokeTestResult]:
    """Load plugins in one process, and return the results by distribution.

    A plugin that ends the process, or takes too long, is loaded again in a process of its own. A
    further process loads the plugins after it.
    """
    results: dict[str, SmokeTestResult] = {}
    remaining = list(distributions)
    while remaining:
        loaded, failure = _run(remaining, limit)
        results |= {result.distribution: result for result in loaded}
        unfinished = remaining[len(loaded) :]
        if unfinished and len(remaining) == 1:
            results[failure.distribution] = failure
        elif unfinished:
            results[unfinished[0]] = load_alone(unfinished[0], limit)
        remaining = unfinished[1:]
    return results


def find_conflict(result: SmokeTestResult, others: Iterable[SmokeTestResult]) -> None:
    """Note as a failure that another plugin has an object of the same kind and name.

    Two plugins that handle the same media type are in conflict, too.
    """
    others = [other for other in others if other.distribution != result.distribution]
    for item in result.objects:
        for other in others:
            for taken in other.objects:
                if (taken["kind"], taken["name"]) == (item["kind"], item["name"]):
                    result.fail(f"{other.name} has a {item['kind']} named {item['name']}, too")
                elif taken["kind"] == item["kind"] == "media_type":
                    for media_type in sorted(_media_types(item) & _media_types(taken)):
                        result.fail(f"{other.name} handles outputs of {media_type}, too")


def _media_types(item: dict[str, str]) -> set[str]:
    return set(item["media_type"].split(", "))


def _run(
    distributions: Sequence[str], limit: float
) -> tuple[list[SmokeTestResult], SmokeTestResult]:
    """Load plugins in one process.

    Returns the results of the first ones, as far as the process came, and the failure of the next.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "results.jsonl")
        command = [sys.executable, "-P", "-m", __name__, str(file), *distributions]
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
            message, stderr = f"it did not load within {limit:g} seconds", late.stderr or b""
        else:
            code, stderr = done.returncode, done.stderr
            end = f"signal {-code} ended" if code < 0 else f"exit code {code} ended"
            message = f"{end} the process that loaded it"
        lines = file.read_bytes().splitlines() if file.exists() else []
        loaded = [msgspec.json.decode(line, type=SmokeTestResult) for line in lines]
    name = next(iter(distributions[len(loaded) :]), "")
    return loaded, SmokeTestResult(name, False, message, stderr.decode("utf-8", "replace"))


def _test(
    distribution: str, plugins: Sequence[Plugin], commands: Sequence[PluginCommand]
) -> SmokeTestResult:
    """Load the plugin of a distribution among those installed, and its commands."""
    result = SmokeTestResult(distribution, True)
    if own := [plugin for plugin in plugins if normalised(plugin.distribution) == distribution]:
        result.name = own[0].distribution
        _test_objects(result, own)
    for command in commands:
        if normalised(command.distribution) == distribution:
            _test_command(result, command)
    if not own and not result.commands:
        result.fail(f"it has no entry point in {ENTRY_POINT_GROUP} or {COMMAND_GROUP}")
    return result


def _test_objects(result: SmokeTestResult, own: list[Plugin]) -> None:
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
    for registered in objects:
        try:
            registered.load_class()
        except Exception as error:
            result.fail(str(error), traceback.format_exc())
    if result.seconds > IMPORT_LIMIT:
        result.fail(f"loading it takes {result.seconds:.1f} seconds, more than {IMPORT_LIMIT:g}")


def _test_command(result: SmokeTestResult, command: PluginCommand) -> None:
    result.commands.append(command.name)
    try:
        load_command(command)
    except PluginError as error:
        result.fail(str(error), traceback.format_exc())


def main() -> None:
    """Test the plugins that the arguments name, and write the results."""
    path, *distributions = sys.argv[1:]
    plugins, commands = list(installed_plugins()), installed_commands()
    for distribution in distributions:
        result = _test(distribution, plugins, commands)
        if len(distributions) == 1:
            result.digest = code_digest(distribution)
        with Path(path).open("ab") as file:
            file.write(msgspec.json.encode(result) + b"\n")
    sys.stdout.flush()
    os._exit(0)  # threads that a plugin started must not keep the process alive


if __name__ == "__main__":
    main()
