"""`muniment plugins doctor`: load every plugin in its own process, and repair what is broken."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click

import muniment
from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.options import json_option
from muniment.cli.output import emit, write_note
from muniment.cli.plugin_records import CHANGED, check_plugin, install_command, restore_hint
from muniment.cli.progress import counting
from muniment.config import normalised
from muniment.errors import PluginError
from muniment.plugins.commands import described
from muniment.plugins.smoke_test import SmokeTestResult
from muniment.plugins.state import InstallRecords, distributions, plugin_names

REPAIR_GROUP = "muniment.repair"
_SLOW = 1.0  # seconds of loading from which a warning is printed


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
    records = InstallRecords(context.home)
    code = _repair(context, records)
    rows = _diagnose(context, records, names)
    for row in rows:
        _warn(row)
    emit(
        rows,
        [
            ("distribution", "distribution"),
            ("version", "version"),
            ("state", "state"),
            ("seconds", lambda row: "" if row["seconds"] is None else f"{row['seconds']:.2f}"),
            ("why", "message"),
        ],
        as_json,
        empty="no plugin is installed",
    )
    for row in rows:
        if row["traceback"] and not as_json:
            write_note(f"\n{row['distribution']}:\n{row['traceback'].rstrip()}")
    failed = any(row["state"] in ("broken", "gone") for row in rows)
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
    write_note(
        f"Warning: {change} was interrupted; run `{install_command()}` (or `muniment plugins "
        "enable muniment-installer`), then `muniment plugins doctor`"
    )
    return exit_codes.FAILED


def _repair_function(disabled: Collection[str]) -> Callable[[muniment.Session], None] | None:
    for point in importlib.metadata.entry_points(group=REPAIR_GROUP):
        if point.dist is not None and normalised(point.dist.name) not in disabled:
            try:
                function: Callable[[muniment.Session], None] = point.load()
            except (Exception, SystemExit) as error:
                name = point.dist.name
                raise PluginError(
                    name, f"the repair of {name} cannot be imported: {described(error)}"
                ) from error
            return function
    return None


def _diagnose(
    context: CliContext, records: InstallRecords, names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Return the states of the plugins in the shape `plugin_health`."""
    present, disabled = distributions(), context.config.disabled()
    known, recorded = plugin_names(present), records.state().plugins
    gone = records.gone(present)
    keys = [records.find(name, present) for name in names] or sorted({*known, *gone})

    def check(key: str) -> SmokeTestResult:
        if key in known:
            return check_plugin(key, sorted(disabled - {key}))
        return SmokeTestResult(key, False, f"it is not installed any more; {restore_hint()}")

    rows = []
    with (
        counting("loading plugins", len(keys)) as bar,
        ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool,
    ):
        for key, result in zip(keys, pool.map(check, keys), strict=True):
            bar.advance(1)
            if key in known:
                name, version = known[key], present[key].version
                state = "ok" if result.ok else "broken"
            else:
                name, version, state = gone[key].name, gone[key].version, "gone"
            record = recorded.get(key) if result.digest else None
            rows.append(
                {
                    "distribution": name,
                    "version": version,
                    "state": "disabled" if key in disabled else state,
                    "message": result.message,
                    "traceback": result.traceback,
                    "seconds": result.seconds,
                    "digest": result.digest,
                    "changed": record is not None and record.changed(version, result.digest),
                    "offers": result.objects,
                    "commands": [path.replace(".", " ") for path in result.commands],
                }
            )
    return rows


def _warn(row: dict[str, Any]) -> None:
    name, seconds = row["distribution"], row["seconds"]
    if row["changed"]:
        write_note(f"Warning: {name} was {CHANGED}; uninstall and install it again")
    if seconds is not None and seconds > _SLOW:
        write_note(
            f"Warning: loading {name} takes {seconds:.1f} seconds, which delays every command that "
            "loads plugins"
        )
