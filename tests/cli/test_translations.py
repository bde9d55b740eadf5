"""The catalogues of the first-party distributions are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import muniment.testing
from muniment.provenance.labels import visible_label
from muniment.testing.translations.catalogue import LANGUAGE, catalogue_file, read, strings

_REPOSITORY = Path(__file__).parents[2]
_DISTRIBUTIONS = (
    "muniment",
    "muniment-analysis",
    "muniment-image",
    "muniment-installer",
    "muniment-recommendation",
    "muniment-text",
)
# Terms that have no other meaning in help texts.
_TERMS = (
    "actor",
    "category",
    "checkpoint",
    "commitment",
    "control parameter",
    "controllability",
    "environment",
    "erasure",
    "evaluator",
    "experiment",
    "ledger",
    "media kind",
    "media type",
    "payload",
    "policy",
    "proof",
    "provenance",
    "ranking",
    "rating",
    "replay",
    "retention rule",
    "seed",
    "store",
    "training",
    "variance share",
    "verdict",
    "worker process",
)
_LITERAL = re.compile(r"`[^`]*`|\w+\.\w+|--?[a-z][\w-]*|such as \w+ or \w+|(?:\w+, ){2,}\w+ or \w+")


def _glossary() -> dict[str, str]:
    text = (_REPOSITORY / "docs/reference/glossary.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^- \*\*(.+?)\*\* \((\W*\w+)\)", text, re.MULTILINE))


@pytest.mark.parametrize("term", _TERMS)
def test_term_of_the_glossary_has_one_translation(term: str) -> None:
    chinese = _glossary()[term]
    wrong = [
        translation
        for distribution in _DISTRIBUTIONS
        for message in read(catalogue_file(distribution, LANGUAGE), LANGUAGE)
        if message.id and re.search(rf"\b{term}s?\b", _LITERAL.sub("", strings(message.id)[0]))
        for translation in strings(message.string)
        if chinese not in translation
    ]
    assert not wrong


@pytest.mark.parametrize("distribution", ["muniment", "muniment-image"])
def test_help_of_the_visible_label_quotes_its_words(distribution: str) -> None:
    messages = read(catalogue_file(distribution, LANGUAGE), LANGUAGE)
    [label] = [m.string for m in messages if str(m.id).startswith("Language of a label ")]
    assert f"“{visible_label('zh')}”" in label


class TestCore(muniment.testing.TranslationContract):
    distribution = "muniment"


class TestAnalysis(muniment.testing.TranslationContract):
    distribution = "muniment-analysis"


class TestImage(muniment.testing.TranslationContract):
    distribution = "muniment-image"


class TestInstaller(muniment.testing.TranslationContract):
    distribution = "muniment-installer"


class TestRecommendation(muniment.testing.TranslationContract):
    distribution = "muniment-recommendation"


class TestText(muniment.testing.TranslationContract):
    distribution = "muniment-text"
