"""`muniment audit replay` and `verify`: does the record hold?"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from muniment.cli import exits
from muniment.cli.options import json_option
from muniment.cli.output import (
    count,
    data,
    data_json,
    ident,
    message,
    on_terminal,
    one_line,
    shortened,
)
from muniment.cli.progress import counting, fraction
from muniment.cli.settings import Settings, closing

if TYPE_CHECKING:
    from muniment.replay import Replay
    from muniment.types import Generation

_CODES = {
    "exact": exits.DONE,
    "certified": exits.DONE,
    "uncertified": exits.UNVERIFIED,
    "diverged": exits.UNVERIFIED,
    "impossible": exits.FAILED,
}


@click.command
@click.argument("references", metavar="[ID]...", nargs=-1)
@click.option("--run", metavar="RUN", help="Every generation of a run that has an output.")
@json_option
@click.pass_obj
def replay(settings: Settings, references: tuple[str, ...], run: str | None, as_json: bool) -> int:
    """Generate again and compare with the record.

    ID is a unique beginning or end of an id, or `last`; nothing is recorded. Each comes out as
    exact (the same bytes in the same environment), certified (the same bytes in another one, by
    every recorded margin and the measured change of log-probabilities, which estimates how far
    the environments lie apart), uncertified (the same bytes, but some margin is too small to
    promise it), diverged (other bytes) or impossible. The exit code is 4 when one is uncertified
    or has diverged, else 1 when one was impossible. Off a terminal the columns are: result, id,
    detail, differences of the environment.
    """
    if bool(references) == (run is not None):
        raise click.UsageError("name the generations to replay, or a run with --run.")
    store = settings.store
    if run is not None:
        wanted = _of_run(settings, store.find_run(run))
    else:
        found = dict.fromkeys(store.find(reference) for reference in references)
        wanted = [store.generation(identifier) for identifier in found]
    session = settings.session
    codes = []
    with (
        closing(session.replay(wanted)) as results,
        counting("replaying", len(wanted)) as bar,
    ):
        for result in results:
            codes.append(_CODES[result.result])
            if as_json and not on_terminal():
                data_json(result.to_json())
            else:
                for line in _lines(result, as_json):
                    bar.write(line)
            bar.advance(1)
    return exits.worst(codes)


@click.command
@click.option("--projections", is_flag=True, help="Compare the query tables with the entries.")
@click.option("--payloads", is_flag=True, help="Compare prompts and outputs with the entries.")
@click.option("--all", "everything", is_flag=True, help="Check all of these.")
@json_option
@click.pass_obj
def verify(
    settings: Settings, projections: bool, payloads: bool, everything: bool, as_json: bool
) -> int:
    """Check that the record was not altered.

    The ledger is always checked: every entry's hash, and the root of all. Each problem is named
    on a line of its own, and the exit code is then 4.
    """
    projections, payloads = projections or everything, payloads or everything
    with fraction("verifying") as progress:
        found = settings.store.verify(
            projections=projections,
            payloads=payloads,
            progress=lambda what, done, total: progress(what, done / total if total else 1.0),
        )
    if as_json:
        data_json(dataclasses.asdict(found))
        return exits.DONE if found.ok else exits.UNVERIFIED
    for problem in found.problems:
        data(one_line(f"{problem.kind}  {problem.where}  {problem.message}"))
    root = shortened(found.root) if on_terminal() else found.root
    verdict = "ok" if found.ok else f"failed  {count(len(found.problems), 'problem')} ·"
    data(f"{verdict}  {count(found.entries, 'entry')} · root {root}")
    message(f"checked: {', '.join(found.checked)}")
    return exits.DONE if found.ok else exits.UNVERIFIED


def _of_run(settings: Settings, run: str) -> list[Generation]:
    from muniment.store import Query

    store = settings.store
    skipped: Counter[str] = Counter()
    wanted = []
    for found in store.generations(Query(run=run)):
        if found.outputs and found.status in ("completed", "blocked"):
            wanted.append(found.id)
        else:
            skipped[found.status] += 1
    if skipped:
        parts = ", ".join(f"{number} {status}" for status, number in skipped.items())
        message(f"nothing to compare with: {parts}")
    return [store.generation(identifier) for identifier in reversed(wanted)]


def _lines(result: Replay, as_json: bool) -> Iterator[str]:
    from muniment.cli.output import json_text

    if as_json:
        yield json_text(result.to_json())
        return
    differences = [f"{item.name}: {item.recorded} → {item.now}" for item in result.differences]
    detail = one_line(result.detail)
    if on_terminal():
        yield f"{result.result:<11}  {ident(result.id)}  {detail}"
        yield from (f"{'':<11}  {one_line(line)}" for line in differences)
    else:
        cells = (result.result, result.id, detail, one_line("; ".join(differences)))
        yield "\t".join(cells)
