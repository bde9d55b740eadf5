"""Texts of the audit report: on its page in the language of the user, and elsewhere in English."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from muniment.command import Translations

_CATALOGUE = Translations("muniment-analysis")
_ON_PAGE = ContextVar("_ON_PAGE", default=False)


@contextlib.contextmanager
def language_of_the_user() -> Iterator[None]:
    """Let `gettext` and `ngettext` translate in the block."""
    token = _ON_PAGE.set(True)
    try:
        yield
    finally:
        _ON_PAGE.reset(token)


def gettext(message: str) -> str:
    """Return a text, translated in a block of `language_of_the_user`."""
    return _CATALOGUE.gettext(message) if _ON_PAGE.get() else message


def ngettext(singular: str, plural: str, number: int) -> str:
    """Return the text for a number of things, with the number in place of `{number}`."""
    if _ON_PAGE.get():
        template = _CATALOGUE.ngettext(singular, plural, number)
    else:
        template = singular if number == 1 else plural
    return template.format(number=f"{number:,}")
