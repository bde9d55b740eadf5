"""The filter keeps the contract that every filter is held to, with each of its ways of looking."""

from __future__ import annotations

from typing import ClassVar

from muniment.testing import FilterContract
from muniment_moderation.blocklist import Blocklist

TERMS = ("bomb", "c++", "卫星", "💣", "make a bomb")
TEXTS = (*TERMS, "b-o-m-b", "ＢＯＭＢ", "卫 星", "bo\u00admb", "call 555-1234", "BOMB")


class TestBlocklist(FilterContract):
    filter = Blocklist
    parameters: ClassVar = {"terms": list(TERMS), "patterns": [r"\d{3}-\d{4}"]}
    samples = TEXTS


class TestBlocklistOfParts(FilterContract):
    filter = Blocklist
    parameters: ClassVar = {"terms": list(TERMS), "whole_words": False, "decision": "flag"}
    samples = TEXTS


class TestBlocklistAsItStands(FilterContract):
    filter = Blocklist
    parameters: ClassVar = {"terms": list(TERMS), "skip_separators": False}
    samples = TEXTS
