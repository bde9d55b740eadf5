"""`muniment audit export`: generations into a file, for spreadsheets, notebooks and archives."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext, Interrupted
from muniment.cli.filters import filter_options, query_of
from muniment.cli.options import limit_option, overwrite_option
from muniment.cli.output import pluralize, write_note
from muniment.cli.output_file import OutputFile
from muniment.cli.progress import counting
from muniment.errors import UsageError

if TYPE_CHECKING:
    from muniment.store.export import Export


@click.command
@click.option(
    "--format",
    type=click.Choice(("jsonl", "csv", "parquet")),
    help="Of the file; where it is left away, the file's ending says it, else jsonl.",
)
@filter_options
@limit_option(0)
@click.option(
    "-o", "--output", metavar="FILE", help="Write to a new file instead of standard output."
)
@overwrite_option
@click.option("--resume", is_flag=True, help="Go on with an export to FILE that was stopped.")
@click.pass_obj
def export(
    context: CliContext,
    /,
    format: str | None,
    limit: int,
    output: str | None,
    overwrite: bool,
    resume: bool,
    **filters: Any,
) -> None:
    """Write generations to a file, newest first.

    All filters given must hold. What is recorded after the export began is not in it. An export
    that was stopped leaves FILE.part and FILE.part.json; the same command with --resume goes on,
    and the file becomes what it would have been. An object of JSON lines is what `audit show
    --json` prints; a row of CSV or Parquet has the same fields (docs/reference/json.md).
    """
    if resume and (output in (None, "-") or overwrite):
        raise click.UsageError("--resume goes on with a file: name it with -o, not --overwrite.")
    if output is None:
        output = "-"
    destination = OutputFile(output, overwrite=overwrite or resume)
    if destination.stdout or destination.special:
        _stream(context, destination, format or "jsonl", filters, limit)
        return
    from muniment.store.database.export_pool import cores

    target = destination.target
    work = (_resumed if resume else _begun)(context, target, format, filters, limit, overwrite)
    with counting("exporting", None) as bar:
        bar.advance(work.rows)
        try:
            rows = work.run(bar.advance, cores())
        except KeyboardInterrupt:
            raise Interrupted(
                f"{pluralize(work.rows, 'generation')} are written; the same command with --resume "
                "goes on"
            ) from None
    write_note(f"wrote {target} ({pluralize(rows, 'generation')}, {target.stat().st_size:,} bytes)")


def _begun(
    context: CliContext,
    target: Path,
    format: str | None,
    filters: dict[str, Any],
    limit: int,
    overwrite: bool,
) -> Export:
    from muniment.store.export import unfinished

    if unfinished(target) and not overwrite:
        raise UsageError(
            f"an export to {target} was stopped; go on with --resume, or use --overwrite"
        )
    format = format or _by_ending(target)
    return context.store.export(target, format, query_of(context, filters, limit=limit))


def _resumed(
    context: CliContext,
    target: Path,
    format: str | None,
    filters: dict[str, Any],
    limit: int,
    overwrite: bool,
) -> Export:
    """Return the export that was stopped; its filters stay, and other ones are refused.

    Moments are not compared: `7d` ago is later now than it was.
    """
    work = context.store.resume_export(target)
    wanted = query_of(context, filters, limit=limit)
    for name in wanted.__slots__:
        given, begun = getattr(wanted, name), getattr(work.query, name)
        same = given == begun or given is None or (name in ("since", "until") and begun is not None)
        if not same:
            raise UsageError(f"the export to {target} was begun with another {name}")
    if format not in (None, work.format):
        raise UsageError(f"the export to {target} was begun as {work.format}")
    return work


def _stream(
    context: CliContext,
    destination: OutputFile,
    format: str,
    filters: dict[str, Any],
    limit: int,
) -> None:
    from muniment.store.database.export_pool import cores

    query = query_of(context, filters, limit=limit)
    if destination.stdout:
        sys.stdout.flush()
        context.store.export_to(sys.stdout.buffer, format, query, cores())
        return
    with open(destination.target, "wb") as output:
        context.store.export_to(output, format, query, cores())


def _by_ending(target: Path) -> str:
    from muniment.store.export import FORMATS

    ending = os.path.splitext(target)[1].removeprefix(".").lower()
    return ending if ending in FORMATS else "jsonl"
