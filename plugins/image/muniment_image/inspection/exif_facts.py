"""The entries of an EXIF block as facts with the names of the standard."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from muniment_image.containers import exif

from .facts import MAX_TEXT, Fact, Text

SOURCE = "EXIF"

# Entries whose text can be the parameters of an image program, next to the user comment.
_TEXTS = frozenset(("ImageDescription", "Make", "Model", "Software"))
_MAX_NUMBERS = 16  # of one entry
_MAX_VALUE = 64_000  # bytes of one entry, since a thousand of them can share theirs
# The types of numbers in the standard, as those of `struct`. A rational number is a pair.
_NUMBERS = {1: "B", 3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d"}
_TEXT, _RATIONAL = 2, (5, 10)


def texts_of(block: bytes) -> list[Text]:
    """Return the entries of an EXIF block that can contain the parameters of a program."""
    texts: dict[str, Text] = {}  # the first of each name, since a thousand can share their bytes
    for entry in exif.entries(block):
        if (name := _name(entry)) in _TEXTS and name not in texts:
            content = entry.start(MAX_TEXT).rstrip(b"\0 ")
            texts[name] = Text(SOURCE, name, content.decode("utf-8", "replace"))
    comments = exif.user_comments(block)[:1]  # in the more probable byte order
    return [*texts.values(), *(Text(SOURCE, "UserComment", comment) for comment in comments)]


def facts_of(block: bytes) -> Iterator[Fact]:
    """Yield the other entries. Those of the thumbnail are left out."""
    for entry in exif.entries(block):
        name = _name(entry)
        is_other = name not in _TEXTS and entry.tag != exif.USER_COMMENT
        if is_other and entry.directory != "IFD1":
            yield Fact(SOURCE, name, _value(entry))


def _name(entry: exif.Entry) -> str:
    from PIL import ExifTags

    names = ExifTags.GPSTAGS if entry.directory == "GPS" else ExifTags.TAGS
    return names.get(entry.tag, f"tag 0x{entry.tag:04x}")


def _value(entry: exif.Entry) -> str:
    """Return a text, some numbers, or the number of bytes of another entry."""
    content = entry.start(_MAX_VALUE).rstrip(b"\0 ")
    if entry.kind == _TEXT:
        return content.decode("utf-8", "replace")
    numbers = _numbers(entry)
    if numbers is not None:
        return " ".join(numbers)
    if content.isascii() and content.decode("ascii").isprintable():
        return content.decode("ascii")  # versions are bytes such as 0232
    return f"{len(entry.data):,} bytes"


def _numbers(entry: exif.Entry) -> list[str] | None:
    """Return the numbers of an entry as texts, or None for one without numbers or with many."""
    form = _NUMBERS.get(entry.kind)
    if form is None or len(entry.data) > _MAX_NUMBERS * struct.calcsize(f"={form}"):
        return None
    order = "<" if entry.order == "little" else ">"
    values = struct.iter_unpack(order + form, entry.data)
    if entry.kind in _RATIONAL:
        return [f"{top}/{bottom}" for top, bottom in values]
    return [f"{value:g}" if isinstance(value, float) else str(value) for (value,) in values]
