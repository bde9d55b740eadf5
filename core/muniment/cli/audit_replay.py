"""The command `muniment audit replay`."""

from __future__ import annotations

import contextlib
import secrets
from collections import Counter

import click

import muniment
from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.listing import emit
from muniment.cli.options import headers_option, isolate_option, json_option
from muniment.cli.output import one_line, write_data, write_note, write_styled
from muniment.cli.progress import counting
from muniment.cli.values import coloured_status, pluralize, short_id
from muniment.types.generations import Generation
from muniment.types.replays import Replay

_CODES = {"diverged": exit_codes.UNVERIFIED, "impossible": exit_codes.FAILED}
_STRICT_CODES = {
    "uncertified": exit_codes.UNVERIFIED,
    "diverged": exit_codes.UNVERIFIED,
    "impossible": exit_codes.UNVERIFIED,
}


@click.command
@click.argument("references", metavar="[ID]...", nargs=-1)
@click.option("--run", metavar="RUN", help="Run to replay: its generations with an output.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of completed generations to draw at random.",
)
@click.option("--sample-key", metavar="TEXT", help="Seed of the pick, to repeat it.")
@click.option("--strict", is_flag=True, help="Exit with 4 unless all are exact or certified.")
@click.option("--no-record", is_flag=True, help="Do not record the results.")
@isolate_option
@headers_option
@json_option
@click.pass_obj
def replay(
    context: CliContext,
    references: tuple[str, ...],
    run: str | None,
    sample: int | None,
    sample_key: str | None,
    strict: bool,
    no_record: bool,
    as_json: bool,
) -> int:
    """Generate again and compare with the record.

    ID is a unique beginning or end of an id, or `last`. Each result is recorded as an entry.
    With --sample, generations are drawn at random with a seed, which is printed. With
    --sample-key, an auditor sets that seed, and the same generations are drawn again.

    `exact` means the same bytes in the same environment. `certified` means the same bytes in a
    different environment, and every token's margin is larger than the difference of the logits.
    `uncertified` means the same bytes, but a margin is missing or too small. `diverged` means
    different bytes. `impossible` means that the generation cannot be repeated, or its selection
    cannot be made.

    The exit code is 4 if a replay diverged, or is impossible and the record was altered, else 1 if
    one is impossible. With --strict it is 4 unless every replay is exact or certified. Piped output
    has tab-separated columns: result, id, detail, differences of environment.
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
    table = _STRICT_CODES if strict else _CODES
    altered = {generation.id for generation in generations if generation.altered}
    codes = []
    with (
        contextlib.closing(session.replay(generations, record=not no_record)) as results,
        counting("replaying", len(generations)) as bar,
    ):
        for result in results:
            code = table.get(result.result, exit_codes.DONE)
            if result.result == "impossible" and result.id in altered:
                code = exit_codes.UNVERIFIED
            codes.append(code)
            emit(
                [result],
                [
                    ("result", "result"),
                    ("id", "id"),
                    ("detail", "detail"),
                    ("differences", lambda result: "; ".join(_differences(result))),
                ],
                as_json,
                show=_show,
            )
            bar.advance(1)
    return exit_codes.worst(codes)


def _sample(context: CliContext, count: int, key: str | None) -> list[Generation]:
    key = secrets.token_hex(8) if key is None else key
    ids = context.store.sample(count, key)
    number = pluralize(len(ids), "completed generation")
    write_note(f"picked {number} with --sample-key {key}")
    return [context.store.generation(identifier) for identifier in ids]


def _of_run(context: CliContext, run: str) -> list[Generation]:
    store = context.store
    skipped: Counter[str] = Counter()
    ids = []
    for generation in store.generations(muniment.Query(run=run)):
        if generation.outputs and generation.status in ("completed", "blocked"):
            ids.append(generation.id)
        else:
            skipped[generation.status] += 1
    if skipped:
        parts = ", ".join(f"{number} {status}" for status, number in skipped.items())
        write_note(f"skipped {parts}: no output to compare with")
    return [store.generation(identifier) for identifier in reversed(ids)]


def _differences(result: Replay) -> list[str]:
    return [f"{item.name}: {item.recorded} → {item.now}" for item in result.differences]


def _show(result: Replay) -> None:
    padding = " " * (11 - len(result.result))
    status = coloured_status(result.result) + padding
    write_styled(f"{status}  {short_id(result.id)}  {one_line(result.detail)}")
    for line in _differences(result):
        write_data(f"{'':<11}  {one_line(line)}")
