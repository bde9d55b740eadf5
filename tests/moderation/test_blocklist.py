from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import assume, given, strategies as st

import muniment
from muniment_moderation.blocklist import Blocklist
from muniment_moderation.normalise import fold
from muniment_moderation.readings import readings

TERMS = ["pipe bomb", "ass", "制造炸弹", "c++", "AK步枪", "🔫", "a"]
PATTERNS = [r"\b\d{17}[\dx]\b", r"炸.{0,3}弹", r"^begin", r"\bx\b|\b"]


def blocklist(**parameters: object) -> Blocklist:
    return Blocklist(Blocklist.Parameters(**parameters))


def content(text: str, stage: str = "prompt") -> muniment.Content:
    return muniment.Content(stage, "text/plain", text.encode())  # type: ignore[arg-type]


EVERYTHING = blocklist(terms=TERMS, patterns=PATTERNS)
TEXTS = st.text(st.sampled_from("pipe bomb ass制造炸弹ｂ\u200b\u0336\0c+x🔫.- 0129\n")) | st.text()


@given(TEXTS)
def test_any_text_is_judged_and_every_reason_lies_in_it(text: str) -> None:
    verdict = EVERYTHING.check(content(text))
    for reason in verdict.reasons[:20]:
        assert reason.start is not None
        assert reason.end is not None
        assert 0 <= reason.start <= reason.end <= len(text)


@given(TEXTS)
def test_the_same_text_gets_the_same_verdict(text: str) -> None:
    assert EVERYTHING.check(content(text)) == EVERYTHING.check(content(text))


@given(TEXTS)
def test_folding_a_text_first_changes_no_decision(text: str) -> None:
    folded = fold(text).text
    assume(all(len(list(readings(item))) == 1 for item in (text, folded)))
    assert EVERYTHING.check(content(text)).decision == EVERYTHING.check(content(folded)).decision


LETTERS = st.text(st.sampled_from("xyz 中文,.\n"), max_size=10)


@given(LETTERS, st.sampled_from(["pipe bomb", "制造炸弹"]), LETTERS, st.data())
def test_what_cannot_be_seen_hides_nothing(
    before: str, term: str, after: str, data: st.DataObject
) -> None:
    noise = st.text(st.sampled_from("\u200b\u200d\u00ad\ufeff\u2060\ufe0f\0\u0336"), max_size=3)
    dressed = "".join(char + data.draw(noise) for char in term)
    text = f"{before} {dressed} {after}"
    verdict = blocklist(terms=[term]).check(content(text))
    assert verdict.decision == "block"
    reason = verdict.reasons[0]
    assert fold(text[reason.start : reason.end]).text == term


def test_a_match_blocks_and_names_the_category_the_term_and_the_place() -> None:
    verdict = blocklist(category="weapons", terms=["pipe bomb"]).check(content("A Pipe Bomb."))
    assert verdict.decision == "block"
    assert verdict.categories == {"weapons": 1.0}
    assert verdict.reasons == (muniment.Reason("weapons", "matches the term 'pipe bomb'", 2, 11),)


def test_a_match_flags_where_the_policy_says_so() -> None:
    verdict = blocklist(terms=["damn"], decision="flag").check(content("damn", "output"))
    assert verdict.decision == "flag"
    assert verdict.categories == {"blocklist": 1.0}


def test_without_a_match_the_text_is_allowed_and_nothing_is_scored() -> None:
    verdict = blocklist(terms=["damn"]).check(content("How nice."))
    assert (verdict.decision, verdict.categories, verdict.reasons) == ("allow", {}, ())


def test_a_blocklist_finds_the_category_of_its_parameters_only() -> None:
    assert blocklist(terms=["bomb"], category="weapons").categories == ("weapons",)


def test_a_term_says_more_than_a_pattern_that_holds_it() -> None:
    subject = blocklist(terms=["bomb"], patterns=["how.*bomb", r"\w+ed\b"])
    verdict = subject.check(content("how it bombed, or how a bomb failed"))
    assert [reason.message for reason in verdict.reasons] == [
        r"matches the pattern '\w+ed\b'",
        "matches the term 'bomb'",
        r"matches the pattern '\w+ed\b'",
    ]


def test_long_patterns_are_quoted_in_part() -> None:
    (reason,) = blocklist(patterns=["x{3}" + "y?" * 100]).check(content("xxx")).reasons
    assert len(reason.message) < 90
    assert "…" in reason.message


def test_patterns_see_folded_text() -> None:
    verdict = blocklist(patterns=[r"\bakia[0-9a-z]{4}\b"]).check(
        content("key ＡＫＩＡ\u200b12Ｆ4!")
    )
    assert [(reason.start, reason.end) for reason in verdict.reasons] == [(4, 13)]
    assert blocklist(patterns=["[A-Z]{3}"]).check(content("abc")).decision == "block"


def test_reasons_are_capped_and_the_rest_is_counted() -> None:
    verdict = blocklist(terms=["bomb"]).check(content("bomb " * 50))
    assert len(verdict.reasons) == 21
    assert [reason.start for reason in verdict.reasons[:20]] == list(range(0, 100, 5))
    last = verdict.reasons[-1]
    assert last.message == "the first 20 of at least 50 matches are listed"
    assert (last.start, last.end) == (None, None)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("a(b", r"not valid: missing \)"),
        ("(?=lookahead)", "not valid"),
        (r"(a)\1", "not valid"),
        ("x{1001}", "not valid"),
        ("（壹|贰）", "normalised"),
        ("a*", "empty text"),
        ("", "empty text"),
        ("x|", "empty text"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_by_name(pattern: str, why: str) -> None:
    with pytest.raises(muniment.ParameterError, match=why) as caught:
        blocklist(patterns=["fine", pattern])
    assert f"the pattern '{pattern}'" in str(caught.value)
    assert caught.value.name == "patterns"


def test_a_blocklist_that_lists_nothing_is_refused() -> None:
    with pytest.raises(muniment.ParameterError, match="terms or patterns"):
        blocklist()
    with pytest.raises(muniment.ParameterError, match="category"):
        blocklist(category=" ", terms=["x"])


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(muniment.ParameterError, match="words"):
        blocklist(words=["x"])


@pytest.mark.parametrize(
    "text",
    [
        "hello wörld " * 90_000,
        "最近我国成功，" * 150_000,
        "a " * 500_000,
        "a" + "\u0301\u0316" * 500_000,
    ],
    ids=["words", "chinese", "letters", "marks"],
)
def test_a_megabyte_is_judged(text: str) -> None:
    """No measure of time; a quadratic step would run into the limit that every test has."""
    subject = blocklist(terms=["pipe bomb", "制造炸弹"], patterns=[r"(a|a)*z", r"(\w+\s?)*\d"])
    assert subject.check(content(text)).decision == "allow"


def test_importing_the_plugin_imports_no_matcher() -> None:
    program = (
        "import sys, muniment_moderation.plugin\n"
        "assert not {'re2', 'ahocorasick', 'muniment_moderation.blocklist'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "pattern",
    ["secret\n", "a\nb", "\bsecret\b", "ß", "straße", "sec\u200bret", r"sec\x{200b}ret",
     r"\x{FF21}", "(?-i)SECRET", "(?s-i:SECRET)", "（",
     "e\u0301", "\u0301", "x\u0301", r"\x{301}", "\u1112\u1161", r"[(]\\(?-i)x", r"\Q[\E(?-i)x"],
)  # fmt: skip
def test_a_pattern_that_folded_text_cannot_match_is_refused(pattern: str) -> None:
    with pytest.raises(muniment.ParameterError) as caught:
        blocklist(patterns=[pattern])
    assert caught.value.name == "patterns"
    assert "write ''" not in str(caught.value)


@pytest.mark.parametrize("pattern", ["x$y", "a^b", "蓝^", "$y+", r"[$^]x$y"])
def test_a_pattern_with_an_anchor_on_the_wrong_side_of_a_letter_is_refused(pattern: str) -> None:
    with pytest.raises(muniment.ParameterError, match="can never match its") as caught:
        blocklist(patterns=[pattern])
    assert caught.value.name == "patterns"


@pytest.mark.parametrize(
    "pattern", ["^ab$", "a|^b|c$|d", r"a\^b\$c", "[a^$b]", r"a\Q^b$c\E", "a$b?", "a$b*", "(^a|b$)"]
)
def test_a_pattern_with_anchors_that_can_match_is_accepted(pattern: str) -> None:
    assert blocklist(patterns=[pattern])


@pytest.mark.parametrize(
    "pattern",
    ["SECRET", "[A-Z]+", r"\x41b", "é", "最近", r"a\sb", "a b", "[(?-i]x", "[^](?-i]x", r"\(?-ix",
     r"\Q(?-i)x\E", "[[:alpha:](?-i]x"],
)  # fmt: skip
def test_a_pattern_that_can_match_is_accepted(pattern: str) -> None:
    assert blocklist(patterns=[pattern])


@pytest.mark.parametrize("text", ["हिन्दी", "ไม่", "ก็", "한국", "शांति", "நன்றி", "שָׁלוֹם"])
def test_a_pattern_in_a_script_with_combining_marks_matches(text: str) -> None:
    for pattern in (text, "".join(f"\\x{{{ord(char):x}}}" for char in text)):
        assert blocklist(patterns=[pattern]).check(content(text)).decision == "block"
