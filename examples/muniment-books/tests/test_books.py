"""Tests of the ranked list: the contract suite, ranks, a selection and feedback on an item."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pytest
from muniment_books import BOOKS, BookList, Books

import muniment
import muniment.testing

FILTER = """
import muniment

class Words(muniment.Filter):
    name, version, media_types, categories = "words", "1", ("text/plain",), ("whales",)

    def check(self, content):
        return content.block("whales") if "whale" in content.text else content.allow()

@muniment.hookimpl
def muniment_filters(register):
    register(Words)
"""


class TestBooks(muniment.testing.GeneratorContract):
    generator = Books
    parameters: ClassVar = {"count": 3}


class TestBookList(muniment.testing.MediaTypeContract):
    media_type = BookList
    samples = (b"[]", json.dumps(list(BOOKS.items())).encode())


def test_the_book_with_the_most_words_of_the_prompt_comes_first() -> None:
    request = muniment.testing.request("a white whale", parameters=Books.Parameters(count=2))
    (reply,) = Books().generate([request])
    books = BookList().items(reply.outputs[0].data)
    assert (books[0].id, reply.wanted) == ("moby-dick", 2)
    assert {book.id: book.text for book in books} == BOOKS


def test_a_selection_has_only_the_books_at_the_positions() -> None:
    data = json.dumps(list(BOOKS.items())).encode()
    selected = BookList().select(data, (3, 1))
    assert [book.id for book in BookList().items(selected)] == ["robinson", "sea-wolf"]


@pytest.fixture
def session(muniment_home: Path, tmp_path: Path) -> muniment.Session:
    """A session with the books and a filter of whales."""
    from muniment.plugins.registry import Plugins

    (tmp_path / "words.py").write_text(FILTER)
    return muniment.Session(muniment_home, plugins=Plugins(files=[tmp_path / "words.py"]))


def test_a_blocked_book_falls_out_and_feedback_names_a_book(
    session: muniment.Session, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        'policy: no-whales\nversion: "1"\nfilters: [{filter: words, stages: [item]}]\n'
    )
    with session:
        made = session.generate(
            "a white whale", generator="books", parameters={"count": 3}, policy=policy, seed=7
        )
        ids = [id for id, _ in json.loads(made.outputs[0].data)]
        assert (made.status, len(ids), "moby-dick" in ids) == ("completed", 3, False)
        recorded = session.generation(made.id)
        assert recorded.outputs[0].kept == (1, 2, 3)
        assert session.candidates(recorded)[0].id == "moby-dick"
        assert session.feedback(made.id, action="click", item=ids[0]).entry.item == 2
        with pytest.raises(muniment.UsageError, match=ids[0]):
            session.feedback(made.id, action="click", item="moby-dick")
        assert [replay.result for replay in session.replay([recorded])] == ["exact"]
