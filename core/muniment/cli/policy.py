"""The command group `muniment policy`."""

from __future__ import annotations

import click

from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.lazy import LazyGroup
from muniment.cli.options import json_option
from muniment.cli.output import emit_one, one_line, warn_broken, write_data, write_note
from muniment.generation import policy as policies
from muniment.generation.assessment import PolicyRunner

_RULE = ("filter", "stages", "mode", "time_limit", "thresholds", "parameters")


@click.group(cls=LazyGroup)
def policy() -> None:
    """Show which filters run, and their effect."""


@policy.command
@click.argument("name", metavar="[FILE_OR_NAME]", required=False)
@json_option
@click.pass_obj
def show(context: CliContext, name: str | None, as_json: bool) -> int:
    """Show a policy.

    Without a name, shows the policy in force. Its filters are created as for a generation. A
    filter that cannot be created is reported and makes the exit code 1. It blocks everything that
    it should check. A policy with a parameter that its filter rejects is invalid, and nothing is
    generated under it.
    """
    policy = policies.resolve_policy(name if name is not None else context.config.get("policy"))
    plugins = context.session.plugins
    failures = PolicyRunner(policy, plugins).failures
    warn_broken(plugins.load())
    emit_one(
        {
            "policy": policy.name,
            "version": policy.version,
            "source": policy.source,
            "filters": [{name: getattr(rule, name) for name in _RULE} for rule in policy.filters],
            "failures": failures,
        },
        [("policy", "policy"), ("version", "version"), ("source", "source")],
        as_json,
    )
    if not as_json:
        write_data()
        write_data(policy.document.rstrip("\n") if policy.filters else "this policy has no filters")
    for failure in failures:
        write_note(
            f"Error: {one_line(failure)}; everything it should check is blocked, so fix it or "
            "remove it from the policy"
        )
    return exit_codes.FAILED if failures else exit_codes.DONE
