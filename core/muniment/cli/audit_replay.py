"""`muniment audit replay`: can it be made again?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from muniment.cli import exit_codes
from muniment.cli.context import CliContext, closing_iterator
from muniment.cli.options import isolate_option, json_option
from muniment.cli.output import on_terminal, one_line, short_id, write_json, write_note
from muniment.cli.progress import counting

if TYPE_CHECKING:
    from muniment.types import Generation, Replay

_CODES = {
    "exact": exit_codes.DONE,
    "certified": exit_codes.DONE,
    "uncertified": exit_codes.UNVERIFIED,
    "diverged": exit_codes.UNVERIFIED,
    "impossible": exit_codes.FAILED,
}


@click.command
@click.argument("references", metavar="[ID]...", nargs=-1)
@click.option("--run", metavar="RUN", help="Every generation of a run that has an output.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of completed generations to pick at random.",
)
@click.option("--sample-key", metavar="TEXT", help="Repeat the --sample picked with this key.")
@click.option("--no-record", is_flag=True, help="Do not record it, as in a copy of a store.")
@isolate_option
@json_option
@click.pass_obj
def replay(
    context: CliContext,
    references: tuple[str, ...],
    run: str | None,
    sample: int | None,
    sample_key: str | None,
    no_record: bool,
    as_json: bool,
) -> int:
    """Generate again and compare with the record.

    ID is a unique beginning or end of an id, or `last`. What comes of it is recorded, as an entry
    of its own. --sample picks at random from a seed, which is printed; --sample-key repeats a
    pick, so an auditor can choose it. Each
    replay comes out as
    exact (the same bytes in the same environment), certified (the same bytes in another one, by
    every recorded margin and the measured change of log-probabilities, which estimates how far
    the environments lie apart), uncertified (the same bytes, but some margin is too small to
    promise it), diverged (other bytes) or impossible. The exit code is 4 when one is uncertified
    or has diverged, else 1 when one was impossible. Off a terminal the columns are: result, id,
    detail, differences of the environment.
    """
    if [bool(references), run is not None, sample is not None].count(True) != 1:
        raise click.UsageError(
            "name the generations to replay, or a run with --run, or how many with --sample."
        )
    if sample_key is not None and sample is None:
        raise click.UsageError("--sample-key needs --sample.")
    store = context.store
    if run is not None:
        wanted = _of_run(context, store.find_run(run))
    elif sample is not None:
        wanted = _sample(context, sample, sample_key)
    else:
        found = dict.fromkeys(store.find(reference) for reference in references)
        wanted = [store.generation(identifier) for identifier in found]
    session = context.session
    codes = []
    with (
        closing_iterator(session.replay(wanted, record=not no_record)) as results,
        counting("replaying", len(wanted)) as bar,
    ):
        for result in results:
            codes.append(_CODES[result.result])
            if as_json and not on_terminal():
                write_json(result.to_json())
            else:
                for line in _lines(result, as_json):
                    bar.write(line)
            bar.advance(1)
    return exit_codes.worst(codes)


def _sample(context: CliContext, count: int, key: str | None) -> list[Generation]:
    import secrets

    key = secrets.token_hex(8) if key is None else key
    ids = context.store.sample(count, key)
    write_note(f"picked {len(ids)} completed generations with --sample-key {key}")
    return [context.store.generation(identifier) for identifier in ids]


def _of_run(context: CliContext, run: str) -> list[Generation]:
    from muniment.store import Query

    store = context.store
    skipped: Counter[str] = Counter()
    wanted = []
    for found in store.generations(Query(run=run)):
        if found.outputs and found.status in ("completed", "blocked"):
            wanted.append(found.id)
        else:
            skipped[found.status] += 1
    if skipped:
        parts = ", ".join(f"{number} {status}" for status, number in skipped.items())
        write_note(f"nothing to compare with: {parts}")
    return [store.generation(identifier) for identifier in reversed(wanted)]


def _lines(result: Replay, as_json: bool) -> Iterator[str]:
    from muniment.cli.output import json_text

    if as_json:
        yield json_text(result.to_json())
        return
    differences = [f"{item.name}: {item.recorded} → {item.now}" for item in result.differences]
    detail = one_line(result.detail)
    if on_terminal():
        yield f"{result.result:<11}  {short_id(result.id)}  {detail}"
        yield from (f"{'':<11}  {one_line(line)}" for line in differences)
    else:
        cells = (result.result, result.id, detail, one_line("; ".join(differences)))
        yield "\t".join(cells)
