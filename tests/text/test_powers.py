"""Texts are scored, and outputs represented as vectors, by the model itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import muniment
from muniment_text.decoder import Decoder
from muniment_text.engine import Engine
from muniment_text.generator import TextGenerator
from muniment_text.loading import load
from muniment_text.modules import RowsDecoder, SinglesDecoder
from muniment_text.parameters import TextParameters


@pytest.fixture(scope="module")
def generator(tiny: Callable[[str], Path]) -> TextGenerator:
    """Give a generator with the tiny Llama loaded."""
    made = TextGenerator()
    made.load(muniment.Model("tiny", "tree1-sha256:0", str(tiny("llama"))))
    return made


def request(prompt: str, **options: object) -> muniment.Request:
    return muniment.Request("a", prompt, 7, TextParameters(**{"max_tokens": 12, **options}))


def test_the_scores_of_a_greedy_output_are_those_of_its_trace(generator: TextGenerator) -> None:
    asked = request("The fox", temperature=0)
    [reply] = generator.generate([asked])
    assert isinstance(reply, muniment.Reply)
    assert reply.trace is not None
    text = reply.outputs[0].text or ""
    [scores] = generator.score([asked], [text])
    if list(scores.token_ids) == list(reply.trace.token_ids[: len(scores.token_ids)]):
        expected = reply.trace.logprobs[: len(scores.token_ids)]
        assert scores.logprobs == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "text", ["the quick fox", "最近的卫星", "a<s>b </s>", " led by a space", "é\n"]
)
def test_tokens_cover_the_text_in_its_order(generator: TextGenerator, text: str) -> None:
    [scores] = generator.score([request("The fox")], [text])
    assert len(scores.token_ids) == len(scores.logprobs) == len(scores.offsets) > 0
    assert all(value <= 0 and math.isfinite(value) for value in scores.logprobs)
    starts = [start for start, _ in scores.offsets]
    assert starts == sorted(starts)
    assert scores.offsets[0][0] == 0
    assert max(end for _, end in scores.offsets) == len(text)
    assert generator.engine.model.codec.decode(scores.token_ids).strip() == text.strip()


def test_the_generator_declares_both_powers(generator: TextGenerator) -> None:
    assert isinstance(generator, muniment.TextScorer)
    assert isinstance(generator, muniment.Embedder)


def test_a_score_depends_on_the_prompt_and_on_no_neighbour(generator: TextGenerator) -> None:
    pairs = [(request("The fox"), "ran"), (request("最近"), "ran"), (request("The fox"), "")]
    together = generator.score(*zip(*pairs, strict=True))  # type: ignore[arg-type]
    assert [generator.score([a], [b])[0] for a, b in pairs] == list(together)
    assert together[0].logprobs != together[1].logprobs
    assert list(together[2].token_ids) == []


def test_a_text_that_is_too_long_is_refused(generator: TextGenerator) -> None:
    with pytest.raises(muniment.UsageError, match="context"):
        generator.score([request("a")], ["fox " * 3000])
    with pytest.raises(muniment.UsageError, match="context"):
        generator.embed([muniment.Text("fox " * 3000)])


def test_a_vector_is_the_text_s_own_and_finite(generator: TextGenerator) -> None:
    outputs = [muniment.Text("the fox"), muniment.Text("最近"), muniment.Text("")]
    vectors = generator.embed(outputs)
    assert [generator.embed([output])[0] for output in outputs] == list(vectors)
    assert len({len(vector) for vector in vectors}) == 1
    assert all(math.isfinite(value) for vector in vectors for value in vector)
    assert not any(vectors[2])
    assert vectors[0] != vectors[1]


def test_an_output_that_is_no_text_is_refused(generator: TextGenerator) -> None:
    with pytest.raises(muniment.UsageError, match="image/png"):
        generator.embed([muniment.Output("image/png", b"x")])


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_all_decoders_have_the_same_hidden_states(tiny: Callable[[str], Path], family: str) -> None:
    from transformers import AutoModelForCausalLM

    folder = tiny(family)
    engine = Engine(load(folder))
    ids = list(range(5, 25))
    expected = engine.model.decoder.hidden(ids)
    for decoder in (RowsDecoder, SinglesDecoder):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        other: Decoder = decoder(model)
        assert torch.allclose(other.hidden(ids), expected, atol=2e-2), decoder
        assert other.score(ids) == pytest.approx(engine.model.decoder.score(ids), abs=2e-2)
