"""The language of help texts and confirmations, and their translations.

The translations of a distribution are a gettext catalogue in its package:
`locale/zh/LC_MESSAGES/DISTRIBUTION.mo`. In English nothing is imported or read.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from muniment.config import normalised

if TYPE_CHECKING:
    from gettext import NullTranslations
    from pathlib import Path

    import click

Language: TypeAlias = Literal["en", "zh"]

CORE = "muniment"
VARIABLE = "MUNIMENT_LANG"


def language() -> Language:
    """Return the language of help texts and confirmations.

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


class Translations:
    """The translations of a distribution's texts, with the methods of gettext.

    A text without a translation stays English. Texts of Muniment itself, such as the help of
    shared options, are translated for every distribution. A translation keeps its English form,
    which `confirm` uses in an error.
    """

    def __init__(self, distribution: str) -> None:
        self.distribution = distribution

    def gettext(self, message: str) -> str:
        """Return the translation of a text, which may have placeholders for `format`."""
        if not message or language() == "en":
            return Text(message, message)
        return Text(_catalogue(self.distribution).gettext(message), message)

    def ngettext(self, singular: str, plural: str, number: int) -> str:
        """Return the translation of a text for a number of things."""
        english = singular if number == 1 else plural
        if language() == "en":
            return Text(english, english)
        found = _catalogue(self.distribution).ngettext(singular, plural, number)
        return Text(found, english)


_core = Translations(CORE)
gettext = _core.gettext
ngettext = _core.ngettext


def translate(text: str, distribution: str = CORE) -> str:
    """Return a help text with each paragraph translated."""
    if language() == "en":
        return text
    find = Translations(distribution).gettext
    return "\n\n".join(map(find, paragraphs(text)))


def paragraphs(text: str) -> list[str]:
    r"""Return the paragraphs of a help text, each of them one message of a catalogue.

    Lines are joined, except in a paragraph that begins with `\b`.
    """
    shown = inspect.cleandoc(text).partition("\f")[0]
    parts = filter(None, (part.strip("\n ") for part in re.split(r"\n[ \t]*\n", shown)))
    return [part if part.startswith("\b") else " ".join(part.split("\n")) for part in parts]


def translated(command: click.Command, distribution: str = CORE) -> click.Command:
    """Return a command with its help translated: a copy, or in English the command itself."""
    if language() == "en":
        return command
    from muniment.cli.translated_help import translated_copy

    return translated_copy(command, distribution)


def translated_option(option: click.Option, distribution: str) -> click.Option:
    """Return an option with its help translated, as `translated` does for a command."""
    if language() == "en":
        return option
    from muniment.cli.translated_help import translated_parameter

    return translated_parameter(option, distribution)


def help_formatter() -> click.HelpFormatter:
    """Return the formatter of help texts in the language of the user."""
    if language() == "en":
        import click

        return click.HelpFormatter()
    from muniment.cli.wide_formatter import WideFormatter

    return WideFormatter()


@functools.cache
def _catalogue(distribution: str) -> NullTranslations:
    import gettext

    try:
        found = gettext.translation(normalised(distribution), locale_folder(distribution), ["zh"])
    except Exception:  # none, or a damaged file of a plugin, which must not prevent help
        found = gettext.NullTranslations()  # type: ignore[assignment]
    if distribution != CORE:
        found.add_fallback(_catalogue(CORE))
    return found


def locale_folder(distribution: str) -> Path | None:
    """Return the folder `locale` of a distribution's package, or None for a plugin of one file.

    The package is that of its entry points. It is not imported.
    """
    if distribution == CORE:
        from pathlib import Path

        return Path(__file__).parent.parent / "locale"
    from muniment.plugins.discovery import package_folder

    package = package_folder(distribution)
    return None if package is None else package / "locale"
