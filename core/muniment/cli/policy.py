"""`muniment policy`: which filters run where, and what follows from what they find."""

from __future__ import annotations

import click

from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.options import json_option
from muniment.cli.output import (
    one_line,
    print_fields,
    warn_broken,
    write_data,
    write_json,
    write_note,
)


@click.group
def policy() -> None:
    """Show which filters run, and what follows."""


@policy.command
@click.argument("name", metavar="[FILE_OR_NAME]", required=False)
@json_option
@click.pass_obj
def show(context: CliContext, name: str | None, as_json: bool) -> int:
    """Show a policy; the one in force when none is named.

    Its filters are made as they would be to generate: one that cannot be is named, blocks
    everything it should judge, and makes the exit code 1. A parameter that a filter refuses makes
    the policy a wrong one, under which nothing is generated.
    """
    from muniment.generation import policy as policies
    from muniment.generation.moderation import PolicyRunner

    found = policies.choose(name if name is not None else context.config.get("policy"))
    plugins = context.session.plugins
    failures = PolicyRunner(found, plugins).failures
    warn_broken(plugins.load())
    if as_json:
        write_json(
            {
                "policy": found.name,
                "version": found.version,
                "source": found.source,
                "filters": [
                    {
                        "filter": rule.filter,
                        "stages": list(rule.stages),
                        "mode": rule.mode,
                        "time_limit": rule.time_limit,
                        "thresholds": rule.thresholds,
                        "parameters": rule.parameters,
                    }
                    for rule in found.filters
                ],
                "failures": failures,
            }
        )
    else:
        print_fields([("policy", found.name), ("version", found.version), ("source", found.source)])
        write_data()
        write_data(found.document.rstrip("\n") if found.filters else "no filter runs under it")
    for failure in failures:
        write_note(f"Error: {one_line(failure)}; it blocks everything")
    return exit_codes.FAILED if failures else exit_codes.DONE
