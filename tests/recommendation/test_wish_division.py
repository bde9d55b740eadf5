"""Wanted and unwanted tokens of a wish."""

from __future__ import annotations

import pytest

from muniment_recommendation.text.wishes import divide_wish


@pytest.mark.parametrize(
    ("wish", "wanted", "unwanted"),
    [
        ("quiet films about the sea", "quiet film sea", ""),
        ("quiet films, no war or violence", "quiet film", "war violence"),
        ("Without war, about the sea", "sea", "war"),
        ("films without any war about the sea", "film sea", "war"),
        ("I don’t like war films; something moving", "moving", "war"),
        ("not for children", "", "children"),
        ("海盗", "海 盗 海盗", ""),
        ("海边，不要海盗", "海 边 海边", "海 盗 海盗"),
        ("没有战争的电影", "电影", "战 争 战争"),
        ("我不喜欢战争电影", "", "战 争 战争"),
        ("有没有战争电影", "战 争 战争 电影", ""),
        ("不朽", "不 朽 不朽", ""),
        ("no books, no films", "", "book film"),
        ("anything but books", "", "book"),
        ("nothing but books", "book", ""),
        ("all besides cooking", "", "cooking"),
        ("不要电影", "", "电影"),
        ("", "", ""),
    ],
)
def test_divide_wishes_into_wanted_and_unwanted_tokens(
    wish: str, wanted: str, unwanted: str
) -> None:
    assert divide_wish(wish) == (wanted.split(), unwanted.split())
