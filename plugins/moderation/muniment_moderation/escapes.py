"""Escapes of programming languages, addresses, HTML, CSS and mails, and their characters."""

from __future__ import annotations

import binascii
import html
import quopri
import re
import sys
import unicodedata
from urllib.parse import unquote_to_bytes

# Escapes of JSON and of most programming languages, of addresses, and of HTML and XML. Bytes in
# hexadecimal or octal digits are matched as runs, because several can be one character. In HTML
# the semicolon is optional, unless a line of a mail ends before it.
ESCAPES = re.compile(
    r"(?P<unicode>(?:[\\%]u[0-9A-Fa-f]{4})+)"
    r"|\\(?:[ux]\{|N\{U\+)(?P<braced>[0-9A-Fa-f]{1,6}+(?: ++[0-9A-Fa-f]{1,6}+)*+)\}"
    r"|\\U(?P<long>[0-9A-Fa-f]{8})"
    r"|\\N\{(?P<name>[A-Za-z0-9 -]{1,100})\}"
    r"|(?P<hex>(?:\\x[0-9A-Fa-f]{2})+)"
    r"|(?P<octal>(?:\\[0-3]?[0-7]{1,2})+)"
    r"|\\(?P<plain>[\"'\\/abefnrtv])"
    r"|(?P<percent>(?:%[0-9A-Fa-f]{2})+)"
    r"|(?P<entity>&(?:#[0-9]{1,32}+|#[xX][0-9A-Fa-f]{1,32}+|[A-Za-z][A-Za-z0-9]{1,31}+)"
    r"(?:;|(?!=[ \t]*+\r?\n)))"
    r"|U\+(?P<point>[0-9A-Fa-f]{4,6})(?: ++(?=U\+[0-9A-Fa-f]{4}))?"
)
ESCAPE_BEGINNINGS = ("\\", "%", "&", "U+")
_PLAIN = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}

# Escapes of CSS. A white space after the digits belongs to the escape.
CSS_ESCAPES = re.compile(r"\\([0-9A-Fa-f]{1,6}+)(?:\r\n|[ \t\r\n\f])?")

# Bytes of quoted-printable text (RFC 2045), its line ends that are not part of the text, and
# words of the headers of mails (RFC 2047). White space between two such words is not shown.
MAIL_ESCAPES = re.compile(
    r"(?P<bytes>(?:=[0-9A-Fa-f]{2})+)|=[ \t]*\r?\n"
    r"|=\?(?P<charset>[A-Za-z0-9_-]{1,40}+)(?:\*[A-Za-z-]{1,40}+)?\?(?P<encoding>[BbQq])"
    r"\?(?P<word>[^?\s]*+)\?=(?:\s++(?==\?))?"
)
# The encodings of mails that are decoded. Others of Python take more than linear time.
_CHARSETS = frozenset(
    "ascii us-ascii utf-8 utf8 iso-8859-1 windows-1252 gb2312 gbk gb18030 big5 utf-16 "
    "iso-2022-jp shift_jis euc-kr".split()
)

# The characters of Latin-1 for the invalid bytes of UTF-8, which `surrogateescape` decodes so.
_INVALID_BYTES = {0xDC00 + byte: chr(byte) for byte in range(0x80, 0x100)}


def escape_meaning(match: re.Match[str]) -> str | None:
    """Return the characters of a match of `ESCAPES`, or None if it is not valid."""
    kind, value = match.lastgroup, match[match.lastgroup or 0]
    match kind:
        case "plain":
            return _PLAIN.get(value, value)
        case "entity":
            meaning = html.unescape(value)
            return None if meaning == value else meaning
        case "hex":
            return _characters(bytes.fromhex(value.replace("\\x", "")))
        case "octal":
            return _characters(bytes(int(digits, 8) for digits in value[1:].split("\\")))
        case "percent":
            return _characters(unquote_to_bytes(value))
        case "unicode":  # a character beyond U+FFFF consists of two escapes
            return bytes.fromhex(re.sub(r"[\\%]u", "", value)).decode("utf-16-be", "replace")
        case "name":
            return _named(value)
        case _:
            return _code_points(value)


def css_meaning(match: re.Match[str]) -> str | None:
    """Return the character of a match of `CSS_ESCAPES`, or None if it is not valid."""
    return _code_points(match[1])


def mail_meaning(match: re.Match[str]) -> str | None:
    """Return the characters of a match of `MAIL_ESCAPES`, or None if it is not valid."""
    if match["charset"] is None:
        return _characters(bytes.fromhex((match["bytes"] or "").replace("=", "")))
    charset = match["charset"].lower()
    if charset not in _CHARSETS or not match["word"].isascii():
        return None
    word = match["word"].encode()
    try:
        if match["encoding"] in "Bb":
            data = binascii.a2b_base64(word + b"==")
        else:
            data = quopri.decodestring(word, header=True)
    except binascii.Error:
        return None
    return _characters(data) if charset in ("utf-8", "utf8") else data.decode(charset, "replace")


def _code_points(digits: str) -> str | None:
    """Return the characters of hexadecimal numbers, or None if one is beyond Unicode."""
    codes = [int(number, 16) for number in digits.split()]
    if max(codes) > sys.maxunicode:
        return None
    return "".join("\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code) for code in codes)


def _named(name: str) -> str | None:
    """Return the character with a name of Unicode, or None if there is none."""
    try:
        return unicodedata.lookup(name)
    except KeyError:
        return None


def _characters(data: bytes) -> str:
    """Return the text of bytes as UTF-8, with each invalid byte as the character of its number."""
    return data.decode(errors="surrogateescape").translate(_INVALID_BYTES)
