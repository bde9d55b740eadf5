"""The pictures, names and vocabulary of `emoji-32`, from a font and a table of names."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from muniment_image.conditions import FUNCTION_WORDS, CaptionCondition

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "black", "white")
SHAPES = ("heart", "circle", "square")
HELD_OUT = ("green heart", "purple heart", "orange circle", "brown circle", "blue square")
"""Names that are left out of training, to test combinations of known words."""

# Groups of `emojibase-data` without persons, national flags, clock faces and letters.
_SKIPPED_SUBGROUPS = frozenset(
    "person person-gesture person-role person-fantasy person-activity person-sport person-resting "
    "family person-symbol skin-tone hair-style country-flag subdivision-flag keycap alphanum "
    "av-symbol transport-sign zodiac warning religion".split()
)
_NEWEST = 15.1  # version of the emoji standard that the font covers
_MOST_WORDS = 12  # in a caption
_LEAST_TAGGED = 3  # pictures of a tag that is worth a word
_SYNONYMS = [
    words.split()
    for words in (
        "red 红 红色 红色的",
        "orange 橙 橙色 橙色的",
        "yellow 黄 黄色 黄色的",
        "green 绿 绿色 绿色的",
        "blue 蓝 蓝色 蓝色的",
        "purple 紫 紫色 紫色的",
        "brown 棕 棕色 棕色的 褐色",
        "black 黑 黑色 黑色的",
        "white 白 白色 白色的",
        "grey gray 灰 灰色 灰色的",
        "pink 粉 粉红 粉色 粉红色 粉红色的",
        "heart 心 心形 爱心",
        "circle 圆 圆形 圆圈 圆点",
        "square 方块 方形 正方形",
        "diamond 菱形",
        "triangle 三角 三角形",
        "large big 大",
        "small little 小",
        "light 浅",
        "face 脸",
        "smiling 微笑 微笑的",
        "cat 猫",
        "dog 狗",
        "flower 花",
        "arrow 箭头",
        "hand 手",
        "tree 树",
        "moon 月亮",
        "sun 太阳",
        "star 星 星星",
        "car automobile 汽车",
        "book 书 书本",
        "button 按钮",
        "flag 旗",
    )
]
_EXPECTED = len(COLOURS) * len(SHAPES) - 2  # there is no plain black or white square


@dataclass(frozen=True)
class Emoji:
    """An emoji with its names and tags in English and Chinese."""

    text: str
    names: tuple[str, str]
    tags: tuple[tuple[str, ...], tuple[str, ...]]

    @property
    def is_shape(self) -> bool:
        """Whether the name is a colour and a shape."""
        words = self.names[0].split()
        return len(words) == 2 and words[0] in COLOURS and words[1] in SHAPES


def read_emoji(folder: Path) -> list[Emoji]:
    """Return the emoji of `emojibase-data` that are drawn, in the order of the standard."""
    groups = json.loads((folder / "en" / "messages.json").read_text(encoding="utf-8"))
    subgroups = {group["order"]: group["key"] for group in groups["subgroups"]}
    english, chinese = (
        json.loads((folder / language / "data.json").read_text(encoding="utf-8"))
        for language in ("en", "zh")
    )
    translated = {entry["hexcode"]: entry for entry in chinese}
    result = []
    for entry in english:
        subgroup = subgroups.get(entry.get("subgroup"))
        code_points = entry["hexcode"].removesuffix("-FE0F")
        is_clock = subgroup == "time" and (
            "o’clock" in entry["label"] or "thirty" in entry["label"]
        )
        if subgroup is None or subgroup in _SKIPPED_SUBGROUPS or "-" in code_points or is_clock:
            continue
        if entry["version"] > _NEWEST:
            continue
        other = translated[entry["hexcode"]]
        result.append(
            Emoji(
                chr(int(code_points, 16)),
                (entry["label"], other["label"]),
                (tuple(entry.get("tags", ())), tuple(other.get("tags", ()))),
            )
        )
    if sum(emoji.is_shape for emoji in result) != _EXPECTED:
        raise ValueError("the table of names has other colours and shapes than expected")
    return result


def build_vocabulary(emoji: Sequence[Emoji]) -> CaptionCondition:
    """Return the words of all names and of frequent tags.

    English and Chinese words with one meaning share an id: those of a list, and the names of an
    emoji that has one word in both languages. A Chinese name is divided by the longest known
    words. Characters that are in no known word become words themselves.
    """
    splitter = CaptionCondition((("",),), _MOST_WORDS)
    groups = {word: number for number, words in enumerate(_SYNONYMS) for word in words}
    count = len(_SYNONYMS)

    def add(*words: str) -> None:
        nonlocal count
        known = next((groups[word] for word in words if word in groups), None)
        number = count if known is None else known
        count += known is None
        for word in words:
            groups.setdefault(word, number)

    listed = _condition(groups)
    tag_counts = [Counter(tag for one in emoji for tag in one.tags[k]) for k in (0, 1)]
    frequent = [
        {tag for tag, number in counts.items() if number >= _LEAST_TAGGED} for counts in tag_counts
    ]
    for one in emoji:  # names of one word in both languages
        words = _content(splitter.split(one.names[0]))
        chinese = _clean(one.names[1])
        if len(words) == 1 and chinese and len(chinese) <= 4 and _unknown(listed, chinese):
            add(words[0], chinese)
    for one in emoji:
        for word in _content(splitter.split(one.names[0])):
            add(word)
    for tag in sorted(frequent[0]):
        if not any(map(str.isalnum, tag)):
            continue  # a symbol such as ✓
        if len(_content(splitter.split(tag))) == 1 == len(tag.split()):
            add(*_content(splitter.split(tag)))
    for tag in sorted(frequent[1]):
        word = _clean(tag)
        if 1 < len(word) <= 4 and _is_chinese(word) and _unknown(listed, word):
            add(word)
    condition = _condition(groups)
    for one in emoji:
        for word in condition.split(one.names[1]):
            if word not in FUNCTION_WORDS:
                add(word)
    return _condition(groups)


def captions(one: Emoji, condition: CaptionCondition, rng: np.random.Generator) -> list[str]:
    """Return captions of a picture: its names, and one that is shorter or of other words.

    The last one makes the model draw something plausible from a part of a name, or from tags.
    """
    names = [name.casefold() for name in one.names]
    words = [word for word in condition.split(names[rng.integers(2)]) if word not in FUNCTION_WORDS]
    tags = _tags(one, condition)
    if len(words) > 1 and rng.random() < 0.5:
        chosen = list(rng.permutation(words)[: rng.integers(1, len(words))])
    elif tags:
        chosen = list(rng.permutation(tags)[: rng.integers(1, 3)])
    else:
        chosen = words
    return [*names, *names, " ".join(chosen)]


def _tags(one: Emoji, condition: CaptionCondition) -> list[str]:
    """Return an emoji's tags that are words of the vocabulary."""
    known = {word for words in condition.words for word in words}
    tags = {_clean(tag) for tag in (*one.tags[0], *one.tags[1])}
    return sorted(tag for tag in tags & known if list(condition.split(tag)) == [tag])


def render(
    font: Path, text: str, size: int, variants: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return pictures [variants, size, size, 3] of an emoji on white, slightly moved and scaled."""
    strike = ImageFont.truetype(str(font), 109)  # the size of the font's bitmaps
    canvas = Image.new("RGB", (136, 136), "white")
    ImageDraw.Draw(canvas).text((0, 4), text, font=strike, embedded_color=True)
    pictures = []
    for number in range(variants):
        # The first variant fills the picture. The others have more white around the emoji.
        scale = 1.0 if number == 0 else rng.uniform(1.0, 1.1)
        side = 140 * scale
        left, top = 68 - side / 2, 68 - side / 2
        if number:
            room = (side - 128) / 4
            left += rng.uniform(-room, room)
            top += rng.uniform(-room, room)
        large = Image.new("RGB", (240, 240), "white")
        large.paste(canvas, (52, 52))
        box = (52 + left, 52 + top, 52 + left + side, 52 + top + side)
        small = large.resize((size, size), Image.Resampling.LANCZOS, box=box)
        pictures.append(np.asarray(small))
    return np.stack(pictures)


def _condition(groups: dict[str, int]) -> CaptionCondition:
    rows: dict[int, list[str]] = {}
    for word, number in groups.items():
        rows.setdefault(number, []).append(word)
    return CaptionCondition(tuple(tuple(rows[number]) for number in sorted(rows)), _MOST_WORDS)


def _content(words: Iterable[str]) -> list[str]:
    return [word for word in words if word not in FUNCTION_WORDS]


def _clean(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().casefold()


def _is_chinese(text: str) -> bool:
    return all("\u3400" <= character <= "\u9fff" for character in text)


def _unknown(condition: CaptionCondition, text: str) -> bool:
    """Return whether some part of a Chinese text is no word of the vocabulary."""
    return any(
        word not in FUNCTION_WORDS and not any(word in words for words in condition.words)
        for word in condition.split(text)
    )
