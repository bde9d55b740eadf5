"""Names: every recordable form of a text is a name, and invisible texts are none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from muniment.errors import PromptError, UsageError
from muniment.validation import MAX_NAME, check_name, parse_moment, recordable_name

SPACES = st.text(st.sampled_from(" \u3000\u200b\0\n\ud800"), max_size=2 * MAX_NAME)


@given(st.text() | SPACES | st.tuples(SPACES, st.text()).map("".join))
def test_recordable_name_of_any_text_is_a_name(text: str) -> None:
    check_name("tag", recordable_name(text))


def test_recordable_name_of_a_name_after_too_many_spaces_is_a_name() -> None:
    check_name("tag", recordable_name(" " * 300 + "x"))


@pytest.mark.parametrize("text", ["", " ", "\u3000", "\u200b\u202e", " \ufeff"])
def test_check_name_without_a_visible_character_is_refused(text: str) -> None:
    with pytest.raises(PromptError, match="the tag"):
        check_name("tag", text)


@pytest.mark.parametrize("text", ["a", "👩‍🚀", "\ue000", "乙"])
def test_check_name_with_a_visible_character_passes(text: str) -> None:
    check_name("tag", text)


# ---- times -------------------------------------------------------------------------------------


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
        ("九十九天前", timedelta(99)),
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
        *("2026/11/29 14:30", "2026/11/29T14:30"),
    ],
)
def test_a_time_can_follow_a_date(shanghai: None, text: str) -> None:
    at = midnight(date(2026, 11, 29)) + timedelta(hours=14, minutes=30)
    assert parse_moment(text) == parse_moment(text, end=True) == at


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "7x",
        "7个",
        "三五天前",
        "一月前",
        "2026/13/2",
        "2026/1/311",
        "2026/1/3112",
        "2026年13月2日",
        "2026年1月31日112:00",
        "2026年1月31日晚08:00",
        "2026-01-31112:00",
        "3月2日",
        "monday",
        "1 month ago",
        "last year",
        "week",
        "",
    ],
)
def test_another_text_is_refused_with_the_forms_that_are_allowed(text: str) -> None:
    with pytest.raises(UsageError, match=r"2026-01-31.*today.*'last week'") as refused:
        parse_moment(text)
    assert repr(text) in str(refused.value)


def test_a_text_in_another_script_is_refused_with_the_chinese_forms() -> None:
    for text in ("前天", "2026年1月31日25:00"):
        with pytest.raises(UsageError, match=r"2026年1月31日, 7天前, .*今天.*上月"):
            parse_moment(text)
    with pytest.raises(UsageError) as refused:
        parse_moment("soon")
    assert str(refused.value).isascii()
