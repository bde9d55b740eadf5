"""The text generator as the core asks it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import muniment
from muniment.plugins.registry import Plugins
from muniment_text.generator import TextGenerator
from muniment_text.parameters import TextParameters


@pytest.fixture(scope="module")
def generator(tiny: Callable[[str], Path]) -> TextGenerator:
    """Give a generator with the tiny Llama loaded."""
    made = TextGenerator()
    made.load(muniment.Model("tiny", "tree1-sha256:0", str(tiny("llama"))))
    return made


def request(name: str, prompt: str, seed: int = 7, **options: Any) -> muniment.Request:
    """A request for 12 tokens at most."""
    known = {key: options.pop(key) for key in ("stream", "system") if key in options}
    parameters = TextParameters(**{"max_tokens": 12, **options})
    return muniment.Request(name, prompt, seed, parameters, **known)


def test_each_request_is_answered_by_name_with_text_usage_and_trace(
    generator: TextGenerator,
) -> None:
    asked = [request("a", "The fox"), request("b", "最近", 8), request("c", "", 9)]
    replies = {reply.request_id: reply for reply in generator.generate(asked)}  # type: ignore[union-attr]
    assert set(replies) == {"a", "b", "c"}
    for reply in replies.values():
        assert isinstance(reply, muniment.Reply)
        assert reply.failure is None
        assert reply.trace is not None
        assert reply.usage is not None
        assert len(reply.trace.token_ids) == reply.usage.output_tokens <= 12
        assert all(map(math.isfinite, [*reply.trace.logprobs, *reply.trace.margins]))
        assert reply.outputs[0].finish_reason in {"stop", "length"}
    alone = [next(iter(generator.generate([one]))) for one in asked]
    assert alone == [replies[name] for name in "abc"]


def test_pieces_come_only_when_asked_for_and_add_up(generator: TextGenerator) -> None:
    events = list(generator.generate([request("a", "The", stream=True), request("b", "The")]))
    said = "".join(e.text for e in events if isinstance(e, muniment.Chunk))
    assert {e.request_id for e in events if isinstance(e, muniment.Chunk)} == {"a"}
    texts = [e.outputs[0].text for e in events if isinstance(e, muniment.Reply)]
    assert texts == [said, said]


def test_a_request_that_cannot_be_met_fails_alone_with_a_sentence(
    generator: TextGenerator,
) -> None:
    asked = [request("a", "x", system="Be kind."), request("b", "fox " * 2000), request("c", "ok")]
    replies = {reply.request_id: reply for reply in generator.generate(asked)}  # type: ignore[union-attr]
    assert "system prompt" in replies["a"].failure  # type: ignore[union-attr,operator]
    assert "context" in replies["b"].failure  # type: ignore[union-attr,operator]
    assert replies["c"].failure is None  # type: ignore[union-attr]


def test_a_folder_that_is_no_model_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(muniment.ModelError, match=r"config\.json"):
        TextGenerator().load(muniment.Model("x", "d", str(tmp_path)))


def test_the_environment_names_versions_and_no_path(generator: TextGenerator) -> None:
    facts = generator.environment()
    assert {"torch", "transformers", "threads", "dtype", "kernel", "rows", "cpu"} <= set(facts)
    assert not any("/" in str(value) for key, value in facts.items() if key != "os")
    assert TextGenerator().environment() == {}


def test_a_model_is_added_with_its_roles_and_then_loads(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    into = tmp_path / "added"
    into.mkdir()
    said: list[str] = []
    facts = TextGenerator().add_model(
        str(tiny("llama")), into, lambda label, fraction: said.append(label)
    )
    assert facts["name"] == "llama"
    assert facts["roles"]["weights"] == "model.safetensors"
    assert said
    made = TextGenerator()
    made.load(muniment.Model("added", "d", str(into)))
    assert list(made.generate([request("a", "The")]))


def test_a_context_is_put_before_the_prompt(generator: TextGenerator) -> None:
    def reply(prompt: str, **inputs: bytes) -> Any:
        given = {name: muniment.Input(name, "text/plain", data) for name, data in inputs.items()}
        (answer,) = generator.generate([dataclasses.replace(request("a", prompt), inputs=given)])
        return answer

    joined = reply("The fox\n\nruns")
    assert reply("runs", context=b"The fox") == joined
    assert reply("runs", context=b"\xef\xbb\xbfThe fox\r\n\n") == joined
    assert reply("runs", context=b"\n") == reply("runs")
    assert joined.usage.prompt_tokens > reply("runs").usage.prompt_tokens
    refused = reply("runs", context=b"fox " * 5_000)
    assert "context" in refused.failure or "tokens" in refused.failure


def test_the_registered_inputs_are_those_of_the_class(generator: TextGenerator) -> None:
    (registered,) = (item for item in Plugins().objects("generator") if item.name == generator.name)
    assert registered.inputs == TextGenerator.inputs
