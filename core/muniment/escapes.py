r"""Escapes for characters that a terminal acts on, or that a reader cannot see.

A model's output, a prompt or a tag must not move the cursor, reverse the direction of writing, or
look like another text. These characters are written as codes such as `\x1b`, `\u202e` and
`\U000e0041`:

- control characters, lone surrogates, and the separators of lines and paragraphs
- marks, embeddings, overrides and isolates of the writing direction
- characters without a glyph: those that are Default_Ignorable_Code_Point in Unicode, such as
  zero-width spaces and joiners, soft hyphens, fillers, variation selectors and tags

The last are kept where a script or an emoji needs them, which the characters next to them decide:

- a joiner between two symbols, which is an emoji sequence
- a joiner or a non-joiner next to a virama (RFC 5892, appendix A)
- a joiner after a letter of Arabic, Persian or another joined script
- a non-joiner between two such letters
- one variation selector after a symbol, a keycap's digit, an ideograph or a Mongolian letter
- the tags of the flags of England, Scotland and Wales
- a zero-width space between letters of Thai, Lao, Khmer or Myanmar, which have no other
"""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = re.compile(
    "[\0-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Hidden characters that the characters after them decide, at most six: the tags of a flag.
_PENDING = re.compile("[\u200b-\u200d\ufe0e\ufe0f\U000e0000-\U000e0fff]")
_MOST_PENDING = 6
_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}

_NON_JOINER, _JOINER = "\u200c", "\u200d"
_TEXT_STYLE, _EMOJI_STYLE = "\ufe0e", "\ufe0f"
_KEYCAP = re.compile("[0-9#*]\ufe0f\u20e3")
_FLAG = re.compile(
    "\U0001f3f4\U000e0067\U000e0062"  # gb, then eng, sct or wls, and the final tag
    "(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074|\U000e0077\U000e006c\U000e0073)"
    "\U000e007f"
)
_SYMBOL = re.compile("[\u203c\u2049\u2139\u2190-\u21ff\u25fb-\u25fe\u3030\U0001f000-\U0001faff]")
_SKIN = re.compile("[\U0001f3fb-\U0001f3ff]")
_IDEOGRAPH = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_IDEOGRAPHIC_SELECTOR = re.compile("[\ufe00-\ufe02\U000e0100-\U000e01ef]")
_MONGOLIAN = re.compile("[\u1820-\u18aa]")
_MONGOLIAN_SELECTOR = re.compile("[\u180b-\u180f]")
_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_VIRAMA = 9  # canonical combining class
_MARKS = ("Mn", "Mc", "Me")


def escaped(text: str, keep: str = "", start: int = 0, end: int | None = None) -> str:
    r"""Return text from `start` to `end` with hidden characters as codes, except those in `keep`.

    Hidden are characters that a terminal acts on or that have no glyph. The characters before and
    after that part decide whether a joiner belongs to its neighbours.

    Example:
        >>> print(muniment.escaped("one\nline, \x1b[31mred"))
        one\nline, \x1b[31mred
        >>> print(muniment.escaped("two\nlines", keep="\n"))
        two
        lines
    """
    end = len(text) if end is None else end
    if text.isascii() and text.isprintable():
        return text[start:end]
    parts, position = [], start
    for match in _HIDDEN.finditer(text, start, end):
        if match[0] in keep or _belongs(text, match.start()):
            continue
        parts += [text[position : match.start()], code(match[0])]
        position = match.end()
    return "".join([*parts, text[position:end]])


def is_hidden(character: str) -> bool:
    """Return whether a character is escaped unless its neighbours need it."""
    return _HIDDEN.match(character) is not None


def settled(text: str) -> int:
    """Return the length of the part of a growing text whose escapes no further text can change."""
    end = len(text)
    while end and len(text) - end < _MOST_PENDING and _PENDING.match(text, end - 1):
        end -= 1
    return end


def code(character: str) -> str:
    """Return the code of a character, as Python writes it in a string."""
    number = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def json_escaped(text: str) -> str:
    """Return JSON with the same characters as `\\u` escapes, which leaves its values unchanged."""
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub(lambda match: _json_code(text, match), text)


def _json_code(text: str, match: re.Match[str]) -> str:
    if _belongs(text, match.start()):
        return match[0]
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[index : index + 4]}" for index in range(0, len(units), 4))


def _belongs(text: str, index: int) -> bool:
    """Return whether a hidden character is part of a word or an emoji next to it."""
    character, before, after = text[index], text[index - 1 : index], text[index + 1 : index + 2]
    if not before:
        return False
    if character in (_JOINER, _NON_JOINER):
        if character == _JOINER and _is_symbol(after) and _is_symbol(_base(text, index)):
            return True
        if _is_virama(before) or _is_virama(after):
            return True
        return _is_joined(_base(text, index)) and (character == _JOINER or _is_joined(after))
    if character == _EMOJI_STYLE and _KEYCAP.match(text, index - 1):
        return True
    if character in (_TEXT_STYLE, _EMOJI_STYLE):
        return _is_symbol(before)
    if _IDEOGRAPHIC_SELECTOR.match(character):
        return bool(_IDEOGRAPH.match(before))
    if _MONGOLIAN_SELECTOR.match(character):
        return bool(_MONGOLIAN.match(before))
    if character == "\u200b":
        return bool(_WITHOUT_SPACES.match(before) and _WITHOUT_SPACES.match(after))
    flag = _FLAG.match(text, text.rfind("\U0001f3f4", max(0, index - 6), index))
    return flag is not None and index < flag.end() if character >= "\U000e0000" else False


def _base(text: str, index: int) -> str:
    """Return the character before `index`, without marks, a skin tone and an emoji's selector."""
    while index > 0:
        character = text[index - 1]
        is_mark = unicodedata.category(character) in _MARKS
        if not (is_mark and character != "\u034f") and not _SKIN.match(character):
            return character
        index -= 1
    return ""


def _is_symbol(character: str) -> bool:
    """Return whether a character may be an emoji, alone or with a selector."""
    return bool(_SYMBOL.match(character)) or (
        character != "" and unicodedata.category(character) == "So"
    )


def _is_virama(character: str) -> bool:
    return character != "" and unicodedata.combining(character) == _VIRAMA


def _is_joined(character: str) -> bool:
    """Return whether a character is a letter of Arabic, Syriac or another joined script."""
    return character != "" and (
        unicodedata.bidirectional(character) == "AL" or bool(_MONGOLIAN.match(character))
    )
