"""A row's bits depend on its prompt, seed and parameters alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from muniment_text import layers
from muniment_text.choosing import choose_module_decoder
from muniment_text.engine import Engine, Failure, Finish, Row, TextEvent
from muniment_text.errors import EmptyPrompt, PromptTooLong, SystemPromptRefused
from muniment_text.loading import load, read_transformers
from muniment_text.memory import SelfTests
from muniment_text.modules import SinglesDecoder
from muniment_text.sampling import Sampling

DIRECT = ["llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3"]
# How each model is run: as chosen, or by transformers' modules with all rows in a pass.
WAYS = [*((family, "direct") for family in DIRECT)]
WAYS += [(family, "rows") for family in ("gpt2", "llama", "gemma2", "gemma3", "mistral")]
MIXED = "The quick brown fox 最近我国成功发射了新的卫星，"
SAMPLING = Sampling(temperature=1.0, top_k=50, top_p=0.95)


@pytest.fixture
def engine_of(tiny: Callable[[str], Path]) -> Callable[[str, str], Engine]:
    """Give an engine of a tiny model of a family, run by the decoder of a name."""

    def make(family: str, way: str) -> Engine:
        folder = tiny(family)
        model = load(folder)
        if way == "row-by-row":
            model = replace(model, decoder=SinglesDecoder(read_transformers(folder)))
        elif model.decoder.name != way:
            model = replace(
                model, decoder=choose_module_decoder(read_transformers(folder), SelfTests())[0]
            )
        assert model.decoder.name == way, model.why
        return Engine(model)

    return make


def answers(engine: Engine, rows: list[Row]) -> dict[Any, Finish]:
    """Decode rows and give each one's answer by key."""
    return {event.key: event for event in engine.decode(rows) if isinstance(event, Finish)}


def prompt_of(engine: Engine, tokens: int, offset: int = 0) -> tuple[int, ...]:
    """A prompt of exactly so many tokens, English and Chinese mixed."""
    ids = engine.model.codec.tokenizer.encode(MIXED * (2 + tokens // 8)).ids
    return tuple(ids[offset : offset + tokens])


@pytest.mark.parametrize(("family", "way"), WAYS)
def test_logits_are_bit_equal_alone_and_in_any_batch(
    family: str, way: str, engine_of: Callable[[str, str], Engine]
) -> None:
    engine = engine_of(family, way)
    decoder = engine.model.decoder
    prompts = [prompt_of(engine, n, i) for i, n in enumerate((5, 600, 33, 17, 300, 6, 64, 31))]
    alone = []
    for prompt in prompts:
        row, first = decoder.prefill(prompt)
        steps = [decoder.step([row], [9 + step])[0] for step in range(3)]
        alone.append([first, *steps])
    for size in (2, 5, 8):
        pairs = [decoder.prefill(prompt) for prompt in prompts[:size]]
        together = [[first] for _, first in pairs]
        for step in range(3):
            logits = decoder.step([row for row, _ in pairs], [9 + step] * size)
            for index in range(size):
                together[index].append(logits[index])
        for mine, others in zip(alone, together, strict=False):
            assert all(torch.equal(a, b) for a, b in zip(mine, others, strict=True))


@pytest.mark.integration
@pytest.mark.parametrize(("family", "way"), [("llama", "direct"), ("gemma3", "rows")])
def test_logits_are_bit_equal_on_two_threads_too(
    family: str, way: str, engine_of: Callable[[str, str], Engine]
) -> None:
    threads = torch.get_num_threads()  # one, as the tests run
    torch.set_num_threads(2)
    try:
        test_logits_are_bit_equal_alone_and_in_any_batch(family, way, engine_of)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("family", "way"), WAYS)
def test_one_flipped_bit_of_one_row_shows_in_that_row_alone(
    family: str, way: str, engine_of: Callable[[str, str], Engine]
) -> None:
    decoder = (engine := engine_of(family, way)).model.decoder
    prompts = [prompt_of(engine, n) for n in (9, 20, 40)]
    before = [decoder.prefill(prompt)[0] for prompt in prompts]
    after = [decoder.prefill(prompt)[0] for prompt in prompts]
    bits = after[1].get(0).view(torch.int32)
    bits[1, 0, 3, 0] ^= 1 << 23
    first, second = decoder.step(before, [5, 5, 5]), decoder.step(after, [5, 5, 5])
    same = [torch.equal(a, b) for a, b in zip(first, second, strict=True)]
    assert same == [True, False, True]


@pytest.mark.parametrize(("family", "way"), WAYS)
def test_decoding_token_by_token_agrees_with_the_library(
    family: str, way: str, engine_of: Callable[[str, str], Engine], tiny: Callable[[str], Path]
) -> None:
    """Against the same weights in fp32: fp16 may move logits a little, never much."""
    from transformers import AutoModelForCausalLM

    engine = engine_of(family, way)
    reference = AutoModelForCausalLM.from_pretrained(tiny(family), dtype=torch.float32)
    ids = prompt_of(engine, 90)
    row, logits = engine.model.decoder.prefill(ids[:70])
    for token in ids[70:]:
        logits = engine.model.decoder.step([row], [token])[0]
    with torch.inference_mode():
        wanted = reference(torch.tensor([ids])).logits[0, -1]
    assert torch.corrcoef(torch.stack([logits, wanted]))[0, 1] > 0.9999


@pytest.mark.parametrize("max_rows", [1, 3, 8])
def test_answers_do_not_depend_on_order_or_on_how_many_rows_share_a_step(
    llama: Engine, max_rows: int
) -> None:
    rows = [
        Row(n, prompt_of(llama, n), seed=n, max_tokens=5 + n % 7, sampling=SAMPLING)
        for n in (5, 40, 12, 33, 7, 150, 21, 64, 9, 11)
    ]
    expected = {row.key: answers(llama, [row])[row.key] for row in rows}
    engine = Engine(llama.model, max_rows=max_rows)
    assert answers(engine, rows) == expected
    assert answers(engine, rows[::-1]) == expected


def test_rows_enter_as_others_leave(llama: Engine) -> None:
    taken: list[int] = []

    def lazily() -> Any:
        for n in range(12):
            taken.append(n)
            yield Row(n, prompt_of(llama, 6, n), seed=n, max_tokens=4, sampling=SAMPLING)

    engine = Engine(llama.model, max_rows=2)
    finished = 0
    for event in engine.decode(lazily()):
        finished += isinstance(event, Finish)
        assert len(taken) <= finished + 3
    assert finished == 12


def test_different_seeds_give_different_answers_and_the_same_seed_the_same(llama: Engine) -> None:
    row = Row("a", prompt_of(llama, 9), seed=1, max_tokens=12, sampling=SAMPLING)
    first = answers(llama, [row])["a"]
    assert answers(llama, [row])["a"] == first
    assert answers(llama, [replace(row, seed=2)])["a"].token_ids != first.token_ids


def test_pieces_add_up_to_the_text_in_chinese_too(llama: Engine) -> None:
    for seed in range(6):
        row = llama.row("a", MIXED, seed=seed, max_tokens=40, sampling=SAMPLING)
        events = list(llama.decode([row]))
        said = "".join(event.text for event in events if isinstance(event, TextEvent))
        assert isinstance(events[-1], Finish)
        assert said == events[-1].text


def test_a_trace_has_one_entry_a_token(llama: Engine) -> None:
    finish = answers(llama, [llama.row("a", "The", seed=3, max_tokens=10)])["a"]
    assert len(finish.token_ids) == len(finish.logprobs) == len(finish.margins)
    assert all(value <= 0 for value in finish.logprobs)
    assert all(value >= 0 for value in finish.margins)
    assert finish.finish_reason in {"stop", "length"}


def test_log_probabilities_of_the_trace_agree_with_scoring_the_same_text(llama: Engine) -> None:
    prompt = prompt_of(llama, 12)
    finish = answers(llama, [Row("a", prompt, seed=3, max_tokens=20)])["a"]
    scored = llama.score([*prompt, *finish.token_ids])[len(prompt) - 1 :]
    assert scored == pytest.approx(list(finish.logprobs), abs=1e-3)


def test_a_stop_string_ends_the_answer_before_it_even_across_pieces(llama: Engine) -> None:
    row = llama.row("a", MIXED, seed=4, max_tokens=60, sampling=SAMPLING)
    whole = answers(llama, [row])["a"].text
    stop = whole[7:10]
    events = list(llama.decode([replace(row, stop=("never met", stop))]))
    said = "".join(event.text for event in events if isinstance(event, TextEvent))
    assert said == whole[: whole.index(stop)]
    assert events[-1].finish_reason == "stop"  # type: ignore[union-attr]


def test_an_end_token_ends_the_answer_and_is_in_the_trace_but_not_in_the_text(
    llama: Engine,
) -> None:
    row = Row("a", prompt_of(llama, 9), seed=1, max_tokens=12, sampling=SAMPLING)
    third = answers(llama, [row])["a"].token_ids[2]
    model = replace(llama.model, ends=frozenset({third}))
    finish = answers(Engine(model), [row])["a"]
    assert finish.token_ids[-1] == third
    assert finish.finish_reason == "stop"
    assert len(finish.token_ids) <= 3


def test_a_prompt_longer_than_the_context_fails_alone(llama: Engine) -> None:
    rows = [Row("long", (5,) * 1024), Row("fine", (5, 6), max_tokens=3)]
    events = {event.key: event for event in llama.decode(rows)}
    failed = events["long"]
    assert isinstance(failed, Failure)
    assert isinstance(failed.error, PromptTooLong)
    assert "1,024" in str(failed.error)
    assert isinstance(events["fine"], Finish)


def test_an_answer_stops_where_the_context_ends(llama: Engine) -> None:
    finish = answers(llama, [Row("a", (5,) * 1020, max_tokens=50)])["a"]
    assert len(finish.token_ids) <= 4


def test_an_empty_prompt_starts_from_the_beginning_token_or_is_refused(llama: Engine) -> None:
    assert llama.row("a", "").prompt == (0,)
    codec = llama.model.codec
    post, bos = codec.tokenizer.post_processor, codec.bos
    from tokenizers.processors import TemplateProcessing

    try:
        codec.tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])
        codec.bos = None
        with pytest.raises(EmptyPrompt):
            llama.row("a", "")
    finally:
        codec.tokenizer.post_processor, codec.bos = post, bos


def test_a_model_without_a_chat_template_refuses_a_system_prompt(llama: Engine) -> None:
    with pytest.raises(SystemPromptRefused, match=r"no chat template.*remove the system"):
        llama.row("a", "Hi", system="Be kind.")


def test_closing_the_iterator_drops_unfinished_rows_and_the_engine_goes_on(llama: Engine) -> None:
    row = llama.row("a", "The", seed=1, max_tokens=30, sampling=SAMPLING)
    expected = answers(llama, [row])
    events = llama.decode([row])
    list(itertools.islice(events, 2))
    events.close()  # type: ignore[attr-defined]
    assert answers(llama, [row]) == expected


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_rows_decoded_one_by_one_are_exact_too(
    family: str, engine_of: Callable[[str, str], Engine]
) -> None:
    engine = engine_of(family, "row-by-row")
    rows = [
        Row(n, prompt_of(engine, n), seed=n, max_tokens=5, sampling=SAMPLING) for n in (5, 50, 9)
    ]
    assert answers(engine, rows) == {row.key: answers(engine, [row])[row.key] for row in rows}


def test_a_model_whose_rows_would_mix_falls_back_to_one_by_one(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = layers.HalfLinear.forward

    def mixing(self: Any, x: Any) -> Any:
        return real(self, x) + (x.shape[0] > 4) * 1e-2

    monkeypatch.setattr(layers.HalfLinear, "forward", mixing)
    model = load(tiny("llama"))
    assert model.decoder.name == "row-by-row"
    assert "differ" in model.why


@pytest.mark.parametrize("rows", [0, 33])
def test_a_number_of_rows_out_of_range_is_refused(llama: Engine, rows: int) -> None:
    with pytest.raises(ValueError, match="max_rows"):
        Engine(llama.model, max_rows=rows)


def test_layers_of_odd_widths_are_exact_together_or_one_by_one(
    model_maker: Callable[..., Path], tmp_path: Path
) -> None:
    """Where a width does not fill vector registers, torch's own functions may mix rows."""
    engine = Engine(load(model_maker("llama", tmp_path / "odd", intermediate_size=50)))
    rows = [Row(n, prompt_of(engine, n), seed=n, max_tokens=4) for n in (5, 40)]
    assert answers(engine, rows) == {row.key: answers(engine, [row])[row.key] for row in rows}


@pytest.mark.parametrize("shape", [(2048, 640), (640, 2048), (70_000, 64), (50, 33)])
def test_a_row_has_the_same_bits_among_any_number_of_rows(shape: tuple[int, int]) -> None:
    layer = layers.HalfLinear(torch.randn(shape).half(), None)
    layers.pack([layer])
    x = torch.randn(64, shape[1])
    alone = torch.cat([layer(x[row : row + 1]) for row in range(64)])
    for rows in range(1, 65):
        assert torch.equal(layer(x[:rows]), alone[:rows]), rows
    order = torch.randperm(64)
    assert torch.equal(layer(x[order]), alone[order])
