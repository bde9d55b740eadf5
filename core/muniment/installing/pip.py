"""Running pip: always as a program of its own, for this environment, without a shell.

What pip prints is not shown, since it names indexes, whose addresses may hold passwords; of an
error what matters is taken out.
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

from muniment.installing.environment import Environment
from muniment.installing.errors import ConflictError, InstallError
from muniment.installing.preflight import is_version
from muniment.installing.wheels import Wheel

_ALWAYS = ("--disable-pip-version-check", "--no-input", "--no-color")
# Settings of pip that would install elsewhere than where Muniment runs.
_ELSEWHERE = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "PIP_DRY_RUN")
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+")


@dataclass(frozen=True, slots=True)
class ResolvedPackage:
    """What pip would install: a version from an index, or the file given as `path`."""

    name: str
    version: str
    path: Path | None


class Pip:
    """pip for one environment; `held` is a file that stays open as long as pip works."""

    def __init__(self, environment: Environment, held: int | None = None) -> None:
        self._command = environment.pip()
        self._held = held

    def choose(
        self, wanted: Sequence[str], keep: Mapping[str, str], *, upgrade: bool
    ) -> list[ResolvedPackage]:
        """Return what would have to be installed for `wanted`, and nothing is.

        What is in `keep` (versions by name) stays as it is. Raises ConflictError.
        """
        with tempfile.TemporaryDirectory() as folder:
            constraints, report = Path(folder, "keep.txt"), Path(folder, "report.json")
            pins = [f"{name}=={keep[name]}" for name in sorted(keep) if is_version(keep[name])]
            constraints.write_text("".join(f"{pin}\n" for pin in pins))
            self._run(
                *("install", "--dry-run", "--report", str(report)),
                *("--constraint", str(constraints)),
                *(("--upgrade",) if upgrade else ()),
                *("--", *wanted),
            )
            found = json.loads(report.read_text(encoding="utf-8"))["install"]
        return [
            ResolvedPackage(
                item["metadata"]["name"],
                item["metadata"]["version"],
                _path(item["download_info"]["url"]) if item["is_direct"] else None,
            )
            for item in found
        ]

    def fetch(self, wanted: Sequence[str], into: Path) -> None:
        """Put the wheels of just what is wanted into a folder, built where need be."""
        self._run("wheel", "--no-deps", "--wheel-dir", str(into), "--", *wanted)

    def fetch_pinned(self, pins: Sequence[str], into: Path, beside: Sequence[Path]) -> None:
        """Put wheels into a folder by lines `name==version --hash=…`; look in `beside`, too."""
        with tempfile.TemporaryDirectory() as folder:
            lock = Path(folder, "pins.txt")
            lock.write_text("".join(f"{pin}\n" for pin in pins), encoding="utf-8")
            self._run(
                *("wheel", "--no-deps", "--require-hashes", "--wheel-dir", str(into)),
                *(part for path in beside for part in ("--find-links", str(path))),
                *("--requirement", str(lock)),
            )

    def install(self, wheels: Sequence[Wheel], *, over: bool = False) -> None:
        """Install just these wheels, by their hashes and from nowhere else.

        What has the name of one is replaced; with `over`, written over, which makes whole what an
        interrupted pip left.
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
        """Take distributions out."""
        self._run("uninstall", "--yes", "--", *names, changes=True)

    def _run(self, *arguments: str, changes: bool = False) -> None:
        """Run pip; what changes the environment is let end when someone interrupts."""
        environment = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
        if changes:  # nobody's settings may have a say in it
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
            pass_fds=(self._held,) if posix and self._held is not None else (),
            process_group=0 if posix else None,  # Ctrl-C is for us, who know what to do
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
    """Return a text without the addresses in it, which may hold passwords."""
    return _ADDRESS.sub("…", text)


def _path(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path))


def _failure(command: str, output: str) -> InstallError:
    """Return what pip's output says went wrong; of a pip that it ran itself, what that said."""
    lines = [without_addresses(line.rstrip()) for line in output.splitlines()]
    for number, line in enumerate(lines):
        if line.strip() == "The conflict is caused by:":
            causes: list[str] = []
            for cause in lines[number + 1 :]:
                if not cause.startswith("    "):
                    break
                causes.append(_cause(cause.strip()))
            return ConflictError(command, "; ".join(dict.fromkeys(causes)))
    said = [
        line.partition("ERROR:")[2].strip() for line in lines if line.lstrip().startswith("ERROR:")
    ]
    for line in said:
        if lost := re.fullmatch(r"No matching distribution found for (.+)", line):
            why = (
                f"{lost[1]} is in no index and no folder that pip looks in, or not for this Python "
            )
            why += "and machine"
            if "after connection broken by" in output:
                why = (
                    f"{lost[1]} cannot be had: an index could not be reached (a bundle needs none)"
                )
            return InstallError(lost[1], why)
    return InstallError(command, f"pip could not do it: {' '.join(said[:2]) or _last(lines)}")


def _cause(line: str) -> str:
    """Return one cause of a conflict in our words."""
    if kept := re.fullmatch(r"The user requested \(constraint\) (\S+?)===?(\S+)", line):
        return f"{kept[1]} {kept[2]} is installed here and stays"
    if asked := re.fullmatch(r"The user requested (.+)", line):
        return f"{asked[1]} was asked for"
    return line.replace(" depends on ", " needs ", 1)


def _last(lines: Sequence[str]) -> str:
    said = (line.strip() for line in reversed(lines))
    return next(
        (line for line in said if line and not line.startswith(("note:", "hint:"))),
        "it did not say why",
    )
