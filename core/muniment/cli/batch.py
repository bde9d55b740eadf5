"""The command `muniment batch`, and the file of results that `-o` writes.

The file has one JSON object per line. Results are recorded in the store first and then written to
the file. A kill can come between, so a resumed batch rewrites the file from the store before it
continues.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import click

import muniment.store
from muniment.cli import exit_codes
from muniment.cli.context import CliContext, Interrupted, context_of
from muniment.cli.interruption import FINISHED, Presenter, interrupted_in
from muniment.cli.items import write_notes
from muniment.cli.options import (
    evaluate_option,
    generator_option,
    input_option,
    inputs_given,
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
    json_text,
    one_line,
    warn_broken,
    write_data,
    write_json,
    write_note,
    write_styled,
)
from muniment.cli.output_file import OutputFile, described, input_path, without_end
from muniment.cli.progress import counting
from muniment.cli.values import coloured_status, pluralize, short_id
from muniment.cli.verdicts import outcome_sentence, status_text
from muniment.errors import MunimentError, UsageError
from muniment.files import open_private, replacing
from muniment.ids import new_id
from muniment.parameters import Field
from muniment.types.generations import Generation


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
@input_option("Input of lines that do not set it (may be repeated).")
@policy_option
@tag_option
@evaluate_option
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
    inputs: tuple[tuple[str, str], ...],
    policy: str | None,
    tags: tuple[str, ...],
    evaluate: tuple[str, ...],
    output: str | None,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Generate for every line of a file.

    Each line of FILE (- for standard input) is a JSON object. It has the field `prompt` and
    optionally `system`, `generator`, `model`, `seed`, `parameters`, `tags` and `inputs`, an object
    of paths relative to the folder of FILE. Some generators need no `prompt`. An invalid line
    becomes a failed generation, and the batch continues.

    Results are printed in the order of the lines, as text under a heading or as JSON. -o writes
    JSON lines to a file. With --resume, that file contains all results of the run, including
    those from before the interruption.
    """
    session = context.session
    defaults = muniment.GenerationSpec(
        generator=generator,
        model=model,
        parameters=parameters_given(pairs, _fields(session, generator) if pairs else {}),
        tags=tags,
        inputs=inputs_given(inputs),
    )
    run = session.store.find_run(resume) if resume is not None else new_id()
    recorded = session.store.run(run).counts if resume is not None else {}
    if recorded.get("started"):  # another process is writing its file of results
        raise UsageError(f"run {run} is still running; wait until it ends")
    with contextlib.ExitStack() as stack:
        lines, total = stack.enter_context(_open_lines(file))

        def name_run() -> None:
            write_note(f"run {run}  if interrupted, add --resume {run} to the same command")

        warn_broken(session.plugins.load())
        if total is None:  # a run without lines is not recorded
            lines = _watched(lines, name_run)
        # Raises for invalid arguments before the file of results is touched.
        generations = session.batch(
            lines,
            defaults=defaults,
            policy=policy,
            batch_size=batch_size,
            resume=run if resume is not None else None,
            run_id=run,
            folder="" if file == "-" else Path(file).parent,
            evaluate=evaluate or None,
        )
        results = None
        if output is not None and output != "-":
            results = stack.enter_context(
                results_file(
                    output,
                    overwrite=overwrite,
                    inputs=(
                        input_path(file),
                        policy,
                        model and os.path.expanduser(model),
                        *(source for _, source in inputs),
                        *_inputs_replaced(file, output),
                    ),
                    run=run if resume is not None else None,
                    recorded=lambda: _answered(session, run),
                )
            )
        done = sum(number for status, number in recorded.items() if status in FINISHED)
        remaining = None if total is None else total - done
        if remaining:
            name_run()
        counts: Counter[str] = Counter()
        decisions: Counter[str] = Counter()
        failures: Counter[str] = Counter()  # by evaluator

        def show(item: Generation) -> None:
            counts[item.status] += 1
            decisions[item.decision or ""] += 1
            failures.update({score.evaluator for score in item.scores if score.failure})
            _print_result(item, as_json, results)

        resumed = resume is not None
        presenter = Presenter(session, run, show, batch_size=batch_size, resumed=resumed)
        try:
            with (
                presenter.rest(),
                contextlib.closing(generations) as items,
                counting("generating", remaining) as bar,
            ):
                for item in items:
                    presenter.show(item)
                    bar.advance(1)
        except KeyboardInterrupt:
            raise Interrupted(_interruption(session, run, total)) from None
    if not counts and resume is None:  # no such run is recorded
        name = "standard input" if file == "-" else one_line(file)
        write_note(f"nothing to generate: {name} has no lines")
        return exit_codes.DONE
    write_note(f"run {run}  {_summary(counts, failures, decisions['flag'])}")
    return exit_codes.worst(map(exit_codes.of_status, counts))


def _inputs_replaced(file: str, output: str) -> list[str]:
    """Return the inputs in the lines of a file that the file of results would replace.

    Lines from a pipe can be read only once, so that none are returned for them.
    """
    from muniment.generation.batch import read_specs

    if not os.path.isfile(file) or not os.path.exists(output):
        return []
    with Path(file).open("rb") as lines:
        return [
            str(source)
            for spec in read_specs(lines, folder=Path(file).parent)
            for source in spec.inputs.values()
            if isinstance(source, Path) and source.exists() and source.samefile(output)
        ]


def _fields(session: muniment.Session, generator: str) -> Mapping[str, Field]:
    """Return the parameters of the default generator, none if it does not exist."""
    try:
        return session.plugins.generator(generator, session.config.generators()).parameters.fields()
    except MunimentError:  # each line may name another one
        return {}


def _answered(session: muniment.Session, run: str) -> Iterator[Generation]:
    """Yield the finished generations of a run in line order, without blocked content."""
    from muniment.generation.pipeline import without_blocked_content

    for line in session.store.lines(run):
        if line.generation.status in FINISHED:
            yield without_blocked_content(session.selection(line.generation))


def _interruption(session: muniment.Session, run: str, total: int | None) -> str:
    """Return how many of the lines are done, and how to generate the others."""
    counts: Counter[str] = Counter()
    with contextlib.suppress(MunimentError):  # nothing was recorded
        counts.update(session.store.run(run).counts)
    finished = Counter({status: counts[status] for status in FINISHED if counts[status]})
    done = finished.total()
    amount = f"{done:,} of {pluralize(total, 'line')}" if total else pluralize(done, "line")
    by_status = f" ({_summary(finished)})" if done else ""
    advice = f"add --resume {run} to continue" if counts else "run the command again"
    parts = (f"{amount} done{by_status}", advice, interrupted_in(session, run))
    return "; ".join(filter(None, parts))


def _summary(
    counts: Counter[str], failures: Mapping[str, int] = MappingProxyType({}), flagged: int = 0
) -> str:
    """Return the numbers of results by status, of flagged ones and of failures of evaluators."""
    order = ("completed", "blocked", "failed", "interrupted")
    parts = [f"{counts[status]:,} {status}" for status in order if counts[status]]
    parts += [
        f"evaluator {one_line(name)} failed {pluralize(number, 'time')}"
        for name, number in sorted(failures.items())
    ]
    summary = " · ".join(parts) or "nothing to generate"
    return f"{summary}; {flagged:,} flagged" if flagged else summary


def _print_result(item: Generation, as_json: bool, results: Results | None) -> None:
    """Print one result or add it to the file, and print the reason if it is not completed."""
    if results is not None:
        results.add(item)
    elif as_json:
        write_json(item)
    else:
        status = coloured_status(status_text(item))
        write_styled(f"--- line {item.line} · {status} · {short_id(item.id)} ---")
        for output in item.outputs:
            write_data(described(output) if output.text is None else without_end(output.text))
    write_notes(item)
    if item.status != "completed":
        write_note(_sentence(item))


def _sentence(item: Generation) -> str:
    store = context_of(click.get_current_context()).store
    sentence, place = outcome_sentence(item, store), f"line {item.line}: "
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
        reason = f"{error.strerror}; use the path of a file of JSON lines, or - for standard input"
        raise UsageError(f"cannot read {file}: {reason}") from None


def _watched(lines: Iterable[bytes], first: Callable[[], None]) -> Iterator[bytes]:
    """Yield lines, after a call of `first` before the first one that is not blank."""
    is_first = True
    for line in lines:
        if is_first and line.strip():
            is_first = False
            first()
        yield line


Recorded = Callable[[], Iterable[Generation]]
"""A function that returns the finished generations of a run in the order of its lines."""


class Results:
    """A file of results, to which results are appended."""

    def __init__(self, path: Path, *, last: int = 0, file: BinaryIO | None = None) -> None:
        """Continue the file after the result of line `last`, or append to an open `file`.

        Otherwise the first result replaces the file, so that the old one stays until then.
        """
        self.ordered = True
        self._path = path
        self._last = last
        self._file = file
        self._continues = file is not None or last > 0

    def add(self, item: Generation) -> None:
        """Append a result."""
        if self._continues:
            self._append(_line(item))
        else:
            _rewrite(self._path, [item])
            self._continues = True
        number = item.line or 0
        self.ordered = self.ordered and number > self._last
        self._last = number

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _append(self, line: bytes) -> None:
        if self._file is None:
            self._file = open_private(self._path, "ab")
        self._file.write(line)
        self._file.flush()


@contextlib.contextmanager
def results_file(
    path: str,
    *,
    overwrite: bool,
    inputs: Iterable[str | None] = (),
    run: str | None = None,
    recorded: Recorded = tuple,
) -> Iterator[Results]:
    """Open a new file of results, or complete and continue that of the resumed `run`.

    The file of a resumed run is sorted by line at the end. Without a result, no file is created or
    replaced. Raises UsageError if the file contains anything else, unless `overwrite` is true, or
    if it is one of the `inputs`.
    """
    destination = OutputFile(path, overwrite=overwrite or run is not None, inputs=inputs)
    target = destination.target
    if destination.special:  # a device or a pipe gets only new results, as stdout does
        with target.open("wb") as file:
            yield Results(target, file=file)
        return
    last = 0
    if run is not None:
        if not overwrite and not _holds_only(target, run):
            raise UsageError(
                f"{path} contains more than results of run {run}; use another file or --overwrite"
            )
        last = _rewrite(target, recorded())
    with contextlib.closing(Results(target, last=last)) as results:
        yield results
    if not results.ordered:
        _rewrite(target, recorded())


def _line(item: Generation) -> bytes:
    return json_text(item.to_json()).encode() + b"\n"


def _rewrite(path: Path, items: Iterable[Generation]) -> int:
    """Replace the file by these results, if any, and return the line number of the last or 0."""
    remaining = iter(items)
    first = next(remaining, None)
    if first is None:
        return 0
    last = 0
    with replacing(path, private=False) as file:
        for item in itertools.chain([first], remaining):
            file.write(_line(item))
            last = item.line or 0
    return last


def _holds_only(path: Path, run: str) -> bool:
    """Return whether a file contains only results of a run, the last perhaps incomplete."""
    if not path.exists():
        return True
    with path.open("rb") as lines:
        for raw in lines:
            if not raw.endswith(b"\n"):
                beginning = b'{"id": "'
                return raw.startswith(beginning) or beginning.startswith(raw)
            try:
                value = json.loads(raw)
            except ValueError:
                return False
            if not isinstance(value, dict) or value.get("run_id") != run:
                return False
    return True
