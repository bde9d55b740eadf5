"""The command `muniment evaluate`, which scores recorded generations."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import click

import muniment
from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.listing import emit
from muniment.cli.options import headers_option, isolate_option, json_option
from muniment.cli.output import one_line, write_json, write_note
from muniment.cli.progress import counting
from muniment.cli.values import pluralize, short_id
from muniment.generation.scoring import ScoredGroup
from muniment.types.scores import Score

_NAMED = 5  # ids of omitted generations that a note names, for each reason


@dataclass(frozen=True, slots=True)
class _Row:
    """A score of a generation, as a line of the output."""

    id: str
    score: Score

    @property
    def value(self) -> object:
        return self.score.failure if self.score.value is None else self.score.value


@click.command
@click.argument("references", metavar="[ID]...", nargs=-1)
@click.option("--run", metavar="RUN", help="Run whose generations are scored.")
@click.option(
    "--with",
    "evaluators",
    metavar="NAMES",
    multiple=True,
    required=True,
    help="Evaluators, as in 'chrf,bleu(order=2)' (may be repeated).",
)
@click.option(
    "--references",
    "file",
    metavar="FILE",
    help="JSON lines with `references` and one of `id`, `item` and `prompt`.",
)
@isolate_option
@headers_option
@json_option
@click.pass_obj
def evaluate(
    context: CliContext,
    references: tuple[str, ...],
    run: str | None,
    evaluators: tuple[str, ...],
    file: str | None,
    as_json: bool,
) -> int:
    """Score recorded generations.

    ID is a unique beginning or end of an id, or `last`. The scores are added to the record, and
    earlier ones remain.

    Some evaluators compare the generations of a group. A group has those of one item and setting of
    an experiment, or else those of a run with equal prompts and parameters. Others compare outputs
    with references, which come from --references or from the design of the experiment.

    Generations that are not completed, were erased or were altered are left out, and named on
    standard error. The exit code is 1 if none could be scored, or if an evaluator failed. Piped
    output has tab-separated columns: id, evaluator, measure, value, unit.
    """
    if bool(references) == (run is not None):
        raise click.UsageError("evaluate needs one selection of generations; use ids or --run.")
    session, store = context.session, context.store
    query = None if run is None else muniment.Query(run=store.find_run(run))
    total = len(set(references)) if query is None else store.count(query)
    groups = session.evaluate(query or references, evaluators, references=file)
    omitted: dict[str, list[str]] = defaultdict(list)
    count, failed = 0, False
    with contextlib.closing(groups), counting("scoring", total) as bar:
        for group in groups:
            for id, reason in group.omitted.items():
                omitted[reason].append(id)
            rows = [_Row(*pair) for pair in _pairs(group)]
            failed = failed or any(row.score.value is None for row in rows)
            count += len({row.id for row in rows})
            if as_json:
                _write_json(group)
            else:
                _write(rows)
            bar.advance(len(group.generations) + len(group.omitted))
    _note_omitted(omitted)
    if not count:
        write_note("no generation was scored")
    return exit_codes.FAILED if failed or not count else exit_codes.DONE


def _pairs(group: ScoredGroup) -> Iterator[tuple[str, Score]]:
    for generation in group.generations:
        for score in group.scores(generation.id):
            yield generation.id, score


def _write(rows: list[_Row]) -> None:
    emit(
        rows,
        [
            ("id", lambda row: short_id(row.id)),
            ("evaluator", lambda row: row.score.evaluator),
            ("measure", lambda row: row.score.name),
            ("value", "value"),
            ("unit", lambda row: row.score.unit),
        ],
        as_json=False,
    )


def _write_json(group: ScoredGroup) -> None:
    for generation in group.generations:
        scores = group.scores(generation.id)
        write_json({"id": generation.id, "scores": scores, "omitted": None})
    for id, reason in group.omitted.items():
        write_json({"id": id, "scores": [], "omitted": reason})


def _note_omitted(omitted: dict[str, list[str]]) -> None:
    for reason, ids in omitted.items():
        names = ", ".join(short_id(id, "stderr") for id in ids[:_NAMED])
        more = ", …" if len(ids) > _NAMED else ""
        number = pluralize(len(ids), "generation")
        write_note(f"left out {number}, {one_line(reason)}: {names}{more}")
