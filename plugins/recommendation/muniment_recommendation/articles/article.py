"""Texts for a reader about a ranked list: the request for one, and a plain one.

The evidence of a text are the titles and texts of the list's items, and the titles of the history.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

from muniment_recommendation.data.catalogue import shortened
from muniment_recommendation.ranking.document import RankedItem, Ranking, reasons

from .grounding import has_phrase, unsupported

Language: TypeAlias = Literal["en", "zh"]

MOST_ITEMS = 5
"""The number of first items that a text is about."""
_MOST_REASONS = 2
_LONGEST = 300  # characters of an item's text
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_TITLE_PARTS = re.compile(r"\s[·/|–—-]\s|[:：(（)）]")
_SENTENCE = re.compile(r".*?(?:[。！？]|[.!?](?=\s|$)|$)", re.DOTALL)

_TASKS = {
    "en": "Write a short article for one reader in English. Recommend the works above. Use only "
    "their titles and descriptions. Name no other work, person or number.",
    "zh": "请用中文为一位读者写一篇短文，推荐上面的作品。只使用上面的标题和介绍，不要提到其他作品、"
    "人物或数字。",
}
_WISHES = {"en": "The reader says: {}", "zh": "读者说：{}"}
_INTRODUCTIONS = {"en": "Recommended for you:", "zh": "为你推荐："}
_INTRODUCTIONS_WITH_HISTORY = {
    "en": "You liked {}. Recommended for you:",
    "zh": "你喜欢{}。为你推荐：",
}
_LINES = {"en": "- {}: {}", "zh": "- {}：{}"}
_REASONS = {"en": "{} (because you liked {})", "zh": "{}（因为你喜欢{}）"}
_JOINTS = {"en": " and ", "zh": "和"}
_NOTHING = {"en": "There is nothing to recommend.", "zh": "没有可以推荐的作品。"}


def language_of(ranking: Ranking, wish: str) -> Language:
    """Return the language of a wish, or that of the titles if there is none."""
    titles = "".join(item.title for item in ranking.items[:MOST_ITEMS])
    text = wish.strip() or titles
    han = len(_HAN.findall(text))
    letters = sum(letter.isalpha() for letter in text)
    # A Chinese character says about as much as three letters.
    return "zh" if han and 3 * han >= letters - han else "en"


def task(wish: str, language: Language) -> str:
    """Return the prompt for a text generator, whose input `context` is `works`."""
    wish = wish.strip()
    parts = [_TASKS[language], *([_WISHES[language].format(wish)] if wish else [])]
    return "\n".join(parts)


def works(ranking: Ranking, language: Language) -> str:
    """Return a line for each item that a text is about: its title and the beginning of its text."""
    lines = [_line(item.title, _cut(item), language) for item in ranking.items[:MOST_ITEMS]]
    return "".join(f"{line}\n" for line in lines)


def unsupported_by(ranking: Ranking, text: str) -> tuple[str, ...]:
    """Return the titles, numbers and names of a text that are not in the evidence of a list."""
    evidence = [text for item in ranking.items[:MOST_ITEMS] for text in (item.title, item.text)]
    return unsupported(text, [*evidence, *(item.title for item in ranking.history)])


def final_text(ranking: Ranking, attempt: str, language: Language) -> str:
    """Return an attempt, or the plain text.

    An attempt is about an item of the list, and names nothing that is not in the evidence.
    """
    text = attempt.strip()
    if names_an_item(ranking, text) and not unsupported_by(ranking, text):
        return text
    return plain_text(ranking, language)


def names_an_item(ranking: Ranking, text: str) -> bool:
    """Return whether a text has the title of an item, or a part of it such as one language."""
    titles = [item.title for item in ranking.items[:MOST_ITEMS]]
    parts = [part.strip() for title in titles for part in _TITLE_PARTS.split(title)]
    return any(has_phrase(text, part) for part in [*titles, *parts] if len(part) > 1)


def plain_text(ranking: Ranking, language: Language) -> str:
    """Return a text that repeats the evidence: the main reasons, and the items with their texts."""
    if not ranking.items:
        return _NOTHING[language]
    liked = dict.fromkeys(
        title for item in ranking.items[:MOST_ITEMS] for title in _main_reasons(ranking, item)
    )
    introduction = _INTRODUCTIONS[language]
    if liked:
        titles = _JOINTS[language].join(list(liked)[:_MOST_REASONS])
        introduction = _INTRODUCTIONS_WITH_HISTORY[language].format(titles)
    lines = []
    for item in ranking.items[:MOST_ITEMS]:
        line = _line(item.title, _first_sentence(_cut(item), language), language)
        if titles := _JOINTS[language].join(_main_reasons(ranking, item)):
            line = _REASONS[language].format(line, titles)
        lines.append(line)
    return "\n".join([introduction, "", *lines])


def _main_reasons(ranking: Ranking, item: RankedItem) -> list[str]:
    return [reason.title for reason in reasons(ranking, item) if reason.title][:_MOST_REASONS]


def _line(title: str, text: str, language: Language) -> str:
    return _LINES[language].format(title, text) if text else f"- {title}"


def _cut(item: RankedItem) -> str:
    return shortened(" ".join(item.text.split()), _LONGEST)


def _first_sentence(text: str, language: Language) -> str:
    """Return the first sentence in a language, or the first one of all."""
    sentences = [part.strip() for part in _SENTENCE.findall(text) if part.strip()]
    fitting = (part for part in sentences if bool(_HAN.search(part)) == (language == "zh"))
    return next(fitting, next(iter(sentences), ""))
