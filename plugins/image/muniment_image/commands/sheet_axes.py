"""The axes of a sheet: names of fields or parameters with the values that the cells have."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import muniment

MAX_CELLS = 200
"""The maximum number of cells, with which the pixels of a sheet are below its limit."""
FIELDS = ("prompt", "model", "seed")
"""Axes that are no parameters of the generator."""

_LONGEST_TITLE = 40  # characters
_SHOWN_IN_PRIVATE = ("model", "seed")  # as the provenance of a file without prompt and parameters


@dataclass(frozen=True)
class Axis:
    """The values of one field or parameter, as texts. Without a name it has one cell."""

    name: str = ""
    values: tuple[str, ...] = ("",)

    @classmethod
    def parse(cls, text: str) -> Axis:
        """Return the axis of a text such as `guidance=1,2,4`. Raise UsageError.

        Commas can be full-width.
        """
        name, _, listed = text.partition("=")
        name = name.strip().replace("-", "_")
        values = tuple(value.strip() for value in re.split("[,，]", listed))
        if not name or not all(values):
            raise muniment.UsageError(
                f"{text!r} is not an axis; use a name and values, as in guidance=1,2,4"
            )
        if repeated := [value for value in values if values.count(value) > 1]:
            raise muniment.UsageError(f"{name} has the value {repeated[0]} twice; remove one")
        return cls(name, values)

    @classmethod
    def recorded(cls, text: str, generations: Sequence[muniment.Generation]) -> Axis:
        """Return the axis of a name and the recorded values, in the order of recording.

        Raises UsageError for a name with values, or that no generation has.
        """
        name = text.strip().replace("-", "_")
        if "=" in name:
            name = name.partition("=")[0]
            raise muniment.UsageError(
                f"the values of {name} are those of the run; use its name alone, as in --x {name}"
            )
        parameters = {key for generation in generations for key in generation.parameters}
        check_name(name, (*FIELDS, *sorted(parameters)), "the run")
        return cls(name, tuple(dict.fromkeys(recorded_value(item, name) for item in generations)))

    def titles(self, *, private: bool = False) -> list[str]:
        """Return the titles of the values, or none without a name.

        A value with a character that the font lacks has a number. With `private`, so have prompts
        and parameters.
        """
        from muniment_image.sheet import printable

        if not self.name:
            return []
        hidden = private and self.name not in _SHOWN_IN_PRIVATE
        shown = [Path(value).name if self.name == "model" else value for value in self.values]
        titles = [
            value if len(value) <= _LONGEST_TITLE else f"{value[: _LONGEST_TITLE - 1]}…"
            for value in shown
        ]
        return [
            (not hidden and printable(f"{self.name} {title}")) or f"{self.name} #{number}"
            for number, title in enumerate(titles, 1)
        ]


def recorded_value(generation: muniment.Generation, name: str) -> str:
    """Return the value of an axis that a generation has, or an empty text."""
    if name in generation.models:  # its parameter is a path of the machine
        return generation.models[name].name
    fields = {
        "": "",
        "prompt": generation.prompt,
        "model": generation.model.name if generation.model else "",
        "seed": generation.seed,
    }
    value = fields[name] if name in fields else generation.parameters.get(name)
    return "" if value is None else str(value).removesuffix(".0")


def check_name(name: str, known: Sequence[str], subject: str) -> None:
    """Raise UsageError for the name of an axis that is not a known one of the subject."""
    if name not in known:
        similar = difflib.get_close_matches(name, known)
        hint = f"did you mean {' or '.join(similar)}?" if similar else "use another one"
        raise muniment.UsageError(
            f"{name!r} is not an axis of {subject}, which has {', '.join(known)}; {hint}"
        )


def check_values(x: Axis, y: Axis, given: Mapping[str, str | None] | None = None) -> None:
    """Raise UsageError for axes of the same name, values given twice and too many cells."""
    if x.name and x.name == y.name:
        raise muniment.UsageError(f"both axes are {x.name}; use another one for --y")
    for axis in (x, y):
        if given and given.get(axis.name) is not None:
            raise muniment.UsageError(
                f"{axis.name} is an axis and has another value, too; remove that value"
            )
    check_count(len(x.values) * len(y.values))


def check_count(count: int) -> None:
    """Raise UsageError for more cells than a sheet has."""
    if count > MAX_CELLS:
        raise muniment.UsageError(f"the sheet would have {count:,} cells; use at most {MAX_CELLS}")


def placed(
    generations: Iterable[muniment.Generation], x: Axis, y: Axis
) -> list[muniment.Generation | None]:
    """Return the generation of each cell, row by row, or None where there is none.

    Raises UsageError for two generations of one cell.
    """
    cells: dict[tuple[str, str], muniment.Generation] = {}
    for generation in generations:
        place = recorded_value(generation, x.name), recorded_value(generation, y.name)
        if place in cells:
            raise muniment.UsageError(
                f"generations {cells[place].id} and {generation.id} of the run have the same "
                f"{' and '.join(filter(None, (x.name, y.name)))}; use other axes, or none"
            )
        cells[place] = generation
    return [cells.get((column, row)) for row in y.values for column in x.values]
