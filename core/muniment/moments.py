"""Times that users write: dates, times, ages and periods, in English and Chinese."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, date, datetime, timedelta

from muniment.errors import UsageError, similar_names

_NUMERALS = {numeral: number for number, numeral in enumerate("一二三四五六七八九", 1)}
_NUMERAL = f"[{''.join(_NUMERALS)}]"
_WORDS = {
    **dict.fromkeys(("a", "an"), 1),
    **dict.fromkeys(("half a", "half an", "半"), 0.5),
    **{
        word: number
        for number, word in enumerate("one two three four five six seven eight nine ten".split(), 1)
    },
}
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
# At most one 半, and none after a word or a fraction: 三天半前, 一个半小时前, 半小时前.
_AGO = re.compile(
    r"(?!.*[a-z半.].*半)"
    rf"((?:{'|'.join(filter(str.isascii, _WORDS))})(?= )|半|[0-9]+(?:\.[0-9]+)?"
    rf"|{_NUMERAL}?十{_NUMERAL}?|{_NUMERAL}|两)"
    rf"(?: ?个?(半))? ?个?({'|'.join(_UNITS)})(?: ?(半))?(?: ago| ?[以之]?前)?"
)
_LONGEST_AGE = 100  # characters
_DAYS_AGO = {
    "today": 0,
    "yesterday": 1,
    "the day before yesterday": 2,
    "day before yesterday": 2,
    **dict.fromkeys(("今天", "今日"), 0),
    **dict.fromkeys(("昨天", "昨日"), 1),
    **dict.fromkeys(("前天", "前日"), 2),
    "大前天": 3,
}
# Weeks and months by their names: a unit, and how many of them ago.
_PERIODS = {
    "this week": ("week", 0),
    "last week": ("week", 1),
    "this month": ("month", 0),
    "last month": ("month", 1),
    **{
        f"{which}{unit}": ("week", back)
        for back, prefixes in enumerate((("本", "这", "这个"), ("上", "上个")))
        for which in prefixes
        for unit in ("周", "星期", "礼拜")
    },
    **dict.fromkeys(("本月", "这个月"), ("month", 0)),
    **dict.fromkeys(("上月", "上个月"), ("month", 1)),
}
_DAY_NAME = re.compile(
    rf"({'|'.join(_DAYS_AGO).replace(' ', '[ -]')})(?: ?(?=[0-9])|(?=,)|$)", re.I
)
_CHINESE_DATE = re.compile(r"(?:([0-9]{4}) ?年 ?)?([0-9]{1,2}) ?月 ?([0-9]{1,2}) ?[日号]")
_DATE_WITH_SLASHES = re.compile(r"([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})(?![0-9])")
_LEAP_YEARS = 8  # years between two leap years, at most
_COMMA = re.compile(r"(?<=^.{10}) ?, ?(?=[0-9])")
_ONE_DIGIT_HOUR = re.compile(r"(?<=^.{10}[ Tt])(?=[0-9]:)")
_DATE = r"\d{4}-?(?:\d{2}-?\d{2}|W\d{2}-?\d)"
# `fromisoformat` takes a zone after a date as a time. A hyphen can stand before a time.
_DAY = re.compile(rf"({_DATE})(?: ?(\+\d{{2}}:?\d{{2}}))?")
# `fromisoformat` takes any character between a date and a time, so it drops a digit there.
_MOMENT = re.compile(rf"(?:{_DATE}|\d{{4}}-?W\d{{2}})(?:[Tt\W_].*)?")
_FORMS = (
    "2026-01-31, 2026-01-31T12:00, an age (30m, 2h, 7d, 2w, 'half an hour ago'), today, yesterday, "
    "'yesterday 14:30', 'this week', 'last week', 'this month' or 'last month'"
)
_CHINESE_FORMS = (
    "2026年1月31日, 11月29日, 7天前, 三天前, 半小时前, 今天, 昨天, 前天, 本周, 上周, 本月, 上月"
)


def parse_moment(text: str, *, end: bool = False) -> datetime:
    """Return the UTC of a date, a time, an age such as 7d, or a period such as `last week`.

    A date or a period means its first instant, or with `end` the first instant after it. Without a
    zone both are local, and without a year a date is the last such day until today. Weeks begin on
    Monday. Digits and marks can be full-width, and dates, ages and periods Chinese, such as
    2026年1月31日, 三天前 or 上周. Raises UsageError for any other text.
    """
    stripped = " ".join(unicodedata.normalize("NFKC", text).split())
    name = stripped.lower().replace("-", " ")
    today = datetime.now(UTC).astimezone().date()
    try:
        # The pattern takes quadratic time on a long text, which no age is.
        if len(name) < _LONGEST_AGE and (ago := _AGO.fullmatch(name)):
            number = _number(ago[1]) + (0.5 if ago[2] or ago[4] else 0)
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[3]]: number})
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is too far back; use a later date, or fewer days") from None
    if name in _PERIODS:
        days = _days_of(*_PERIODS[name], today)
        return datetime.combine(days[end], datetime.min.time()).astimezone(UTC)
    stripped = _COMMA.sub(" ", _with_iso_date(stripped, today))
    stripped = _ONE_DIGIT_HOUR.sub("0", stripped)
    try:
        if not _MOMENT.fullmatch(stripped):
            raise ValueError(stripped)
        day = _DAY.fullmatch(stripped)
        moment = datetime.fromisoformat(f"{day[1]}T00:00{day[2] or ''}" if day else stripped)
    except ValueError:
        raise UsageError(f"{text!r} is not a time{_forms(name, text)}") from None
    try:
        if end and day:
            if moment.date() == date.max:  # no day follows
                return datetime.max.replace(tzinfo=UTC)
            moment += timedelta(days=1)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{text!r} is not within the years 1 to 9999 in UTC; use a nearer date"
        ) from None


def _with_iso_date(text: str, today: date) -> str:
    """Return a text with the day at its beginning in ISO 8601, and a space before a time."""
    if match := _DAY_NAME.match(text):
        back = _DAYS_AGO[match[1].lower().replace("-", " ")]
        day = (today - timedelta(days=back)).isoformat()
    elif match := _DATE_WITH_SLASHES.match(text) or _CHINESE_DATE.match(text):
        year = match[1] or _last_year_with(int(match[2]), int(match[3]), today)
        day = f"{year}-{match[2]:0>2}-{match[3]:0>2}"
    else:
        return text
    rest = text[match.end() :]
    return f"{day} {rest}" if rest[:1].isdecimal() else day + rest


def _last_year_with(month: int, day: int, today: date) -> int:
    """Return the year of the last such day until today, or the present year for an invalid day."""
    for year in range(today.year, max(today.year - _LEAP_YEARS, 1) - 1, -1):
        try:
            if date(year, month, day) <= today:
                return year
        except ValueError:
            continue
    return today.year


def _number(text: str) -> float:
    """Return a number in digits, or a Chinese one below 100, or a word such as `half an`."""
    if text in _WORDS:
        return _WORDS[text]
    if text.isascii():
        return float(text)
    tens, ten, ones = text.replace("两", "二").rpartition("十")
    return (_NUMERALS.get(tens, 1) * 10 if ten else 0) + _NUMERALS.get(ones, 0)


def _forms(name: str, text: str) -> str:
    """Return the end of a clause about an invalid time: similar periods, or the forms of a time.

    `name` is the text in lower case.
    """
    known = (*_DAYS_AGO, *_PERIODS)
    if similar := [] if any(map(str.isdecimal, name)) else similar_names(name, known):
        return f" (did you mean {' or '.join(similar)}?)"
    return f"; use {_FORMS}" + ("" if text.isascii() else f", also {_CHINESE_FORMS}")


def _days_of(unit: str, back: int, today: date) -> tuple[date, date]:
    """Return the first day of a week or month, and the first day after it.

    `back` is how many of them it lies before the present one, at most 1.
    """
    if unit == "month":
        first = today.replace(day=1)
        if back:
            return (first - timedelta(days=1)).replace(day=1), first
        return first, (first + timedelta(days=31)).replace(day=1)
    first = today - timedelta(days=today.weekday() + 7 * back)
    return first, first + timedelta(days=7)
