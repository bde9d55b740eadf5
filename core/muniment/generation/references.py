"""Reference texts that outputs are compared with, from a file or the design of an experiment.

A line of a file is a JSON object with the references of a generation, an item or a prompt:

    {"prompt": "The sea is", "references": ["blue", "deep"]}
    {"item": "moon", "references": ["The moon is bright."]}
    {"id": "01M81Y7QD63SVKJ6082W96W2BV", "references": ["a text"]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from muniment.errors import UsageError, YamlError, explain_invalid
from muniment.types.generations import Generation
from muniment.yaml_text import parse_yaml

_Texts = Annotated[tuple[str, ...], Meta(min_length=1)]
_HINTS = {
    "id": "use the whole id of a generation",
    "item": "use the id of an item in the design, or its number from 0",
    "prompt": "use a prompt as it is recorded",
    "references": "use a list of texts, at least one",
}


class _Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    references: _Texts
    id: str | None = None
    item: str | int | None = None
    prompt: str | None = None

    @property
    def keys(self) -> list[tuple[str, str | int]]:
        """The fields that name generations, with their values."""
        fields = ("id", self.id), ("item", self.item), ("prompt", self.prompt)
        return [(name, value) for name, value in fields if value is not None]


class _DesignItem(msgspec.Struct, frozen=True):
    """The fields of an item of a design that are read here. The others are ignored."""

    id: str | None = None
    references: tuple[str, ...] = ()


class _Design(msgspec.Struct, frozen=True):
    items: tuple[_DesignItem, ...] = ()


class DesignItems:
    """The items of the design of an experiment, by their numbers.

    A design that was erased, or is of another format, has none.
    """

    def __init__(self, design: str | None) -> None:
        self._items: Sequence[_DesignItem] = ()
        if design is not None:
            try:
                self._items = msgspec.convert(parse_yaml(design), _Design).items
            except (YamlError, msgspec.ValidationError):
                return

    def name(self, number: int) -> str | None:
        """Return the id of an item, or None if it has none."""
        return self._items[number].id if number < len(self._items) else None

    def references(self, number: int) -> tuple[str, ...]:
        """Return the references of an item, which can be none."""
        return self._items[number].references if number < len(self._items) else ()


class References:
    """The references of a file, by the id, item or prompt of a generation."""

    def __init__(self, lines: Mapping[tuple[str, str | int], tuple[str, ...]]) -> None:
        self._lines = lines
        self._used: set[tuple[str, str | int]] = set()

    @classmethod
    def read(cls, path: Path) -> References:
        """Read a file of JSON lines. Raise UsageError with the number of an invalid line."""
        lines: dict[tuple[str, str | int], tuple[str, ...]] = {}
        decoder = msgspec.json.Decoder(_Line)
        try:
            with path.open("rb") as file:
                for number, text in enumerate(file, start=1):
                    if not text.strip():
                        continue
                    key, texts = _parse(decoder, text, f"{path}, line {number}")
                    if key in lines:
                        raise UsageError(
                            f"{path}, line {number}: there are references of this {key[0]} before; "
                            "put them into one line"
                        )
                    lines[key] = texts
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(f"{path} cannot be read: {reason}; use a file of JSON lines") from None
        if not lines:
            raise UsageError(f"{path} has no references; write a JSON object on each line")
        return cls(lines)

    def of(self, generation: Generation, items: DesignItems) -> tuple[str, ...]:
        """Return the references of a generation: of its id, else its item, else its prompt."""
        keys: list[tuple[str, str | int | None]] = [("id", generation.id)]
        if generation.cell is not None:
            number = generation.cell.item
            keys += [("item", items.name(number)), ("item", number)]
        keys.append(("prompt", generation.prompt))
        for key in keys:
            if key in self._lines:
                self._used.add(key)  # type: ignore[arg-type]
                return self._lines[key]  # type: ignore[index]
        return ()

    @property
    def unused(self) -> int:
        """The number of lines whose references belonged to no generation so far."""
        return len(self._lines) - len(self._used)

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self._lines)


def _parse(
    decoder: msgspec.json.Decoder[_Line], text: bytes, place: str
) -> tuple[tuple[str, str | int], tuple[str, ...]]:
    """Return the key and the references of a line, or raise UsageError."""
    try:
        line = decoder.decode(text.removeprefix(b"\xef\xbb\xbf"))
    except msgspec.ValidationError as error:
        raise UsageError(f"{place}: {explain_invalid(error, _HINTS)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{place}: it is not JSON ({error}); write a JSON object") from None
    for reference in line.references:
        if "\0" in reference:
            raise UsageError(f"{place}: a reference contains a NUL character; remove it")
    if len(line.keys) != 1:
        raise UsageError(f"{place}: it has {len(line.keys)} keys; use one of id, item and prompt")
    return line.keys[0], line.references
