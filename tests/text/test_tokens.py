"""Text in, text out: pieces, stop strings, chat templates."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hypothesis import given, strategies as st

from muniment_text.engine import Engine
from muniment_text.tokens import Codec, StopFinder

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SHORT = st.text(alphabet="ab最", max_size=12)


@given(st.lists(SHORT), st.lists(SHORT.filter(bool), max_size=3))
def test_what_is_shown_is_the_text_before_the_first_stop_string(
    pieces: list[str], stops: list[str]
) -> None:
    holder, shown, met = StopFinder(stops), "", False
    for piece in pieces:
        text, met = holder.push(piece)
        shown += text
        if met:
            break
        assert not any(stop in shown for stop in stops)
    if not met:
        shown += holder.flush()
    whole = "".join(pieces)
    assert whole.startswith(shown)
    if not met:
        assert shown == whole
    else:
        assert any(whole[len(shown) :].startswith(stop) for stop in stops)


@given(st.text(max_size=40))
def test_pieces_of_any_text_add_up_to_it(llama: Engine, text: str) -> None:
    codec = llama.model.codec
    ids = codec.tokenizer.encode(text, add_special_tokens=False).ids
    stream = codec.stream(codec.prompt("最近 the"))
    pieces = [stream.push(token) for token in ids]
    assert "".join([*pieces, stream.flush()]) == text


def test_a_character_of_several_tokens_comes_as_one_piece(llama: Engine) -> None:
    codec = llama.model.codec
    ids = codec.tokenizer.encode("龘", add_special_tokens=False).ids
    assert len(ids) > 1
    stream = codec.stream([])
    assert [stream.push(token) for token in ids] == ["", "", "龘"][-len(ids) :]


def test_an_unfinished_character_is_a_replacement_character_at_the_end(llama: Engine) -> None:
    codec = llama.model.codec
    ids = codec.tokenizer.encode("a龘", add_special_tokens=False).ids
    stream = codec.stream([])
    said = "".join(stream.push(token) for token in ids[:-1]) + stream.flush()
    assert said == "a\ufffd"


def test_a_chat_template_puts_the_system_prompt_where_the_model_wants_it(
    model_maker: Callable[..., Path], tmp_path: Path
) -> None:
    codec = Codec.convert(model_maker("llama", tmp_path / "chat", template=TEMPLATE), "chat")
    ids = codec.prompt("Hi", "Be kind.")
    assert codec.decode(ids) == "<|system|>Be kind.\n<|user|>Hi\n<|assistant|>"
    assert codec.decode(codec.prompt("你好")) == "<|user|>你好\n<|assistant|>"
