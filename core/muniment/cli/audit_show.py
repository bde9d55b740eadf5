"""The commands `muniment audit show` and `muniment audit get`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext
from muniment.cli.options import json_option, output_option, overwrite_option
from muniment.cli.output import (
    moment,
    on_terminal,
    pluralize,
    print_fields,
    short_id,
    write_data,
    write_json,
    write_note,
)
from muniment.cli.output_file import OutputFile, to_stdout, without_end
from muniment.errors import MunimentError, VerificationError
from muniment.types import Generation, Verdict

if TYPE_CHECKING:
    from muniment.ledger.entries import FeedbackEntry, ReplayEntry, ReviewEntry
    from muniment.store.recording.events import RecordedEvent

# Marks of an output that was never returned, or returned only in part.
_MARKS = {"blocked": ", blocked", "interrupted": ", incomplete", "failed": ", incomplete"}
_NOTES = {
    "blocked": "this output was blocked",
    "interrupted": "this output is incomplete because the generation was interrupted",
    "failed": "this output is incomplete because the generation failed",
}


@click.command
@click.argument("reference", metavar="ID")
@json_option
@click.pass_obj
def show(context: CliContext, reference: str, as_json: bool) -> None:
    """Show everything recorded about a generation.

    ID is a unique beginning or end of an id, or `last`. Blocked outputs are shown too, because
    they are evidence.
    """
    from muniment.ledger.entries import FeedbackEntry, ReplayEntry, ReviewEntry

    store = context.store
    generation = store.generation(store.find(reference))
    feedback = store.events.of(generation.id, FeedbackEntry)
    reviews = store.events.of(generation.id, ReviewEntry)
    replays = store.events.of(generation.id, ReplayEntry)
    if as_json:
        events = {
            "feedback": [event.to_json() for event in feedback],
            "reviews": [event.to_json() for event in reviews],
            "replays": [event.to_json() for event in replays],
        }
        write_json({**generation.to_json(), **events})
        return
    print_fields([*_fields(generation), *_comments(feedback, reviews), *_replays(replays)])
    if "output" in generation.erased:
        write_data("\nthe output was erased")
        return
    if "output" in generation.altered:
        write_data("\nthe output was changed after it was recorded")
        return
    for number, output in enumerate(generation.outputs, 1):
        which = f" {number} of {len(generation.outputs)}" if len(generation.outputs) > 1 else ""
        mark = _MARKS.get(generation.status, "")
        write_data(f"\noutput{which} ({output.media_type}, {len(output.data):,} bytes{mark})")
        if output.text is not None:
            write_data(without_end(output.text))
        else:  # bytes would mix with the text, even in a file
            write_note(f"run `muniment audit get {generation.id} -o FILE` to save it")


@click.command
@click.argument("reference", metavar="ID")
@output_option
@overwrite_option
@click.pass_obj
def get(context: CliContext, reference: str, output: str | None, overwrite: bool) -> None:
    """Get the output of a generation, unchanged.

    Writes exactly the recorded bytes. They go to standard output without -o. -o numbers the files
    of several outputs. A message on standard error marks a blocked or incomplete output.
    """
    store = context.store
    generation = store.generation(store.find(reference))
    outputs = generation.outputs
    if not outputs:
        raise MunimentError(
            f"generation {generation.id} has no output because its status is {generation.status}; "
            "run `muniment audit show` for details"
        )
    if "output" in generation.erased:
        raise MunimentError(
            f"the output of generation {generation.id} was erased or lost; run "
            "`muniment audit verify --payloads` to find out which"
        )
    if "output" in generation.altered:
        raise VerificationError(
            f"the output of generation {generation.id} was changed after it was recorded; run "
            "`muniment audit verify --payloads` to find all changes"
        )
    if len(outputs) > 1 and output in (None, "-"):
        raise click.UsageError(
            f"the generation has {len(outputs)} outputs; use -o FILE to write each to a file."
        )
    _write(generation, output, overwrite=overwrite)
    if note := _NOTES.get(generation.status):
        identifier = short_id(generation.id, "stderr")
        write_note(f"{note}; run `muniment audit show {identifier}` for details")


def _write(generation: Generation, output: str | None, *, overwrite: bool) -> None:
    """Write the outputs to files, or the only one to stdout."""
    outputs = generation.outputs
    if output is None and on_terminal():
        to_stdout(outputs[0], short_id(generation.id))
        return
    output = "-" if output is None else output
    destination = OutputFile(output, overwrite=overwrite, count=len(outputs))
    for number, item in enumerate(outputs, 1):
        destination.write(item, (number,) if len(outputs) > 1 else ())


def _fields(generation: Generation) -> list[tuple[str, str]]:
    model, usage, failure = generation.model, generation.usage, generation.failure
    lines = [
        ("id", generation.id),
        ("run", generation.run_id + (f", line {generation.line}" if generation.line else "")),
        ("status", generation.status),
        ("erased", ", ".join(generation.erased)),
        ("altered", ", ".join(generation.altered)),
        ("failure", f"{failure.message} ({failure.code})" if failure else ""),
        ("actor", generation.actor),
        ("started", moment(generation.started_at)),
        ("finished", moment(generation.finished_at)),
        ("generator", generation.generator),
        ("model", f"{model.name}  {model.digest}".rstrip() if model else ""),
        ("seed", str(generation.seed)),
        ("parameters", _pairs(generation.parameters)),
        ("policy", generation.policy),
        ("tags", ", ".join(generation.tags)),
        ("parents", ", ".join(generation.parents)),
        (
            "usage",
            f"{pluralize(usage.prompt_tokens, 'prompt token')}, "
            f"{pluralize(usage.output_tokens, 'output token')}"
            if usage
            else "",
        ),
        ("system", generation.system or ""),
        ("prompt", generation.prompt),
    ]
    lines += [("verdict", _verdict(verdict)) for verdict in generation.verdicts]
    lines += [
        (
            "score",
            f"{score.evaluator} {score.name}: "
            + (score.failure or f"{score.value:.4g} {score.unit}".strip()),
        )
        for score in generation.scores
    ]
    lines += [
        ("plugin", f"{plugin.distribution} {plugin.version}  {plugin.digest}")
        for plugin in generation.plugins
    ]
    return [*lines, ("environment", _pairs(generation.environment))]


def _comments(
    feedback: list[RecordedEvent[FeedbackEntry]], reviews: list[RecordedEvent[ReviewEntry]]
) -> list[tuple[str, str]]:
    lines = []
    for item in feedback:
        rating = item.entry.rating
        rating_text = {None: "", "up": "up", "down": "down"}.get(rating, f"{rating} of 5")
        parts = (rating_text, item.text("comment"), item.actor, moment(item.at))
        lines.append(("feedback", " · ".join(filter(None, parts))))
    for review in reviews:
        parts = (review.entry.decision, review.text("reason"), review.actor, moment(review.at))
        lines.append(("review", " · ".join(filter(None, parts))))
    return lines


def _replays(replays: list[RecordedEvent[ReplayEntry]]) -> list[tuple[str, str]]:
    lines = []
    for event in replays:
        number = len(event.replay.differences or ())
        environment = f"{pluralize(number, 'difference')} of environment" if number else ""
        texts = (event.replay.detail, environment, event.actor, moment(event.at))
        lines.append(("replay", " · ".join(filter(None, (event.entry.result, *texts)))))
    return lines


def _verdict(verdict: Verdict) -> str:
    parts = [f"{verdict.stage}: {verdict.filter} {verdict.version} {verdict.decision}"]
    if verdict.action != verdict.decision:
        parts.append(f"taken: {verdict.action}")
    if verdict.observed_action:
        parts.append(f"only observed: {verdict.observed_action}")
    if verdict.failure:
        parts.append(verdict.failure)
    parts += [f"{name} {score:.2f}" for name, score in verdict.categories.items() if score]
    parts += [reason.message for reason in verdict.reasons if reason.message]
    return " · ".join(parts)


def _pairs(values: Any) -> str:
    def text_of(value: object) -> str:
        if isinstance(value, tuple):
            return "[" + ", ".join(map(repr, value)) + "]"
        return repr(value) if isinstance(value, str) and not value.isalnum() else str(value)

    return "\n".join(f"{name} = {text_of(value)}" for name, value in sorted(values.items()))
