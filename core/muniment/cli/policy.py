"""`muniment policy`: which filters run where, and what follows from what they find."""

from __future__ import annotations

from typing import Any

import click

from muniment.cli.options import json_option
from muniment.cli.output import card, data, data_json, table
from muniment.cli.settings import Settings


@click.group
def policy() -> None:
    """Show which filters run, and what follows."""


@policy.command
@click.argument("name", metavar="[FILE_OR_NAME]", required=False)
@json_option
@click.pass_obj
def show(settings: Settings, name: str | None, as_json: bool) -> None:
    """Show a policy; the one in force when none is named.

    Off a terminal the lines after the blank one have the columns: filter, stages, mode,
    thresholds, parameters.
    """
    from muniment import policy as policies

    found = policies.choose(name if name is not None else settings.config.get("policy"))
    if as_json:
        data_json(
            {
                "policy": found.name,
                "version": found.version,
                "source": found.source,
                "filters": [
                    {
                        "filter": rule.filter,
                        "stages": list(rule.stages),
                        "mode": rule.mode,
                        "thresholds": rule.thresholds,
                        "parameters": rule.parameters,
                    }
                    for rule in found.filters
                ],
            }
        )
        return
    card([("policy", found.name), ("version", found.version), ("source", found.source)])
    if not found.filters:
        data("\nno filter runs under it")
        return
    data()
    rows = [
        (
            rule.filter,
            ", ".join(rule.stages),
            rule.mode,
            _inner(rule.thresholds),
            _inner(rule.parameters),
        )
        for rule in found.filters
    ]
    table(("filter", "stages", "mode", "thresholds", "parameters"), rows)


def _inner(values: Any) -> str:
    import json

    return json.dumps(values, ensure_ascii=False, default=str) if values else ""
