"""The design of an experiment: a YAML file with items, wordings, settings and replicates.

    version: 1
    generator: text
    items:
      - id: moon
        paraphrases: [Write a sentence about the moon., Describe the moon in a sentence.]
      - id: sea
        paraphrases: [Write a sentence about the sea., Describe the sea in a sentence.]
    settings: {temperature: [0.2, 1.0], max_tokens: [16]}
    replicates: 2
    seed: 7
    measures: [text-statistics.words, wording]

A measure that should equal a setting is `{measure: text-statistics.words, requested: words}`.
Each item is generated with each paraphrase, each combination of the settings, and `replicates`
seeds. A setting with one value is constant. A setting whose name occurs between braces in the
prompts, as in `Write a {mood} sentence`, fills them, and else it is a parameter of the generator.
Items need equal numbers of paraphrases.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

import muniment
from muniment_analysis.errors import DesignError, DesignFileError
from muniment_analysis.variance.design import MAX_FACTORS, SEED, check_factors

from .measures import MeasureSpec, parse_measure

WORDING = "paraphrase"
"""The name of the factor of paraphrases."""
_LARGEST = 1e300  # a difference of two values is a finite number, too

_Value = bool | int | float | str
_HINTS = {
    "version": "use 1",
    "generator": "use the name of a generator, such as text",
    "model": "use the name or the path of a model",
    "items": "use a list of items, each with an id and its paraphrases",
    "settings": "use names of parameters with lists of values",
    "replicates": "use the number of seeds for each combination, at least 2",
    "seed": "use a whole number from 0",
    "measures": "use a list of names of measures",
    "typos": "use the number of misspelt versions of each item's first paraphrase",
}
_PART_HINTS = {
    "items": {
        "id": "use a text between quotes, another one for each item",
        "paraphrases": "use a list of prompts with the same meaning",
        "references": "use a list of texts",
        "inputs": "use names of inputs with paths or texts",
    },
    "measures": {
        "measure": "use the name of a measure",
        "requested": "use the name of a setting with numbers",
    },
}


class RequestedMeasure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A measure that should equal the value of a setting, such as the number of words."""

    measure: str
    requested: str


class ItemDesign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One item: prompts with the same meaning, and what they have in common."""

    id: Annotated[str, Meta(min_length=1, max_length=200)]
    paraphrases: Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)]
    references: tuple[str, ...] = ()
    inputs: Mapping[str, str] = {}


class ExperimentDesign(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """The design of an experiment.

    `settings` has the values of each parameter. `typos` is the number of misspelt versions of the
    first paraphrase of each item, which are generated besides the layout.
    """

    version: Literal[1]
    generator: str
    items: Annotated[tuple[ItemDesign, ...], Meta(min_length=1)]
    settings: Mapping[str, Annotated[tuple[_Value, ...], Meta(min_length=1)]]
    replicates: Annotated[int, Meta(ge=1, le=1000)]
    seed: int
    model: str | None = None
    measures: tuple[str | RequestedMeasure, ...] = ()
    typos: Annotated[int, Meta(ge=0, le=100)] = 0

    @property
    def paraphrases(self) -> int:
        """The number of paraphrases of each item."""
        return len(self.items[0].paraphrases)

    @property
    def controls(self) -> dict[str, tuple[_Value, ...]]:
        """The settings with several values, by the name of the parameter."""
        return {name: values for name, values in self.settings.items() if len(values) > 1}

    @property
    def combinations(self) -> list[dict[str, _Value]]:
        """The parameters of each setting. A setting's number is its position, from 0."""
        names = list(self.settings)
        return [
            dict(zip(names, values, strict=True))
            for values in itertools.product(*self.settings.values())
        ]

    @property
    def shape(self) -> tuple[int, ...]:
        """The numbers of paraphrases, of values of each control, and of replicates."""
        return (self.paraphrases, *map(len, self.controls.values()), self.replicates)

    @property
    def size(self) -> int:
        """The number of generations."""
        settings = len(self.combinations)
        return len(self.items) * (self.paraphrases + self.typos) * settings * self.replicates

    def filled(self, prompt: str, values: Mapping[str, _Value]) -> str:
        """Return a prompt in which each setting between braces is replaced by its value."""
        if not self._in_prompts:
            return prompt
        # Together, so that a value with braces is not filled again.
        pattern = "|".join(re.escape(f"{{{name}}}") for name in self._in_prompts)
        return re.sub(pattern, lambda place: str(values[place[0][1:-1]]), prompt)

    def parameters(self, values: Mapping[str, _Value]) -> dict[str, _Value]:
        """Return the values of the settings that are parameters of the generator."""
        return {name: value for name, value in values.items() if name not in self._in_prompts}

    @cached_property
    def _in_prompts(self) -> list[str]:
        """The settings that a prompt contains between braces."""
        prompts = [prompt for item in self.items for prompt in item.paraphrases]
        return [name for name in self.settings if any(f"{{{name}}}" in text for text in prompts)]

    def measure_specs(self) -> list[MeasureSpec]:
        """Return the measures of the design, without repetitions."""
        specs = [
            parse_measure(entry)
            if isinstance(entry, str)
            else parse_measure(entry.measure, entry.requested)
            for entry in self.measures
        ]
        return list({spec.name: spec for spec in specs}.values())


def parse_design(document: str, source: str) -> ExperimentDesign:
    """Return the design that a YAML text describes. `source` names it in error messages.

    Raises DesignFileError for anything ambiguous, unknown, or without a meaning for the analysis.
    """
    try:
        body = muniment.parse_yaml(document)
    except muniment.YamlError as error:
        raise DesignFileError(source, str(error)) from None
    if not isinstance(body, dict):
        wrong = "is empty" if body is None else "is not a mapping"
        raise DesignFileError(source, f"{wrong}; write its version, generator, items and settings")
    try:
        design = msgspec.convert(body, ExperimentDesign)
    except msgspec.ValidationError as error:
        raise DesignFileError(source, _explained(error)) from None
    for problem in _problems(design):
        raise DesignFileError(source, problem)
    return design


def _explained(error: msgspec.ValidationError) -> str:
    """Return what is wrong with a field, and with an unknown one the fields of its part."""
    if "unknown field" in str(error):
        part = next((name for name in _PART_HINTS if f"$.{name}[" in str(error)), "")
        return muniment.explain_invalid(error, _PART_HINTS.get(part, _HINTS))
    hints = {**_HINTS, **_PART_HINTS["items"], **_PART_HINTS["measures"]}
    return muniment.explain_invalid(error, hints)


def load_design(path: Path) -> tuple[ExperimentDesign, str]:
    """Return the design in a file, and its text. Raise DesignFileError if it is malformed."""
    try:
        document = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or str(error)
        raise DesignFileError(str(path), f"cannot be read: {reason}; use a YAML file") from None
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (at byte {error.start + 1}); save it as UTF-8"
        raise DesignFileError(str(path), problem) from None
    return parse_design(document, str(path)), document


def _problems(design: ExperimentDesign) -> Iterator[str]:
    """Yield what is wrong with a design whose fields have the right types."""
    repeated = [id for id, count in Counter(item.id for item in design.items).items() if count > 1]
    if repeated:
        yield f"has {len(repeated)} repeated item ids, such as {repeated[0]!r}; use each id once"
    for item in design.items:
        if len(item.paraphrases) != design.paraphrases:
            yield (
                f"item {item.id!r} has {len(item.paraphrases)} paraphrases, and item "
                f"{design.items[0].id!r} has {design.paraphrases}; use equal numbers"
            )
        if len(set(item.paraphrases)) < len(item.paraphrases):
            yield f"item {item.id!r} has a paraphrase twice; use each once"
        for paraphrase in item.paraphrases:
            if not paraphrase.strip() and len(item.paraphrases) > 1:
                yield f"item {item.id!r} has an empty paraphrase; write the prompt"
    for name, values in design.settings.items():
        # 1, 1.0 and true are equal in Python. The texts are the names of the levels.
        distinct = {(type(value) is bool, value) for value in values}
        if min(len(distinct), len(set(map(str, values)))) < len(values):
            yield f"the setting {name} has a value twice; use each once"
        if any(isinstance(value, int | float) and abs(value) > _LARGEST for value in values):
            yield f"the setting {name} has a number that is too large; use smaller ones"
    for name in design._in_prompts:
        for item in design.items:
            if not all(f"{{{name}}}" in text for text in item.paraphrases):
                yield (
                    f"the setting {name} occurs as {{{name}}} in some prompts, but not in each "
                    f"paraphrase of item {item.id!r}; use it in all prompts or in none"
                )
    factors = len(design.controls) + (design.paraphrases > 1)
    if factors == 0:
        yield (
            "has neither two paraphrases nor a setting with two values, so there is nothing to "
            "compare; add one of them"
        )
    if factors > MAX_FACTORS:
        yield (
            f"has {factors} factors ({', '.join(['wording', *design.controls])}); use at most "
            f"{MAX_FACTORS}, and one value for the others"
        )
    yield from _name_problems(design)
    if not 0 <= design.seed < 2**64:
        yield f"has the seed {design.seed}; use a whole number from 0 to 2^64 - 1"
    if design.replicates < 2:
        yield "has one replicate, so the variance of the seed is unknown; use at least 2"
    yield from _measure_problems(design)


def _name_problems(design: ExperimentDesign) -> Iterator[str]:
    """Yield the settings whose shares would have the name of another share."""
    wording = [WORDING] if design.paraphrases > 1 else []
    taken = [*wording, SEED]
    for name in design.controls:
        if name in taken:
            yield f"the setting {name!r} has the name of another share; use another name"
    try:
        check_factors([*wording, *design.controls])
    except DesignError as error:
        yield f"settings: {error}"


def _measure_problems(design: ExperimentDesign) -> Iterator[str]:
    try:
        specs = design.measure_specs()
    except muniment.UsageError as error:
        yield f"measures: {error}"
        return
    for spec in specs:
        if not spec.requested:
            continue
        levels = design.settings.get(spec.requested, ())
        if not levels or not is_numeric(levels):
            yield (
                f"measures: {spec.name} cannot be compared with {spec.requested!r}; use the name "
                "of a setting whose values are numbers"
            )
        if spec.kind != "score" or not spec.measure:
            yield f"measures: {spec.name} is no number of an output; use EVALUATOR.MEASURE"


def is_numeric(levels: Sequence[object]) -> bool:
    """Return whether all values of a setting are numbers, so that they have an order."""
    return all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels)
