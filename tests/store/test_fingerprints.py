"""Generations are found by the fingerprints of their outputs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from muniment.store import Query, Store
from muniment.types import Generation, Output

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
