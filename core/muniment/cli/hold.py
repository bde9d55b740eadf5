"""The command group `muniment hold`."""

from __future__ import annotations

from typing import Any

import click

from muniment.cli.audit_erase import selection
from muniment.cli.context import CliContext
from muniment.cli.emit import emit
from muniment.cli.filters import filter_options
from muniment.cli.lazy import LazyGroup
from muniment.cli.options import json_option
from muniment.cli.output import pluralize, short_id, write_data, write_json, write_note


@click.group(cls=LazyGroup)
def hold() -> None:
    """Place generations under legal hold."""


@hold.command
@click.argument("references", metavar="[ID]...", nargs=-1)
@filter_options
@click.option("--reason", metavar="TEXT", required=True, help="Reason for the hold.")
@json_option
@click.pass_obj
def add(
    context: CliContext, /, references: tuple[str, ...], reason: str, as_json: bool, **filters: Any
) -> None:
    """Place generations under legal hold.

    Generations on hold cannot be erased until the hold is released. Applies to the generations
    that match all given options now.
    """
    query = selection(context, references, filters)
    identifier, number = context.session.hold(query, reason)
    if as_json:
        holds = context.session.store.holds.in_force()
        write_json(next(hold for hold in holds if hold.id == identifier))
        return
    write_data(identifier)
    write_note(f"placed {pluralize(number, 'generation')} on hold")


@hold.command("list")
@json_option
@click.pass_obj
def list_(context: CliContext, as_json: bool) -> None:
    """List the holds in force, oldest first."""
    emit(
        context.store.holds.in_force(),
        [
            ("hold", lambda hold: short_id(hold.id)),
            ("since", "at"),
            ("by", "actor"),
            ("generations", "generations"),
            ("reason", "reason"),
        ],
        as_json,
        empty="no hold is in force",
        cut="reason",
    )


@hold.command
@click.argument("reference", metavar="HOLD")
@click.option("--reason", metavar="TEXT", help="Reason for the release.")
@click.pass_obj
def release(context: CliContext, reference: str, reason: str | None) -> None:
    """Release a hold."""
    write_note(f"released {context.session.release(reference, reason)}")
