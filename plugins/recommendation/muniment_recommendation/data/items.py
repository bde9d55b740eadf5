"""Reading and writing the table of items: titles, texts and tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .catalogue import CatalogueItem, shortened
from .table_file import Column, TableFile, quoted

ITEM_NAMES = ("item", "item_id", "itemid", "movie_id", "movieid", "product_id", "asin")
"""Names of the column of item ids, in lower case. The first one is what Muniment writes."""
MAX_TITLE = 1000
"""Characters of a title."""
MAX_TEXT = 100_000
"""Characters of a text."""

_TITLE_NAMES = ("title", "name", "movie_title", "item_title", "item_name")
_TEXT_NAMES = ("text", "description", "overview", "summary", "plot", "review")
_TAGS_NAMES = ("tags", "genres", "categories")
_SEPARATORS = ("|", ";", "；", "，", "、", ",")


class ItemReader:
    """The reader of one table of items. `notes` has what it changed or did not use."""

    def __init__(self, table: TableFile) -> None:
        self.notes: list[str] = []
        self._table = table
        self._id = table.required(ITEM_NAMES, "the ids of the items")
        self._title = table.number_of(_TITLE_NAMES)
        texts = [table.number_of(_TEXT_NAMES)]
        tags = [table.number_of(_TAGS_NAMES)]
        used = {self._id, self._title, *texts, *tags}
        unused = []
        for number, column in enumerate(table.columns):
            if number in used:
                continue
            if column.type == "token_seq":
                tags.append(number)
            elif column.type == "token":
                texts.append(number)
            else:
                unused.append(column)
        self._texts = [number for number in texts if number is not None]
        self._tags = [number for number in tags if number is not None]
        if unused:
            self.notes.append(f"{table.path}: {unused_columns(unused)}")

    def read(self) -> tuple[CatalogueItem, ...]:
        """Return the items in the order of the file, each id once. Raises DataError."""
        items: dict[str, CatalogueItem] = {}
        repeated: list[int] = []
        cut: list[int] = []
        record = -1
        for columns in self._table.chunks():
            for fields in zip(*columns, strict=True):
                record += 1
                item = self._item(fields)
                if not item.id.strip():
                    raise self._table.error(record, "the item has no id", "write one")
                if item.id in items:
                    repeated.append(record)
                    continue
                if len(item.title) > MAX_TITLE or len(item.text) > MAX_TEXT:
                    cut.append(record)
                    item = cut_item(item)
                items[item.id] = item
        if repeated:
            ids = f"{len(repeated):,} item{'s' if len(repeated) > 1 else ''}"
            self._note(repeated, f"{ids} with an id of an earlier line, which is used instead")
        if cut:
            limits = f"{MAX_TITLE:,} characters or texts over {MAX_TEXT:,}"
            self._note(cut, f"titles over {limits} are cut")
        return tuple(items.values())

    def _note(self, records: Sequence[int], text: str) -> None:
        self.notes.append(f"{self._table.path}, {self._table.places(records)}: {text}")

    def _item(self, fields: Sequence[str]) -> CatalogueItem:
        item_id = fields[self._id]
        title = "" if self._title is None else fields[self._title]
        text = "\n".join(fields[number] for number in self._texts if fields[number].strip())
        tags: list[str] = []
        for number in self._tags:
            is_words = self._table.columns[number].type == "token_seq"
            tags += _words(fields[number]) if is_words else split_tags(fields[number])
        return CatalogueItem(
            item_id, title if title.strip() else "", text, tuple(dict.fromkeys(tags))
        )


def cut_item(item: CatalogueItem) -> CatalogueItem:
    """Return an item whose title and text have at most `MAX_TITLE` and `MAX_TEXT` characters."""
    title = shortened(item.title, MAX_TITLE)
    return CatalogueItem(item.id, title, item.text[:MAX_TEXT], item.tags)


def _words(text: str) -> list[str]:
    """Return the words of a field of RecBole, which can be a list as Python writes it."""
    return [word for part in text.split() if (word := part.strip("'\"[],"))]


def split_tags(text: str) -> list[str]:
    """Return the tags of a field, separated by the first of `|`, `;` and `,` that it has."""
    separator = next((mark for mark in _SEPARATORS if mark in text), None)
    parts = [text] if separator is None else text.split(separator)
    return [tag for part in parts if (tag := part.strip())]


def join_tags(tags: Iterable[str]) -> str:
    """Return a field from which `split_tags` returns the tags."""
    parts = [re.sub(r"\s*\|\s*", "/", tag) for tag in tags]
    text = "|".join(parts)
    if len(parts) == 1 and any(mark in text for mark in _SEPARATORS):
        return f"{text}|"
    return text


def unused_columns(columns: Sequence[Column]) -> str:
    """Return a note about columns that are not read."""
    names = ", ".join(quoted(column.name) for column in columns[:10])
    return f"columns that are not used: {names}"
