"""Divide a wish into wanted and unwanted tokens: "about the sea, no war", 不要战争."""

from __future__ import annotations

import re

from .tokens import KINDS, STOP_WORDS, tokens

_CLAUSES = re.compile(r"[,.;:!?，。；：！？\n]+")
_QUESTION = re.compile("有[没沒]有")
# Up to the particle 的, which joins the unwanted subject to the wanted kind: 没有战争的电影.
_UNWANTED_CHINESE = re.compile(
    "(?:不想要|不想看|不想读|不想讀|不喜欢|不喜歡|不要|不看|不含|不是|没有|沒有|除了)([^的]*)"
)
_ALL_BUT = re.compile(r"\b(?:all|(?:any|every)thing) (?:but|besides|other than)\b", re.IGNORECASE)
_ONLY = re.compile(r"\bnothing (?:but|except)\b", re.IGNORECASE)
_NEGATIONS = frozenset(
    """aren't can't didn't doesn't don't except hate isn't never no nor not nothing without
    won't""".split()
)


def divide_wish(wish: str) -> tuple[list[str], list[str]]:
    """Return the wanted and the unwanted tokens of a wish.

    A kind of item is unwanted only where nothing else is: "no films", but not "no war films".
    """
    wanted: list[str] = []
    negative: list[str] = []
    wish = _ALL_BUT.sub(" not ", _ONLY.sub(" ", wish.replace("’", "'")))
    for clause in _CLAUSES.split(_QUESTION.sub(" ", wish)):
        unwanted = _UNWANTED_CHINESE.findall(clause)
        is_negated = has_subject = False
        for word in _UNWANTED_CHINESE.sub(" ", clause).split():
            folded = word.casefold()
            if folded in _NEGATIONS:
                is_negated, has_subject = True, False
            elif folded in STOP_WORDS and folded not in ("and", "or"):
                # "not about war" continues, and "without war about the sea" ends.
                is_negated = is_negated and not has_subject
            else:
                has_subject = True
                (unwanted if is_negated else wanted).append(word)
        found = tokens(" ".join(unwanted))
        negative += [token for token in found if token not in KINDS] or found
    return tokens(" ".join(wanted)), negative
