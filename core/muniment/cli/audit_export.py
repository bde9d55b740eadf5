"""The command `muniment audit export`."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import muniment.store
from muniment.cli import exit_codes
from muniment.cli.context import CliContext, Interrupted
from muniment.cli.options import (
    bare_option,
    filter_options,
    isolate_option,
    limit_option,
    no_match,
    overwrite_option,
    private_option,
    query_of,
)
from muniment.cli.output import on_terminal, write_note
from muniment.cli.output_file import OutputFile
from muniment.cli.output_folder import OutputFolder
from muniment.cli.progress import counting
from muniment.cli.values import pluralize
from muniment.errors import UsageError, choice_of

if TYPE_CHECKING:
    from muniment.store.export import Export


@click.command
@click.option(
    "--format",
    type=click.Choice(("jsonl", "csv", "csv-excel", "parquet")),
    help="File format (by default that of the file's extension, else jsonl).",
)
@filter_options
@limit_option(0)
@click.option(
    "-o", "--output", metavar="FILE", help="New file to write instead of standard output."
)
@overwrite_option
@click.option(
    "--outputs",
    "folder",
    metavar="FOLDER",
    help="New folder to write each output to, as `audit get` writes it.",
)
@bare_option
@private_option
@isolate_option
@click.option("--resume", is_flag=True, help="Continue an interrupted export to FILE.")
@click.pass_obj
def export(
    context: CliContext,
    /,
    format: str | None,
    limit: int,
    output: str | None,
    overwrite: bool,
    folder: str | None,
    bare: bool,
    private: bool,
    resume: bool,
    **filters: Any,
) -> int:
    """Export generations to a file, newest first.

    A generation must match all given options. Generations recorded after the export began are not
    included. A message on standard error names a generation whose texts were altered after they
    were recorded.

    A terminal needs -o FILE, or -o - to print the records there.

    An interrupted export leaves FILE.part and FILE.part.json. Run the same command with --resume
    to continue it, which results in the same file.

    The option --outputs writes the outputs to files too, blocked ones included. The records name
    the file of each. With --overwrite, files of the same names in FOLDER are replaced. An erased
    output has no file.

    JSON lines, CSV rows and Parquet rows have the fields that `audit show --json` prints
    (docs/reference/json.md). The format csv is for programs and has the recorded texts. The format
    csv-excel is for spreadsheets: an apostrophe begins a text that they would compute as a formula,
    and a long number.
    """
    if resume and (output in (None, "-") or overwrite):
        raise click.UsageError("--resume continues a file; add -o FILE and remove --overwrite.")
    for option in ("--bare" if bare else "", "--private" if private else ""):
        if option and folder is None:
            raise click.UsageError(f"{option} has no effect on records; add --outputs FOLDER.")
    if folder is not None and output in (None, "-"):
        raise click.UsageError("--outputs needs a file for the records; add -o FILE.")
    if output is None and on_terminal():
        raise click.UsageError("the output is a terminal; add -o FILE, or -o - to print there.")
    destination = OutputFile("-" if output is None else output, overwrite=overwrite or resume)
    target, query = destination.target, query_of(context, filters, limit=limit)
    files = None
    if folder is not None:
        files = OutputFolder(context, folder, bare=bare, private=private)
    if files is not None and destination.special:
        raise UsageError(f"--outputs needs a file for the records, which {target} is not")
    if files is not None and files.path == Path(os.path.abspath(target)):
        raise UsageError(f"the records and the outputs cannot both be {target}; use another folder")
    if destination.stdout or destination.special:
        sys.stdout.flush()
        stream = nullcontext(sys.stdout.buffer) if destination.stdout else target.open("wb")
        altered: list[str] = []
        with stream as file:
            context.store.export_to(
                file, format or "jsonl", query, muniment.store.cores(), altered.extend
            )
        _report_obstacles(context, query)
        return _report_altered(len(altered), next(iter(altered), ""))
    if resume:
        job = _resume(context, target, format, query, files)
    elif muniment.store.unfinished(target) and not overwrite:
        raise UsageError(
            f"an export to {target} was interrupted; use --resume to continue it or --overwrite "
            "to start again"
        )
    else:
        chosen = format or _format_of(target)
        job = context.store.export(target, chosen, query, files.state if files else None)
        if files is not None:
            files.begin(overwrite=overwrite)
    with counting("exporting", None) as bar:
        try:
            rows = job.run(bar.advance, muniment.store.cores(), files)
        except KeyboardInterrupt:
            raise Interrupted(
                f"{pluralize(job.rows, 'generation')} written; run the same command with --resume "
                "to continue"
            ) from None
    write_note(f"wrote {target} ({pluralize(rows, 'generation')}, {target.stat().st_size:,} bytes)")
    if not rows:
        _report_obstacles(context, query)
    code = _report_altered(job.altered, job.first_altered)
    if files is not None and not files.report():
        code = exit_codes.worst((code, exit_codes.FAILED))
    return code


def _report_obstacles(context: CliContext, query: muniment.Query) -> None:
    """Print that no generation matches, if none can match the query."""
    if context.store.obstacles(query):
        write_note(no_match(context.store, query))


def _report_altered(number: int, first: str) -> int:
    """Print a warning if exported generations were altered, and return the exit code.

    `first` is the id of the first of them.
    """
    if not number:
        return exit_codes.DONE
    write_note(
        f"Warning: {pluralize(number, 'exported generation')} had texts that were altered after "
        f"they were recorded, which are empty in the export ({first}"
        f"{' and others' if number > 1 else ''}); run `muniment audit verify --payloads` to find "
        "all changes"
    )
    return exit_codes.UNVERIFIED


def _resume(
    context: CliContext,
    target: Path,
    format: str | None,
    query: muniment.Query,
    files: OutputFolder | None,
) -> Export:
    """Return the interrupted export, and open its folder of outputs.

    Raises UsageError for other filters, another folder or other options than it began with.
    """
    job = context.store.resume_export(target)
    began, now = job.outputs, files.state if files else None
    if (began and began.folder) != (now and now.folder):
        remedy = f"use --outputs {began.folder}" if began else "remove --outputs"
        raise UsageError(f"the export to {target} began with another --outputs; {remedy} to resume")
    for option in ("bare", "private"):
        if getattr(began, option, False) != getattr(now, option, False):
            began_so, remedy = ("with", "add") if getattr(began, option) else ("without", "remove")
            raise UsageError(
                f"the export to {target} began {began_so} --{option}; {remedy} it to resume"
            )
    for name in query.__slots__:
        value, original = getattr(query, name), getattr(job.query, name)
        # Times are not compared, since `7d` means a later time than it did then.
        is_time = name in ("since", "until") and original is not None
        if not (value == original or value is None or is_time):
            raise UsageError(
                f"the export to {target} began with a different {name}; use the same filters to "
                "resume it"
            )
    if format not in (None, job.format):
        raise UsageError(
            f"the export to {target} began as {job.format}; use --format {job.format} to resume it"
        )
    if files is not None and began is not None:
        files.resume(began)
    return job


def _format_of(target: Path) -> str:
    """Return the format of a file's extension. Raises UsageError for an unknown extension."""
    extension = target.suffix.removeprefix(".").lower()
    if not extension or extension == "ndjson":
        return "jsonl"
    if extension not in muniment.store.FORMATS:
        known = choice_of(extension, list(muniment.store.FORMATS))
        raise UsageError(f"{target}: there is no format {extension!r}{known}; --format names one")
    return extension
