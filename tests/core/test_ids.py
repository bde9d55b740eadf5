"""Ids: ULIDs that sort by time, also when many threads and processes make them."""

from __future__ import annotations

import multiprocessing
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from muniment.ids import ALPHABET, LENGTH, encode, new_id


def test_an_id_is_26_characters_of_crockford_base_32() -> None:
    made = new_id()
    assert len(made) == LENGTH == 26
    assert set(made) <= set(ALPHABET)
    assert not set("ILOU") & set(ALPHABET)
    assert made[0] <= "7"


def test_an_id_begins_with_its_time_in_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id()
    value = 0
    for character in made:
        value = value * 32 + ALPHABET.index(character)
    assert encode(value) == made
    assert before <= value >> 80 <= time.time_ns() // 1_000_000 + 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0" * 26),
        (31, "0" * 25 + "Z"),
        (2**128 - 1, "7" + "Z" * 25),
        (0x01563E3AB5D3D6764C61EFB99302BD5B, "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ],
)
def test_encoding_is_that_of_the_ulid_specification(value: int, text: str) -> None:
    assert encode(value) == text


def test_each_id_is_greater_than_the_one_before() -> None:
    made = [new_id() for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_stay_in_order_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_id()
    past = time.time_ns() - 10**12
    monkeypatch.setattr(time, "time_ns", lambda: past)
    assert first < new_id() < new_id()


def test_threads_never_get_the_same_id() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [item for part in pool.map(_many, range(8)) for item in part]
    assert len(set(made)) == len(made) == 8 * 500


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_processes_that_forked_never_get_the_same_id() -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        made = [item for part in pool.map(_many_with_the_clock_stopped, range(2)) for item in part]
    assert len(set(made)) == len(made) == 2 * 500


def _many(_: int) -> list[str]:
    return [new_id() for _ in range(500)]


def _many_with_the_clock_stopped(_: int) -> list[str]:
    time.time_ns = lambda: 0  # always before the parent's last id
    time.sleep(0.1)  # so that each process gets a share
    return _many(0)
