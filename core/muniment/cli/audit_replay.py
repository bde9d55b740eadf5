"""The command `muniment audit replay`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from muniment.cli import exit_codes
from muniment.cli.context import CliContext, closing_iterator
from muniment.cli.options import isolate_option, json_option
from muniment.cli.output import on_terminal, one_line, pluralize, short_id, write_json, write_note
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
@click.option("--run", metavar="RUN", help="Run to replay: its generations with an output.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of completed generations to pick at random.",
)
@click.option("--sample-key", metavar="TEXT", help="Seed of the pick, to repeat it.")
@click.option("--no-record", is_flag=True, help="Do not record the results.")
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

    ID is a unique beginning or end of an id, or `last`. Each result is recorded as an entry.
    With --sample, generations are picked at random from a seed, which is printed. With
    --sample-key the pick is repeated, so an auditor can choose it.

    `exact` means the same bytes in the same environment. `certified` means the same bytes on a
    different machine or version, and no token was a close call. `uncertified` means the same
    bytes, but some token was a close call. `diverged` means different bytes. `impossible` means
    that it cannot be generated again.

    The exit code is 4 if a replay is uncertified or diverged, else 1 if one is impossible. Piped
    output has tab-separated columns: result, id, detail, differences of environment.
    """
    if [bool(references), run is not None, sample is not None].count(True) != 1:
        raise click.UsageError(
            "replay needs one selection of generations; use either ids, --run or --sample."
        )
    if sample_key is not None and sample is None:
        raise click.UsageError("--sample-key needs --sample; add --sample N.")
    store = context.store
    if run is not None:
        generations = _of_run(context, store.find_run(run))
    elif sample is not None:
        generations = _sample(context, sample, sample_key)
    else:
        ids = dict.fromkeys(store.find(reference) for reference in references)
        generations = [store.generation(identifier) for identifier in ids]
    session = context.session
    codes = []
    with (
        closing_iterator(session.replay(generations, record=not no_record)) as results,
        counting("replaying", len(generations)) as bar,
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
    number = pluralize(len(ids), "completed generation")
    write_note(f"picked {number} with --sample-key {key}")
    return [context.store.generation(identifier) for identifier in ids]


def _of_run(context: CliContext, run: str) -> list[Generation]:
    from muniment.store import Query

    store = context.store
    skipped: Counter[str] = Counter()
    ids = []
    for generation in store.generations(Query(run=run)):
        if generation.outputs and generation.status in ("completed", "blocked"):
            ids.append(generation.id)
        else:
            skipped[generation.status] += 1
    if skipped:
        parts = ", ".join(f"{number} {status}" for status, number in skipped.items())
        write_note(f"skipped {parts}: no output to compare with")
    return [store.generation(identifier) for identifier in reversed(ids)]


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
