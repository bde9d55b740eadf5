"""Format help in Chinese, which has wide characters and few spaces, and for narrow terminals."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator

import click
from rich.cells import cell_len

from muniment.cli.help_width import CLICK_LEAST
from muniment.language import gettext, language
from muniment.line_breaking import wrap

_LEAST_WIDTH = 20


class WideFormatter(click.HelpFormatter):
    """A formatter of help that measures in terminal cells and wraps Chinese text."""

    def __init__(
        self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None
    ) -> None:
        super().__init__(indent_increment, width, max_width)
        if width is None and self.width == CLICK_LEAST:
            columns = shutil.get_terminal_size().columns
            self.width = max(min(self.width, columns - 2), _LEAST_WIDTH)

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the usage line, with the arguments below it where they do not fit beside it."""
        label = gettext("Usage:") if prefix is None else prefix.rstrip()
        start = f"{label}{' ' if language() == 'en' else ''}{prog} "
        if cell_len(start) + 20 <= self.width:
            self._write_lines(wrap(args, self.width, " " * cell_len(start), start))
        else:
            self._write_lines(wrap(start + args, self.width, " " * 4, ""))

    def write_heading(self, heading: str) -> None:
        """Write a heading."""
        colon = ":" if language() == "en" else "："
        self.write(f"{'':>{self.current_indent}}{gettext(heading)}{colon}\n")

    def write_text(self, text: str) -> None:
        r"""Write paragraphs. One that begins with `\b` keeps its lines."""
        indent = " " * self.current_indent
        blocks = ("\n".join(lines) for lines in self._blocks(text, self.width, indent))
        self.write("\n\n".join(blocks) + "\n")

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write terms and their descriptions in two columns."""
        rows = list(rows)
        longest = max((cell_len(term) for term, _ in rows), default=0)
        column = min(longest, col_max, self.width // 3 if self.width < CLICK_LEAST else col_max)
        indent = " " * (self.current_indent + column + col_spacing)
        for term, text in rows:
            start = " " * self.current_indent + term
            if cell_len(term) <= column:
                start += " " * (column + col_spacing - cell_len(term))
            elif text:
                self.write(f"{start}\n")
                start = indent
            blocks = list(self._blocks(text, max(self.width, len(indent) + 10), indent))
            lines = [line for block in blocks for line in block]
            if lines:
                lines[0] = start + lines[0].removeprefix(indent)
            self._write_lines(lines or [start.rstrip()])

    @staticmethod
    def _blocks(text: str, width: int, indent: str) -> Iterator[list[str]]:
        for paragraph in filter(None, re.split(r"\n\s*\n", text)):
            if paragraph.startswith("\b"):
                yield [indent + line for line in paragraph.split("\n")[1:]]
            else:
                yield wrap(paragraph, width, indent)

    def _write_lines(self, lines: Iterable[str]) -> None:
        self.write("".join(f"{line}\n" for line in lines))
