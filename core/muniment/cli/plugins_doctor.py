"""`muniment plugins doctor`: load every plugin in its own process, and repair what is broken."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.emit import emit
from muniment.cli.options import json_option
from muniment.cli.output import write_note
from muniment.cli.progress import counting

if TYPE_CHECKING:
    from collections.abc import Collection

    from muniment.plugins.smoke_test import SmokeTestResult
    from muniment.plugins.state import InstallRecords
    from muniment.session import Session

REPAIR_GROUP = "muniment.repair"
_SLOW = 1.0  # seconds of loading from which a warning is printed


@dataclass(slots=True)
class _Diagnosis:
    """The state of one plugin."""

    distribution: str
    version: str
    state: str
    changed: bool
    result: SmokeTestResult

    def to_json(self) -> dict[str, Any]:
        """Return the state as the shape `plugin_health`."""
        result = self.result
        return {
            "distribution": self.distribution,
            "version": self.version,
            "state": self.state,
            "message": result.message,
            "traceback": result.traceback,
            "seconds": result.seconds,
            "digest": result.digest,
            "changed": self.changed,
            "offers": [
                {"kind": one.kind, "name": one.name, "media_type": one.media_type}
                for one in result.objects
            ],
            "commands": [path.replace(".", " ") for path in result.commands],
        }


@click.command
@click.argument("names", metavar="[NAME]...", nargs=-1)
@json_option
@click.pass_obj
def doctor(context: CliContext, names: tuple[str, ...], as_json: bool) -> int:
    """Load every plugin in its own process, and repair an interrupted change.

    NAME checks only that plugin. Off a terminal the columns are: distribution, version, state (ok,
    broken, disabled or gone), seconds of loading, and the reason. The traceback of a broken plugin
    follows on standard error. The exit code is 1 when an enabled plugin is broken or gone.
    """
    from muniment.plugins.state import InstallRecords

    records = InstallRecords(context.home)
    code = _repair(context, records)
    diagnoses = _diagnose(context, records, names)
    for diagnosis in diagnoses:
        _warn(diagnosis)
    emit(
        diagnoses,
        [
            ("distribution", "distribution"),
            ("version", "version"),
            ("state", "state"),
            ("seconds", lambda one: _seconds(one.result.seconds)),
            ("why", lambda one: one.result.message),
        ],
        as_json,
        empty="no plugin is installed",
    )
    for diagnosis in diagnoses:
        if diagnosis.result.traceback and not as_json:
            write_note(f"\n{diagnosis.distribution}:\n{diagnosis.result.traceback.rstrip()}")
    failed = any(diagnosis.state in ("broken", "gone") for diagnosis in diagnoses)
    return exit_codes.FAILED if failed else code


def _repair(context: CliContext, records: InstallRecords) -> int:
    """Let muniment-installer repair an interrupted change, and return the exit code.

    Its entry point in the group `muniment.repair` names a function that takes the session.
    """
    change = records.interrupted()
    if change is None:
        return exit_codes.DONE
    if repair := _repair_function(context.config.disabled()):
        repair(context.session)
        return exit_codes.DONE
    from muniment.cli.plugin_records import install_command

    write_note(
        f"Warning: {change} was interrupted; run `{install_command()}` (or `muniment plugins "
        "enable muniment-installer`), then `muniment plugins doctor`"
    )
    return exit_codes.FAILED


def _repair_function(disabled: Collection[str]) -> Callable[[Session], None] | None:
    import importlib.metadata

    from muniment.config import normalised
    from muniment.errors import PluginError
    from muniment.plugins.commands import described

    for point in importlib.metadata.entry_points(group=REPAIR_GROUP):
        if point.dist is not None and normalised(point.dist.name) not in disabled:
            try:
                function: Callable[[Session], None] = point.load()
            except (Exception, SystemExit) as error:
                name = point.dist.name
                raise PluginError(
                    name, f"the repair of {name} cannot be imported: {described(error)}"
                ) from error
            return function
    return None


def _diagnose(
    context: CliContext, records: InstallRecords, names: tuple[str, ...]
) -> list[_Diagnosis]:
    from muniment.cli.plugin_records import check_plugin, restore_hint
    from muniment.plugins.smoke_test import SmokeTestResult
    from muniment.plugins.state import distributions, plugin_names

    present, disabled = distributions(), context.config.disabled()
    known, recorded = plugin_names(present), records.state().plugins
    gone = records.gone(present)
    keys = [records.find(name, present) for name in names] or sorted({*known, *gone})

    def check(key: str) -> SmokeTestResult:
        return check_plugin(key, sorted(disabled - {key}))

    installed = [key for key in keys if key in known]
    results: dict[str, SmokeTestResult] = {}
    with (
        counting("loading plugins", len(installed)) as bar,
        ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool,
    ):
        for key, result in zip(installed, pool.map(check, installed), strict=True):
            results[key] = result
            bar.advance(1)
    diagnoses = []
    for key in keys:
        if key in results:
            name, version, result = known[key], present[key].version, results[key]
            state = "ok" if result.ok else "broken"
        else:
            name, version, state = gone[key].name, gone[key].version, "gone"
            message = f"it is not installed any more; {restore_hint()}"
            result = SmokeTestResult(key, False, message)
        if key in disabled:
            state = "disabled"
        record = recorded.get(key)
        changed = record is not None and bool(result.digest)
        changed = changed and record is not None and record.changed(version, result.digest)
        diagnoses.append(_Diagnosis(name, version, state, changed, result))
    return diagnoses


def _warn(diagnosis: _Diagnosis) -> None:
    from muniment.cli.plugin_records import CHANGED

    name, seconds = diagnosis.distribution, diagnosis.result.seconds
    if diagnosis.changed:
        write_note(f"Warning: {name} was {CHANGED}; uninstall and install it again")
    if seconds is not None and seconds > _SLOW:
        write_note(
            f"Warning: loading {name} takes {seconds:.1f} seconds, which delays every command that "
            "loads plugins"
        )


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}"
