"""The labels of GB 45438-2025."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, strategies as st

from muniment.provenance import aigc, visible_label
from support.provenance import ID, OTHER_ID, make_provenance

KEYS = (
    "Label ContentProducer ProduceID ReservedCode1 ContentPropagator PropagateID ReservedCode2"
).split()


def test_aigc_of_a_generation_has_the_seven_keys_of_annex_e_in_their_order() -> None:
    label = json.loads(aigc([make_provenance(producer="001X")]))
    assert list(label) == KEYS
    assert (label["Label"], label["ContentProducer"], label["ProduceID"]) == ("1", "001X", ID)


def test_aigc_of_a_new_file_repeats_the_producer_as_propagator() -> None:
    label = json.loads(aigc([make_provenance()]))
    assert label["ContentPropagator"] == label["ContentProducer"]
    assert label["PropagateID"] == label["ProduceID"]


def test_aigc_of_a_combined_file_is_one_label_with_all_ids() -> None:
    label = json.loads(aigc([make_provenance(), make_provenance(id=OTHER_ID)]))
    assert label["ProduceID"] == f"{ID},{OTHER_ID}"


def test_aigc_without_a_producer_has_empty_texts() -> None:
    label = json.loads(aigc([make_provenance(producer="")]))
    assert label["ContentProducer"] == label["ContentPropagator"] == ""


def test_aigc_contains_neither_prompt_nor_parameters() -> None:
    text = aigc([make_provenance(prompt="SECRET", parameters={"negative": "SECRET"})])
    assert "SECRET" not in text


def test_aigc_values_use_only_the_characters_of_annex_e() -> None:
    label = json.loads(aigc([make_provenance(), make_provenance(id=OTHER_ID)]))
    assert all(re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]*", value) for value in label.values())


@given(st.text())
def test_aigc_of_any_producer_is_ascii_and_reads_back(producer: str) -> None:
    text = aigc([make_provenance(producer=producer)])
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["ContentProducer"] == producer


@pytest.mark.parametrize(("language", "terms"), [("zh", ("人工智能", "生成")), ("en", ("AI",))])
def test_visible_label_names_artificial_intelligence_and_generation(
    language: str, terms: tuple[str, ...]
) -> None:
    text = visible_label(language)  # type: ignore[arg-type]
    assert all(term in text for term in terms)
