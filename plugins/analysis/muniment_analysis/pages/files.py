"""Files of reports, whose suffix selects their format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import muniment
from muniment.command import OutputFile, write_note

Formats = Mapping[str, Callable[[], str]]
"""A function that returns the content, by suffix, such as `.html`."""


def report_files(
    paths: Iterable[str], suffixes: Iterable[str], *, overwrite: bool, inputs: Iterable[str] = ()
) -> dict[str, OutputFile]:
    """Return the targets of `-o` by path. Raise UsageError for one that cannot be written.

    Call it before the analysis, so that a wrong path costs no time.
    """
    known = tuple(suffixes)
    files: dict[str, OutputFile] = {}
    for path in paths:
        if Path(path).suffix.lower() not in known:
            raise muniment.UsageError(
                f"the report cannot be written to {path}, because its suffix selects the format; "
                f"use {' or '.join(known)}"
            )
        files[path] = OutputFile(path, overwrite=overwrite, inputs=tuple(inputs))
    return files


def json_text(report: object) -> str:
    """Return the content of a report's JSON file."""
    return json.dumps(report, ensure_ascii=False, indent=2) + "\n"


def write_report_files(files: Mapping[str, OutputFile], formats: Formats) -> None:
    """Write the files, and print a note with the path of each."""
    for path, file in files.items():
        file.write_bytes(formats[Path(path).suffix.lower()]().encode())
        write_note(f"wrote {path}")
