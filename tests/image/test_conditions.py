"""Labels and captions: ids, languages, function words, suggestions and limits."""

from __future__ import annotations

import pickle

import pytest

import muniment
from muniment_image.conditions import (
    CaptionCondition,
    Condition,
    ConditionError,
    LabelCondition,
    NoCondition,
    condition_from_json,
    condition_of_captions,
    condition_of_words,
)

LABELS = LabelCondition(("T-shirt/top", "Trouser", "Ankle boot"))
CAPTIONS = CaptionCondition(
    (("red", "红", "红色"), ("heart", "心"), ("smile", "微笑"), ("眼睛", "eye"), ("car", "汽车")), 3
)
RED_HEART = (1, 2, 0)


# ---- labels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["Ankle boot", "ankle BOOT", "  Ankle   boot ", "Ａnkle boot"])
def test_label_ignores_case_width_and_spaces(text: str) -> None:
    assert LABELS.encode(text) == (3,)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [("trousers", "Trouser"), ("boot", "Ankle boot"), ("tshirt/top", "T-shirt/top")],
)
def test_label_that_is_unknown_raises_with_similar_ones(text: str, suggestion: str) -> None:
    with pytest.raises(ConditionError) as raised:
        LABELS.encode(text)
    assert raised.value.text == text
    assert suggestion in raised.value.suggestions
    assert suggestion in str(raised.value)


@pytest.mark.parametrize("text", ["", "  ", "zzz"])
def test_label_without_a_similar_one_raises_with_all(text: str) -> None:
    with pytest.raises(ConditionError) as raised:
        LABELS.encode(text)
    assert all(label in str(raised.value) for label in LABELS.labels)


@pytest.mark.parametrize("labels", [(), ("Coat", "coat"), ("a  b", "a b"), ("a", "\u3000")])
def test_labels_that_are_equal_or_absent_raise(labels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="label"):
        LabelCondition(labels)


def test_no_condition_takes_no_text() -> None:
    assert NoCondition().encode(" ") == ()
    with pytest.raises(ConditionError):
        NoCondition().encode("cat")


# ---- captions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("red heart", "Heart, RED!", "a red heart", "the heart of red", "red hearts"),
        *("红心", "红色的心", "红 心", "一个红色的心", "心是红的", "red 心", "ｒｅｄ heart"),
    ],
)
def test_caption_has_the_same_ids_in_both_languages(text: str) -> None:
    assert CAPTIONS.encode(text) == RED_HEART


@pytest.mark.parametrize(
    ("text", "word"),
    [
        *(("red haert", "haert"), ("红星", "星"), ("红色的眼镜", "眼镜"), ("飞机汽车", "飞机")),
        *(("red 3", "3"), ("café", "café"), ("красный", "красный")),
    ],
)
def test_caption_with_an_unknown_word_raises(text: str, word: str) -> None:
    with pytest.raises(ConditionError) as raised:
        CAPTIONS.encode(text)
    assert repr(word) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("一个红星，心", "'星' in '一个红星'"),
        ('red, "heart-shaped" heart', "'shaped' in 'heart-shaped'"),
        ("red (Cat's) heart", "'cat' in \"Cat's\""),
        ("“Haert”!", "'Haert'"),
        ("《飞机》", "'飞机'"),
        ("red_haert", "'haert' in 'red_haert'"),
    ],
)
def test_an_unknown_word_is_shown_in_the_text_that_the_user_wrote(text: str, shown: str) -> None:
    with pytest.raises(ConditionError) as raised:
        CAPTIONS.encode(text)
    assert f"the word {shown}" in str(raised.value).partition(";")[0]


@pytest.mark.parametrize(
    ("word", "suggestion"), [("haert", "heart"), ("眼镜", "眼睛"), ("轿车", "汽车")]
)
def test_caption_with_an_unknown_word_suggests_similar_ones(word: str, suggestion: str) -> None:
    with pytest.raises(ConditionError) as raised:
        CAPTIONS.encode(word)
    assert suggestion in raised.value.suggestions


@pytest.mark.parametrize(
    ("text", "suggestions"),
    [
        ("心行", ("心形", "银行")),  # the first character is a word of its own
        ("一个心行的飞机", ("心形", "银行")),
        ("红色心行", ("心形", "银行")),
        ("心行红色", ("心形", "银行")),  # 行红 is not compared: it ends within a known word
        ("飞级", ("飞机",)),
        ("非机", ("飞机",)),
        ("级", ()),
        ("行", ("银行",)),
    ],
)
def test_a_chinese_word_with_one_wrong_character_is_compared_with_the_text_around_it(
    text: str, suggestions: tuple[str, ...]
) -> None:
    words = (("heart", "心", "心形"), ("red", "红色"), ("lipstick", "口红"), ("plane", "飞机"))
    words += (("bank", "银行"),)
    with pytest.raises(ConditionError) as raised:
        CaptionCondition(words, length=4).encode(text)
    assert raised.value.suggestions == suggestions


def test_a_chinese_word_that_could_be_many_words_has_no_more_suggestions_than_before() -> None:
    words = tuple((f"心{other}",) for other in "形情脏灵")
    with pytest.raises(ConditionError) as raised:
        CaptionCondition((("心",), *words), length=2).encode("心行")
    assert raised.value.suggestions == ()


@pytest.mark.parametrize("text", ["", " ", "the of a", "的", "一个", "!?", "❤"])
def test_caption_without_content_words_raises(text: str) -> None:
    with pytest.raises(ConditionError):
        CAPTIONS.encode(text)


def test_caption_with_too_many_words_raises_with_both_numbers() -> None:
    with pytest.raises(ConditionError, match=r"4 .* 3"):
        CAPTIONS.encode("red heart smile eye")


def test_caption_of_many_repetitions_is_not_too_long() -> None:
    assert CAPTIONS.encode("red heart " * 500 + "红心" * 500) == RED_HEART


def test_caption_in_chinese_is_divided_into_the_longest_words() -> None:
    condition = CaptionCondition((("狗",), ("热狗",), ("热",), ("大热",)), 4)
    assert list(condition.split("热狗")) == ["热狗"]
    # The longest word first would leave 大 unknown.
    assert list(condition.split("大热狗")) == ["大热", "狗"]


def test_words_of_two_scripts_are_divided() -> None:
    assert list(CAPTIONS.split("red\U00020000心car")) == ["red", "\U00020000", "心", "car"]


def test_function_word_that_is_in_the_vocabulary_has_an_id() -> None:
    condition = CaptionCondition((("draw",), ("heart",)), 3)
    assert condition.encode("draw heart") == (1, 2, 0)


@pytest.mark.parametrize(("words", "length"), [((), 3), ((("red",),), 0)])
def test_caption_condition_without_words_or_length_raises(
    words: tuple[tuple[str, ...], ...], length: int
) -> None:
    with pytest.raises(ValueError, match="words"):
        CaptionCondition(words, length)


def test_words_of_one_line_are_synonyms() -> None:
    condition = condition_of_words("red 红 红色\n\nheart  心\n", ["red heart", "红心"])
    assert condition.words == (("red", "红", "红色"), ("heart", "心"))
    assert condition.encode("红色的心") == condition.encode("a red heart")


def test_words_with_a_repetition_raise() -> None:
    with pytest.raises(ValueError, match="twice"):
        condition_of_words("red 红\nheart Red\n", ["red"])


def test_words_without_a_word_of_a_caption_raise() -> None:
    with pytest.raises(ConditionError, match="heart"):
        condition_of_words("red 红\n", ["red heart"])


# ---- both -----------------------------------------------------------------------------------


@pytest.mark.parametrize("condition", [NoCondition(), LABELS, CAPTIONS], ids=lambda c: c.kind)
def test_condition_is_read_as_written(condition: Condition) -> None:
    assert condition_from_json(condition.to_json()) == condition


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"kind": "image"},
        {"kind": "label"},
        {"kind": "label", "labels": "cat"},
        {"kind": "label", "labels": []},
        {"kind": "label", "labels": [1]},
        {"kind": "caption", "words": [["a"]], "length": "many", "function_words": []},
        {"kind": "caption", "words": [["a"]], "length": None, "function_words": []},
        {"kind": "caption", "words": [["a"]], "length": 2.5, "function_words": []},
        {"kind": "caption", "words": [["a"]], "length": 10**9, "function_words": []},
        {"kind": "caption", "words": ["a"], "length": 3, "function_words": []},
    ],
    ids=str,
)
def test_condition_with_invalid_fields_raises(value: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        condition_from_json(value)


def test_condition_error_is_a_usage_error_that_can_be_sent_between_processes() -> None:
    with pytest.raises(ConditionError) as raised:
        LABELS.encode("boot")
    copy = pickle.loads(pickle.dumps(raised.value))
    assert isinstance(copy, muniment.UsageError)
    assert (str(copy), copy.suggestions) == (str(raised.value), ("Ankle boot",))


class TestVocabularyOfCaptions:
    def test_words_and_chinese_characters_are_the_vocabulary(self) -> None:
        condition = condition_of_captions(["A red heart", "红心", "two Hearts"])
        words = {word for synonyms in condition.words for word in synonyms}
        assert words == {"red", "heart", "hearts", "two", "红", "心"}
        assert condition.encode("heart, red") == condition.encode("a RED heart")
        assert condition.encode("心红") == condition.encode("红心")
        with pytest.raises(ConditionError):
            condition.encode("blue heart")

    def test_captions_without_content_words_are_refused(self) -> None:
        with pytest.raises(ValueError, match="words"):
            condition_of_captions(["the", "一个"])

    def test_a_caption_with_too_many_words_is_refused(self) -> None:
        with pytest.raises(ConditionError):
            condition_of_captions(["red", " ".join(f"word{number}" for number in range(65))])


@pytest.mark.parametrize("text", ["red ❤️", "🚗 red", "red 👩🏽‍🚀", "red\U0001fae8", "red 1️⃣🇨🇳"])
def test_an_emoji_that_is_no_word_of_the_model_is_not_ignored(text: str) -> None:
    condition = CaptionCondition((("red",), ("1",)), 3)
    with pytest.raises(ConditionError, match="does not know"):
        condition.encode(text)


def test_an_emoji_can_be_a_word() -> None:
    condition = CaptionCondition((("red",), ("heart", "心", "❤")), 3)
    assert condition.encode("Red❤️!") == condition.encode("red + heart") == (1, 2, 0)
    assert condition_of_captions(["red ❤️"]).encode("❤ RED")
