"""The command `muniment batch`."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

import muniment.store
from muniment.cli import exit_codes
from muniment.cli.context import CliContext, Interrupted
from muniment.cli.options import (
    generator_option,
    isolate_option,
    json_option,
    model_option,
    output_option,
    overwrite_option,
    pairs_option,
    parameters_given,
    policy_option,
    tag_option,
)
from muniment.cli.output import (
    outcome_sentence,
    warn_broken,
    write_data,
    write_json,
    write_note,
)
from muniment.cli.output_file import described, without_end
from muniment.cli.progress import counting
from muniment.cli.results_file import Results, results_file
from muniment.errors import UsageError
from muniment.ids import new_id
from muniment.types import Generation


@click.command
@click.argument("file")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 4096),
    metavar="N",
    default=16,
    show_default=True,
    help="Number of lines to generate, record and print at once.",
)
@click.option("--resume", metavar="RUN", help="Interrupted run to continue.")
@generator_option("Generator of lines that set none.")
@model_option("Model of lines that set none.")
@pairs_option("Parameter of lines that do not set it (may be repeated).")
@policy_option
@tag_option
@isolate_option
@output_option
@overwrite_option
@json_option
@click.pass_obj
def batch(
    context: CliContext,
    file: str,
    batch_size: int,
    resume: str | None,
    generator: str,
    model: str | None,
    pairs: tuple[tuple[str, str], ...],
    policy: str | None,
    tags: tuple[str, ...],
    output: str | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Generate for every line of a file.

    Each line of FILE (- for standard input) is a JSON object. It has the field `prompt` and
    optionally `system`, `generator`, `model`, `seed`, `parameters` and `tags`. An invalid line
    becomes a failed generation, and the batch continues.

    Results are printed in the order of the lines, as text under a heading or as JSON. -o writes
    JSON lines to a file. With --resume, that file contains all results of the run, including
    those from before the interruption.
    """
    defaults = muniment.GenerationSpec(
        "", generator=generator, model=model, parameters=parameters_given(pairs), tags=tags
    )
    session = context.session
    run = session.store.find_run(resume) if resume is not None else new_id()
    counts = session.store.run(run).counts if resume is not None else {}
    if counts.get("started"):  # another process is writing its file of results
        raise UsageError(f"run {run} is still running; wait until it ends")
    with contextlib.ExitStack() as stack:
        lines, total = stack.enter_context(_open_lines(file))
        # Raises for invalid arguments before the file of results is touched.
        generations = session.batch(
            lines,
            defaults=defaults,
            policy=policy,
            batch_size=batch_size,
            resume=run if resume is not None else None,
            run_id=run,
        )
        results = None
        if output is not None and output != "-":
            results = stack.enter_context(
                results_file(
                    output,
                    overwrite=overwrite,
                    inputs=(file, policy),
                    run=run if resume is not None else None,
                    recorded=lambda: _answered(session.store, run),
                )
            )
        warn_broken(session.plugins.load())
        if total is not None:
            total -= sum(number for status, number in counts.items() if status in _ANSWERED)
        write_note(f"run {run}  if interrupted, add --resume {run} to the same command")
        report = _Report(as_json, results)
        try:
            with contextlib.closing(generations) as items, counting("generating", total) as bar:
                for item in items:
                    report.add(item)
                    bar.advance(1)
        except KeyboardInterrupt:
            raise Interrupted(f"{report.summary} so far; add --resume {run} to continue") from None
    write_note(f"run {run}  {report.summary}")
    return report.code


_ANSWERED = ("completed", "blocked", "failed")


def _answered(store: muniment.store.Store, run: str) -> Iterator[Generation]:
    """Yield the finished generations of a run in line order, without blocked content."""
    from muniment.generation.pipeline import without_blocked_content

    for line in store.lines(run):
        if line.generation.status in _ANSWERED:
            yield without_blocked_content(line.generation)


class _Report:
    """Printer and counter of results."""

    def __init__(self, as_json: bool, results: Results | None) -> None:
        self.code = exit_codes.DONE
        self._as_json = as_json
        self._results = results
        self._counts: Counter[str] = Counter()

    @property
    def summary(self) -> str:
        """The number of results by status."""
        order = ("completed", "blocked", "failed", "interrupted")
        parts = [f"{self._counts[status]:,} {status}" for status in order if self._counts[status]]
        return " · ".join(parts) or "nothing to generate"

    def add(self, item: Generation) -> None:
        """Print one result, and the reason if it is not completed."""
        self._counts[item.status] += 1
        self.code = exit_codes.worst((self.code, exit_codes.of_status(item.status)))
        if self._results is not None:
            self._results.add(item)
        elif self._as_json:
            write_json(item)
        else:
            write_data(f"--- line {item.line} · {item.status} ---")
            for output in item.outputs:
                write_data(described(output) if output.text is None else without_end(output.text))
        if item.status != "completed":
            write_note(_sentence(item))


def _sentence(item: Generation) -> str:
    sentence, place = outcome_sentence(item), f"line {item.line}: "
    return place + sentence.replace(f"Error: {place}", "Error: ", 1)


@contextlib.contextmanager
def _open_lines(file: str) -> Iterator[tuple[Iterable[bytes], int | None]]:
    """Yield the lines of a file, and the number of requests if the file can be read twice."""
    if file == "-":
        yield sys.stdin.buffer, None
        return
    try:
        with Path(file).open("rb") as lines:
            total = None
            if lines.seekable():
                total = sum(1 for line in lines if line.strip())
                lines.seek(0)
            yield lines, total
    except OSError as error:
        if error.filename != file:
            raise
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
