"""Split texts and wishes into tokens, in English, Chinese and other languages.

A word of a script with spaces is a token, in lower case and singular. In scripts without spaces,
such as Chinese, each pair of adjacent characters is a token, and so is each Chinese character.
Words that only introduce a wish, such as *about* and 关于, are left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

# Chinese, and the kana of Japanese, Hangul, Thai, Lao, Burmese and Khmer. Korean has spaces, but
# its particles are written together with the noun: pairs of syllables find the noun alone.
_IDEOGRAPHS = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_UNSPACED = _IDEOGRAPHS + "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\uac00-\ud7af"
# Marks that belong to the letter before them, which `\w` does not match.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u0670\u0900-\u0dff"
_PARTS = re.compile(
    rf"(?P<run>[{_UNSPACED}]+)|(?P<word>[^\W_{_UNSPACED}](?:['{_MARKS}]*[^\W_{_UNSPACED}]|[{_MARKS}])*)"
)
_IDEOGRAPH = re.compile(rf"[{_IDEOGRAPHS}]")

STOP_WORDS = frozenset(
    """a about also am an and any are as at be been but by can could do does for from had has have
    he her him his i i'd i'm if in into is it its just like liked me my of on or our please
    recommend she should so some something such than that the their them there these they thing
    this those to us want wanted was watch we were which who will with would you your""".split()
)
_STOP_PHRASES = frozenset(
    """有没有 有沒有 之类的 之類的 一部 一本 一个 一個 一些 一门 关于 關於 有关 有關
    喜欢 喜歡 喜爱 喜愛 推荐 推薦 想看 想要 想读 想讀 想学 想學 请给 請給 给我 給我 适合 適合
    阅读 閱讀 可以 什么 什麼 或者 以及 我 你 您 请 請 的 了 吗 嗎 呢 吧""".split()
)
_STOP_CHARACTERS = frozenset("和与與或及在是有也都很给給看读讀想部本门門")

# The words for kinds of items ("films about …"), which stand in most wishes.
_KIND_PHRASES = frozenset(
    "书籍 書籍 图书 圖書 小说 小說 电影 電影 影片 课程 課程 文章 故事".split()
)
KINDS = _KIND_PHRASES.union("article book course film lesson movie novel story 书 書".split())
# Longer phrases stand first, so that the pattern matches them first.
_PHRASES = re.compile("|".join(sorted(_STOP_PHRASES | _KIND_PHRASES, key=lambda p: (-len(p), p))))
LIGHT = 0.2
"""The weight of a single Chinese character, and of a kind that few texts name."""
_LEAST_SHARE = 0.05


def tokens(text: str) -> list[str]:
    """Return the tokens of a text, in order and with repeats."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    result: list[str] = []
    for match in _PARTS.finditer(text):
        if word := match["word"]:
            if word not in STOP_WORDS:
                result.append(_singular(word))
        else:
            parts = _PHRASES.sub(_spaced, match["run"]).split()
            result += (token for part in parts for token in _tokens_of_run(part))
    return result


def weight(token: str, share: float) -> float:
    """Return how much a token that stands in this share of all texts counts: 1 or `LIGHT`.

    A kind counts fully where it divides the catalogue. Otherwise a wish for "a film about the sea"
    would find the few texts with the word film.
    """
    if token in KINDS:
        return 1.0 if share >= _LEAST_SHARE else LIGHT
    return LIGHT if len(token) == 1 and _IDEOGRAPH.match(token) else 1.0


def chinese_script(characters: Iterable[str]) -> Literal["traditional", "simplified"] | None:
    """Return the script of Chinese characters, or None if they are of neither or both.

    A character of one script alone is missing in the character set of the other.
    """
    traditional = simplified = False
    for character in characters:
        if _IDEOGRAPH.match(character):
            in_traditional, in_simplified = _is_in(character, "big5"), _is_in(character, "gb2312")
            traditional |= in_traditional and not in_simplified
            simplified |= in_simplified and not in_traditional
    if traditional == simplified:
        return None
    return "traditional" if traditional else "simplified"


def _is_in(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _spaced(phrase: re.Match[str]) -> str:
    return f" {phrase[0]} " if phrase[0] in _KIND_PHRASES else " "


def _tokens_of_run(run: str) -> list[str]:
    if run in _KIND_PHRASES:
        return [run]
    if len(run) == 1:
        return [] if run in _STOP_CHARACTERS else [run]
    characters = [c for c in run if _IDEOGRAPH.match(c) and c not in _STOP_CHARACTERS]
    return characters + [run[start : start + 2] for start in range(len(run) - 1)]


@lru_cache(maxsize=65_536)
def _singular(word: str) -> str:
    word = word.removesuffix("'s").removesuffix("'")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
