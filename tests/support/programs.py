"""Programs that use a store in processes of their own, so that they can be many and be killed."""

from __future__ import annotations

import subprocess
import sys
import textwrap

PRELUDE = """
import dataclasses, os, sys, time
from datetime import datetime, UTC
from muniment.ids import new_id
from muniment.store import AlreadyRecordedError, Query, Store
from muniment.types.generations import Generation
from muniment.types.outputs import Text
from muniment.types.plugins import PluginRef

url, *arguments = sys.argv[1:]
RUN = new_id()
PLUGINS = (PluginRef("words", "1", "x"),)

def start(line=None, run=RUN, actor="anna"):
    return Generation(new_id(), run, actor, "started", "words", "最近", 7, datetime.now(UTC),
                      line=line, policy="default", plugins=PLUGINS)

def finish(g):
    return dataclasses.replace(g, status="completed", finished_at=datetime.now(UTC),
                               outputs=(Text("好"),), environment={"threads": 2})
"""


class Programs:
    """Starts Python programs with the prelude above; what is left running is killed at the end."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, program: str, *arguments: object) -> subprocess.Popen[str]:
        """Start a program, given the store's URL and arguments."""
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                PRELUDE + textwrap.dedent(program),
                self._url,
                *map(str, arguments),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """Kill what is still running."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()


def says(process: subprocess.Popen[str], word: str) -> None:
    """Wait until the process prints a line of that word."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if line != word:
        process.kill()
        raise AssertionError(f"{line!r}: {process.communicate()[1]}")


def ended(process: subprocess.Popen[str]) -> str:
    """Wait for the end of a process that should go well; return what it printed."""
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    return out.strip()
