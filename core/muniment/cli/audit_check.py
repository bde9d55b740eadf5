"""`muniment audit replay`: can it be made again?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from muniment.cli import exits
from muniment.cli.options import json_option
from muniment.cli.output import data_json, ident, message, on_terminal, one_line
from muniment.cli.progress import counting
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
