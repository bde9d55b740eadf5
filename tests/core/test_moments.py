"""Times that users write: every form is one instant, or the bounds of one period."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from muniment.errors import UsageError
from muniment.moments import parse_moment

NUMERALS = "零一二三四五六七八九"
# The fixture of the time zone is not reset between examples, and need not be.
same_zone = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture
def shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The local time of Shanghai, which is 8 hours ahead of UTC."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=8)


def this_week() -> tuple[date, date]:
    today = datetime.now().astimezone().date()
    return today, today - timedelta(days=today.weekday())


@pytest.mark.parametrize(
    ("text", "unit", "back"),
    [
        *(("today", 1, 0), ("Yesterday", 1, 1), ("今天", 1, 0), ("昨天", 1, 1)),
        *(("今日", 1, 0), ("昨日", 1, 1), ("本周", 7, 0), ("这周", 7, 0)),
        *(("前天", 1, 2), ("前日", 1, 2), ("大前天", 1, 3)),
        *(("day before yesterday", 1, 2), ("The day-before yesterday", 1, 2)),
        *(("this week", 7, 0), ("last  week", 7, 1), ("last-week", 7, 1), ("上周", 7, 1)),
        *(("上星期", 7, 1), ("上个礼拜", 7, 1), ("这个星期", 7, 0)),
    ],
)
def test_a_period_is_its_first_instant_or_the_next_ones(
    shanghai: None, text: str, unit: int, back: int
) -> None:
    today, monday = this_week()
    first = (today if unit == 1 else monday) - timedelta(days=unit * back)
    assert parse_moment(text) == midnight(first)
    assert parse_moment(text, end=True) == midnight(first + timedelta(days=unit))


def test_a_month_begins_on_its_first_day(shanghai: None) -> None:
    first = this_week()[0].replace(day=1)
    before = (first - timedelta(days=1)).replace(day=1)
    for last, this in (("last month", "this month"), ("上月", "本月"), ("上个月", "这个月")):
        assert parse_moment(this) == parse_moment(last, end=True) == midnight(first)
        assert parse_moment(last) == midnight(before)
    assert parse_moment("this month", end=True) > datetime.now(UTC)
    assert parse_moment("2026-03-02") == midnight(date(2026, 3, 2))


@pytest.mark.parametrize(
    ("text", "age"),
    [
        *(("30m", timedelta(minutes=30)), ("2 h", timedelta(hours=2)), ("1w", timedelta(7))),
        *(("2 weeks ago", timedelta(14)), ("1 day ago", timedelta(1)), ("3 Days", timedelta(3))),
        *(
            ("\N{FULLWIDTH DIGIT SEVEN}d", timedelta(7)),
            ("7天", timedelta(7)),
            ("\N{FULLWIDTH DIGIT ONE}周前", timedelta(7)),
        ),
        *(("2 小时前", timedelta(hours=2)), ("30分钟", timedelta(minutes=30))),
        *(("2个小时前", timedelta(hours=2)), ("3 个小时", timedelta(hours=3))),
        *(("三天前", timedelta(3)), ("一周前", timedelta(7)), ("两个星期前", timedelta(14))),
        *(("十天", timedelta(10)), ("十二天", timedelta(12)), ("二十天前", timedelta(20))),
        *(("九十九天前", timedelta(99)), ("半天前", timedelta(hours=12))),
        *(("半小时前", timedelta(minutes=30)), ("半个小时前", timedelta(minutes=30))),
        *(("一个半小时前", timedelta(minutes=90)), ("2个半小时", timedelta(minutes=150))),
        *(("half an hour ago", timedelta(minutes=30)), ("Half-an-hour ago", timedelta(minutes=30))),
        *(("an hour ago", timedelta(hours=1)), ("a week ago", timedelta(7))),
        *(("one hour ago", timedelta(hours=1)), ("Two-days ago", timedelta(2))),
        *(
            ("三天半前", timedelta(3.5)),
            ("1 天半 前", timedelta(1.5)),
            ("一周半前", timedelta(10.5)),
        ),
        *(("3天以前", timedelta(3)), ("2 小时 之前", timedelta(hours=2))),
        *(("1.5h", timedelta(hours=1.5)), ("0.5 days ago", timedelta(0.5))),
        ("1\N{FULLWIDTH FULL STOP}5小时前", timedelta(hours=1.5)),
    ],
)
def test_an_age_is_that_long_ago(text: str, age: timedelta) -> None:
    for end in (False, True):
        assert abs(datetime.now(UTC) - age - parse_moment(text, end=end)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "text",
    [
        *("2026年3月2日", "2026 年 3 月 2 日", "2026年03月02号", "2026/3/2", "2026/03/02"),
        "\N{FULLWIDTH DIGIT TWO}026\N{FULLWIDTH HYPHEN-MINUS}03-02",
    ],
)
def test_a_date_can_be_chinese_or_full_width(shanghai: None, text: str) -> None:
    assert parse_moment(text) == midnight(date(2026, 3, 2))
    assert parse_moment(text, end=True) == midnight(date(2026, 3, 3))


@pytest.mark.parametrize(
    "text",
    [
        *("2026年11月29日 14\N{FULLWIDTH COLON}30", "2026年11月29日14:30", "2026年11月29号 14:30"),
        *("2026年11月29日T14:30", "2026-11-29 14:30", "2026-11-29t14:30", "20261129T1430"),
        *("2026/11/29 14:30", "2026/11/29T14:30", "2026/11/29,14:30", "2026/11/29, 14:30"),
        *("2026年11月29日,14:30", "2026年11月29日\N{FULLWIDTH COMMA}14\N{FULLWIDTH COLON}30"),
        *("2026年11月29日 , 14:30", "2026-11-29,14:30", "2026-11-29, 14:30", "2026-11-29-14:30"),
        "2026年11月29日T06:30Z",
    ],
)
def test_a_time_can_follow_a_date(shanghai: None, text: str) -> None:
    at = midnight(date(2026, 11, 29)) + timedelta(hours=14, minutes=30)
    assert parse_moment(text) == parse_moment(text, end=True) == at


def test_a_time_can_follow_the_name_of_a_day(shanghai: None) -> None:
    today = midnight(this_week()[0])
    for text in (
        *("yesterday 9:30", "Yesterday 09:30", "yesterday, 9:30"),
        *("昨天9:30", "昨日 09\N{FULLWIDTH COLON}30", "昨天\N{FULLWIDTH COMMA}9:30"),
    ):
        at = today - timedelta(days=1) + timedelta(hours=9, minutes=30)
        assert parse_moment(text) == parse_moment(text, end=True) == at


@pytest.mark.parametrize("text", ["2026-11-29", "20261129", "2026/11/29", "2026年11月29日"])
def test_a_date_can_have_a_zone(shanghai: None, text: str) -> None:
    first = datetime(2026, 11, 29, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    for zone in ("+05:30", " +0530"):
        assert parse_moment(text + zone) == first
        assert parse_moment(text + zone, end=True) == first + timedelta(days=1)
    assert parse_moment(f"{text}+08:00") == parse_moment(text)


@same_zone
@given(back=st.integers(0, 364))
def test_a_date_without_a_year_is_the_last_such_day(shanghai: None, back: int) -> None:
    today = this_week()[0]
    day = today - timedelta(days=back)
    for text in (f"{day.month}月{day.day}日", f"{day:%m} 月 {day:%d} 号"):
        assert parse_moment(text) == midnight(day)
        assert parse_moment(text, end=True) == midnight(day + timedelta(days=1))
    at = midnight(day) + timedelta(hours=8)
    assert parse_moment(f"{day.month}月{day.day}日8:00") == at


def test_the_last_leap_day_is_found(shanghai: None) -> None:
    found = parse_moment("2月29日") + timedelta(hours=8)
    assert (found.month, found.day) == (2, 29)
    assert datetime.now(UTC) - timedelta(days=8 * 366) < found <= datetime.now(UTC)


@given(number=st.integers(1, 99), unit=st.sampled_from(["天", "小时", "个小时", "分钟", "周"]))
def test_an_age_in_chinese_numerals_is_that_in_digits(number: int, unit: str) -> None:
    tens, ones = divmod(number, 10)
    numeral = (NUMERALS[tens] if tens > 1 else "") + "十" * (tens > 0)
    numeral += NUMERALS[ones] if ones else ""
    age = parse_moment(f"{number}{unit}前") - parse_moment(f"{numeral}{unit}前")
    assert abs(age) < timedelta(seconds=10)


@given(
    number=st.integers(1, 99),
    unit=st.sampled_from(["天", "小时", "分钟", "周", "星期"]),
    end=st.sampled_from(["", "前", "以前", "之前"]),
)
def test_a_half_after_the_unit_is_a_fraction(number: int, unit: str, end: str) -> None:
    age = parse_moment(f"{number}.5{unit}前")
    for text in (f"{number}{unit}半{end}", f"{number}个半{unit}{end}"):
        assert abs(age - parse_moment(text)) < timedelta(seconds=10)


@given(
    tenths=st.integers(0, 9_999), unit=st.sampled_from(["minutes", "hours", "days", "weeks", "h"])
)
def test_an_age_can_be_a_decimal(tenths: int, unit: str) -> None:
    text = f"{tenths // 10}.{tenths % 10} {unit} ago"
    unit = {"h": "hours"}.get(unit, unit)
    age = datetime.now(UTC) - timedelta(**{unit: tenths / 10}) - parse_moment(text)
    assert abs(age) < timedelta(seconds=10)


@pytest.mark.parametrize("unit", ["minutes", "hours", "days", "weeks"])
def test_an_age_in_english_words_is_that_in_digits(unit: str) -> None:
    words = "one two three four five six seven eight nine ten".split()
    for number, word in enumerate(words, 1):
        age = parse_moment(f"{number} {unit} ago") - parse_moment(f"{word} {unit} ago")
        assert abs(age) < timedelta(seconds=10)


def test_days_weeks_and_months_follow_each_other(shanghai: None) -> None:
    for names in (
        ("大前天", "前天", "昨天", "今天"),
        ("day before yesterday", "yesterday", "today"),
        ("last week", "this week"),
        ("last month", "this month"),
    ):
        for before, after in pairwise(names):
            assert parse_moment(before, end=True) == parse_moment(after)


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "7x",
        "7个",
        "三五天前",
        "半天半前",
        "一个半小时半前",
        "1.5天半前",
        "3 days半",
        "1.天前",
        "1.2.3h",
        "onehour ago",
        "2026年1月31日,",
        "2026年1月31日,,12:00",
        "2026年1月31日至12:00",
        "2026-01-31+25:00",
        "2026-01-31T12:00+25:00",
        "一月前",
        "2026/13/2",
        "2026/1/311",
        "2026/1/3112",
        "13月2日",
        "2月30日",
        "3月2日晚08:00",
        "昨天晚上",
        "yesterday afternoon",
        "an ago",
        "2026年13月2日",
        "2026年1月31日112:00",
        "2026年1月31日晚08:00",
        "2026-01-31112:00",
        "monday",
        "1 month ago",
        "last year",
        "week",
        "",
        pytest.param("1" + "a" * 200_000, id="long"),
    ],
)
def test_another_text_is_refused_with_the_forms_that_are_allowed(text: str) -> None:
    with pytest.raises(UsageError, match=r"2026-01-31.*today.*'last week'") as refused:
        parse_moment(text)
    assert repr(text) in str(refused.value)


def test_a_text_in_another_script_is_refused_with_the_chinese_forms() -> None:
    for text in ("后天", "2026年1月31日25:00"):
        with pytest.raises(UsageError, match=r"2026年1月31日, 11月29日, .*今天.*上月"):
            parse_moment(text)
    with pytest.raises(UsageError) as refused:
        parse_moment("soon")
    assert str(refused.value).isascii()


def test_every_form_that_an_error_names_is_read() -> None:
    with pytest.raises(UsageError) as refused:
        parse_moment("后天")
    forms = str(refused.value).partition("; use ")[2].replace(" also ", " ")
    forms = forms.replace("an age (", "").replace(")", "").replace(" or ", ", ")
    names = [name.strip("'") for name in re.split(", +", forms)]
    assert {"2026-01-31", "7d", "last month", "11月29日", "前天"} < {*names}
    for name in names:
        assert parse_moment(name) <= parse_moment(name, end=True)
