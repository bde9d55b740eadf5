"""`muniment audit list`, `show`, `get` and `runs`: reading what was recorded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext
from muniment.cli.filters import filter_options, query_of
from muniment.cli.options import (
    json_option,
    limit_option,
    output_option,
    overwrite_option,
)
from muniment.cli.output import (
    excerpt,
    moment,
    on_terminal,
    pluralize,
    print_fields,
    short_id,
    table,
    utc,
    write_data,
    write_json,
    write_note,
)
from muniment.cli.output_file import OutputFile, to_stdout, without_end
from muniment.errors import MunimentError
from muniment.types import Generation, Verdict

if TYPE_CHECKING:
    from muniment.store.recording.events import Feedback, Replayed, Review

# What an output is called that was never returned whole, and what `get` says of it.
_HELD = {"blocked": ", blocked", "interrupted": ", cut short", "failed": ", cut short"}
_NOT_WHOLE = {
    "blocked": "this output was blocked",
    "interrupted": "this output was cut short by an interruption",
    "failed": "this output was cut short by a failure",
}


@click.command("list")
@filter_options
@limit_option(20)
@json_option
@click.pass_obj
def list_(context: CliContext, /, limit: int, as_json: bool, **filters: Any) -> None:
    """List generations, the newest first.

    All filters given must hold. Off a terminal the columns are, separated by tabs: id, start,
    status, decision, generator, model, seed, actor, tags, prompt.
    """
    query = query_of(context, filters, limit=limit)
    listing(context.store.generations(query), as_json=as_json)


def listing(found: Iterable[Generation], *, as_json: bool) -> None:
    """Print generations, a line or a JSON object each."""
    if as_json:
        for generation in found:
            write_json(generation.to_json())
        return
    headers = ("id", "started", "status", "model", "actor", "tags", "prompt")
    table(headers, (row_of(generation) for generation in found), cut="prompt")


@click.command
@click.argument("reference", metavar="ID")
@json_option
@click.pass_obj
def show(context: CliContext, reference: str, as_json: bool) -> None:
    """Show everything recorded of a generation.

    ID is a unique beginning or end of an id, or `last`. What a policy blocked is shown, too: it
    is evidence.
    """
    from muniment.store.recording.events import to_json

    store = context.store
    generation = store.generation(store.find(reference))
    feedback, reviews = store.acts(generation.id)
    replays = store.replays(generation.id)
    if as_json:
        acts = {
            "feedback": [*map(to_json, feedback)],
            "reviews": [*map(to_json, reviews)],
            "replays": [replay.to_json() for replay in replays],
        }
        write_json({**generation.to_json(), **acts})
        return
    print_fields([*_card(generation), *_acts(feedback, reviews), *_replays(replays)])
    if "output" in generation.erased:
        write_data("\nthe output was erased")
        return
    for number, output in enumerate(generation.outputs, 1):
        which = f" {number} of {len(generation.outputs)}" if len(generation.outputs) > 1 else ""
        held = _HELD.get(generation.status, "")
        write_data(f"\noutput{which} ({output.media_type}, {len(output.data):,} bytes{held})")
        if output.text is not None:
            write_data(without_end(output.text))
        else:  # a page to read; the bytes are what `get` is for
            write_note(f"`muniment audit get {generation.id} -o FILE` writes it")


@click.command
@click.argument("reference", metavar="ID")
@output_option
@overwrite_option
@click.pass_obj
def get(context: CliContext, reference: str, output: str | None, overwrite: bool) -> None:
    """Get the output of a generation as it was.

    The bytes are those recorded, none added. Without -o they go to standard output. Where there
    are several outputs, -o numbers the files. Of one that was blocked or cut short, standard error
    says so.
    """
    store = context.store
    generation = store.generation(store.find(reference))
    outputs = generation.outputs
    if not outputs:
        raise MunimentError(f"generation {generation.id} has no output: it is {generation.status}")
    if "output" in generation.erased:
        raise MunimentError(
            f"the output of generation {generation.id} is not in the store any more: it was erased "
            "(or lost, which `muniment audit verify --payloads` would say)"
        )
    if len(outputs) > 1 and output in (None, "-"):
        raise click.UsageError(f"there are {len(outputs)} outputs; -o FILE writes each to a file.")
    _write(generation, output, overwrite=overwrite)
    if sentence := _NOT_WHOLE.get(generation.status):
        write_note(
            f"{sentence}; `muniment audit show {short_id(generation.id, 'stderr')}` says more"
        )


def _write(generation: Generation, output: str | None, *, overwrite: bool) -> None:
    """Write the outputs to files, or the only one to standard output."""
    outputs = generation.outputs
    if output is None and on_terminal():
        to_stdout(outputs[0], short_id(generation.id))
        return
    output = "-" if output is None else output
    destination = OutputFile(output, overwrite=overwrite, count=len(outputs))
    for number, item in enumerate(outputs, 1):
        destination.write(item, (number,) if len(outputs) > 1 else ())


@click.command
@limit_option(20)
@json_option
@click.pass_obj
def runs(context: CliContext, limit: int, as_json: bool) -> None:
    """List runs, the newest first.

    A run is what one command generated; a batch and its resumptions are one. Off a terminal the
    columns are: id, start, end, how many came to what, lines, generators, actor.
    """
    found = context.store.runs(limit or None)
    if as_json:
        for run in found:
            write_json(
                {
                    "id": run.id,
                    "started_at": utc(run.started_at),
                    "finished_at": run.finished_at and utc(run.finished_at),
                    "counts": dict(run.counts),
                    "lines": run.lines,
                    "generators": list(run.generators),
                    "actor": run.actor,
                }
            )
        return
    rows = (
        (
            short_id(run.id),
            moment(run.started_at),
            *(() if on_terminal() else (moment(run.finished_at),)),
            " · ".join(f"{number:,} {status}" for status, number in run.counts.items()),
            str(run.lines or ""),
            ", ".join(run.generators),
            run.actor,
        )
        for run in found
    )
    table(("run", "started", "generations", "lines", "generators", "actor"), rows)


def row_of(generation: Generation) -> tuple[str, ...]:
    """Return a generation's row of the list, as it suits where it is printed."""
    return _row_on_terminal(generation) if on_terminal() else _row(generation)


def _row(generation: Generation) -> tuple[str, ...]:
    return (
        short_id(generation.id),
        moment(generation.started_at),
        generation.status,
        generation.decision,
        generation.generator,
        generation.model.name if generation.model else "",
        str(generation.seed),
        generation.actor,
        ", ".join(generation.tags),
        excerpt(generation.prompt),
    )


def _row_on_terminal(generation: Generation) -> tuple[str, ...]:
    flagged = ", flagged" if generation.decision == "flag" else ""
    return (
        short_id(generation.id),
        moment(generation.started_at),
        generation.status + flagged,
        generation.model.name if generation.model else generation.generator,
        generation.actor,
        ", ".join(generation.tags),
        excerpt(generation.prompt),
    )


def _card(generation: Generation) -> list[tuple[str, str]]:
    model, usage, failure = generation.model, generation.usage, generation.failure
    lines = [
        ("id", generation.id),
        ("run", generation.run_id + (f", line {generation.line}" if generation.line else "")),
        ("status", generation.status),
        ("erased", ", ".join(generation.erased)),
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


def _acts(feedback: list[Feedback], reviews: list[Review]) -> list[tuple[str, str]]:
    lines = []
    for said in feedback:
        rating = {None: "", "up": "up", "down": "down"}.get(said.rating, f"{said.rating} of 5")
        parts = (rating, said.comment, said.actor, moment(said.at))
        lines.append(("feedback", " · ".join(filter(None, parts))))
    for review in reviews:
        parts = (review.decision, review.reason, review.actor, moment(review.at))
        lines.append(("review", " · ".join(filter(None, parts))))
    return lines


def _replays(replays: list[Replayed]) -> list[tuple[str, str]]:
    lines = []
    for replay in replays:
        different = replay.differences or ()
        said = pluralize(len(different), "difference") + " of environment" if different else ""
        parts = (replay.result, replay.detail, said, replay.actor, moment(replay.at))
        lines.append(("replay", " · ".join(filter(None, parts))))
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
    def shown(value: object) -> str:
        if isinstance(value, tuple):
            return "[" + ", ".join(map(repr, value)) + "]"
        return repr(value) if isinstance(value, str) and not value.isalnum() else str(value)

    return "\n".join(f"{name} = {shown(value)}" for name, value in sorted(values.items()))
