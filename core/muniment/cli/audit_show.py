"""The command `muniment audit show`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from muniment.cli import exit_codes
from muniment.cli.context import CliContext
from muniment.cli.field_lines import print_fields
from muniment.cli.items import candidates_of, print_candidates, selection_of, unread_of
from muniment.cli.media_files import saving_command, show_json_as_text, show_media
from muniment.cli.options import full_option, isolate_option, json_option
from muniment.cli.output import (
    on_terminal,
    write_data,
    write_json,
    write_note,
)
from muniment.cli.output_file import without_end
from muniment.cli.values import (
    actor_cell,
    altered_mark,
    model_name,
    moment,
    parameter_text,
    pluralize,
)
from muniment.cli.verdicts import decision_text, rule_names, verdict_text
from muniment.ledger.events import Event, FeedbackEntry, ReplayEntry, ReviewEntry, ScoredEntry
from muniment.names import versioned
from muniment.types.experiments import Cell
from muniment.types.generations import Generation
from muniment.types.inputs import Input
from muniment.types.models import Model
from muniment.types.scores import Score

if TYPE_CHECKING:
    from muniment.generation.lists import Candidate
    from muniment.generation.origin import Origin
    from muniment.store.recording.events import RecordedEvent
    from muniment.store.retention.erasure import ErasureRecord

# Marks of an output that was never returned, or returned only in part.
_MARKS = {"blocked": ", blocked", "interrupted": ", incomplete", "failed": ", incomplete"}


@click.command
@click.argument("reference", metavar="ID")
@full_option
@isolate_option
@json_option
@click.pass_obj
def show(context: CliContext, reference: str, full: bool, as_json: bool) -> int:
    """Show the record of a generation.

    ID is a unique beginning or end of an id, or `last`. The prompt, the output and the decision of
    the policy come first. Blocked outputs are shown too, because they are evidence. Of a list, the
    items that its caller got and those that a filter blocked are shown, and --json has all.
    Parameters without a value are left out.

    The option --full adds every verdict, with the version of its filter, and the digests of the
    models, the policy, the plugins and the environment. The exit code is 4 if texts were altered
    after they were recorded.
    """
    return show_generation(context, context.store.find(reference), as_json, full=full)


def show_generation(
    context: CliContext,
    id: str,
    as_json: bool,
    origin: Origin | None = None,
    *,
    full: bool = False,
) -> int:
    """Print the record of the generation with a complete id, and all details with `full`.

    `origin` has the file that led to it, if any. Return the exit code.
    """
    store = context.store
    generation = store.generation(id)
    events: dict[str, list[RecordedEvent[Any]]] = {
        name: store.events.of(generation.id, event_class) for name, event_class in _EVENTS.items()
    }
    recorded = [event for some in events.values() for event in some]
    altered = generation.altered or any(event.altered for event in recorded)
    code = exit_codes.UNVERIFIED if altered else exit_codes.DONE
    erasures = store.erasures.of(id) if generation.erased else []
    candidates = candidates_of(context, generation)
    if as_json:
        items = {"items": candidates} if candidates else {}
        file = {} if origin is None else {"file": _file_properties(origin)}
        past = {"erasures": erasures} if erasures else {}
        write_json({**generation.to_json(), **items, **events, **past, **file})
        return code
    rules = rule_names(store.policy_document(generation.id)) if generation.verdicts else ()
    ids = {candidate.position: candidate.id for candidate in candidates}
    print_fields(_request_fields(generation))
    _print_outputs(context, generation, candidates)
    if candidates and not {"output"} & {*generation.erased, *generation.altered}:
        print_candidates(candidates, generation, rules)
    write_data()
    fields = [
        ("decision", decision_text(generation, rules)),
        *(("unread", f"no filter read the {content}") for content in unread_of(store, generation)),
        *_outcome_fields(generation, erasures),
        *_fact_fields(generation, full),
        *_event_lines(recorded, ids, full),
    ]
    if origin is not None:
        fields.append(("file", _file_sentence(origin)))
    if full:
        fields += _detail_fields(generation, rules)
    print_fields(fields)
    if not full and on_terminal():
        write_note("use --full for verdicts, digests, plugins and environment")
    return code


def _print_outputs(
    context: CliContext, generation: Generation, candidates: Sequence[Candidate]
) -> None:
    """Print each output under a line with its type and size, or why it is missing."""
    for kinds, state in (
        (generation.erased, "erased"),
        (generation.altered, "changed after it was recorded"),
    ):
        if "output" in kinds:
            write_data(f"\nthe output was {state}")
            return
    returned = selection_of(context, generation) if candidates else generation
    pairs = zip(generation.outputs, returned.outputs, strict=True)
    for number, (output, selection) in enumerate(pairs, 1):
        which = f" {number} of {len(generation.outputs)}" if len(generation.outputs) > 1 else ""
        mark = _MARKS.get(generation.status, "")
        write_data(f"\noutput{which} ({output.media_type}, {len(output.data):,} bytes{mark})")
        if show_json_as_text(context, selection):
            continue
        if selection.text is not None:
            write_data(without_end(selection.text))
        else:  # bytes would mix with the text, even in a file
            show_media(context.media, selection)
            command = saving_command(context, generation.id, output.media_type)
            write_note(f"run `{command}` to save it")


def _file_properties(origin: Origin) -> dict[str, object]:
    """Return the file that led to a generation as the shape `file`."""
    return {
        "input": origin.input,
        "same_content": origin.same_content,
        "stamp": origin.stamp,
        "others": origin.others,
    }


def _file_sentence(origin: Origin) -> str:
    if origin.input is not None:
        return f"an input of the generation, {origin.input}"
    if origin.same_content is None:
        return "has the id of the generation, and a content that cannot be compared"
    if not origin.same_content:
        return "has the id of the generation, but another content"
    return _SENTENCES[origin.match]


_EVENTS: dict[str, type[Event]] = {
    "feedback": FeedbackEntry,
    "reviews": ReviewEntry,
    "replays": ReplayEntry,
    "scored": ScoredEntry,
}
_SENTENCES = {
    "bytes": "an output of the generation, with identical bytes",
    "fingerprint": "an output of the generation, with the same content by its fingerprint",
    "text": "an output of the generation, with a visible label after it",
    "selection": "an output of the generation, with only the selected items",
}


def _request_fields(generation: Generation) -> list[tuple[str, object]]:
    prompt = generation.prompt
    for kinds, state in ((generation.erased, "erased"), (generation.altered, "altered")):
        if "prompt" in kinds and not prompt:
            prompt = f"[{state}]"
    return [
        ("system", generation.system),
        ("prompt", prompt),
        *(("input", _input(item, generation)) for item in generation.inputs),
    ]


def _outcome_fields(
    generation: Generation, erasures: Sequence[ErasureRecord]
) -> list[tuple[str, object]]:
    failure = generation.failure
    return [
        ("status", generation.status),
        ("failure", failure and f"{failure.message} ({failure.code})"),
        ("erased", generation.erased),
        *(("erasure", _erasure(item)) for item in erasures),
        ("altered", generation.altered),
    ]


def _erasure(erasure: ErasureRecord) -> str:
    """Return the reason, the actor and the time of an erasure."""
    rule = "a retention rule" if erasure.cause == "retention" else ""
    parts = (erasure.reason, rule, actor_cell(erasure.actor), moment(erasure.at))
    return " · ".join(filter(None, parts))


def _fact_fields(generation: Generation, full: bool) -> list[tuple[str, object]]:
    usage = generation.usage
    return [
        ("id", generation.id),
        ("generator", generation.generator),
        *(("model", _model(name, model, generation, full)) for name, model in _models(generation)),
        ("seed", generation.seed),
        ("parameters", _pairs(generation.parameters)),
        ("policy", generation.policy),
        ("actor", actor_cell(generation.actor, generation.altered)),
        ("started", generation.started_at),
        ("finished", generation.finished_at),
        (
            "usage",
            usage
            and f"{pluralize(usage.prompt_tokens, 'prompt token')}, "
            f"{pluralize(usage.output_tokens, 'output token')}",
        ),
        ("tags", generation.tags),
        *(("parent", parent) for parent in generation.parents),
        ("run", generation.run_id + (f", line {generation.line}" if generation.line else "")),
        ("cell", generation.cell and _cell(generation.cell)),
        *(("score", _score(score, full)) for score in generation.scores),
    ]


def _detail_fields(generation: Generation, rules: Sequence[str]) -> list[tuple[str, object]]:
    """Return the verdicts, the digests and the environment."""
    return [
        ("policy text", generation.policy_digest),
        *(("verdict", verdict_text(verdict, rules)) for verdict in generation.verdicts),
        *(
            ("plugin", f"{versioned(plugin.distribution, plugin.version)}  {plugin.digest}")
            for plugin in generation.plugins
        ),
        ("environment", _pairs(generation.environment)),
    ]


def _models(generation: Generation) -> Iterator[tuple[str, Model]]:
    """Yield the model of a generation without a name, then those of its parameters."""
    if generation.model is not None:
        yield "", generation.model
    yield from sorted(generation.models.items())


def _model(name: str, model: Model, generation: Generation, full: bool) -> str:
    text = model_name(model, generation)
    text = f"{name} = {text}" if name else text
    return f"{text}  {model.digest}".rstrip() if full else text


def _cell(cell: Cell) -> str:
    return ", ".join(f"{name} {number}" for name, number in cell._asdict().items())


def _input(item: Input, generation: Generation) -> str:
    """Return the name, type and size of an input, and its text below them."""
    line = f"{item.name} ({item.media_type}"
    for kinds, state in ((generation.erased, "erased"), (generation.altered, "altered")):
        if "input" in kinds and not item.data:
            return f"{line}, {state})"
    line += f", {len(item.data):,} bytes)"
    return line if item.text is None else f"{line}\n{without_end(item.text)}"


def _event_lines(
    events: Iterable[RecordedEvent[Any]], ids: Mapping[int, str], full: bool
) -> Iterator[tuple[str, str]]:
    """Yield the name and the line of each event. An event has a line for each of its scores."""
    for event in events:
        mark = altered_mark(event.altered)
        end = [mark, actor_cell(event.actor, event.altered), moment(event.at)]
        parts: list[str | None] = []
        match event.entry:
            case FeedbackEntry(action=action):
                parts = [_item(event, ids), action, _rating(event), event.text("comment")]
            case ReviewEntry(decision=decision):
                parts = [decision, event.text("reason")]
            case ReplayEntry(result=result):
                parts = [result, event.replay.detail, _environment(event)]
            case ScoredEntry():
                for score in event.scores:
                    yield "scored", " · ".join(filter(None, [_score(score, full), *end]))
                continue
        yield event.entry.kind, " · ".join(filter(None, [*parts, *end]))


def _score(score: Score, full: bool) -> str:
    value = score.failure or f"{score.value:.4g} {score.unit}".strip()
    digests = sorted(score.models.items()) if full else ()
    models = "".join(f" · {name} {digest}" for name, digest in digests)
    return f"{score.evaluator} {score.name}: {value}{models}"


def _item(event: RecordedEvent[FeedbackEntry], ids: Mapping[int, str]) -> str:
    """Return the id of the item that feedback is about, or its position if it is unknown."""
    position = event.entry.item
    if position is None:
        return ""
    return f"item {ids.get(position, f'at position {position}')}"


def _rating(event: RecordedEvent[FeedbackEntry]) -> str:
    rating = event.entry.rating
    return {None: "", "up": "up", "down": "down"}.get(rating, f"{rating} of 5")


def _environment(event: RecordedEvent[ReplayEntry]) -> str:
    number = len(event.replay.differences or ())
    return f"{pluralize(number, 'difference')} of environment" if number else ""


def _pairs(values: Any) -> str:
    # A parameter without a value has no effect.
    present = sorted((name, value) for name, value in values.items() if value is not None)
    return "\n".join(f"{name} = {parameter_text(value)}" for name, value in present)
