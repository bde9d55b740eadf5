"""The translations of help texts and of the sentences of plugins.

The translations of a distribution are a gettext catalogue in its package:
`locale/zh/LC_MESSAGES/DISTRIBUTION.mo`. In English nothing is imported or read.
"""

from __future__ import annotations

import functools
import inspect
import re
from typing import TYPE_CHECKING

from muniment.config import normalised
from muniment.language import Catalogue, language, load_core

if TYPE_CHECKING:
    from gettext import NullTranslations
    from pathlib import Path

CORE = "muniment"


class Translations:
    """The translations of a distribution's texts, with the methods of gettext.

    A text without a translation stays English. Texts of Muniment itself, such as the help of
    shared options, are translated for every distribution. A translation keeps its English form,
    which `confirm` uses in an error.
    """

    def __init__(self, distribution: str) -> None:
        self.distribution = distribution
        self._catalogue = Catalogue(functools.partial(_catalogue, distribution))

    def gettext(self, message: str) -> str:
        """Return the translation of a text, which may have placeholders for `format`."""
        return self._catalogue.gettext(message)

    def ngettext(self, singular: str, plural: str, number: int) -> str:
        """Return the translation of a text for a number of things."""
        return self._catalogue.ngettext(singular, plural, number)


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


@functools.cache
def _catalogue(distribution: str) -> NullTranslations:
    if distribution == CORE:
        return load_core()
    import gettext

    try:
        found = gettext.translation(normalised(distribution), locale_folder(distribution), ["zh"])
    except Exception:  # none, or a damaged file of a plugin, which must not prevent help
        found = gettext.NullTranslations()  # type: ignore[assignment]
    found.add_fallback(load_core())
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
