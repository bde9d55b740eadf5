"""Tokens of texts in English, Chinese, Japanese and Korean."""

from __future__ import annotations

import pytest

from muniment_recommendation.text.tokens import LIGHT, chinese_script, tokens, weight


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Quiet films about the sea", "quiet film sea"),
        ("The cat’s tales: glasses, stories, a bus", "cat tale glass story bus"),
        ("don't O'Brien 1995 007", "don't o'brien 1995 007"),
        ("Ｆｕｌｌ　ＷＩＤＴＨ １９８４", "full width 1984"),
        ("CAFÉ Straße", "café strasse"),
        ("关于科技和历史的书", "科 技 历 史 科技 技和 和历 历史 书"),
        ("我喜欢的电影", "电影"),
        ("安静的海边电影", "安 静 安静 海 边 海边 电影"),
        ("關於歷史的書", "歷 史 歷史 書"),
        ("AI与人类", "ai 人 类 与人 人类"),
        ("ロボットの海", "海 ロボ ボッ ット トの の海"),
        ("바다 영화를 봄", "바다 영화 화를 봄"),
        ("हिन्दी कहानी", "हिन्दी कहानी"),
        ("的 the 和 …!?", ""),
    ],
)
def test_tokens_of_texts_in_many_scripts(text: str, expected: str) -> None:
    assert tokens(text) == expected.split()


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("冒險電影，不要海盜", "traditional"),
        ("冒险电影，不要海盗", "simplified"),
        ("關於历史", None),
        ("大海 sea ロボット 바다", None),
        ("", None),
    ],
)
def test_script_of_chinese_characters(text: str, script: str | None) -> None:
    assert chinese_script(text) == script


def test_weight_of_single_chinese_characters_is_light() -> None:
    assert weight("海", 0.5) == LIGHT
    assert [weight(token, 0.5) for token in ("sea", "海边", "a", "7", "봄")] == [1.0] * 5


def test_weight_of_a_kind_is_light_where_few_texts_name_it() -> None:
    for kind in ("film", "电影", "书"):
        assert (weight(kind, 0.3), weight(kind, 0.01)) == (1.0, LIGHT), kind
