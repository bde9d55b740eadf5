"""A change that is cut short: the next command says so and puts everything right."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.environments import Fresh, only_real, others, run

KILLS = int(os.environ.get("MUNIMENT_TEST_KILLS", "20")) // 4

STALLS = """
    import os, time
    open(os.environ["STALLED"], "w").close()
    time.sleep(3600)
"""


def start(fresh: Fresh, *arguments: str | Path) -> subprocess.Popen[str]:
    held = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.Popen(
        [*fresh.command, *arguments],
        cwd=fresh.folder,
        env={**held, **fresh.settings(), "PIP_CONFIG_FILE": os.devnull},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [one for child in path.read_text().split() for one in family(int(child))]
    return found


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process and its children, as a machine that goes off does."""
    os.kill(process.pid, signal.SIGSTOP)
    for pid in family(process.pid):
        os.kill(pid, signal.SIGKILL)
    process.communicate()


def until(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not what():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@only_real
@pytest.mark.parametrize("state", ["whole", "half installed", "moved aside"])
def test_a_killed_upgrade_is_undone_by_the_next_command(
    fresh: Fresh, wheel_folder: Any, tmp_path: Path, state: str
) -> None:
    leftpad = wheel_folder("leftpad", "x = 1", group="")
    one = wheel_folder("muniment-one", generator="one")
    stalls = wheel_folder("muniment-one", STALLS, version="2.0", needs=["leftpad"])
    fresh.environment = {"PIP_FIND_LINKS": str(leftpad.parent), "STALLED": str(tmp_path / "now")}
    assert fresh("plugins", "install", one).code == 0
    files = fresh.files()
    process = start(fresh, "plugins", "upgrade", stalls)
    until((tmp_path / "now").exists, process)
    busy = fresh("plugins", "uninstall", "muniment-one", "--yes")
    assert busy.code == 1
    assert "another command is changing the plugins" in busy.err
    kill(process)
    if state != "whole":  # what a kill of pip in the middle leaves
        (fresh.modules / "muniment_one-2.0.dist-info" / "RECORD").unlink()
        (fresh.modules / "leftpad.py").unlink()
    if state == "moved aside":
        old = fresh.modules / "~uniment_one-1.0.dist-info"
        (fresh.modules / "muniment_one-2.0.dist-info").rename(old)

    said = fresh("plugins", "list").err
    assert "installing muniment-one 2.0 was interrupted; `muniment plugins doctor`" in said
    mended = fresh("plugins", "doctor")
    assert mended.code == 0, mended.err
    assert "installing muniment-one 2.0 was interrupted; it was rolled back" in mended.err
    assert fresh.files() == files
    assert fresh("generate", "one", "x").out == "1.0: x\n"
    assert fresh("plugins", "list").err == ""
    assert [entry["act"] for entry in fresh.entries("installation")] == ["installed"]


@only_real
def test_ctrl_c_puts_everything_back_at_once(
    fresh: Fresh, wheel_folder: Any, tmp_path: Path
) -> None:
    fresh.environment = {"STALLED": str(tmp_path / "now")}
    files = fresh.files()
    process = start(fresh, "plugins", "install", wheel_folder("muniment-stall", STALLS))
    until((tmp_path / "now").exists, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    assert "the change was rolled back" in err
    assert err.strip().splitlines()[-1] == "Interrupted"
    assert fresh.files() == files
    assert not list(fresh.home.glob("plugins/*/journal.json"))


@only_real
@pytest.mark.parametrize("change", ["install", "upgrade", "uninstall"])
def test_killed_anywhere_it_is_as_before_or_done(
    fresh: Fresh, wheel_folder: Any, change: str
) -> None:
    one = wheel_folder("muniment-one", generator="one", needs=["leftpad"])
    leftpad = wheel_folder("leftpad", "x = 1", group="")
    two = wheel_folder("muniment-one", generator="one", version="2.0", needs=["leftpad"])
    fresh.environment["PIP_FIND_LINKS"] = str(leftpad.parent)
    commands: dict[str, tuple[str | Path, ...]] = {
        "install": ("plugins", "install", one),
        "upgrade": ("plugins", "upgrade", two),
        "uninstall": ("plugins", "uninstall", "muniment-one", "--yes"),
    }
    if change != "install":
        assert fresh("plugins", "install", one).code == 0
    began = time.monotonic()
    untouched = fresh.files()
    assert fresh(*commands[change]).code == 0
    took = time.monotonic() - began
    done = fresh.files()
    draw = random.Random(change)
    for _ in range(KILLS // 3 or 1):
        fresh("plugins", "uninstall", "muniment-one", "--yes")
        if change != "install":
            fresh("plugins", "install", one)
        process = start(fresh, *commands[change])
        time.sleep(draw.uniform(0.2, 1.0) * took)
        kill(process)
        healthy = fresh("plugins", "doctor")
        assert healthy.code == 0, healthy.err
        left = {path for path in fresh.files() if ".dist-info/direct_url" not in path}
        assert left in (untouched, done), left ^ untouched
        acts = fresh.entries("installation")
        versions = {entry["plugin"]["version"] for entry in acts[-1:]}
        listed = {row[1] for row in others(fresh("plugins", "list").rows)}
        assert listed == (set() if acts[-1]["act"] == "removed" else versions)
        assert run(fresh.python, "-m", "pip", "check", cwd=fresh.folder).returncode == 0
    assert fresh("audit", "verify", "--all").code == 0
