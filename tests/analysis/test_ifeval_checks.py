"""The 25 kinds of instructions of IFEval, each with texts that follow it and texts that do not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, strategies as st

from muniment_analysis.ifeval.compliance import check_response, variants
from muniment_analysis.ifeval.instructions import KINDS, read_instruction

SOME = {"relation": "at least"}
FEW = {"relation": "less than"}

CASES: dict[str, list[tuple[dict[str, Any], list[str], list[str]]]] = {
    "change_case:capital_word_frequency": [
        (
            {"capital_relation": "at least", "capital_frequency": 2},
            ["NASA and ESA", "I am I", "DON'T", "WE-ARE A-B", "IT'S"],
            ["NASA and Esa", "NASA-ESA", "A1-B2", "12 34", "中文"],
        ),
        ({"capital_relation": "less than", "capital_frequency": 1}, ["none"], ["NONE"]),
    ],
    "change_case:english_capital": [
        (
            {},
            ["THIS IS AN ENGLISH SENTENCE ABOUT THE WEATHER."],
            ["This is an English sentence.", "DIES IST EIN DEUTSCHER SATZ ÜBER DAS WETTER.", "12"],
        )
    ],
    "change_case:english_lowercase": [
        (
            {},
            ["this is an english sentence about the weather."],
            ["This is an English sentence.", "dies ist ein deutscher satz über das wetter.", "12"],
        )
    ],
    "combination:repeat_prompt": [
        (
            {"prompt_to_repeat": "Write a poem. "},
            ["Write a poem.\nRoses are red", " write A poem. ok"],
            ["Sure! Write a poem.", "Write a poem"],
        )
    ],
    "combination:two_responses": [
        (
            {},
            ["one ****** two", "******one\n******\ntwo******"],
            ["one", "one ****** one", "a******b******c", "a************b", "******a"],
        )
    ],
    "detectable_content:number_placeholders": [
        ({"num_placeholders": 2}, ["[a] [b]", "[][]", "[a] [b] [c]"], ["[a]", "[a\nb] [c]"])
    ],
    "detectable_content:postscript": [
        ({"postscript_marker": "P.S."}, ["x\nP.S. y", "x p. s. y"], ["x PS y", "P.S"]),
        ({"postscript_marker": "P.P.S"}, ["P.P.S y", "p. p.s. y"], ["P.S. y", "PPS"]),
        ({"postscript_marker": "附言:"}, ["好 附言: 再见"], ["附言"]),
    ],
    "detectable_format:constrained_response": [
        (
            {},
            ["My answer is yes.", "Well. My answer is maybe. Really."],
            ["my answer is no.", "My answer is yes", "Yes."],
        )
    ],
    "detectable_format:json_format": [
        (
            {},
            ['{"a": 1}', '```json\n{"a": [1]}\n```', "```\n[]\n```", "```JSON\n1```", " 5 "],
            ["{'a': 1}", 'Here: {"a": 1}', "```json\n```", "[" * 100_000, "{"],
        )
    ],
    "detectable_format:multiple_sections": [
        (
            {"section_spliter": "Section", "num_sections": 2},
            ["Section 1\na\nSection 2\nb", "Section1 Section2", "Section 1 Section 2 Section 3"],
            ["Section 1", "SECTION 1 SECTION 2", "Section A Section B"],
        )
    ],
    "detectable_format:number_bullet_lists": [
        (
            {"num_bullets": 2},
            ["* a\n* b", "- a\n  - b", "x\n*a\n\n- b\n"],
            ["* a", "* a\n* b\n- c", "** a\n** b", "a * b\na - b", "*\n*\n"],
        )
    ],
    "detectable_format:number_highlighted_sections": [
        (
            {"num_highlights": 2},
            ["*a* and *b*", "**a** and *b*", "**a** **b**"],
            ["*a*", "* * *b*", "*a\nb* *c*", "** **"],
        )
    ],
    "detectable_format:title": [
        ({}, ["<<poem of joy>>", "x <<<a>>> y"], ["<a>", "<< >>", "<<>>", "<<a\nb>>"])
    ],
    "keywords:existence": [
        (
            {"keywords": ["cat", "C++"]},
            ["A CAT likes c++", "concatenate C++"],
            ["a cat", "a cat likes C"],
        ),
        ({"keywords": ["北京"]}, ["我爱北京"], ["我爱上海"]),
    ],
    "keywords:forbidden_words": [
        (
            {"forbidden_words": ["cat", "北京"]},
            ["concatenate cats"],
            ["a Cat", "cat", "我爱北京吗", "一只cat在"],
        )
    ],
    "keywords:frequency": [
        ({"keyword": "cat", "frequency": 2, **SOME}, ["cat CAT", "catcat"], ["cat"]),
        ({"keyword": " a.c ", "frequency": 1, **FEW}, ["abc"], ["a.c"]),
        ({"keyword": "cat", "frequency": 0, **SOME}, ["dog"], []),
    ],
    "keywords:letter_frequency": [
        (
            {"letter": "A", "let_relation": "at least", "let_frequency": 2},
            ["aA", "banana"],
            ["a", "á à"],
        ),
        (
            {"letter": "#", "let_relation": "at least", "let_frequency": 2},
            ["## heading"],
            ["# heading"],
        ),
        ({"letter": "z", "let_relation": "less than", "let_frequency": 1}, ["abc"], ["Z"]),
    ],
    "language:response_language": [
        (
            {"language": "de"},
            ["Dies ist ein deutscher Satz über das schöne Wetter in Berlin.", "12345"],
            ["This is an English sentence about the weather in Berlin."],
        ),
        (
            {"language": "zh"},
            [
                "今天的天气非常好，我们一起去公园散步吧。",
                "今天的天氣非常好，我們一起去公園散步吧。",
            ],
            ["This is an English sentence about the weather in Berlin."],
        ),
    ],
    "length_constraints:nth_paragraph_first_word": [
        (
            {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Hello"},
            ["One.\n\nhello there", 'One.\n\n"Hello, you', "One.\n\n'HELLO' x", "\n\nHello\n\nx"],
            ["One.\n\nhellos", "Hello\n\nOne", "a\n\nHello\n\nb", "a\nHello", "a\n\n\n\nhello"],
        )
    ],
    "length_constraints:number_paragraphs": [
        (
            {"num_paragraphs": 2},
            ["a\n***\nb", "***\na\n***\nb\n***", "a *** b"],
            ["a\n\nb", "a", "a\n***\n***\nb", "a***b***c"],
        )
    ],
    "length_constraints:number_sentences": [
        ({"num_sentences": 2, **SOME}, ["One. Two.", "一。二。"], ["One", "一"]),
        ({"num_sentences": 2, **FEW}, ["One.", "Dr. Smith"], ["One. Two."]),
    ],
    "length_constraints:number_words": [
        ({"num_words": 3, **SOME}, ["a b c", "我爱你", "it's ok"], ["a b", "我爱"]),
        ({"num_words": 3, **FEW}, ["a b"], ["a b c", "a-b-c"]),
    ],
    "punctuation:no_comma": [({}, ["no marks; here。、"], ["a, b", "一，二"])],
    "startend:end_checker": [
        (
            {"end_phrase": "Any other questions? "},
            ["x any other Questions?\n", '"x Any other questions?"'],
            ["Any other questions? No.", "Any other questions"],
        )
    ],
    "startend:quotation": [({}, ['"quoted"', ' "a" and "b" ', '""'], ['"', '"a', "'a'", "“a”"])],
}


def test_there_are_cases_for_all_25_kinds() -> None:
    assert CASES.keys() == KINDS.keys()
    assert len(KINDS) == 25


@pytest.mark.parametrize("kind", CASES)
def test_a_kind_is_followed_as_described(kind: str) -> None:
    for values, following, other in CASES[kind]:
        instruction = read_instruction(kind, values)
        assert [text for text in following if not instruction.is_followed(text)] == []
        assert [text for text in other if instruction.is_followed(text)] == []
        assert not instruction.is_followed("")
        assert not instruction.is_followed(" \n")


@given(st.sampled_from(sorted(CASES)), st.text(alphabet="aA.*-\n[]<>\"'#一。 1,`{}\\", max_size=80))
def test_every_text_gets_a_result(kind: str, text: str) -> None:
    instruction = read_instruction(kind, CASES[kind][0][0])
    results = check_response(text, [instruction])
    assert results.strict in ((True,), (False,))
    assert results.loose >= results.strict


def test_a_response_has_eight_variants() -> None:
    assert variants("Sure:\n*a*\nBye *") == [
        "Sure:\n*a*\nBye *",
        "*a*\nBye *",
        "Sure:\n*a*",
        "*a*",
        "Sure:\na\nBye ",
        "a\nBye ",
        "Sure:\na",
        "a",
    ]
    assert variants("a") == ["a", ""]


def test_a_loose_result_needs_one_variant() -> None:
    quotation = read_instruction("startend:quotation", {})
    lower = read_instruction("keywords:forbidden_words", {"forbidden_words": ["sure"]})
    assert check_response('Sure:\n"a"', [quotation, lower]) == ((False, False), (True, True))
    assert check_response('Sure: "a"', [quotation, lower]) == ((False, False), (False, False))
    assert check_response("", [lower]) == ((False,), (False,))


@pytest.mark.parametrize(
    ("kind", "values", "named"),
    [
        ("keyword:existence", {}, "keywords:existence"),
        ("nothing like it", {}, "nothing like it"),
        (None, {}, "None"),
        (["punctuation:no_comma"], {}, "no_comma"),
        ("punctuation:no_comma", None, "punctuation:no_comma"),
        ("punctuation:no_comma", {"number": 1}, "'number'"),
        ("keywords:existence", {}, "'keywords'"),
        ("keywords:existence", {"keywords": None}, "'keywords'"),
        ("keywords:existence", {"keywords": []}, "keywords"),
        ("keywords:existence", {"keywords": "cat"}, "keywords"),
        ("keywords:existence", {"keywords": ["cat", " "]}, "keywords"),
        ("keywords:frequency", {"keyword": "a", "frequency": -1, **SOME}, "frequency"),
        ("keywords:frequency", {"keyword": "a", "frequency": 1.5, **SOME}, "frequency"),
        ("keywords:frequency", {"keyword": "a", "frequency": True, **SOME}, "frequency"),
        ("keywords:frequency", {"keyword": "a", "frequency": "2", **SOME}, "frequency"),
        ("keywords:frequency", {"keyword": "a", "frequency": float("nan"), **SOME}, "frequency"),
        ("keywords:frequency", {"keyword": "a", "frequency": 1, "relation": "exactly"}, "relation"),
        (
            "keywords:letter_frequency",
            {"letter": "ab", "let_frequency": 1, "let_relation": "at least"},
            "letter",
        ),
        ("language:response_language", {"language": "xx"}, "language"),
        ("language:response_language", {"language": ["en"]}, "language"),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 0, "first_word": "a"},
            "nth_paragraph",
        ),
    ],
)
def test_an_instruction_without_a_meaning_is_refused(kind: Any, values: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        read_instruction(kind, values)


def test_empty_arguments_of_other_kinds_and_whole_numbers_of_tables_are_read() -> None:
    values = {"num_words": 3.0, "relation": "at least", "keywords": None, "letter": None}
    instruction = read_instruction("length_constraints:number_words", values)
    assert instruction.values == ("at least", 3)


def test_the_language_of_a_text_is_the_same_in_every_process() -> None:
    program = (
        "from muniment_analysis.ifeval.languages import detect_language\n"
        "texts = ['inscriptions', 'SHELDON: CLEVER, ANALYTICAL, QUIRKY', 'ok', '好', '12']\n"
        "print([detect_language(text) for text in texts])\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1")
    }
    assert len(outputs) == 1
    assert outputs.pop().endswith("None]\n")


@pytest.mark.parametrize("kind", [kind for kind in CASES if "language" not in kind])
def test_a_long_repetition_takes_linear_time(kind: str) -> None:
    instruction = read_instruction(kind, CASES[kind][0][0])
    for piece in ("[", "<<", "*", ".", "?", "* ", "'", '"', "\n", "- ", ". ", "a", "一"):
        start = time.process_time()
        instruction.is_followed(piece * 100_000 + "x")
        assert time.process_time() - start < 2, piece


def test_a_hundred_texts_of_23_kinds_take_less_than_a_second() -> None:
    text = (
        "The *quick* brown fox jumps over the lazy dog, e.g. in the U.S. today. " * 4 + "\n\n"
    ) * 4
    instructions = [
        read_instruction(kind, cases[0][0])
        for kind, cases in CASES.items()
        if kind not in ("language:response_language", "change_case:english_capital")
    ]
    start = time.process_time()
    for _ in range(100):
        check_response(text, instructions)
    assert time.process_time() - start < 1  # 0.3 on one core, so 10,000 prompts of 1.5 kinds take 2
