"""Faults of a model folder: each is refused with the file or the tensors, or read as meant."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import muniment_text
from muniment_text.engine import Engine
from muniment_text.errors import ModelUnusable, UnknownToken
from muniment_text.folders import without_marks
from muniment_text.loading import load
from muniment_text.preparing import prepare
from muniment_text.tokens import Codec

BOM = b"\xef\xbb\xbf"
WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tiny: Callable[[str], Path], tmp_path: Path) -> Path:
    """Give a copy of the tiny Llama that a test may damage."""
    return Path(shutil.copytree(tiny("llama"), tmp_path / "model"))


@pytest.fixture(params=["load", "prepare"])
def use(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Path], object]:
    """Give each function that reads a model folder of a user."""
    if request.param == "load":
        return load
    return lambda folder: prepare(folder, tmp_path / "prepared")


def change_weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Apply a change to the tensors of a folder."""
    state = {name: tensor.clone() for name, tensor in load_file(folder / WEIGHTS).items()}
    change(state)
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})


def change_json(path: Path, **values: object) -> None:
    """Set keys of a JSON object in a file."""
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


@pytest.mark.parametrize(
    "name",
    ["lm_head.weight", "model.layers.1.mlp.up_proj.weight", "model.norm.weight"],
)
def test_a_missing_tensor_is_named(folder: Path, use: Any, name: str) -> None:
    change_weights(folder, lambda state: state.pop(name))
    with pytest.raises(ModelUnusable, match=rf"lacks tensors .*{name}"):
        use(folder)
    assert not (folder.parent / "prepared").exists()


def test_a_tensor_of_another_shape_is_named(folder: Path, use: Any) -> None:
    name = "model.layers.0.self_attn.q_proj.weight"
    change_weights(folder, lambda state: state.update({name: torch.zeros(3, 5)}))
    with pytest.raises(ModelUnusable, match=rf"other shapes .*{name}"):
        use(folder)


@pytest.mark.parametrize(
    "name", ["model.layers.7.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.bias"]
)
def test_a_tensor_of_the_model_that_would_not_be_used_is_named(
    folder: Path, use: Any, name: str
) -> None:
    change_weights(folder, lambda state: state.update({name: torch.zeros(64)}))
    with pytest.raises(ModelUnusable, match=rf"does not use: {name}"):
        use(folder)


@pytest.mark.parametrize(
    "name", ["model.layers.0.self_attn.rotary_emb.inv_freq", "vision_tower.patch.weight"]
)
def test_a_tensor_that_cannot_matter_is_ignored(folder: Path, use: Any, name: str) -> None:
    change_weights(folder, lambda state: state.update({name: torch.zeros(8)}))
    use(folder)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("name", ["lm_head.weight", "model.layers.2.input_layernorm.weight"])
def test_a_weight_that_is_not_finite_is_refused(
    folder: Path, use: Any, name: str, value: float
) -> None:
    change_weights(folder, lambda state: state[name].view(-1).__setitem__(7, value))
    with pytest.raises(ModelUnusable, match=rf"not finite numbers, in {name}"):
        use(folder)


def test_a_prepared_folder_with_an_infinite_weight_is_refused(folder: Path, tmp_path: Path) -> None:
    prepared = prepare(folder, tmp_path / "prepared")
    name = "model.embed_tokens.weight"
    change_weights(prepared, lambda state: state[name].view(-1).__setitem__(7, float("inf")))
    with pytest.raises(ModelUnusable, match=name):
        load(prepared)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "[]"),
        ("config.json", '{"a": '),
        ("generation_config.json", "[]"),
        ("generation_config.json", '{"eos_token_id": "1"}'),
        ("generation_config.json", '{"eos_token_id": [1, true]}'),
        ("tokenizer_config.json", "{"),
        ("tokenizer_config.json", "[" * 100_000),
        ("special_tokens_map.json", "1"),
        ("chat_template.jinja", b"\xff\xfe{\x00"),
        ("model.safetensors.index.json", '{"weight_map": ["a"]}'),
        ("tokenizer.json", "{}"),
    ],
)
def test_a_damaged_file_of_settings_is_named(
    folder: Path, use: Any, name: str, content: str | bytes
) -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelUnusable, match=name) as caught:
        use(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["1", 1.0, True, -1])
def test_an_end_of_text_that_is_not_a_token_id_is_refused(
    folder: Path, use: Any, value: object
) -> None:
    change_json(folder / "config.json", eos_token_id=value)
    with pytest.raises(ModelUnusable, match=r"config\.json: eos_token_id"):
        use(folder)


@pytest.mark.parametrize("key", ["eos_token_id", "bos_token_id", "pad_token_id"])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
def test_a_token_id_beyond_the_embedding_is_refused(
    folder: Path, use: Any, name: str, key: str
) -> None:
    change_json(folder / name, **{key: [1, 999999] if key == "eos_token_id" else 999999})
    with pytest.raises(ModelUnusable, match=rf"{name}: {key} .*999999.* 410 ") as caught:
        use(folder)
    assert caught.value.source == str(folder / name)


def test_a_token_id_beyond_an_undeclared_vocabulary_is_refused(
    model_maker: Callable[..., Path], tmp_path: Path, use: Any
) -> None:
    folder = model_maker("llama", tmp_path / "model", vocab_size=32000)  # transformers' default
    config = json.loads((folder / "config.json").read_text("utf-8"))
    del config["vocab_size"]
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    change_json(folder / "generation_config.json", eos_token_id=[32000])
    with pytest.raises(ModelUnusable, match=r"generation_config\.json: eos_token_id .*32000"):
        use(folder)


def test_a_negative_padding_id_is_accepted(folder: Path) -> None:
    change_json(folder / "generation_config.json", pad_token_id=-1)
    load(folder)


@pytest.mark.parametrize("role", ["", "eos_token"])
def test_an_added_token_of_texts_beyond_the_embedding_is_refused(
    folder: Path, use: Any, role: str
) -> None:
    from tokenizers import AddedToken, Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    token = AddedToken("<word>", special=bool(role))
    (tokenizer.add_special_tokens if role else tokenizer.add_tokens)([token])
    tokenizer.save(str(folder / "tokenizer.json"))
    if role:
        change_json(folder / "tokenizer_config.json", **{role: "<word>"})
    with pytest.raises(ModelUnusable, match=r"token id 410, .* 410 rows"):
        use(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_position_embeddings", 0),
        ("max_position_embeddings", -5),
        ("hidden_size", -64),
        ("head_dim", 0),
        ("num_attention_heads", 0),
        ("rope_theta", 0),
        ("rope_theta", float("inf")),
        ("rms_norm_eps", float("nan")),
        ("rms_norm_eps", -1.0),
    ],
)
def test_a_setting_that_must_be_positive_is_refused_otherwise(
    folder: Path, use: Any, field: str, value: float
) -> None:
    change_json(folder / "config.json", **{field: value})
    with pytest.raises(ModelUnusable, match=rf"config\.json: {field} .*; correct the file"):
        use(folder)


def test_a_nested_setting_is_refused_by_its_path(folder: Path, use: Any) -> None:
    change_json(folder / "config.json", rope_parameters={"rope_type": "default", "rope_theta": 0})
    with pytest.raises(ModelUnusable, match=r"config\.json: rope_parameters\.rope_theta"):
        use(folder)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("num_attention_heads", 3, r"hidden size \(64\) is not a multiple"),
        ("num_hidden_layers", "2", "expected int, got str"),
        ("hidden_act", "nope", "hidden_act is 'nope'"),
        ("rope_parameters", {"rope_type": "nope"}, r"rope_parameters\.rope_type is 'nope'"),
    ],
)
def test_settings_that_the_library_refuses_are_refused_with_its_reason(
    folder: Path, use: Any, field: str, value: object, reason: str
) -> None:
    change_json(folder / "config.json", **{field: value})
    with pytest.raises(ModelUnusable, match=rf"{reason}.*; correct its config\.json") as caught:
        use(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["lm_head.weight", "model.layers.1.mlp.up_proj.weight"])
def test_weights_beyond_fp16_are_refused(folder: Path, use: Any, name: str) -> None:
    change_weights(folder, lambda state: state[name].fill_(1e30))
    with pytest.raises(ModelUnusable, match=rf"beyond 65504.* {name}"):
        use(folder)


def test_weights_below_fp16_become_zero(folder: Path, tmp_path: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    change_weights(folder, lambda state: state[name].fill_(1e-30))
    state = load_file(prepare(folder, tmp_path / "prepared") / WEIGHTS)
    assert not state[name].any()


@pytest.mark.parametrize("name", ["lm_head.weight", "model.norm.weight"])
def test_weights_that_are_integers_are_refused(folder: Path, use: Any, name: str) -> None:
    change_weights(folder, lambda state: state.update({name: state[name].to(torch.int8)}))
    with pytest.raises(ModelUnusable, match=rf"{name} .*I8"):
        use(folder)


def test_a_tokenizer_larger_than_the_embedding_is_refused(
    model_maker: Callable[..., Path], tmp_path: Path, use: Any
) -> None:
    folder = model_maker("llama", tmp_path / "small", vocab_size=300)
    with pytest.raises(ModelUnusable, match=r"tokenizer with the token id .* 300 rows"):
        use(folder)


def test_a_special_token_beyond_the_embedding_is_refused_in_a_prompt_only(
    folder: Path,
) -> None:
    from tokenizers import AddedToken, Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken("<image>", special=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
    engine = Engine(load(folder))
    engine.row("a", "an <image> in text")
    with pytest.raises(UnknownToken):
        engine.row("a", "an <image> in text", special_tokens=True)


@pytest.mark.parametrize(
    "names",
    [("config.json",), ("tokenizer_config.json", "generation_config.json"), ("tokenizer.json",)],
)
def test_a_byte_order_mark_changes_nothing(
    folder: Path, tiny: Callable[[str], Path], names: tuple[str, ...], tmp_path: Path
) -> None:
    before = Engine(load(tiny("llama")))
    ids = before.row("a", "The quick 最近").prompt
    for name in names:
        (folder / name).write_bytes(BOM + (folder / name).read_bytes())
    for source in (folder, prepare(folder, tmp_path / "prepared")):
        after = Engine(load(source))
        assert after.row("a", "The quick 最近").prompt == ids
        assert torch.equal(
            after.model.decoder.prefill(ids)[1], before.model.decoder.prefill(ids)[1]
        )


def test_a_folder_without_marks_is_not_copied(folder: Path) -> None:
    with without_marks(folder) as readable:
        assert readable == folder


def test_a_beginning_token_in_the_older_file_only_is_used_as_transformers_does(
    folder: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    special = {name: config.pop(name) for name in ("bos_token", "eos_token")}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special), "utf-8")
    expected = AutoTokenizer.from_pretrained(folder)
    for source in (folder, prepare(folder, tmp_path / "prepared")):
        codec = load(source).codec
        assert (codec.bos, codec.eos) == (expected.bos_token_id, expected.eos_token_id) == (0, 1)
        for text in ("", "The fox", "  最近\n\n我国", "a😀b"):
            assert codec.prompt(text) == (expected(text)["input_ids"] or [0])


TEMPLATES = [{"name": "tool_use", "template": "T"}, {"name": "rag", "template": "R"}]


def test_several_chat_templates_need_a_default(folder: Path, use: Any) -> None:
    change_json(folder / "tokenizer_config.json", chat_template=TEMPLATES)
    with pytest.raises(ModelUnusable, match=r"chat templates \(rag, tool_use\) and none named def"):
        use(folder)


def test_the_default_of_several_chat_templates_is_used(folder: Path, tmp_path: Path) -> None:
    template = {"name": "default", "template": "<{{ messages[0].content }}>"}
    change_json(folder / "tokenizer_config.json", chat_template=[*TEMPLATES, template])
    for source in (folder, prepare(folder, tmp_path / "prepared")):
        codec = load(source).codec
        assert codec.decode(codec.prompt("hi")) == "<hi>"


def test_a_chat_template_that_is_not_valid_is_refused(folder: Path, use: Any) -> None:
    (folder / "chat_template.jinja").write_text("{% for %}")
    with pytest.raises(ModelUnusable, match="chat template"):
        use(folder)


def test_the_stored_tokenizer_has_the_ids_of_the_source(folder: Path, tmp_path: Path) -> None:
    source, stored = load(folder).codec, Codec.load(prepare(folder, tmp_path / "prepared"))
    for text in ("The fox", "最近我国", "a  b"):
        assert stored.prompt(text) == source.prompt(text)


def _messages() -> list[tuple[str, str]]:
    """Return the places and messages of the errors about models, without inserted values."""
    messages = []
    for path in sorted(Path(muniment_text.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
                continue
            if getattr(node.exc.func, "id", "") in ("ModelUnusable", "refuse"):
                constants = [
                    str(part.value)
                    for part in ast.walk(node.exc.args[-1])
                    if isinstance(part, ast.Constant)
                ]
                messages.append((f"{path.name}:{node.lineno}", "".join(constants)))
    return messages


def test_every_error_about_a_model_names_a_remedy() -> None:
    messages = _messages()
    assert len(messages) > 25
    assert [place for place, message in messages if "; " not in message] == []
