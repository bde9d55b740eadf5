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


def term(value: str) -> str:
    """Return the word for a recorded value of a fixed vocabulary, or any other value itself."""
    return _vocabulary().get(value, value)


def term_and_value(value: str) -> str:
    """Return the word for a recorded value, with the value as commands and JSON have it."""
    word = term(value)
    return word if word == value else gettext("{word} ({value})").format(word=word, value=value)


def person(label: str) -> str:
    """Return a label in place of a name, such as `actor 1`."""
    role, _, number = label.rpartition(" ")
    roles = {"actor": gettext("actor {number}"), "reviewer": gettext("reviewer {number}")}
    return roles[role].format(number=number) if role in roles else label


def _vocabulary() -> dict[str, str]:
    return {
        # statuses
        "started": gettext("started"),
        "completed": gettext("completed"),
        "blocked": gettext("blocked"),
        "failed": gettext("failed"),
        "interrupted": gettext("interrupted"),
        # decisions, actions and judgements
        "allow": gettext("allow"),
        "flag": gettext("flag"),
        "block": gettext("block"),
        "undecided": gettext("undecided"),
        "approve": gettext("approve"),
        "overturn": gettext("overturn"),
        # stages and kinds of texts
        "system": gettext("system"),
        "prompt": gettext("prompt"),
        "input": gettext("input"),
        "output": gettext("output"),
        "item": gettext("item"),
        "request": gettext("request"),
        "trace": gettext("trace"),
        "detail": gettext("detail"),
        # results of replays
        "exact": gettext("exact"),
        "certified": gettext("certified"),
        "uncertified": gettext("uncertified"),
        "diverged": gettext("diverged"),
        "impossible": gettext("impossible"),
        # checks of a verification, and the kinds of problems
        "schema": gettext("schema"),
        "tree": gettext("tree"),
        "head": gettext("head"),
        "checkpoint": gettext("checkpoint"),
        "signatures": gettext("signatures"),
        "signature": gettext("signature"),
        "entries": gettext("entries"),
        "entry": gettext("entry"),
        "integrity": gettext("integrity"),
        "projections": gettext("projections"),
        "projection": gettext("projection"),
        "payloads": gettext("payloads"),
        "payload": gettext("payload"),
        "search": gettext("search"),
    }
