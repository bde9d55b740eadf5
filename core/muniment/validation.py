"""Checks and conversions of texts, ids and times that callers pass."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from muniment.errors import PromptError, UsageError, similar_names
from muniment.ids import ALPHABET, LENGTH

MAX_NAME = 255  # characters of a name or a tag; PostgreSQL cannot index 2,700 bytes
# Control characters and line ends, which would break a line of a table or a file.
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")
_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})  # general categories of Unicode
_NUMERALS = {numeral: number for number, numeral in enumerate("一二三四五六七八九", 1)}
_NUMERAL = f"[{''.join(_NUMERALS)}]"
_NUMBER = f"[0-9]+|{_NUMERAL}?十{_NUMERAL}?|{_NUMERAL}|两"
_AGO = re.compile(rf"({_NUMBER}) ?个?([a-z]+|[\u4e00-\u9fff]+?)(?: ago|前)?")
_UNITS = {
    name: unit
    for unit in ("seconds", "minutes", "hours", "days", "weeks")
    for name in (unit[0], unit[:-1], unit)
} | {
    "秒": "seconds",
    "分钟": "minutes",
    "小时": "hours",
    "天": "days",
    **dict.fromkeys(("周", "星期", "礼拜"), "weeks"),
}
_CHINESE_DATE = re.compile(r"([0-9]{4}) ?年 ?([0-9]{1,2}) ?月 ?([0-9]{1,2}) ?[日号]( ?(?=[0-9]))?")
_DATE_WITH_SLASHES = re.compile(r"^([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})(?![0-9])")
_DATE = r"\d{4}-?(?:\d{2}-?\d{2}|W\d{2}-?\d)"
# `fromisoformat` takes any character between a date and a time, so it drops a digit there.
_MOMENT = re.compile(rf"(?:{_DATE}|\d{{4}}-?W\d{{2}})(?:[Tt\W_].*)?")
# Periods by their names: a unit, and how many of them ago.
_PERIODS = {
    "today": ("day", 0),
    "yesterday": ("day", 1),
    "this week": ("week", 0),
    "last week": ("week", 1),
    "this month": ("month", 0),
    "last month": ("month", 1),
}
_CHINESE_PERIODS = {
    "今天": ("day", 0),
    "昨天": ("day", 1),
    "本周": ("week", 0),
    "上周": ("week", 1),
    "本月": ("month", 0),
    "上月": ("month", 1),
}
_CHINESE_SYNONYMS = {
    "今日": "今天",
    "昨日": "昨天",
    **dict.fromkeys(("这周", "本星期", "这星期", "这个星期", "这礼拜", "这个礼拜"), "本周"),
    **dict.fromkeys(("上星期", "上个星期", "上礼拜", "上个礼拜"), "上周"),
    "这个月": "本月",
    "上个月": "上月",
}
_CHINESE_FORMS = ("2026年1月31日", "7天前", "三天前", *_CHINESE_PERIODS)
MOMENTS = (
    "2026-01-31, 2026-01-31T12:00, an age (30m, 2h, 7d, 2w), today, yesterday, 'this week', "
    "'last week', 'this month' or 'last month'"
)
"""The forms of a time that `parse_moment` reads, as errors name them."""


def check_text(name: str, text: str) -> None:
    """Raise PromptError unless `text` can be encoded as UTF-8 and contains no NUL character."""
    if "\0" in text:
        raise PromptError(
            f"the {name} contains a NUL character (at character {text.index(chr(0)) + 1}); "
            "remove it"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PromptError(
            f"the {name} is not valid UTF-8 (at character {error.start + 1}); encode it as UTF-8"
        ) from None


def check_name(name: str, text: str) -> None:
    """Raise PromptError unless a text is a name.

    It must pass `check_text`, have from 1 to 255 characters, not only spaces and format characters,
    and no line ends or other control characters.
    """
    check_text(name, text)
    if not text:
        raise PromptError(f"the {name} is empty; write a text or remove it")
    if control := _CONTROL.search(text):
        raise PromptError(
            f"the {name} contains the control character {control[0]!r} "
            f"(at character {control.start() + 1}); remove it"
        )
    if not _has_visible(text):
        raise PromptError(f"the {name} has no visible character; write a text or remove it")
    if len(text) > MAX_NAME:
        raise PromptError(f"the {name} has {len(text):,} characters; use at most {MAX_NAME}")


def split_list(text: str) -> list[str]:
    """Return the parts of a text between commas, which can be full-width."""
    return [part.strip() for part in re.split("[,\N{FULLWIDTH COMMA}]", text)]


def refuse_empty(**texts: object) -> None:
    """Raise UsageError for a text without a visible character, since a caller meant some value."""
    for name, text in texts.items():
        if isinstance(text, str) and not text.strip():
            raise UsageError(f"the {name} is empty; write a text or leave it out")


def check_texts(name: str, texts: object) -> None:
    """Raise UsageError unless `texts` is a list or tuple of texts."""
    if not isinstance(texts, list | tuple) or not all(isinstance(item, str) for item in texts):
        raise UsageError(f"{name} must be a list of texts, such as ['a', 'b'], not {texts!r}")


def check_counts(
    name: str, counts: object, names: Sequence[str], *, least: int = 0
) -> tuple[int, ...]:
    """Return numbers that a caller gives for several names, none below `least`.

    Raise UsageError for anything else.
    """
    if (
        isinstance(counts, list | tuple)
        and len(counts) == len(names)
        and all(type(count) is int and least <= count < 2**53 for count in counts)
    ):
        return tuple(counts)
    raise UsageError(
        f"a {name} has {len(names)} whole numbers from {least}, which are {', '.join(names)}; it "
        f"cannot be {counts!r:.80}"
    )


def check_reference(kind: str, reference: object) -> None:
    """Raise UsageError unless the reference to something recorded is a text."""
    if not isinstance(reference, str):
        raise UsageError(
            f"a {kind} is named by its id as a text, such as 'last', not by {reference!r:.80}"
        )


def check_id(reference: str, kind: str = "generation") -> None:
    """Raise UsageError unless `reference` has the shape of a whole id. `kind` names its object."""
    if len(reference) != LENGTH or not set(reference) <= set(ALPHABET) or reference[0] > "7":
        raise UsageError(
            f"{reference!r} is not the whole id of a {kind}; use all {LENGTH} characters"
        )


def escape_unencodable(text: str) -> str:
    """Return `text` with NUL and the characters escaped that UTF-8 cannot encode."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def recordable_name(text: str) -> str:
    """Return the form in which a name that `check_name` may refuse is recorded."""
    escaped = _CONTROL.sub(
        lambda match: match[0].encode("unicode_escape").decode(), escape_unencodable(text)
    )
    truncated = escaped[:MAX_NAME]
    return truncated if _has_visible(truncated) else "(empty)"


def _has_visible(text: str) -> bool:
    """Return whether a text has characters other than spaces, controls and format characters."""
    return any(unicodedata.category(char) not in _INVISIBLE for char in text)


def now() -> datetime:
    """Return the current time in UTC, truncated to milliseconds."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def parse_moment(text: str, *, end: bool = False) -> datetime:
    """Return the UTC of a date, a time, an age such as 7d, or a period such as `last week`.

    A date or a period means its first instant, or with `end` the first instant after it. Without a
    zone both are local. Weeks begin on Monday. Digits and marks can be full-width, and dates and
    ages Chinese, such as 2026年1月31日, 7天前 or 三天前. Raises UsageError for any other text.
    """
    stripped = " ".join(unicodedata.normalize("NFKC", text).split())
    stripped = _CHINESE_DATE.sub(_iso_date, stripped, count=1)
    stripped = _DATE_WITH_SLASHES.sub(_iso_date, stripped)
    try:
        if (ago := _AGO.fullmatch(stripped.lower())) and ago[2] in _UNITS:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: _number(ago[1])})
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is too far back; use a later date, or fewer days") from None
    name = _CHINESE_SYNONYMS.get(stripped, stripped.lower().replace("-", " "))
    if period := _PERIODS.get(name) or _CHINESE_PERIODS.get(name):
        days = _days_of(*period, datetime.now(UTC).astimezone().date())
        return datetime.combine(days[end], datetime.min.time()).astimezone(UTC)
    try:
        if not _MOMENT.fullmatch(stripped):
            raise ValueError(stripped)
        moment = datetime.fromisoformat(stripped)
    except ValueError:
        raise UsageError(f"{text!r} is not a time{_forms(name, text)}") from None
    try:
        if end and re.fullmatch(_DATE, stripped):
            if moment.date() == date.max:  # no day follows
                return datetime.max.replace(tzinfo=UTC)
            moment += timedelta(days=1)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{text!r} is not within the years 1 to 9999 in UTC; use a nearer date"
        ) from None


def _iso_date(match: re.Match[str]) -> str:
    """Return a date in ISO 8601, with a space if a time follows a Chinese one."""
    space = " " if match.re is _CHINESE_DATE and match[4] is not None else ""
    return f"{match[1]}-{match[2]:0>2}-{match[3]:0>2}{space}"


def _number(text: str) -> int:
    """Return a number in digits, or a Chinese one below 100."""
    if text.isdecimal():
        return int(text)
    tens, ten, ones = text.replace("两", "二").rpartition("十")
    return (_NUMERALS.get(tens, 1) * 10 if ten else 0) + _NUMERALS.get(ones, 0)


def _forms(name: str, text: str) -> str:
    """Return the end of a clause about an invalid time: similar periods, or the forms of a time.

    `name` is the text in lower case.
    """
    known = (*_PERIODS, *_CHINESE_PERIODS, *_CHINESE_SYNONYMS)
    if similar := [] if any(map(str.isdecimal, name)) else similar_names(name, known):
        return f" (did you mean {' or '.join(similar)}?)"
    also = "" if text.isascii() else f", or one of {', '.join(_CHINESE_FORMS)}"
    return f"; use {MOMENTS}{also}"


def _days_of(unit: str, back: int, today: date) -> tuple[date, date]:
    """Return the first day of a day, week or month, and the first day after it.

    `back` is how many of them it lies before the present one, at most 1.
    """
    if unit == "month":
        first = today.replace(day=1)
        if back:
            return (first - timedelta(days=1)).replace(day=1), first
        return first, (first + timedelta(days=31)).replace(day=1)
    days = 7 if unit == "week" else 1
    first = today - timedelta(days=today.weekday() if unit == "week" else 0)
    first -= timedelta(days=days * back)
    return first, first + timedelta(days=days)


def is_text(data: bytes) -> bool:
    """Return whether a content is text, which is UTF-8 without NUL characters."""
    if b"\0" in data:
        return False
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
