"""The catalogue: the items that can be recommended, in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """One item. `id` is as written in the data."""

    id: str
    title: str = ""
    text: str = ""
    tags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The title, or the id of an item without one, as lists show it."""
        return self.title or self.id


@dataclass(frozen=True)
class Catalogue:
    """The items of the data. The number of an item is its position, and ties are ordered by it."""

    items: tuple[CatalogueItem, ...]
    numbers: dict[str, int] = field(init=False, repr=False, compare=False)
    """The number of each item by its id."""

    def __post_init__(self) -> None:
        numbers = {item.id: number for number, item in enumerate(self.items)}
        object.__setattr__(self, "numbers", numbers)

    def __len__(self) -> int:
        return len(self.items)


def shortened(text: str, length: int) -> str:
    """Return a text of at most this many characters, with `…` in place of a missing end."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
