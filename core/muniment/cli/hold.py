"""`muniment hold`: what may not be erased."""

from __future__ import annotations

from typing import Any

import click

from muniment.cli.context import CliContext
from muniment.cli.filters import filter_options
from muniment.cli.options import json_option
from muniment.cli.output import (
    moment,
    pluralize,
    short_id,
    table,
    write_data,
    write_json,
    write_note,
)


@click.group
def hold() -> None:
    """Forbid that generations are erased, as a court may."""


@hold.command
@click.argument("references", metavar="[ID]...", nargs=-1)
@filter_options
@click.option("--reason", metavar="TEXT", required=True, help="Why they must be kept.")
@json_option
@click.pass_obj
def add(
    context: CliContext, /, references: tuple[str, ...], reason: str, as_json: bool, **filters: Any
) -> None:
    """Forbid that generations are erased until the hold is released.

    Meant are those that there are now: all filters given must hold.
    """
    from muniment.cli.audit_erase import wanted
    from muniment.store.recording.events import to_json

    if not references and all(value is None for value in filters.values()):
        raise click.UsageError("say what to hold: ids, or filters such as --tag.")
    query = wanted(context, references, filters)
    identifier, number = context.session.hold(query, reason)
    if as_json:
        found = next(held for held in context.session.store.holds() if held.id == identifier)
        write_json(to_json(found))
        return
    write_data(identifier)
    write_note(f"held {pluralize(number, 'generation')}")


@hold.command("list")
@json_option
@click.pass_obj
def list_(context: CliContext, as_json: bool) -> None:
    """List the holds that are in force, the oldest first."""
    from muniment.store.recording.events import to_json

    found = context.store.holds()
    if as_json:
        for held in found:
            write_json(to_json(held))
        return
    table(
        ("hold", "since", "by", "generations", "reason"),
        (
            (short_id(held.id), moment(held.at), held.actor, str(held.generations), held.reason)
            for held in found
        ),
        cut="reason",
    )


@hold.command
@click.argument("reference", metavar="HOLD")
@click.option("--reason", metavar="TEXT", help="Why.")
@click.pass_obj
def release(context: CliContext, reference: str, reason: str | None) -> None:
    """End a hold."""
    write_note(f"released {context.session.release(reference, reason)}")
