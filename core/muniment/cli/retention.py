"""The command group `muniment retention`."""

from __future__ import annotations

import click

import muniment.store
from muniment.cli import exit_codes
from muniment.cli.audit_erase import report_erasure
from muniment.cli.confirm import confirm
from muniment.cli.context import CliContext
from muniment.cli.emit import emit
from muniment.cli.lazy import LazyGroup
from muniment.cli.options import json_option, yes_option
from muniment.cli.progress import counting
from muniment.types import DECISIONS

PAYLOADS = ("prompt", "request", "output", "trace", "detail", "comment", "reason", "replay")


@click.group(cls=LazyGroup)
def retention() -> None:
    """Set how long texts are kept, and erase expired ones."""


@retention.command("set")
@click.option("--payload", type=click.Choice(PAYLOADS), help="Kind of text (by default any).")
@click.option(
    "--decision", type=click.Choice(DECISIONS), help="Decision on the generation (by default any)."
)
@click.option(
    "--min-days",
    type=click.IntRange(min=1),
    metavar="DAYS",
    help="Minimum age at which texts can be erased.",
)
@click.option(
    "--max-days",
    type=click.IntRange(min=1),
    metavar="DAYS",
    help="Maximum age, after which `retention run` erases texts.",
)
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
    """Set how long texts are kept.

    Without days, the rule is removed. The most specific rule applies: kind and decision, then
    kind, then decision.
    """
    if min_days is not None and max_days is not None and min_days > max_days:
        raise click.UsageError("--min-days is more than --max-days; use a smaller --min-days.")
    rule = muniment.store.Rule(payload, decision, min_days, max_days)
    _print_rules(context.session.set_retention(rule), as_json)


@retention.command
@json_option
@click.pass_obj
def show(context: CliContext, as_json: bool) -> None:
    """Show the rules in force.

    Piped output has tab-separated columns: payload, decision, minimum days, maximum days.
    """
    _print_rules(context.store.retention.rules(), as_json)


@retention.command
@yes_option
@json_option
@click.pass_obj
def run(context: CliContext, yes: bool, as_json: bool) -> int:
    """Erase texts that are older than their retention rule allows.

    Erases permanently, as `audit erase` does, and skips the same generations.
    """
    action = "this will erase all texts older than the retention rules allow"
    if not confirm(action, yes=yes, otherwise="nothing was erased"):
        return exit_codes.FAILED
    with counting("erasing", None) as bar:
        result = context.session.run_retention(bar.advance)
    report_erasure(result, as_json)
    return exit_codes.DONE


def _print_rules(rules: list[muniment.store.Rule], as_json: bool) -> None:
    emit(
        rules,
        [
            ("payload", lambda rule: rule.payload or "any"),
            ("decision", lambda rule: rule.decision or "any"),
            ("at least", "least_days"),
            ("at most", "most_days"),
        ],
        as_json,
        empty="no retention rule is set: texts are kept until they are erased",
    )
