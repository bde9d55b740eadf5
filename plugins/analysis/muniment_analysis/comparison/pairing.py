"""The items of a run, by which its outputs are paired with those of another run.

An item is that of a design, a prompt with its inputs, or a line of a batch. The order in which
generations were recorded has no meaning.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import muniment
from muniment_analysis.controllability.experiment_design import ExperimentDesign, parse_design

_SHOWN = 60


class Cell(NamedTuple):
    """The place of an output: its item, and its paraphrase and setting within the item."""

    item: str
    paraphrase: str = ""
    setting: str = ""


class Pairing(NamedTuple):
    """A way to pair outputs.

    Attributes:
        by: `item`, `prompt` or `line`.
        places: For each of the two runs, a function that returns the place of a generation. It
            returns None if the place is not known, because a text was erased.
    """

    by: str
    places: tuple[Callable[[muniment.Generation], Cell | None], ...]


def pairings(session: muniment.Session, runs: Sequence[str]) -> Iterator[Pairing]:
    """Yield the pairings to try for two runs, by their complete ids, the best first."""
    designs = [_design_of(session, run) for run in runs]
    both = [design for design in designs if design is not None]
    if len(both) == len(runs):
        yield Pairing("item", tuple(map(_by_item, both)))
    yield Pairing("prompt", (_by_prompt,) * len(runs))
    # A line is the weakest item, because an inserted line moves all later ones.
    yield Pairing("line", (_by_line,) * len(runs))


def outputs_of(session: muniment.Session, run: str) -> Iterator[muniment.Generation]:
    """Yield the generations of a run, by its complete id.

    Those of an experiment are one for each cell, without those of misspelt prompts.
    """
    design = _design_of(session, run)
    if design is None:
        yield from session.generations(muniment.Query(run=run))
        return
    for generation in session.cells(run):
        if generation.cell is not None and generation.cell.paraphrase < design.paraphrases:
            yield generation


def item_names(
    pairing: Pairing, runs: Iterable[Iterable[muniment.Generation]], items: set[str]
) -> dict[str, str]:
    """Return names for people of some items. Prompts are read from the runs again.

    The name of a prompt ends with the id of a generation, because several can begin alike.
    """
    if pairing.by != "prompt":
        prefix = "line " if pairing.by == "line" else ""
        return {item: f"{prefix}{item}" for item in items}
    names: dict[str, str] = {}
    for generations in runs if items else ():
        for generation in generations:
            cell = _by_prompt(generation)
            if cell is not None and cell.item in items:
                names.setdefault(cell.item, f"{_excerpt(generation.prompt)} of {generation.id}")
    return names


def _design_of(session: muniment.Session, run: str) -> ExperimentDesign | None:
    """Return the design of an experiment, or None without one or if its text was erased."""
    recorded = session.experiment(run)
    text = None if recorded is None else recorded.text("design")
    return None if text is None else parse_design(text, f"of run {run}")


def _by_item(design: ExperimentDesign) -> Callable[[muniment.Generation], Cell | None]:
    """Return a function that places a generation by ids and texts of a design, not by numbers."""
    controls = list(design.controls)
    settings = [_text({name: values[name] for name in controls}) for values in design.combinations]
    paraphrases = [[_digest(text) for text in item.paraphrases] for item in design.items]

    def place(generation: muniment.Generation) -> Cell | None:
        if generation.cell is None:
            return None
        item, paraphrase, setting, _ = generation.cell
        return Cell(design.items[item].id, paraphrases[item][paraphrase], settings[setting])

    return place


def _by_prompt(generation: muniment.Generation) -> Cell | None:
    unread = {*generation.erased, *generation.altered}
    if unread & {"prompt", "system", "input", "parameters"}:
        return None
    inputs = [[one.name, one.sha256] for one in generation.inputs]
    item = _digest(_text([generation.prompt, inputs]))
    # Most generations of a run have one system prompt and the same parameters.
    system, parameters = generation.system or "", _text(generation.parameters)
    return Cell(item, sys.intern(_digest(system)), sys.intern(_digest(parameters)))


def _by_line(generation: muniment.Generation) -> Cell | None:
    return None if generation.line is None else Cell(str(generation.line))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=dict)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
