"""`muniment hold`: what may not be erased."""

from __future__ import annotations

from typing import Any

import click

from muniment.cli.context import Settings
from muniment.cli.filters import filter_options
from muniment.cli.options import json_option
from muniment.cli.output import count, data, data_json, ident, message, moment, table


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
    settings: Settings, /, references: tuple[str, ...], reason: str, as_json: bool, **filters: Any
) -> None:
    """Forbid that generations are erased until the hold is released.

    Meant are those that there are now: all filters given must hold.
    """
    from muniment.cli.audit_erase import wanted
    from muniment.store.recording.events import to_json

    if not references and all(value is None for value in filters.values()):
        raise click.UsageError("say what to hold: ids, or filters such as --tag.")
    query = wanted(settings, references, filters)
    identifier, number = settings.session.hold(query, reason)
    if as_json:
        found = next(held for held in settings.session.store.holds() if held.id == identifier)
        data_json(to_json(found))
        return
    data(identifier)
    message(f"held {count(number, 'generation')}")


@hold.command("list")
@json_option
@click.pass_obj
def list_(settings: Settings, as_json: bool) -> None:
    """List the holds that are in force, the oldest first."""
    from muniment.store.recording.events import to_json

    found = settings.store.holds()
    if as_json:
        for held in found:
            data_json(to_json(held))
        return
    table(
        ("hold", "since", "by", "generations", "reason"),
        (
            (ident(held.id), moment(held.at), held.actor, str(held.generations), held.reason)
            for held in found
        ),
        cut="reason",
    )


@hold.command
@click.argument("reference", metavar="HOLD")
@click.option("--reason", metavar="TEXT", help="Why.")
@click.pass_obj
def release(settings: Settings, reference: str, reason: str | None) -> None:
    """End a hold."""
    message(f"released {settings.session.release(reference, reason)}")
