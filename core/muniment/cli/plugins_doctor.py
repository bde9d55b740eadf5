"""`muniment plugins doctor`: the one command that loads every plugin, in processes of their own."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import click

from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.options import json_option
from muniment.cli.output import one_line, table, write_json, write_note
from muniment.cli.plugins_install import installer
from muniment.cli.plugins_read import CHANGED
from muniment.cli.progress import counting

_SLOW = 1.0  # seconds of loading that are worth a word


@click.command
@click.argument("names", metavar="[NAME]...", nargs=-1)
@json_option
@click.pass_obj
def doctor(context: CliContext, names: tuple[str, ...], as_json: bool) -> int:
    """Try every installed plugin, each in a process of its own, and mend what was cut short.

    NAME tries only these. Off a terminal the columns are: distribution, version, what it is (ok,
    broken, disabled or gone), seconds that loading takes, and why it is broken. The whole traceback
    of a broken plugin follows on standard error. One that is enabled and broken, or gone, means
    exit code 1.
    """
    from muniment.installing.smoke_test import SmokeTestResult, smoke_test

    here = installer(context)
    here.mend()
    present, disabled = here.present(), context.config.disabled()
    known = here.plugins()
    gone = here.records.gone(present)
    keys = [here.find(name) for name in names] or sorted({*known, *gone})

    def tried(key: str) -> SmokeTestResult:
        return smoke_test(key, sorted(disabled - {key}))

    there = [key for key in keys if key in known]
    found: dict[str, SmokeTestResult] = {}
    with (
        counting("trying plugins", len(there)) as bar,
        ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool,
    ):
        for key, probed in zip(there, pool.map(tried, there), strict=True):
            found[key] = probed
            bar.advance(1)
    rows = []
    code = exit_codes.DONE
    held = here.records.state().plugins
    for key in keys:
        if key in found:
            name, version, probed = known[key], present[key].version, found[key]
            state = "ok" if probed.ok else "broken"
        else:
            name, version, state = gone[key].name, gone[key].version, "gone"
            probed = SmokeTestResult(
                key, False, "it is not installed any more; `muniment plugins restore`"
            )
        if key in disabled:
            state = "disabled"
        elif not probed.ok:
            code = exit_codes.FAILED
        changed = bool(probed.digest) and key in held and held[key].changed(version, probed.digest)
        if changed:
            write_note(f"Warning: {name} was {CHANGED}; uninstall and install it again")
        if as_json:
            write_json(
                {
                    "distribution": name,
                    "version": version,
                    "state": state,
                    "message": probed.message,
                    "traceback": probed.traceback,
                    "seconds": probed.seconds,
                    "digest": probed.digest,
                    "changed": changed,
                    "offers": [
                        {"kind": one.kind, "name": one.name, "media_type": one.media_type}
                        for one in probed.objects
                    ],
                }
            )
        seconds = "" if probed.seconds is None else f"{probed.seconds:.2f}"
        rows.append((name, version, state, seconds, one_line(probed.message)))
        if (probed.seconds or 0) > _SLOW:
            write_note(
                f"Warning: loading {name} takes {probed.seconds:.1f} seconds, which every command "
                "that loads plugins waits for"
            )
    if not as_json:
        table(("distribution", "version", "state", "seconds", "why"), rows)
        for key, probed in found.items():
            if probed.traceback:
                write_note(f"\n{known[key]}:\n{probed.traceback.rstrip()}")
    return code
