"""Escapes of characters that a terminal acts on or that a reader cannot see."""

from __future__ import annotations

import json
import sys
import time
import unicodedata

import pytest

from muniment import escaped
from muniment.escapes import json_escaped, settled

KEPT = {
    "a family": "👩‍👩‍👧",
    "a skin tone": "👩🏽‍🦰",
    "a selector before a joiner": "🏳️‍🌈❤️‍🔥⛓️‍💥",
    "a symbol that is no So": "🙂‍↔️‼️ℹ️",
    "a keycap": "1️⃣#️⃣",
    "the flag of England": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "Persian": "می‌خواهم",
    "Persian with a mark": "مُ‌خ",
    "an Arabic abbreviation": "ه‍.",
    "Devanagari": "क्‍ष क्‌ष",
    "Bengali": "র‍্য",
    "Malayalam at the end of a word": "ന്‍",
    "an ideographic variation": "葛\U000e0100 㐂\ufe00",
    "Mongolian": "ᠠ\u180b ᠠ\u180e",
    "Khmer": "កម្ពុជា\u200bសួស្តី",
    "Chinese": "你好，世界。\u3000①",
    "Hebrew and Arabic": "שלום مرحبا",
}
ESCAPED = {
    "\x1b[2J\x9b\x7f": r"\x1b[2J\x9b\x7f",
    "a\u202eb\u2066c\u200fd\u061c": r"a\u202eb\u2066c\u200fd\u061c",
    "a\u200bb\u200cc\u200dd\u2060\ufeff": r"a\u200bb\u200cc\u200dd\u2060\ufeff",
    "soft\xadhyphen": r"soft\xadhyphen",
    "\u180e\u034f\u3164\u115f\uffa0": r"\u180e\u034f\u3164\u115f\uffa0",
    "x\ufe0f2\ufe0f": r"x\ufe0f2\ufe0f",
    "❤\ufe0f\ufe0f": "❤\ufe0f\\ufe0f",
    "葛\U000e0100\U000e0101": "葛\U000e0100\\U000e0101",
    "\U000e0041\U000e0042": r"\U000e0041\U000e0042",
    "\U0001f3f4\U000e0061\U000e007f": "\U0001f3f4\\U000e0061\\U000e007f",
    "👩‍": "👩\\u200d",
    "👩‍a": "👩\\u200da",
    "می‌ ": "می\\u200c ",
    "\u200dक": r"\u200dक",
    "\u2028\u2029\udc80": r"\u2028\u2029\udc80",
    "\r\n\t": r"\r\n\t",
}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_escaped_keeps_what_a_script_or_an_emoji_needs(text: str) -> None:
    assert escaped(text) == text
    assert escaped(text, "\n\t") == text


@pytest.mark.parametrize(("text", "result"), ESCAPED.items(), ids=ascii)
def test_escaped_writes_hidden_characters_as_codes(text: str, result: str) -> None:
    assert escaped(text) == result
    assert json_escaped(f'"{text}"').isprintable() or "\ufe0f" in text
    assert json.loads(json_escaped(json.dumps(text, ensure_ascii=False))) == text


def test_escaped_leaves_no_control_or_format_character_of_its_own() -> None:
    # Signs before the digits of Arabic and other scripts, and Egyptian joiners, are visible.
    visible = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
    visible |= {*range(0x13430, 0x13440)}
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        if hidden and number not in visible:
            assert escaped(f"a{character}b").isascii(), hex(number)
        elif character.isprintable() and character.isalnum() and number not in (0x115F, 0x1160):
            assert escaped(character) in (character, f"\\u{number:04x}"), hex(number)


def test_escaped_of_a_part_looks_at_the_characters_around_it() -> None:
    family = "👩‍👧"
    assert "".join(escaped(family, "", index, index + 1) for index in range(3)) == family
    assert escaped(family[1:]) == "\\u200d👧"


def test_settled_is_the_part_that_no_further_text_changes() -> None:
    whole = f"a 👩‍👩‍👧 1️⃣ می‌خواهم {KEPT['the flag of England']} x\u200b."
    shown, position = "", 0
    for end in range(len(whole) + 1):
        growing = whole[:end]
        if (until := settled(growing)) > position:
            shown += escaped(growing, "", position, until)
            position = until
    assert shown == escaped(whole) == whole.replace("\u200b", "\\u200b")


@pytest.mark.parametrize("end", ["", "a"])
def test_settled_takes_the_same_time_for_each_chunk(end: str) -> None:
    text = "\u200b" * 30_000 + end
    start = time.process_time()
    for _ in range(1000):
        settled(text)
    assert time.process_time() - start < 2


@pytest.mark.parametrize("text", ["a\u200b", "می‌", "a\u0301\u200d", "\ufe0f", "👩‍"])
def test_escaped_takes_linear_time(text: str) -> None:
    start = time.process_time()
    escaped(text * 50_000)
    assert time.process_time() - start < 5
