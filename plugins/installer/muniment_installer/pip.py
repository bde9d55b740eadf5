"""Run pip for this environment in a process of its own, without a shell.

The output of pip is not shown, because it contains the addresses of indexes, which may contain
passwords. Only the reason of an error is taken from it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from muniment.installation import InstallError
from muniment_installer.environment import Environment
from muniment_installer.errors import ConflictError
from muniment_installer.preflight import is_version
from muniment_installer.wheels import Wheel

_ALWAYS = ("--disable-pip-version-check", "--no-input", "--no-color")
# Building a source package runs its code. Only a path that the user gives is built.
_WHEELS = ("--only-binary", ":all:")
# Settings that make pip install into another environment.
_OTHER_PLACES = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "PIP_DRY_RUN")
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+?(?='?(?:\s|$))")  # without a last quote
_BUILD_ERROR = re.compile(r"\s+(?:error|[\w.]+Error): (?!subprocess-exited-with-error)(.+)")


@dataclass(frozen=True, slots=True)
class ResolvedPackage:
    """A distribution that pip would install: a version from an index, or the file `path`."""

    name: str
    version: str
    path: Path | None


class Pip:
    """pip for one environment. It inherits the file descriptor `lock`, and so holds the lock."""

    def __init__(self, environment: Environment, lock: int | None = None) -> None:
        self._command = environment.pip()
        self._lock = lock

    def choose(
        self, requirements: Sequence[str], keep: Mapping[str, str], *, upgrade: bool
    ) -> list[ResolvedPackage]:
        """Return the distributions that installing `requirements` needs, without installing them.

        Those in `keep` (versions by name) stay. Raises ConflictError when they cannot.
        """
        with tempfile.TemporaryDirectory() as folder:
            constraints, report = Path(folder, "keep.txt"), Path(folder, "report.json")
            pins = [f"{name}=={keep[name]}" for name in sorted(keep) if is_version(keep[name])]
            constraints.write_text("".join(f"{pin}\n" for pin in pins))
            self._run(
                *("install", "--dry-run", *_WHEELS, "--report", str(report)),
                *("--constraint", str(constraints)),
                *(("--upgrade",) if upgrade else ()),
                *("--", *requirements),
            )
            planned = json.loads(report.read_text(encoding="utf-8"))["install"]
        return [
            ResolvedPackage(
                item["metadata"]["name"],
                item["metadata"]["version"],
                _path(item["download_info"]["url"]) if item["is_direct"] else None,
            )
            for item in planned
        ]

    def fetch(self, requirements: Sequence[str], into: Path) -> None:
        """Download the wheels of `requirements`, and of nothing else, into a folder."""
        self._run("wheel", "--no-deps", *_WHEELS, "--wheel-dir", str(into), "--", *requirements)

    def build(self, source: Path, into: Path) -> None:
        """Build the wheel of a folder or source package, and put it into a folder."""
        self._run("wheel", "--no-deps", "--wheel-dir", str(into), "--", str(source))

    def fetch_pinned(self, pins: Sequence[str], into: Path, beside: Sequence[Path]) -> None:
        """Put the wheels of lines `name==version --hash=…` into a folder. Search `beside`, too."""
        with tempfile.TemporaryDirectory() as folder:
            lock = Path(folder, "pins.txt")
            lock.write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
            self._run(
                *("wheel", "--no-deps", *_WHEELS, "--require-hashes", "--wheel-dir", str(into)),
                *(part for path in beside for part in ("--find-links", str(path))),
                *("--requirement", str(lock)),
            )

    def install(self, wheels: Sequence[Wheel], *, over: bool = False) -> None:
        """Install these wheels, checked by their hashes, and nothing else.

        An installed version is uninstalled first. With `over`, its files are overwritten, which
        completes an installation that was interrupted.
        """
        with tempfile.TemporaryDirectory() as temporary:
            lock = Path(temporary, "lock.txt")
            lock.write_text(
                "".join(
                    f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n"
                    for wheel in wheels
                )
            )
            folders = dict.fromkeys(str(wheel.path.parent) for wheel in wheels)
            self._run(
                *("install", "--no-index", "--no-deps", "--require-hashes"),
                *(part for folder in folders for part in ("--find-links", folder)),
                *(
                    "--ignore-installed" if over else "--force-reinstall",
                    "--no-warn-script-location",
                ),
                *("--requirement", str(lock)),
                changes=True,
            )

    def uninstall(self, names: Sequence[str]) -> None:
        """Uninstall distributions."""
        self._run("uninstall", "--yes", "--", *names, changes=True)

    def _run(self, *arguments: str, changes: bool = False) -> None:
        """Run pip. With `changes`, an interrupt waits for its end instead of killing it."""
        environment = {
            name: value for name, value in os.environ.items() if name not in _OTHER_PLACES
        }
        if changes:  # the user's settings of pip must not change the result
            environment = {
                name: value for name, value in environment.items() if not name.startswith("PIP_")
            }
            environment["PIP_CONFIG_FILE"] = os.devnull
        code, output = self._output(arguments, environment, changes=changes)
        if code != 0:
            raise _failure(arguments[0], output)

    def _output(
        self, arguments: Sequence[str], environment: dict[str, str], *, changes: bool
    ) -> tuple[int, str]:
        """Return pip's exit status and what it printed."""
        command, *options = arguments
        posix = os.name == "posix"
        process = subprocess.Popen(
            [*self._command, command, *_ALWAYS, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            text=True,
            errors="replace",
            pass_fds=(self._lock,) if posix and self._lock is not None else (),
            process_group=0 if posix else None,  # Ctrl-C must reach this process only
        )
        try:
            output = process.communicate()[0]
        except BaseException:
            if not changes:
                process.kill()
            process.communicate()
            raise
        return process.returncode, output


def without_addresses(text: str) -> str:
    """Return a text without its addresses, which may contain passwords."""
    return _ADDRESS.sub("…", text)


def _path(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path))


def _failure(command: str, output: str) -> InstallError:
    """Return the error that pip's output describes, or that of a pip which pip ran."""
    lines = [without_addresses(line.rstrip()) for line in output.splitlines()]
    for number, line in enumerate(lines):
        if line.strip() == "The conflict is caused by:":
            causes: list[str] = []
            for cause in lines[number + 1 :]:
                if not cause.startswith("    "):
                    break
                causes.append(_cause(cause.strip()))
            return ConflictError(command, "; ".join(dict.fromkeys(causes)))
    errors = [
        line.partition("ERROR:")[2].strip() for line in lines if line.lstrip().startswith("ERROR:")
    ]
    if "Exception:" in errors:  # a traceback follows, and ends with the exception
        return InstallError(command, f"pip failed: {_last(lines)}")
    for line in errors:
        if missing := re.fullmatch(r"No matching distribution found for (.+)", line):
            why = (
                "is in no index or folder that pip searches, or has no wheel for this Python and "
                "machine (a source package is built only when its path is given)"
            )
            if "after connection broken by" in output:
                why = "cannot be downloaded: the index cannot be reached (a bundle needs no index)"
            return InstallError(missing[1], f"{missing[1]} {why}")
    reason = " ".join(errors[:2])
    # An indented error is that of a build, and the last one is the most precise.
    if built := [found[1] for line in lines if (found := _BUILD_ERROR.match(line))]:
        reason = ": ".join([*errors[:1], built[-1]])
    return InstallError(command, f"pip failed: {reason or _last(lines)}")


def _cause(line: str) -> str:
    """Return one cause of a conflict in plain words."""
    if pinned := re.fullmatch(r"The user requested \(constraint\) (\S+?)===?(\S+)", line):
        return f"{pinned[1]} {pinned[2]} is installed here and stays"
    if requested := re.fullmatch(r"The user requested (.+)", line):
        return f"{requested[1]} was requested"
    return line.replace(" depends on ", " needs ", 1)


def _last(lines: Sequence[str]) -> str:
    stripped = (line.strip() for line in reversed(lines))
    return next(
        (line for line in stripped if line and not line.startswith(("note:", "hint:"))),
        "it printed no reason",
    )
