"""The text that `models show` and `audit lineage` print for a recorded training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from muniment.cli.values import actor_cell, excerpt, moment, pluralize, short_digest
from muniment.ledger.payload_texts import TrainingText
from muniment.names import versioned

if TYPE_CHECKING:
    from muniment.ledger.events import TrainingEntry
    from muniment.store.recording.events import RecordedEvent


def training_text(event: RecordedEvent[TrainingEntry]) -> str:
    """Return a training as several lines, the first of which names the trained model."""
    entry = event.entry
    origin = "claimed by its training.json" if entry.claimed else "recorded here"
    result = "no model" if entry.result is None else short_digest(entry.result)
    actor = actor_cell(event.actor, event.altered)
    first = f"{result}  {entry.status} · {origin} · {actor} · {moment(event.at)}"
    base = "no base model" if entry.base is None else f"base {short_digest(entry.base)}"
    trainers = [f"plugin {versioned(p.distribution, p.version)}" for p in event.plugins[1:]]
    counts = dict([*entry.counts.items(), *(event.training.other_counts or {}).items()])
    lines = [first, base, _pairs("counts", counts), *_details(event), *trainers]
    # A claim was written elsewhere, and its texts may be long and contain line breaks.
    return "\n".join(excerpt(line) for line in lines if line)


def _pairs(title: str, values: Mapping[str, Any]) -> str:
    pairs = ", ".join(f"{name} = {value}" for name, value in sorted(values.items()))
    return f"{title} {pairs}" if pairs else ""


def _details(event: RecordedEvent[TrainingEntry]) -> Iterator[str]:
    """Yield lines about the texts of a training."""
    if "training" in event.texts.erased:
        yield "its texts were erased"
    if "training" in event.texts.altered:
        yield "its texts were changed after they were recorded"
    texts: TrainingText = event.training
    yield _pairs("parameters", texts.parameters or {})
    yield _losses(texts.losses or ())
    data = [texts.data_digest, texts.data_folder]
    if texts.data_files:
        data.append(pluralize(len(texts.data_files), "file"))
    if texts.classes:
        data.append(f"classes {', '.join(texts.classes)}")
    if any(data):
        yield f"data {' · '.join(filter(None, data))}"
    yield texts.failure or ""


def _losses(losses: Sequence[float | str]) -> str:
    """Return the first and the last loss with the number of losses."""
    if len(losses) < 2:
        return f"loss {losses[0]}" if losses else ""
    return f"loss {losses[0]} … {losses[-1]} ({len(losses):,})"
