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
from collections.abc import Collection, Iterable, Mapping, Sequence
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
PROCESS_LIMIT = 20.0  # seconds for a plugin, from the start of its process or the plugin before
_POLL = 0.2  # seconds between two looks at the file of the results


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


def load_alone(distribution: str, limit: float = PROCESS_LIMIT) -> SmokeTestResult:
    """Load the plugin of a distribution in a process of its own, in at most `limit` seconds."""
    (result,) = load_together([distribution], limit).values()
    return result


def load_together(
    distributions: Sequence[str], limit: float = PROCESS_LIMIT
) -> dict[str, SmokeTestResult]:
    """Load plugins in one process, and return the results by distribution.

    Each may take `limit` seconds. After a plugin that takes longer, a further process loads the
    rest. A plugin that ends the process is loaded again, as the first one of a further process.
    """
    results: dict[str, SmokeTestResult] = {}
    remaining = list(distributions)
    while remaining:
        loaded, failure, late = _run(remaining, limit)
        results |= {result.distribution: result for result in loaded}
        remaining = remaining[len(loaded) :]
        if remaining and (late or not loaded):
            results[failure.distribution] = failure
            remaining = remaining[1:]
    return results


def find_conflicts(
    results: Mapping[str, SmokeTestResult],
    disabled: Collection[str] = (),
    limit: float = PROCESS_LIMIT,
) -> None:
    """Note as failures that plugins are in conflict with each other, or with other plugins.

    `results` are those of the plugins to check, and `disabled` the normalised names of the plugins
    whose names may be used again. The enabled plugins without a result are loaded together.
    """
    others: Mapping[str, SmokeTestResult] = {}
    if any(result.ok and result.objects for result in results.values()):
        names = {normalised(plugin.distribution) for plugin in installed_plugins()}
        others = load_together(sorted(names - results.keys() - set(disabled)), limit)
    rivals = [rival for key, rival in {**results, **others}.items() if key not in disabled]
    for result in results.values():
        _find_conflict(result, rivals)


def _find_conflict(result: SmokeTestResult, rivals: Iterable[SmokeTestResult]) -> None:
    """Note as a failure that another plugin has an object of the same kind and name.

    Two plugins that handle the same media type are in conflict, too.
    """
    others = [rival for rival in rivals if rival.distribution != result.distribution]
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
) -> tuple[list[SmokeTestResult], SmokeTestResult, bool]:
    """Load plugins in one process, which is killed when one takes longer than `limit` seconds.

    Returns the results of the first ones, as far as the process came, the failure of the next, and
    whether it was too late.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, errors = Path(folder, "results.jsonl"), Path(folder, "stderr")
        file.touch()
        command = [sys.executable, "-P", "-m", __name__, str(file), *distributions]
        with (
            errors.open("wb") as stderr,  # a pipe stays open in the processes of a plugin
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env={name: value for name, value in os.environ.items() if name != "MUNIMENT_STORE"},
            ) as process,
        ):
            try:
                code = _wait(process, file, limit)
            finally:
                process.kill()  # after Ctrl-C, too
        loaded = _read_results(file)
        # The output of several plugins cannot be told apart.
        output = "" if loaded else errors.read_text(encoding="utf-8", errors="replace")
    if code is None:
        message = f"it did not load within {limit:g} seconds"
    else:
        end = f"signal {-code} ended" if code < 0 else f"exit code {code} ended"
        message = f"{end} the process that loaded it"
    name = next(iter(distributions[len(loaded) :]), "")
    return loaded, SmokeTestResult(name, False, message, output), code is None


def _wait(process: subprocess.Popen[bytes], file: Path, limit: float) -> int | None:
    """Wait for a process, and kill it when its file does not grow for `limit` seconds.

    Returns the exit code, or None if it was killed.
    """
    size, deadline = 0, time.monotonic() + limit
    while (left := deadline - time.monotonic()) > 0:
        try:
            return process.wait(min(left, _POLL))
        except subprocess.TimeoutExpired:
            if (grown := file.stat().st_size) > size:
                size, deadline = grown, time.monotonic() + limit
    process.kill()
    code = process.wait()
    return code if file.stat().st_size > size else None  # it may have written before the signal


def _read_results(file: Path) -> list[SmokeTestResult]:
    """Return the results in a file, up to the first line that is incomplete or damaged."""
    results = []
    for line in file.read_bytes().splitlines():
        try:
            result = msgspec.json.decode(line, type=SmokeTestResult)
        except (msgspec.DecodeError, UnicodeDecodeError):
            break
        results.append(result)
    return results


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
