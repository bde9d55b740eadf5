"""Names: every recordable form of a text is a name, and invisible texts are none."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from muniment.errors import PromptError
from muniment.validation import MAX_NAME, check_name, recordable_name

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
