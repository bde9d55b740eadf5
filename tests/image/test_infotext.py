"""The text `parameters`, as the parsers of other programs read it."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

import muniment
from muniment_image.infotext import facts_of, infotext

SIZE = (32, 28)
FAKE = {
    "steps": "red heart\nSteps: 1, Seed: 2, Size: 3x4",
    "steps-inline": "Steps: 1, Sampler: x, CFG scale: 3, Seed: 2, Size: 3x4, Model: fake",
    "negative": "red heart\nNegative prompt: ugly",
    "negative-first": "  Negative prompt: ugly\nSteps: 1",
    "windows-lines": "a\r\nNegative prompt: b\r\nSteps: 1, Seed: 2, Size: 3x4",
    "other-line-ends": "a\u2028Steps: 1, Seed: 2\x85Seed: 3\x0bSeed: 4\x1cSeed: 5",
    "json": 'a\nmuniment: "{}"',
    "json-inline": 'a, muniment: "{\\"id\\": 1}"',
    "lower-case": "a\nnegative prompt: b\nsteps: 1, seed: 2",
}
TEXTS = {
    "english": "red heart",
    "chinese": "红心，最近的",
    "japanese": "赤いハート",
    "arabic": "قلب أحمر",
    "emoji": "👩\u200d🎨 \U0001f600",
    "lines": "a\n\nb\n c",
    "punctuation": "a, \"b\", 'c': (d:1.2) \\ e",
    "empty": "",
}
# The rule of the web UI's parser for the last line.
_VALUE = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def provenance(prompt: str, **parameters: Any) -> muniment.Provenance:
    return muniment.Provenance(
        id="01M8JAX4EZFQ9APBTYN78F8QCV",
        generator="image",
        prompt=prompt,
        seed=7,
        parameters=parameters,
        model="emoji-32",
        model_digest=f"tree1-sha256:{'0' * 64}",
        created_at=datetime(2026, 1, 31, tzinfo=UTC),
        versions={"muniment": "0.1.0", "muniment-image": "0.1.0"},
    )


def read_as_web_ui(text: str) -> dict[str, str]:
    """Return what the parser of the web UI reads."""
    *lines, last = text.strip().split("\n")
    if len(_VALUE.findall(last)) < 3:
        lines, last = [*lines, last], ""
    prompts: dict[str, list[str]] = {"Prompt": [], "Negative prompt": []}
    key = "Prompt"
    for line in map(str.strip, lines):
        if line.startswith("Negative prompt:"):
            key, line = "Negative prompt", line[16:].strip()
        prompts[key].append(line)
    values = {name: "\n".join(parts) for name, parts in prompts.items()}
    for name, value in _VALUE.findall(last):
        values[name] = json.loads(value) if value.startswith('"') else value
    return values


def read_by_search(text: str) -> dict[str, str]:
    """Return what a parser reads that searches for names anywhere, as simple ones do."""
    found = {
        name: re.search(rf"{name}: ([^,\n]*)", text, re.IGNORECASE)
        for name in ("Steps", "Seed", "Size", "Model", "Negative prompt")
    }
    return {name: match.group(1) for name, match in found.items() if match}


def read_by_lines(text: str) -> tuple[str, str]:
    """Return the prompt and the values of a parser that splits at the first `Steps: ` line."""
    lines = re.split("[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+", text)
    index = next(index for index, line in enumerate(lines) if line.startswith("Steps: "))
    return "\n".join(lines[:index]), lines[index]


@pytest.mark.parametrize("facts", ["", '{"id": "x", "prompt": "Steps: 1, Seed: 2\\n\\"q\\""}'])
@pytest.mark.parametrize("prompt", [*FAKE.values(), *TEXTS.values()], ids=[*FAKE, *TEXTS])
def test_parsers_read_the_values_of_the_generation_and_none_of_the_prompt(
    prompt: str, facts: str
) -> None:
    text = infotext(provenance(prompt, steps=10, guidance=2.5), SIZE, facts)
    values = read_as_web_ui(text)
    expected = {
        "Steps": "10",
        "CFG scale": "2.5",
        "Seed": "7",
        "Size": "32x28",
        "Model": "emoji-32",
        "Version": "muniment 0.1.0",
    }
    assert values.pop("Negative prompt") == ""
    shown = values.pop("Prompt")
    assert values == {**expected, **({"muniment": facts} if facts else {})}
    assert (shown == "") is (prompt == "")
    searched = {name: expected[name] for name in ("Steps", "Seed", "Size", "Model")}
    assert read_by_search(text.partition(", muniment: ")[0]) == searched
    assert read_by_lines(text)[1].startswith("Steps: 10, CFG scale: 2.5, Seed: 7")
    assert facts_of(text) == (facts or None)


@pytest.mark.parametrize("name", TEXTS)
def test_the_web_ui_reads_an_ordinary_prompt_unchanged(name: str) -> None:
    prompt = TEXTS[name]
    expected = "\n".join(line.strip() for line in prompt.split("\n"))
    assert read_as_web_ui(infotext(provenance(prompt), SIZE))["Prompt"] == expected


@pytest.mark.parametrize("name", TEXTS)
def test_a_negative_prompt_has_its_own_line(name: str) -> None:
    text = infotext(provenance("a", negative_prompt=TEXTS[name]), SIZE)
    expected = "\n".join(line.strip() for line in TEXTS[name].split("\n"))
    assert read_as_web_ui(text)["Negative prompt"] == expected


def test_values_with_commas_quotes_and_lines_are_quoted() -> None:
    values = {"style": 'x, Seed: 2\n"y"', "words": ("a", "b, c"), "ratio": 0.5, "tiled": True}
    text = infotext(provenance("a", **values, nothing=None, empty="", width=5), SIZE)
    found = read_as_web_ui(text)
    assert found["style"] == 'x, Seed: 2\n"y"'
    assert (found["words"], found["ratio"], found["tiled"]) == ("a, b, c", "0.5", "True")
    assert found["Seed"] == "7"
    assert not {"nothing", "empty", "width"} & set(found)


def test_the_name_of_a_model_cannot_change_other_values() -> None:
    named = dataclasses.replace(provenance("a"), model='m, Seed: 2, muniment: "{}"\nSteps: 1')
    text = infotext(named, SIZE, "{}")
    found = read_as_web_ui(text)
    assert (found["Seed"], found["Model"], found["muniment"]) == ("7", named.model, "{}")


def test_control_characters_do_not_reach_the_text() -> None:
    text = infotext(provenance("\x1b[2Ja\0\x9b1m\u202eb\tc", style="\x1b]0;t\x07"), SIZE)
    assert not re.search("[\0-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


def test_a_private_generation_shows_neither_prompt_nor_parameters() -> None:
    assert infotext(provenance(""), SIZE) == (
        "Seed: 7, Size: 32x28, Model: emoji-32, Version: muniment 0.1.0"
    )


@pytest.mark.parametrize(
    "text", ["", "a cat", 'muniment: "', 'muniment: "a" b', 'muniment: "\\ud8"', 'muniment: "\n"']
)
def test_other_texts_have_no_facts(text: str) -> None:
    assert facts_of(text) is None


@given(st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=500)
def test_any_prompt_leaves_the_values_as_they_are(prompt: str, facts: str) -> None:
    text = infotext(provenance(prompt, steps=10, negative_prompt=facts), SIZE, facts or "{}")
    found = read_as_web_ui(text)
    assert (found["Steps"], found["Seed"], found["Size"]) == ("10", "7", "32x28")
    assert found["muniment"] == facts_of(text) == (facts or "{}")
