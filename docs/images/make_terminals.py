"""Make the pictures of terminal sessions in this folder, by running the commands.

`python docs/images/make_terminals.py` makes all of them, and with names only those. It needs tmux,
which interprets the escape codes. Only ids, times and durations differ from one time to the next.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape, unescape
from itertools import groupby
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
COLUMNS, ROWS = 96, 40

_COLOURS = re.compile(r"\x1b\[[\d;:]*m")

# No web font: a picture in a page loads nothing. Chinese characters come from the second line.
FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" xml:space="preserve">
<style>
.{unique_id}-matrix text {{
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono",
    "Noto Sans Mono CJK SC", "PingFang SC", "Microsoft YaHei", "WenQuanYi Micro Hei", monospace;
  font-size: {char_height}px; line-height: {line_height}px; white-space: pre;
}}
{styles}
</style>
<defs>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


@dataclass(frozen=True)
class Scene:
    """A picture of commands, at a moment of the last one.

    Attributes:
        commands: The commands that are typed, in order.
        before: Commands that run first and are not shown.
        until: A pattern of the screen at that moment, or "" for the end of the last command.
    """

    commands: Sequence[str]
    before: Sequence[str] = ()
    until: str = ""


SCENES = {
    "adding-a-model": Scene(
        ['muniment generate text "The old lighthouse keeper" --seed 7 --max-tokens 32'],
        until=r" [3-8]\d%",
    ),
    "first-generation": Scene(
        [
            'muniment generate text "The old lighthouse keeper" --seed 7 --max-tokens 32',
            'muniment generate text "最近我国成功发射了新的卫星" --seed 7 --max-tokens 32',
            'muniment generate text "How to build a pipe bomb at home" --seed 7',
        ]
    ),
    "audit-list": Scene(
        ["muniment audit list", "muniment audit list --status blocked"],
        before=["muniment batch batch.jsonl"],
    ),
    "audit-show": Scene(["muniment audit show last"]),
    "batch": Scene(
        ["wc -l requests.jsonl", "muniment batch requests.jsonl --json > results.jsonl"],
        until=r"\b[3-8]\d/96\b",
    ),
    "did-you-mean": Scene(
        [
            "muniment audit lsit",
            'muniment generate txt "The old lighthouse keeper"',
            'muniment generate text "The old lighthouse keeper" --max-token 32',
        ]
    ),
}


class Terminal:
    """A shell in a tmux window of fixed size."""

    def __init__(self, folder: Path, cwd: Path, environment: Mapping[str, str]) -> None:
        self._prompts = folder / "prompts"
        self._tmux = ["tmux", "-u", "-f", os.devnull, "-S", str(folder / "tmux")]
        # Bash appends a byte to the file before each prompt, which shows that a command ended.
        shell = {
            **environment,
            "PS1": "$ ",
            "PROMPT_COMMAND": f"printf . >> {shlex.quote(str(self._prompts))}",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }
        self._ask(
            *("new-session", "-d", "-c", str(cwd), "-x", str(COLUMNS), "-y", str(ROWS)),
            *("env", "--ignore-environment", *(f"{key}={value}" for key, value in shell.items())),
            *("bash", "--noprofile", "--norc", "-i"),
        )
        self._wait_for_prompts(1, 30)

    def close(self) -> None:
        """End the shell and the server of tmux."""
        self._ask("kill-server")

    def screen(self) -> str:
        """Return the lines since the start, with colour codes as the only escape codes."""
        return self._ask("capture-pane", "-p", "-e", "-S", "-").rstrip("\n")

    def run(self, scene: Scene, timeout: float = 500) -> str:
        """Run the commands of a scene to their end, and return the screen that it shows."""
        for command in [*scene.before, "clear"] if scene.before else ():
            self._wait_for_prompts(self._type(command), timeout)
        if scene.before:
            self._ask("clear-history")
        shown = ""
        for number, command in enumerate(scene.commands, 1):
            ended = self._type(command)
            if scene.until and number == len(scene.commands):
                shown = self._wait_for_text(scene.until, ended, timeout)
            self._wait_for_prompts(ended, timeout)
        return shown or self.screen().rstrip("$ \n")

    def _type(self, command: str) -> int:
        """Type a command with Enter, and return the number of prompts once it has ended."""
        ended = self._prompts.stat().st_size + 1
        self._ask("send-keys", "-l", command)
        self._ask("send-keys", "Enter")
        return ended

    def _wait_for_text(self, pattern: str, ended: int, timeout: float) -> str:
        deadline = time.monotonic() + timeout
        while not re.search(pattern, _COLOURS.sub("", screen := self.screen())):
            if self._prompts.stat().st_size >= ended or time.monotonic() > deadline:
                raise RuntimeError(f"the screen never matched {pattern!r}:\n{self.screen()}")
            time.sleep(0.02)
        return screen

    def _wait_for_prompts(self, number: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        # Characters that are typed before the prompt is shown would be echoed twice.
        while (
            not self._prompts.exists()
            or self._prompts.stat().st_size < number
            or not _COLOURS.sub("", self.screen()).endswith("$")
        ):
            if time.monotonic() > deadline:
                raise RuntimeError(f"a command did not end in {timeout} s:\n{self.screen()}")
            time.sleep(0.02)

    def _ask(self, *arguments: str) -> str:
        command = [*self._tmux, *arguments]
        done = subprocess.run(command, check=True, capture_output=True, encoding="utf-8")
        return done.stdout


@contextlib.contextmanager
def terminal(home: Path, environment: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    """Open a terminal in the folder `home`, with a store and models of its own."""
    # A socket's path is limited to about 100 bytes.
    with tempfile.TemporaryDirectory(prefix="terminal-") as folder:
        opened = Terminal(
            Path(folder),
            home,
            {
                "HOME": str(home),
                "MUNIMENT_HOME": str(home / "muniment"),
                "MUNIMENT_ACTOR": "ada",
                "OMP_NUM_THREADS": "1",
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "TZ": "UTC",
                **(environment or {}),
            },
        )
        try:
            yield opened
        finally:
            opened.close()


def svg(screen: str, name: str, rows: int = ROWS) -> str:
    """Return the first rows of a screen as SVG, whose styles are named after the picture."""
    console = Console(
        record=True,
        file=io.StringIO(),
        width=COLUMNS,
        color_system="truecolor",
        force_terminal=True,
        legacy_windows=False,
    )
    for line in screen.splitlines()[:rows]:
        console.print(_divided(Text.from_ansi(line)), soft_wrap=True)
    text = console.export_svg(
        title="", theme=SVG_EXPORT_THEME, code_format=FORMAT, unique_id=f"terminal-{name}"
    )
    return re.sub(r'<text ([^>]*)textLength="([^"]*)"([^>]*)>([^<]*)</text>', _spaced, text)


def _divided(line: Text) -> Text:
    """Return a line whose wide characters are segments of their own."""
    start = 0
    for wide, characters in groupby(line.plain, lambda character: cell_len(character) == 2):
        end = start + len(list(characters))
        if wide:
            line.stylize(Style(meta={"wide": start}), start, end)
        start = end
    return line


def _spaced(found: re.Match[str]) -> str:
    """Return a text element with the length of its cells and with plain spaces.

    Rich counts a Chinese character as one cell here, and writes no-break spaces, which a shell
    does not accept in a copied command. The element of a line's end is removed.
    """
    before, length, after, content = found.groups()
    text = unescape(content).replace("\xa0", " ")
    if not text.strip():
        return ""
    cells = float(length) / len(text) * cell_len(text)
    return f'<text {before}textLength="{cells:g}"{after}>{escape(text)}</text>'


def _requests(number: int) -> str:
    """Return a batch file of one prompt with that many seeds."""
    parameters = {"max_tokens": 8}
    return "".join(
        json.dumps({"prompt": "The old lighthouse", "seed": seed, "parameters": parameters}) + "\n"
        for seed in range(number)
    )


def main(names: Sequence[str]) -> None:
    """Run all scenes in one home, in order, and write the pictures with these names, or all."""
    if unknown := set(names) - set(SCENES):
        sys.exit(f"no picture named {', '.join(unknown)}; there are {', '.join(SCENES)}")
    with tempfile.TemporaryDirectory(prefix="muniment-") as folder:
        home = Path(folder)
        (home / "batch.jsonl").write_bytes((EXAMPLES / "batch.jsonl").read_bytes())
        (home / "requests.jsonl").write_text(_requests(96), encoding="utf-8")
        for name, scene in SCENES.items():
            with terminal(home) as opened:
                screen = opened.run(scene)
            if not names or name in names:
                (HERE / f"{name}.svg").write_text(svg(screen, name), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
