"""Generations are found by the fingerprints and bytes of their outputs, and by their inputs."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest

from muniment.store import Query, Store
from muniment.types.generations import Generation
from muniment.types.inputs import Input
from muniment.types.outputs import Output
from support.databases import change

pytestmark = pytest.mark.dialect

Make = Callable[..., Generation]


def test_generations_are_found_by_a_fingerprint_newest_first(
    store: Store, start: Make, finish: Make
) -> None:
    started = [start(f"prompt {number}") for number in range(3)]
    store.record_started(started, policy_document="rules: []")
    same, other = (Output("image/png", b"\x89", fingerprint=text) for text in (b"same", b"other"))
    outputs = [(same, other), (other,), (Output("image/png", b"\x89"), same)]
    pairs = zip(started, outputs, strict=True)
    store.record_outcomes([finish(item, outputs=output) for item, output in pairs])
    first, second, third = (item.id for item in started)
    assert store.with_fingerprint(b"same") == [third, first]
    assert store.with_fingerprint(b"other") == [second, first]
    assert store.with_fingerprint(b"unknown") == []
    store.erasures.erase(Query(ids=[first]), "auditor")
    assert store.with_fingerprint(b"same") == [third]
    assert store.with_fingerprint(b"other") == [second]
    store.rebuild()
    assert store.with_fingerprint(b"same") == [third]
    assert store.verify(projections=True, payloads=True).problems == []


def test_an_altered_row_leads_to_no_generation(
    store: Store, url: str, start: Make, finish: Make
) -> None:
    started = [start(), start()]
    store.record_started(started, policy_document="rules: []")
    outputs = [Output("image/png", b"\x89", fingerprint=text) for text in (b"one", b"two")]
    pairs = zip(started, outputs, strict=True)
    store.record_outcomes([finish(item, outputs=(output,)) for item, output in pairs])
    digest = sha256(b"one").hexdigest()
    assert change(url, "UPDATE fingerprint SET digest = :digest", {"digest": digest}) == 2
    assert store.with_fingerprint(b"one") == [started[0].id]
    assert store.with_fingerprint(b"two") == []
    change(url, "UPDATE payload SET content = :new WHERE kind = 'fingerprint'", {"new": b"one"})
    assert store.with_fingerprint(b"one") == [started[0].id]


def test_generations_are_found_by_the_bytes_of_an_output_or_input(
    store: Store, url: str, start: Make, finish: Make
) -> None:
    given = (Input("a", "text/plain", b"one"), Input("b", "text/plain", b"two"))
    started = [start(inputs=given), start(inputs=given[:1]), start()]
    store.record_started(started, policy_document="rules: []")
    outputs = [(Output("image/png", b"\x89"), Output("image/png", b"two")), (), ()]
    pairs = zip(started, outputs, strict=True)
    store.record_outcomes([finish(item, outputs=output) for item, output in pairs])
    first, second, _ = (item.id for item in started)
    assert store.with_output(b"two") == [first]
    assert store.with_output(b"one") == []
    assert store.with_input(b"one") == [second, first]
    assert store.with_input(b"two") == [first]
    assert store.with_input(b"tw") == []
    assert store.with_output(bytes(2**30 + 1)) == []  # no database takes this value
    change(
        url, "UPDATE payload SET content = :new WHERE content = :old", {"new": b"x", "old": b"two"}
    )
    assert (store.with_output(b"x"), store.with_input(b"x")) == ([], [])
    store.erasures.erase(Query(ids=[second]), "auditor")
    assert store.with_input(b"one") == [first]  # of another run
