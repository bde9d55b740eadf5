"""The reference describes every field of every kind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from muniment.ledger.kinds import FIELDS
from muniment.ledger.payloads import Kind

PAGE = (Path(__file__).parents[2] / "docs/reference/entries.md").read_text(encoding="utf-8")
SECTIONS = {
    part.split("\n", 1)[0].strip(): part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
}


@pytest.mark.parametrize(("kind", "version"), sorted(FIELDS))
def test_every_field_has_a_row_in_the_section_of_its_kind(kind: str, version: int) -> None:
    rows = re.findall(r"^\| `(.*?)` \|", SECTIONS[kind].split("A member of")[0], re.MULTILINE)
    declared = FIELDS[kind, version].__struct_fields__
    assert rows == [field for field in declared if field not in ("kind", "version")]


def test_every_member_of_verdicts_and_scores_is_described() -> None:
    for word in (
        "filter version stage decision action latency_us categories failed "
        "evaluator name unit value higher_is_better media_type bytes finish_reason content "
        "prompt_tokens output_tokens distribution digest"
    ).split():
        assert re.search(rf'[`"]{word}[`"]', PAGE), word


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_of_payload_is_described(kind: str) -> None:
    assert re.search(rf"^\| `{kind}` \| ", SECTIONS["Payloads"], re.MULTILINE)
