"""A workspace whose plugins run in worker processes, and the processes of this test."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path

from muniment import Generation, Session
from support.workspace import Workspace

ECHO = "for request in requests: yield request.reply(Text(request.prompt))"


class IsolatedWorkspace(Workspace):
    """A workspace whose session isolates every plugin, or with `only_set` those of settings."""

    only_set = False

    @cached_property
    def session(self) -> Session:
        return Session(self.home, plugins=self.plugin_folder.plugins(), isolate=not self.only_set)

    def set(self, distribution: str, **settings: object) -> None:
        """Write settings of one plugin."""
        with (self.home / "config.toml").open("a") as file:
            file.write(f"\n[plugin.{distribution}]\n")
            file.writelines(f'{name} = "{value}"\n' for name, value in settings.items())


def texts(generations: list[Generation]) -> list[str]:
    """Return the texts of generations, which must all be completed."""
    statuses = [item.status for item in generations]
    assert statuses == ["completed"] * len(generations), generations
    return [item.text for item in generations]


def alive(pid: int) -> bool:
    """Say whether a process runs: one that ended and nobody has asked about does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def wait_until_gone(*pids: int) -> None:
    """Wait until none of the processes runs."""
    deadline = time.monotonic() + 60
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < deadline, f"{left} still run"
        time.sleep(0.02)


def wait_for(path: Path) -> str:
    """Wait until a file is there and not empty; return what it says."""
    deadline = time.monotonic() + 60
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)
    return path.read_text()
