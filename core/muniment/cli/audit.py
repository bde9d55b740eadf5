"""`muniment audit`: what was recorded: found, shown, checked, proven, taken out and erased."""

from __future__ import annotations

import click

from muniment.cli.lazy import LazyGroup

COMMANDS = {
    "list": ("muniment.cli.audit_read:list_", "List generations, the newest first."),
    "search": (
        "muniment.cli.audit_search:search",
        "Search prompts, outputs and reasons, the newest first.",
    ),
    "stats": ("muniment.cli.audit_stats:stats", "Count generations by what they are, and by day."),
    "tail": (
        "muniment.cli.audit_stats:tail",
        "Show the last generations, and with -f those that follow.",
    ),
    "diff": ("muniment.cli.audit_compare:diff", "Show what differs between two generations."),
    "lineage": (
        "muniment.cli.audit_compare:lineage",
        "Draw what a generation was made from, and what from it.",
    ),
    "show": ("muniment.cli.audit_read:show", "Show everything recorded of a generation."),
    "get": ("muniment.cli.audit_read:get", "Get the output of a generation as it was."),
    "runs": ("muniment.cli.audit_read:runs", "List runs, the newest first."),
    "replay": ("muniment.cli.audit_replay:replay", "Generate again and compare with the record."),
    "verify": ("muniment.cli.audit_verify:verify", "Check that the record was not altered."),
    "checkpoint": ("muniment.cli.audit_prove:checkpoint", "Print the signed head of the record."),
    "prove": ("muniment.cli.audit_prove:prove", "Write a proof for someone who has no store."),
    "erase": (
        "muniment.cli.audit_erase:erase",
        "Destroy prompts, outputs and all other texts of generations, for good.",
    ),
    "export": ("muniment.cli.audit_export:export", "Write generations to a file, newest first."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def audit() -> None:
    """Search, show, replay and verify what was recorded."""
