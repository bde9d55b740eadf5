"""The language of the user, and the translations of Muniment's own texts.

In English nothing is imported or read.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from gettext import NullTranslations

Language: TypeAlias = Literal["en", "zh"]

VARIABLE = "MUNIMENT_LANG"


def language() -> Language:
    """Return the language of texts that are translated, such as help and confirmations.

    MUNIMENT_LANG names it, or else the locale, as for gettext. All kinds of Chinese are `zh`. The
    language is English where standard output cannot encode simplified Chinese.
    """
    for name in _wanted():
        code = re.split(r"[_.@-]", name.strip().lower())[0]
        if code == "zh":
            return "zh" if _encodes_chinese() else "en"
        if code == "en":
            break
    return "en"


def _wanted() -> list[str]:
    """Return the names of the wanted languages, the preferred one first."""
    if chosen := os.environ.get(VARIABLE):
        return [chosen]
    values = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next(filter(None, values), "C")
    if locale.partition(".")[0] in ("C", "POSIX"):
        return []
    return [*os.environ.get("LANGUAGE", "").split(":"), locale]


def _encodes_chinese() -> bool:
    try:
        "简体".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (LookupError, UnicodeError):
        return False
    return True


class Text(str):
    """A text in the language of the user, with its English form for errors.

    `format`, `+` and `join` return such a text again. An f-string does not.
    """

    english: str

    def __new__(cls, shown: str, english: str) -> Text:
        """Return a text from both forms."""
        text = super().__new__(cls, shown)
        text.english = english
        return text

    def format(self, *args: object, **values: object) -> Text:
        """Replace the placeholders of both forms."""
        english = {name: english_of(value) for name, value in values.items()}
        return Text(
            super().format(*args, **values), self.english.format(*map(english_of, args), **english)
        )

    def __add__(self, other: str) -> Text:
        return Text(super().__add__(other), self.english + english_of(other))

    def join(self, parts: Iterable[str], /) -> Text:
        """Join texts in both forms."""
        texts = list(parts)
        return Text(super().join(texts), self.english.join(map(english_of, texts)))


_Value = TypeVar("_Value")


def english_of(value: _Value) -> _Value | str:
    """Return the English form of a text, or any other value itself."""
    return value.english if isinstance(value, Text) else value


class Catalogue:
    """The translations of texts, with the methods of gettext.

    `load` returns them, and is called when the language is not English.
    """

    def __init__(self, load: Callable[[], NullTranslations]) -> None:
        self._load = load

    def gettext(self, message: str) -> str:
        """Return the translation of a text, or the text itself."""
        if not message or language() == "en":
            return Text(message, message)
        return Text(self._load().gettext(message), message)

    def ngettext(self, singular: str, plural: str, number: int) -> str:
        """Return the translation of a text for a number of things."""
        english = singular if number == 1 else plural
        if language() == "en":
            return Text(english, english)
        return Text(self._load().ngettext(singular, plural, number), english)


@functools.cache
def load_core() -> NullTranslations:
    """Return the translations of Muniment's own texts."""
    import gettext
    from pathlib import Path

    folder = Path(__file__).parent / "locale"
    return gettext.translation("muniment", folder, ["zh"], fallback=True)


core = Catalogue(load_core)
gettext = core.gettext
ngettext = core.ngettext
