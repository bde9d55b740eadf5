"""The command group `muniment audit`."""

from __future__ import annotations

import click

from muniment.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("muniment.cli.audit_list:list_", "List generations, newest first."),
    "search": (
        "muniment.cli.audit_list:search",
        "Search prompts, outputs and reasons, newest first.",
    ),
    "stats": (
        "muniment.cli.audit_stats:stats",
        "Count generations by status, model, actor, day and more.",
    ),
    "tail": (
        "muniment.cli.audit_list:tail",
        "Show the newest generations, or follow new ones with -f.",
    ),
    "diff": (
        "muniment.cli.audit_compare:diff",
        "Show the differences between two generations.",
    ),
    "lineage": (
        "muniment.cli.audit_compare:lineage",
        "Show parents and children of a generation.",
    ),
    "show": ("muniment.cli.audit_show:show", "Show everything recorded about a generation."),
    "get": ("muniment.cli.audit_show:get", "Get the output of a generation, unchanged."),
    "runs": ("muniment.cli.audit_list:runs", "List runs, newest first."),
    "replay": ("muniment.cli.audit_replay:replay", "Generate again and compare with the record."),
    "verify": ("muniment.cli.audit_verify:verify", "Check that the record was not altered."),
    "checkpoint": ("muniment.cli.audit_prove:checkpoint", "Print the newest signed checkpoint."),
    "prove": (
        "muniment.cli.audit_prove:prove",
        "Write a proof that can be checked without the store.",
    ),
    "erase": (
        "muniment.cli.audit_erase:erase",
        "Erase prompts, outputs and all other texts of generations permanently.",
    ),
    "export": ("muniment.cli.audit_export:export", "Export generations to a file, newest first."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def audit() -> None:
    """Search, show, replay and verify recorded generations."""
