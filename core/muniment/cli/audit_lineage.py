"""The command `muniment audit lineage`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from muniment.cli.context import CliContext
from muniment.cli.field_lines import print_fields
from muniment.cli.options import json_option
from muniment.cli.output import one_line, write_data, write_json, write_styled
from muniment.cli.training import training_text
from muniment.cli.values import coloured_status, content_marks, model_name, moment, short_id
from muniment.types.generations import Generation

if TYPE_CHECKING:
    from muniment.store.queries.finder import Lineage


@click.command
@click.argument("reference", metavar="ID")
@json_option
@click.pass_obj
def lineage(context: CliContext, reference: str, as_json: bool) -> None:
    """Show parents and children of a generation, and the trainings of its models.

    Shows all ancestors and descendants, and the other attempts at the same line of a batch. The
    generation itself is marked `*`. The recorded trainings of all their models, and of the models
    that those were trained from, follow.
    """
    store = context.store
    id = store.find(reference)
    family = store.lineage(id)
    digests = {
        model.digest
        for item in family.generations
        for model in (item.model, *item.models.values())
        if model is not None and model.digest
    }
    trainings = store.trainings.of(digests)
    if as_json:
        write_json(
            {
                "id": id,
                "whole": family.whole,
                "generations": [
                    {
                        "id": item.id,
                        "run_id": item.run_id,
                        "line": item.line,
                        "attempt": family.attempts.get(item.id),
                        "status": item.status,
                        "generator": item.generator,
                        "model": item.model
                        and {"name": item.model.name, "digest": item.model.digest},
                        "parents": list(item.parents),
                        "started_at": item.to_json()["started_at"],
                    }
                    for item in family.generations
                ],
                "trainings": [training.to_json() for training in trainings],
            }
        )
        return
    for line in _tree(family, id):
        write_styled(line)
    if not family.whole:
        write_data("… more generations, not shown")
    if trainings:
        write_data()
        print_fields(("training", training_text(training)) for training in trainings)


def _tree(family: Lineage, id: str) -> list[str]:
    """Return the lines of a tree, in which a node with several parents is expanded only once."""
    by_id = {item.id: item for item in family.generations}
    children: dict[str, list[str]] = {}
    for item in family.generations:
        for parent in dict.fromkeys(item.parents):
            children.setdefault(parent, []).append(item.id)
    roots = [item.id for item in family.generations if not any(p in by_id for p in item.parents)]
    lines: list[str] = []
    expanded: set[str] = set()
    # Tuples of an id, the prefix of its line and the prefix of its children's lines.
    remaining = [(root, "", "") for root in reversed(roots)]
    while remaining:
        node, prefix, indent = remaining.pop()
        again = " (see above)" if node in expanded else ""
        lines.append(prefix + _line(by_id[node], family.attempts.get(node), node == id) + again)
        if again:
            continue
        expanded.add(node)
        below = children.get(node, [])
        for number, child in enumerate(reversed(below)):
            last = number == 0
            remaining.append(
                (child, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  "))
            )
    return lines


def _line(item: Generation, attempt: int | None, marked: bool) -> str:
    parts = [
        short_id(item.id) + (" *" if marked else ""),
        moment(item.started_at),
        coloured_status(item.status),
        one_line(item.generator),
        *((one_line(model_name(item.model, item)),) if item.model else ()),
    ]
    if item.line is not None:
        parts.append(f"line {item.line}, attempt {attempt}")
    return "  ".join([*parts, *filter(None, [content_marks(item)])])
