"""The commands `muniment audit show`, `diff` and `lineage`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
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
    one_line,
    printable,
    write_data,
    write_json,
    write_note,
    write_styled,
)
from muniment.cli.output_file import without_end
from muniment.cli.training import training_text
from muniment.cli.values import (
    ERASED,
    altered_mark,
    coloured,
    coloured_status,
    content_marks,
    model_name,
    moment,
    parameter_text,
    pluralize,
    short_id,
)
from muniment.cli.verdicts import decision_text, rule_names, verdict_text
from muniment.diff import OutputDifference, differences
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
    from muniment.store.queries.finder import Lineage
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
    document = store.policy_document(generation.id) if generation.verdicts or full else ""
    rules = rule_names(document) if generation.verdicts else ()
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
        fields += _detail_fields(generation, rules, document)
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
    parts = (erasure.reason, rule, erasure.actor or ERASED, moment(erasure.at))
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
        ("actor", generation.actor or ERASED),
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


def _detail_fields(
    generation: Generation, rules: Sequence[str], document: str
) -> list[tuple[str, object]]:
    """Return the verdicts, the digests and the environment. `document` is the policy's text."""
    digest = f"sha256:{sha256(document.encode()).hexdigest()}"
    return [
        ("policy text", digest if document else ""),
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
        end = [mark, event.actor or ERASED, moment(event.at)]
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


_CHANGE_MARKS = {"same": ("", ""), "removed": ("[-", "-]"), "added": ("{+", "+}")}
_COLOURS = {"removed": "red", "added": "green"}


@click.command
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@isolate_option
@json_option
@click.pass_obj
def diff(context: CliContext, first: str, second: str, as_json: bool) -> None:
    """Show the differences between two generations.

    Compares parameters, environment, prompt, inputs and output. Texts are compared word by word,
    Chinese character by character. `[-…-]` marks text of A only, `{+…+}` text of B only. Erased
    and altered contents cannot be compared, and are named.
    """
    store = context.store
    a, b = (store.generation(store.find(reference)) for reference in (first, second))
    differing = differences(a, b, lambda first, second: context.media.compare(first, second))
    if as_json:
        write_json(
            {
                "a": a.id,
                "b": b.id,
                "same": not differing,
                "unavailable": differing.unavailable,
                "fields": differing.fields,
                "parameters": differing.parameters,
                "environment": differing.environment,
                "inputs": differing.inputs,
                "outputs": [_output_json(item) for item in differing.outputs],
                "texts": [
                    {
                        "name": text.name,
                        "changes": [{"kind": kind, "text": part} for kind, part in text.changes],
                    }
                    for text in differing.texts
                ],
            }
        )
        return
    write_data(f"{short_id(a.id)} → {short_id(b.id)}{'' if differing else '  no difference'}")
    for lost in differing.unavailable:
        write_data(f"{lost.name}  cannot be compared: {lost.a} → {lost.b}")
    for title, items in (
        ("", differing.fields),
        ("parameters: ", differing.parameters),
        ("environment: ", differing.environment),
        ("", differing.inputs),
        ("", differing.outputs),
    ):
        for item in items:
            sides = (("removed", item.a), ("added", item.b))
            values = [(kind, _value_text(value)) for kind, value in sides if value is not None]
            name = one_line(f"{title}{item.name}")
            write_styled(f"{name}  {' '.join(_marked(values))}")
            if isinstance(item, OutputDifference) and item.comparison is not None:
                write_data(f"{item.name}  {one_line(str(item.comparison))}")
    for text in differing.texts:
        write_data(f"\n{text.name}")
        write_styled("".join(_marked(text.changes)))


def _output_json(item: OutputDifference) -> dict[str, Any]:
    comparison = item.comparison
    return {
        "name": item.name,
        "a": item.a,
        "b": item.b,
        "distance": comparison and comparison.distance,
        "unit": comparison and comparison.unit,
        "position": comparison and comparison.position,
    }


def _marked(changes: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the texts of changes with marks, coloured on a terminal."""
    for kind, text in changes:
        before, after = _CHANGE_MARKS[kind]
        marked = f"{before}{printable(text)}{after}"
        yield coloured(marked, _COLOURS[kind]) if kind in _COLOURS else marked


def _value_text(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['media_type']}, {value['bytes']:,} bytes, sha256 {value['sha256']}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


@click.command
@click.argument("reference", metavar="ID")
@json_option
@click.pass_obj
def lineage(context: CliContext, reference: str, as_json: bool) -> None:
    """Show parents and children of a generation, and the trainings of its models.

    Shows all ancestors and descendants, and the other attempts at the same line of a batch. The
    generation itself is marked `*`. The recorded trainings of all their models, and of the models
    that those were trained from, follow.
    """
    store = context.store
    id = store.find(reference)
    family = store.lineage(id)
    digests = {
        model.digest
        for item in family.generations
        for model in (item.model, *item.models.values())
        if model is not None and model.digest
    }
    trainings = store.trainings.of(digests)
    if as_json:
        write_json(
            {
                "id": id,
                "whole": family.whole,
                "generations": [
                    {
                        "id": item.id,
                        "run_id": item.run_id,
                        "line": item.line,
                        "attempt": family.attempts.get(item.id),
                        "status": item.status,
                        "generator": item.generator,
                        "model": item.model
                        and {"name": item.model.name, "digest": item.model.digest},
                        "parents": list(item.parents),
                        "started_at": item.to_json()["started_at"],
                    }
                    for item in family.generations
                ],
                "trainings": [training.to_json() for training in trainings],
            }
        )
        return
    for line in _tree(family, id):
        write_styled(line)
    if not family.whole:
        write_data("… more generations, not shown")
    if trainings:
        write_data()
        print_fields(("training", training_text(training)) for training in trainings)


def _tree(family: Lineage, id: str) -> list[str]:
    """Return the lines of a tree, in which a node with several parents is expanded only once."""
    by_id = {item.id: item for item in family.generations}
    children: dict[str, list[str]] = {}
    for item in family.generations:
        for parent in dict.fromkeys(item.parents):
            children.setdefault(parent, []).append(item.id)
    roots = [item.id for item in family.generations if not any(p in by_id for p in item.parents)]
    lines: list[str] = []
    expanded: set[str] = set()
    # Tuples of an id, the prefix of its line and the prefix of its children's lines.
    remaining = [(root, "", "") for root in reversed(roots)]
    while remaining:
        node, prefix, indent = remaining.pop()
        again = " (see above)" if node in expanded else ""
        lines.append(prefix + _line(by_id[node], family.attempts.get(node), node == id) + again)
        if again:
            continue
        expanded.add(node)
        below = children.get(node, [])
        for number, child in enumerate(reversed(below)):
            last = number == 0
            remaining.append(
                (child, indent + ("└─ " if last else "├─ "), indent + ("   " if last else "│  "))
            )
    return lines


def _line(item: Generation, attempt: int | None, marked: bool) -> str:
    parts = [
        short_id(item.id) + (" *" if marked else ""),
        moment(item.started_at),
        coloured_status(item.status),
        one_line(item.generator),
        *((one_line(model_name(item.model, item)),) if item.model else ()),
    ]
    if item.line is not None:
        parts.append(f"line {item.line}, attempt {attempt}")
    return "  ".join([*parts, *filter(None, [content_marks(item)])])
