"""The glossary is in order, defines each term once, and covers the public names of the domain."""

from __future__ import annotations

import re

import pytest

import muniment
from support.commands import ROOT

REFERENCE = ROOT / "docs" / "reference"
GLOSSARY = REFERENCE / "glossary.md"
GENERATED = {"api.md", "cli.md"}  # written by make_api.py and make_cli.py

ITEM = re.compile(r"^- \*\*(?P<term>[^*]+)\*\*(?: \((?P<chinese>[^)]+)\))?: (?P<text>.+)$")

# Public classes that users know by another term.
NOT_TERMS = {
    *("PluginRef", "Register", "EvaluatorSpec"),
    *("Embedder", "Embeddings", "ModelPowers", "ScoredTexts", "TextScorer"),  # powers
}

REQUIRED = (
    "action, actor, batch, bundle, checkpoint, chunk, code digest, command, commitment, "
    "compact range, consistency proof, determinism, effective parameters, entry, evaluator, "
    "event, feedback, filter, generation, generation spec, generator, heartbeat, hold, home, "
    "inclusion proof, input, installer, isolation, lease, ledger, lineage, lock file, "
    "media type, model, model digest, output, payload, plugin, policy, projection, record, "
    "replay, request, retention rule, review, rule, run, salt, score, seed, signed note, "
    "smoke test, tile, verdict, worker process"
).split(", ")


def items() -> list[re.Match[str]]:
    """Return the definitions of the page, each joined to one line."""
    page = GLOSSARY.read_text(encoding="utf-8")
    _, _, listed = page.partition("\n- ")
    joined = re.sub(r"\n  +", " ", f"- {listed}")
    matches = [ITEM.match(line) for line in joined.splitlines()]
    assert None not in matches, [
        line for line, match in zip(joined.splitlines(), matches, strict=True) if match is None
    ]
    return [match for match in matches if match is not None]


def terms() -> list[str]:
    return [match["term"] for match in items()]


def public_terms() -> list[str]:
    """Return the public classes other than errors as words: `GenerationSpec` → generation spec."""
    classes = [
        name
        for name in muniment.__all__
        if isinstance(getattr(muniment, name), type)
        and not issubclass(getattr(muniment, name), Exception)
        and name not in NOT_TERMS
    ]
    return [re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold() for name in classes]


def test_glossary_terms_are_alphabetical_and_defined_once() -> None:
    listed = [term.casefold() for term in terms()]
    assert listed == sorted(set(listed))


@pytest.mark.parametrize("term", sorted({*REQUIRED, *public_terms()}))
def test_glossary_defines_required_term(term: str) -> None:
    assert term in {listed.casefold() for listed in terms()}


def test_glossary_definitions_are_one_to_three_short_sentences() -> None:
    for match in items():
        sentences = re.split(r"(?<=[.;:]) ", match["text"])
        assert match["text"].endswith("."), match["term"]
        assert len(re.split(r"(?<=\.) ", match["text"])) <= 3, match["term"]
        assert all(len(sentence.split()) <= 25 for sentence in sentences), match["term"]


def test_chinese_terms_are_unique() -> None:
    chinese = [match["chinese"] for match in items() if match["chinese"]]
    assert all(re.fullmatch(r"[\u4e00-\u9fff]+", term) for term in chinese)
    assert len(chinese) == len(set(chinese))


def test_reference_pages_and_readme_link_to_the_glossary() -> None:
    assert "(docs/reference/glossary.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    pages = {page for page in REFERENCE.glob("*.md") if page.name not in GENERATED}
    without = [
        page.name
        for page in sorted(pages - {GLOSSARY})
        if "(glossary.md)" not in page.read_text(encoding="utf-8")
    ]
    assert without == []
