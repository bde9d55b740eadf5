"""Count the words of a text that are written in capital letters."""

from __future__ import annotations

import re

# Tokens as in the Penn Treebank, the convention of the published checker. A hyphen, a slash and an
# underscore do not separate tokens. Each part of a contraction is a token: DO N'T, SHE 'S, CAN NOT.
_SEPARATOR = re.compile(
    r"""
      [\s()\[\]{}<>;@#$%&?!*"`\u00ab\u00bb\u2014\u2018\u2019\u201c-\u201e]+
    | --+ | \.{2,} | [:,](?!\d)
    | (?<=[^\s'])(?='(?:[smd]|ll|re|ve)?(?![\w'])) | (?<=\w)(?=n't(?!\w))
    | (?<=\bcan)(?=not\b) | (?<=\b(?:gon|wan))(?=na\b) | (?<=\b(?:gim|lem))(?=me\b)
    | (?<=\bgot)(?=ta\b)
    """,
    re.VERBOSE | re.IGNORECASE,
)


def count_capital_words(text: str) -> int:
    """Return the number of words without a lowercase letter and with at least one capital letter.

    Each part of a contraction is counted. Scripts without capital letters have no such words.
    """
    return sum(map(str.isupper, _SEPARATOR.split(text)))
