"""The rule for names of models, of single-file plugins and of the objects that plugins register."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from typing import TypeGuard

RULE = "letters, digits, '.', '_' and '-'"
"""The characters of a name, as part of an error message. The letters are of any language."""

ERASED = "[erased]"
"""The mark in place of an erased text or name. No name has brackets."""

_LONGEST = 100  # characters
_MOST_BYTES = 200  # a folder or file has the name of a model, and at most 255 bytes


def split_version(plugin: str) -> tuple[str, str | None]:
    """Return the name and the version of `name==version`, or None as that of a name alone."""
    name, pinned, version = plugin.partition("==")
    return name.strip(), version.strip() if pinned else None


def normal_name(text: str) -> str:
    """Return a name in the Unicode normal form NFC, in which all names are compared and recorded.

    A keyboard or a file system may write an accented letter as two characters (NFD).
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def plain_path(reference: str) -> str:
    """Return the plain form of a path, which is `model` for `./model` and `model/`."""
    return os.path.normpath(reference)


def model_names(reference: str) -> Sequence[str]:
    """Return the names that a model can be recorded by when a request has this reference.

    These are the reference as written, its plain form as a path, and that in Unicode normal form.
    """
    plain = plain_path(reference)
    name = normal_name(plain)
    return list(dict.fromkeys((reference, plain, name if is_name(name) else plain)))


def versioned(distribution: str, version: str) -> str:
    """Return a distribution and its version, which a plugin of one file does not have."""
    return f"{distribution} {version}".rstrip()


def is_name(text: object) -> TypeGuard[str]:
    """Return whether a text is a name in normal form.

    It has letters and digits of any language, and dots, underscores and hyphens after the first of
    them. Spaces, and control, bidirectional and invisible characters are excluded.
    """
    if not isinstance(text, str) or not 0 < len(text) <= _LONGEST or text != normal_name(text):
        return False
    if not _is_letter(text[0]) or not all(_is_letter(c) or c in "._-" or _is_mark(c) for c in text):
        return False
    return len(text.encode()) <= _MOST_BYTES


def is_object_name(text: object) -> TypeGuard[str]:
    """Return whether a text is a name without capital letters, as registered objects have it."""
    return is_name(text) and not any(map(str.isupper, text))


def _is_letter(character: str) -> bool:
    """Return whether a character is a visible letter or digit."""
    if character.isascii():
        return character.isalnum()
    return unicodedata.category(character)[0] in "LN" and not _is_hidden(character)


def _is_mark(character: str) -> bool:
    """Return whether a character is a visible mark of the letter before it."""
    return unicodedata.category(character)[0] == "M" and not _is_hidden(character)


def _is_hidden(character: str) -> bool:
    from muniment.escapes import is_hidden  # compiles its patterns, which ASCII needs none of

    return is_hidden(character)
