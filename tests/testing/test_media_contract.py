"""Every check of the suite for media types passes a good one and fails one that breaks it."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

import muniment
from muniment import Comparison
from muniment.ids import new_id
from muniment.provenance import from_json, to_json
from muniment.testing import MediaTypeContract

Result = Any


class Good(muniment.MediaType):
    name, media_types, suffixes = "dots", ("application/x-dots",), (".dots",)

    def matches(self, data: bytes) -> bool:
        return data.startswith(b"DOTS")

    def describe(self, data: bytes) -> str:
        return f"{len(data)} dots"

    def preview(self, data: bytes, columns: int) -> str | None:
        return "•" * columns if len(data) > 5 else None

    def to_text(self, data: bytes) -> str | None:
        return "1\tdot\n2\tdot" if len(data) > 5 else None

    def compare(self, recorded: bytes, again: bytes) -> Comparison:
        return Comparison(float(recorded != again), "file")

    def export(
        self, data: bytes, provenance: muniment.Provenance, suffix: str, options: Any
    ) -> bytes:
        return data + b"|" + to_json([provenance]).encode()

    def combine(
        self,
        outputs: Sequence[bytes],
        provenances: Sequence[muniment.Provenance],
        suffix: str,
        options: Any,
    ) -> bytes:
        return b"".join([*outputs, b"|", to_json(provenances).encode()])

    def read_provenance(self, data: bytes) -> str | None:
        text = data.partition(b"|")[2].decode(errors="replace")
        return text if text.endswith("}") else None

    def fingerprint(self, data: bytes) -> bytes:
        return data.partition(b"|")[0]

    def items(self, data: bytes) -> tuple[muniment.Item, ...]:
        dots = data.partition(b"|")[0][4:]
        return tuple(muniment.Item(chr(dot), "a dot") for dot in dots)

    def select(self, data: bytes, positions: Sequence[int]) -> bytes:
        return data[:4] + bytes(data[4 + position] for position in positions)


class TestGood(MediaTypeContract):
    media_type = Good
    samples = (b"DOTSabc", b"DOTSa", b"DOTS")


class Bare(muniment.MediaType):
    name, media_types = "bare", ("application/x-dots",)


class TestWithoutMethods(MediaTypeContract):
    media_type = Bare
    samples = (b"a", b"b")


def returns(value: Result) -> Any:
    return lambda self, *arguments: value


def test_every_check_is_broken_below() -> None:
    checks = {name for name in vars(MediaTypeContract) if name.startswith("test_")}
    assert checks == {check for check, _, _, _ in BREAKAGES}


BREAKAGES = [
    ("test_its_samples_differ", "samples", (b"DOTSa", b"DOTSa"), "fewer than two"),
    ("test_it_recognises_its_samples_and_nothing_else", "matches", returns(False), "DOTSabc"),
    ("test_it_recognises_its_samples_and_nothing_else", "matches", returns(True), "0 bytes"),
    ("test_it_recognises_its_samples_and_nothing_else", "matches", returns(1), "int, not bool"),
    ("test_its_descriptions_are_short_lines", "describe", returns("a\nb"), "short line"),
    ("test_its_descriptions_are_short_lines", "describe", returns(""), "short line"),
    ("test_its_descriptions_are_short_lines", "describe", lambda self, data: 1 / 0, "Zero"),
    ("test_its_previews_are_texts", "preview", returns(b""), "bytes, not str"),
    ("test_its_lines_for_a_pipe_are_texts", "to_text", returns(b""), "bytes, not str"),
    ("test_its_lines_for_a_pipe_are_texts", "to_text", returns("\x1b[1m"), "control character"),
    (
        "test_equal_outputs_have_no_distance_and_others_have_one",
        "compare",
        returns(Comparison(1, "x")),
        "must be 0",
    ),
    (
        "test_equal_outputs_have_no_distance_and_others_have_one",
        "compare",
        returns(Comparison(0, "x")),
        "more than 0",
    ),
    (
        "test_equal_outputs_have_no_distance_and_others_have_one",
        "compare",
        lambda self, a, b: Comparison(float(a != b), ""),
        "no unit",
    ),
    (
        "test_an_exported_file_is_not_the_recorded_output",
        "export",
        lambda self, data, *rest: data,
        "recorded bytes",
    ),
    ("test_an_exported_file_is_not_the_recorded_output", "export", returns(b""), "empty file"),
    ("test_an_exported_file_contains_the_provenance", "read_provenance", returns(None), "None"),
    ("test_an_exported_file_contains_the_provenance", "read_provenance", returns("a"), "not valid"),
    (
        "test_an_exported_file_contains_the_provenance",
        "export",
        lambda self, data, *rest: data,
        "None",
    ),
    (
        "test_an_exported_file_contains_the_provenance",
        "export",
        lambda self, data, provenance, *rest: Good.export(
            self, data, dataclasses.replace(provenance, id=new_id()), *rest
        ),
        "has the id",
    ),
    (
        "test_an_exported_file_contains_the_provenance",
        "export",
        lambda self, data, provenance, *rest: Good.export(
            self, data, dataclasses.replace(provenance, prompt="another"), *rest
        ),
        "has the prompt",
    ),
    ("test_an_exported_file_contains_the_provenance", "suffixes", (), "suffixes"),
    (
        "test_a_truncated_file_is_read_without_an_error",
        "read_provenance",
        lambda self, data: from_json(data.partition(b"|")[2].decode()) and None,
        "failed",
    ),
    (
        "test_an_exported_file_has_the_fingerprint_of_the_output",
        "fingerprint",
        lambda self, data: data,
        "changes when it is exported",
    ),
    (
        "test_an_exported_file_is_recognised",
        "export",
        lambda self, data, *rest: b"|" + data,
        "does not recognise",
    ),
    ("test_an_exported_file_is_recognised", "matches_file", returns(True), "not of its types"),
    (
        "test_outputs_can_be_combined",
        "combine",
        lambda self, outputs, provenances, *rest: Good.combine(
            self, outputs, [*provenances, *provenances], *rest
        ),
        "has the ids",
    ),
    ("test_outputs_can_be_combined", "combine", returns(None), "NoneType, not bytes"),
    ("test_outputs_can_be_combined", "combine", returns(b""), "empty file"),
    ("test_outputs_can_be_combined", "combine", lambda self, data, *rest: data[0], "recorded"),
    (
        "test_different_outputs_have_different_fingerprints",
        "fingerprint",
        returns(b"same"),
        "have the same fingerprint",
    ),
    (
        "test_different_outputs_have_different_fingerprints",
        "fingerprint",
        lambda self, data: repr(self).encode(),
        "differ",
    ),
    (
        "test_a_selection_has_the_selected_items",
        "select",
        lambda self, data, places: data + os.urandom(9),
        "different bytes",
    ),
    ("test_a_selection_has_the_selected_items", "select", returns(b"DOTSz"), "other items"),
    (
        "test_a_selection_has_no_text_of_other_items",
        "select",
        lambda self, data, places: Good.select(self, data, places) + b"|a dot",
        "'a dot'",
    ),
]


@pytest.mark.parametrize(("check", "attribute", "value", "words"), BREAKAGES)
def test_a_broken_media_type_fails_its_check_with_a_sentence(
    check: str, attribute: str, value: Result, words: str
) -> None:
    class Suite(MediaTypeContract):
        media_type = Good
        samples: ClassVar[Sequence[bytes]] = (b"DOTSabc", b"DOTSa", b"DOTS")

    broken = type("Broken", (Good,), {attribute: value} if attribute != "samples" else {})
    Suite.media_type = broken
    if attribute == "samples":
        Suite.samples = value
    with pytest.raises(pytest.fail.Exception, match=re.escape(words)):
        getattr(Suite(), check)()


def test_a_lossy_format_need_not_keep_the_fingerprint() -> None:
    class Suite(MediaTypeContract):
        media_type = type(
            "Lossy",
            (Good,),
            {"fingerprint": lambda self, data: data, "lossy_suffixes": (".dots",)},
        )
        samples = (b"DOTSabc", b"DOTSa")

    Suite().test_an_exported_file_has_the_fingerprint_of_the_output()
    assert inspect.getdoc(Suite.test_an_exported_file_has_the_fingerprint_of_the_output)
