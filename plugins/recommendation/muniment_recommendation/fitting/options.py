"""The options of a fit: a family, a seed and explicit values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from muniment_recommendation.errors import DataError
from muniment_recommendation.models.base import Recommender
from muniment_recommendation.models.blend import FAMILY as BLEND
from muniment_recommendation.models.families import FAMILIES, family_class, unknown_family

BLEND_PARTS = ("ease", "item-knn", "transitions", "als", "text")
"""The families that a blend can have by default."""
EASE_ITEMS = 5000
"""The most items of a catalogue for EASE. Above it, the blend has item-kNN by default."""
_LARGEST = {"factors": 10_000, "width": 10_000}  # a fit makes matrices of their square


@dataclass(frozen=True, slots=True)
class FitOptions:
    """The family and the explicit options of a fit. They are recorded with the model.

    `options` has the options of the families by name, such as `factors`, and for the blend also
    `parts` (a list of families) and `ease_items`.
    """

    family: str = BLEND
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def options_of(self, family: type[Recommender]) -> dict[str, Any]:
        """Return the explicit options of a family."""
        return {name: value for name, value in self.options.items() if name in family.options}

    def parts(self, item_count: int, *, has_text: bool) -> tuple[str, ...]:
        """Return the families that are fitted for a catalogue of this size.

        Raises DataError if EASE is explicit and the catalogue too large for it.
        """
        limit = self.options.get("ease_items", EASE_ITEMS)
        similar = "ease" if item_count <= limit else "item-knn"
        names: tuple[str, ...] = (similar, "transitions", "als", *(["text"] if has_text else []))
        if self.family != BLEND:
            names = (self.family,)
        elif "parts" in self.options:
            names = tuple(self.options["parts"])
        if "ease" in names and item_count > limit:
            raise DataError(
                f"the family ease needs memory for each pair of {item_count:,} items; use "
                f"item-knn, or --set ease_items={item_count}"
            )
        return names


def options_from_texts(
    family: str,
    parts: str | None,
    settings: Sequence[str],
    seed: int,
    min_rating: float | None = None,
    *,
    feedback: bool = False,
) -> FitOptions:
    """Return the options of a command line. Raise DataError for an unknown or invalid one.

    `parts` has families between commas, and each of `settings` is `NAME=VALUE`. `min_rating` and
    `feedback` are options of the data that are recorded, too.
    """
    if family not in (BLEND, *FAMILIES):
        raise unknown_family(family, (BLEND, *FAMILIES))
    names = tuple(name.strip() for name in parts.split(",")) if parts is not None else ()
    if names and family != BLEND:
        raise DataError(f"only the blend has parts; remove --parts or use --model {BLEND}")
    if len(set(names)) < len(names):
        raise DataError(f"--parts {parts} names a family twice; name each once")
    used = [
        family_class(name) for name in (names or (BLEND_PARTS if family == BLEND else (family,)))
    ]
    known = {name: default for one in used for name, default in one.options.items()}
    if "ease" in [one.family for one in used]:
        known["ease_items"] = EASE_ITEMS
    options: dict[str, Any] = {"parts": names} if names else {}
    if min_rating is not None:
        options["min_rating"] = min_rating
    if feedback:
        options["feedback"] = True
    for setting in settings:
        name, separator, text = setting.partition("=")
        if not separator or name not in known:
            raise DataError(
                f"--set {setting} is not an option of {family}; use NAME=VALUE with one of "
                f"{', '.join(sorted(known)) or 'none'}"
            )
        options[name] = _number(name, text, known[name])
    return FitOptions(family, seed, options)


def _number(name: str, text: str, default: int | float | None) -> int | float:
    """Return the value of an option, whole unless its default is not."""
    try:
        value = float(text) if isinstance(default, float) else int(text)
    except ValueError:
        value = -1
    largest = _LARGEST.get(name, 1e9)
    if not 0 <= value <= largest or (value == 0 and name != "dropout"):
        kind = "a number" if isinstance(default, float) else "a whole number"
        limit = f" and at most {largest:,}" if name in _LARGEST else ""
        raise DataError(f"{name} is {text!r}; use {kind} above 0{limit}")
    return value
