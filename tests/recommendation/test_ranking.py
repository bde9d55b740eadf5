"""Tests of the document of a ranked list: its bytes, its selections, and the reasons in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from muniment_recommendation.ranking.document import (
    Contribution,
    Counterfactual,
    HistoryItem,
    RankedItem,
    Ranking,
    Standardisation,
    read_ranking,
    reasons,
    write_ranking,
)


def history(item: str, value: float) -> Contribution:
    return Contribution(source="history", item=item, value=value)


def ranked(item: str, *contributions: Contribution, **fields: Any) -> RankedItem:
    score = round(sum(part.value for part in contributions), 6)
    components = fields.pop("components", {"ease": score})
    title = fields.pop("title", f"Title of {item}")
    return RankedItem(
        item=item,
        title=title,
        score=score,
        components=components,
        contributions=contributions,
        **fields,
    )


def ranking(*items: RankedItem, known: tuple[str, ...] = ("A", "B")) -> Ranking:
    return Ranking(
        version=1,
        items=items,
        history=tuple(HistoryItem(item, f"Title of {item}") for item in known),
        standardisation={"ease": Standardisation(0.25, 0.5, 1.0)},
        explained="exact",
    )


OFFSET = Contribution(source="offset", value=-0.5)
LIST = ranking(
    ranked("x", history("A", 2.0), history("B", 1.0), OFFSET, text="A text. 一段文字"),
    ranked("y", history("A", 0.5), history("B", -0.25), OFFSET),
)


def test_a_ranking_is_read_as_it_was_written() -> None:
    data = write_ranking(LIST)
    assert read_ranking(data) == LIST
    assert write_ranking(read_ranking(data)) == data


def test_the_document_is_plain_json_in_the_order_of_its_fields() -> None:
    document = json.loads(write_ranking(LIST))
    assert list(document) == ["version", "items", "history", "standardisation", "explained"]
    assert document["items"][0] == {
        "item": "x",
        "title": "Title of x",
        "text": "A text. 一段文字",
        "score": 2.5,
        "components": {"ease": 2.5},
        "contributions": [
            {"from": "history", "item": "A", "value": 2.0},
            {"from": "history", "item": "B", "value": 1.0},
            {"from": "offset", "value": -0.5},
        ],
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(version=2),
        lambda document: document.update(more=1),
        lambda document: document["items"][0].update(score=2.6),
        lambda document: document["items"][0].update(score=None),
        lambda document: document["items"][0].update(item=""),
        lambda document: document["items"][1].update(item="x"),
        lambda document: document["items"][0]["components"].update(ease=9),
        lambda document: document["items"][0]["contributions"].pop(),
        lambda document: document["items"][0]["contributions"][0].update({"from": "nowhere"}),
        lambda document: document.pop("history"),
    ],
)
def test_a_changed_document_is_refused(change: Any) -> None:
    document = json.loads(write_ranking(LIST))
    change(document)
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    with pytest.raises(ValueError, match=r"."):
        read_ranking(data)


def test_a_document_in_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="canonical"):
        read_ranking(json.dumps(json.loads(write_ranking(LIST))).encode())


def test_reasons_are_shares_of_the_positive_contributions_of_the_history() -> None:
    item = ranked(
        "x",
        history("A", 6.2),
        history("B", 2.1),
        history("C", -3.0),
        Contribution(source="rest", value=1.7),
        Contribution(source="prompt", value=50.0),
        OFFSET,
    )
    shares = [(reason.title, round(reason.share, 6)) for reason in reasons(ranking(item), item)]
    assert shares == [("Title of A", 0.62), ("Title of B", 0.21), ("", 0.17)]


def test_an_item_without_positive_contributions_has_no_reasons() -> None:
    item = ranked("x", history("A", -1.0), OFFSET)
    assert reasons(ranking(item), item) == []


def test_a_selection_keeps_the_order_of_the_positions() -> None:
    assert [item.item for item in LIST.select((1, 0)).items] == ["y", "x"]


def test_a_selection_names_no_item_of_the_history_that_was_not_selected() -> None:
    seen_again = ranking(
        ranked(
            "x", history("A", 2.0), history("B", 1.0), OFFSET, without=Counterfactual("A", 3, 1)
        ),
        ranked("A", history("B", 1.0), OFFSET),
    )
    selected = seen_again.select((0,))
    (item,) = selected.items
    assert b"A" not in write_ranking(selected).replace(b"Title of", b"")
    assert read_ranking(write_ranking(selected)) == selected
    assert [(part.source, part.item, part.value) for part in item.contributions] == [
        ("history", "B", 1.0),
        ("rest", "", 2.0),
        ("offset", "", -0.5),
    ]
    assert item.without is None
    assert [known.item for known in selected.history] == ["B"]
