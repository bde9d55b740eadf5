"""`muniment retention`: how long payloads are kept, at least and at most."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from muniment.cli import exit_codes
from muniment.cli.confirm import confirm
from muniment.cli.context import CliContext
from muniment.cli.options import json_option, yes_option
from muniment.cli.output import table, write_json
from muniment.cli.progress import counting
from muniment.types import DECISIONS

if TYPE_CHECKING:
    from muniment.store.retention.rules import Rule

PAYLOADS = ("prompt", "request", "output", "trace", "detail", "comment", "reason", "replay")


@click.group
def retention() -> None:
    """Set how long texts are kept, and erase what was kept long enough."""


@retention.command("set")
@click.option("--payload", type=click.Choice(PAYLOADS), help="Of this kind; else of any.")
@click.option("--decision", type=click.Choice(DECISIONS), help="Of generations decided so.")
@click.option("--min-days", type=click.IntRange(min=1), metavar="DAYS", help="Kept at least.")
@click.option("--max-days", type=click.IntRange(min=1), metavar="DAYS", help="Kept at most.")
@json_option
@click.pass_obj
def set_(
    context: CliContext,
    payload: str | None,
    decision: str | None,
    min_days: int | None,
    max_days: int | None,
    as_json: bool,
) -> None:
    """Set how long payloads are kept; without days, nothing is set for them any more.

    Of several rules that fit and set what is asked, the one counts that names kind and decision,
    then the kind, then the decision. What must be kept cannot be erased; what may not be kept
    goes with `retention run`.
    """
    from muniment.store.retention.rules import Rule

    if min_days is not None and max_days is not None and min_days > max_days:
        raise click.UsageError("--min-days is more than --max-days.")
    rule = Rule(payload, decision, min_days, max_days)
    _show(context.session.set_retention(rule), as_json)


@retention.command
@json_option
@click.pass_obj
def show(context: CliContext, as_json: bool) -> None:
    """Show the rules in force.

    Off a terminal the columns are: payload, decision, at least, at most, in days.
    """
    _show(context.store.retention(), as_json)


@retention.command
@yes_option
@json_option
@click.pass_obj
def run(context: CliContext, yes: bool, as_json: bool) -> int:
    """Erase what was kept as long as the rules say, as `audit erase` does."""
    from muniment.cli.audit_erase import erased

    if not confirm(
        "what was kept as long as the rules say is erased for good",
        yes=yes,
        otherwise="nothing was erased",
    ):
        return exit_codes.FAILED
    with counting("erasing", None) as bar:
        result = context.session.run_retention(bar.advance)
    erased(result, as_json)
    return exit_codes.DONE


def _show(rules: list[Rule], as_json: bool) -> None:
    if as_json:
        for rule in rules:
            write_json(asdict(rule))
        return
    table(
        ("payload", "decision", "at least", "at most"),
        (
            (
                rule.payload or "any",
                rule.decision or "any",
                "" if rule.least_days is None else str(rule.least_days),
                "" if rule.most_days is None else str(rule.most_days),
            )
            for rule in rules
        ),
    )
