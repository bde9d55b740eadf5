"""Models of `diffusers`: damaged and refused folders, additions, single files and the hub."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import muniment
from muniment.errors import ModelError
from muniment.testing import request as make_request
from muniment_image.diffusion import additions, hub
from muniment_image.diffusion.defaults import read_defaults
from muniment_image.diffusion.folders import INDEX
from muniment_image.diffusion.generator import DiffusersGenerator
from muniment_image.diffusion.loading import load_controlnet, load_pipeline
from muniment_image.model_folder import read_config
from support.diffusion import make_controlnet, make_lora, make_pipeline
from support.hub import served
from support.images import make_image_model
from support.single_file import make_single_file

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline and a ControlNet, which tests must not change."""
    folder = tmp_path_factory.mktemp("originals")
    make_pipeline(folder / "tiny")
    make_controlnet(folder / "edges")
    return folder


@pytest.fixture
def folder(originals: Path, tmp_path: Path) -> Path:
    """A copy of the pipeline's folder, to be changed."""
    return shutil.copytree(originals / "tiny", tmp_path / "tiny")


def add(source: str | Path, into: Path) -> Path:
    into.mkdir()
    additions.add(str(source), into, lambda step, fraction: None)
    return into


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def rewrite(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(file)
    change(weights)
    save_file(weights, file)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def drawn(folder: Path) -> tuple[muniment.Output, ...]:
    generator = DiffusersGenerator()
    model = muniment.Model("tiny", "tree1-sha256:0", str(folder))
    generator.load(model)
    parameters = DiffusersGenerator.Parameters(steps=2)
    (reply,) = generator.generate(
        [make_request("a cat", seed=7, parameters=parameters, model=model)]
    )
    assert reply.failure is None
    return reply.outputs


# ---- folders that are refused --------------------------------------------------------------------


def _only_pickles(folder: Path) -> None:
    (folder / UNET).rename(folder / "unet" / "diffusion_pytorch_model.bin")


def _own_pipeline(folder: Path) -> None:
    edit(folder / INDEX, _class_name=["evil", "Pipeline"])
    (folder / "evil.py").write_text("raise SystemExit(3)")


def _own_component(folder: Path) -> None:
    edit(folder / INDEX, unet=["evil", "UNet"])
    (folder / "unet" / "evil.py").write_text("raise SystemExit(3)")


def _without_tensor(folder: Path) -> None:
    rewrite(folder / UNET, lambda weights: weights.pop("conv_out.weight"))


def _with_nan(folder: Path) -> None:
    rewrite(folder / UNET, lambda weights: weights["conv_out.weight"].fill_(float("nan")))


def _other_shape(folder: Path) -> None:
    edit(folder / "unet" / "config.json", out_channels=5)


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no index": (lambda folder: (folder / INDEX).unlink(), INDEX),
    "index that is not JSON": (lambda folder: (folder / INDEX).write_text("{"), INDEX),
    "index of a list": (lambda folder: (folder / INDEX).write_text("[]"), INDEX),
    "odd component": (lambda folder: edit(folder / INDEX, unet=[1, 2, 3]), "unet"),
    "pickles": (_only_pickles, "pickle"),
    "pipeline of its own": (_own_pipeline, "code"),
    "component of its own": (_own_component, "code"),
    "unknown library": (lambda folder: edit(folder / INDEX, unet=["os", "system"]), "unet"),
    "unknown pipeline": (lambda folder: edit(folder / INDEX, _class_name="Nothing"), "Nothing"),
    "no pipeline": (lambda folder: edit(folder / INDEX, _class_name="AutoencoderKL"), "Autoenc"),
    "cut weights": (lambda folder: os.truncate(folder / UNET, 5000), UNET),
    "missing weights": (lambda folder: (folder / UNET).unlink(), "unet"),
    "missing component": (lambda folder: shutil.rmtree(folder / "vae"), "tiny"),
    "missing tensor": (_without_tensor, "conv_out.weight"),
    "tensor of another shape": (_other_shape, "/unet"),
    "weights that are not numbers": (_with_nan, "conv_out.weight"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_folder_is_refused_with_the_faulty_part(damage: str, folder: Path) -> None:
    change, part = DAMAGES[damage]
    change(folder)
    with pytest.raises(ModelError, match=part):
        load_pipeline(folder)


def test_pipeline_without_texts_is_refused(tmp_path: Path) -> None:
    import diffusers

    from muniment_image.diffusion.libraries import silence
    from support.diffusion import make_scheduler

    with silence():
        unet = diffusers.UNet2DModel(
            sample_size=8,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
        )
        diffusers.DDIMPipeline(unet, make_scheduler()).save_pretrained(tmp_path / "plain")
    with pytest.raises(ModelError, match="DDIMPipeline"):
        load_pipeline(tmp_path / "plain")


def test_file_or_pipeline_as_a_controlnet_is_refused(originals: Path) -> None:
    with pytest.raises(ModelError, match="ControlNet"):
        load_controlnet(originals / "tiny")
    with pytest.raises(ModelError, match="not a ControlNet"):
        load_controlnet(originals / "tiny" / "unet")


def test_variant_of_half_precision_is_read(originals: Path, folder: Path) -> None:
    for file in folder.rglob("*.safetensors"):
        file.rename(file.with_name(f"{file.stem}.fp16.safetensors"))
    assert drawn(folder) == drawn(originals / "tiny")


def test_older_names_of_tensors_are_read(originals: Path, folder: Path) -> None:
    attention = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def rename_attention(weights: dict[str, Any]) -> None:
        for name in [name for name in weights if "attentions" in name]:
            older = name
            for new, old in attention.items():
                older = older.replace(f".{new}.", f".{old}.")
            weights[older] = weights.pop(name)

    def nest(weights: dict[str, Any]) -> None:
        for name in list(weights):
            weights[f"text_model.{name}"] = weights.pop(name)

    rewrite(folder / "vae" / "diffusion_pytorch_model.safetensors", rename_attention)
    rewrite(folder / "text_encoder" / "model.safetensors", nest)
    assert drawn(folder) == drawn(originals / "tiny")


# ---- additions -----------------------------------------------------------------------------------


def test_added_pipeline_has_neither_code_nor_pickles(folder: Path, tmp_path: Path) -> None:
    plain = drawn(folder)
    for name in ("unet/model.bin", "unet/evil.py", "whole.safetensors", "whole.ckpt", "cat.png"):
        (folder / name).write_bytes(b"\0")
    (folder / "LICENSE.md").write_text("terms")
    (folder / "training.json").write_text("{}")
    (folder / "other").mkdir()
    (folder / "other" / "model.safetensors").write_bytes(b"\0")
    into = add(folder, tmp_path / "into")
    kept = {"LICENSE.md", "training.json", INDEX, UNET, "tokenizer/tokenizer.json"}
    assert kept <= names(into)
    assert not any(name.endswith((".bin", ".py", ".ckpt", ".png")) for name in names(into))
    assert not names(into) & {"whole.safetensors", "other/model.safetensors"}
    assert drawn(into) == plain


def test_addition_of_pickles_is_refused(folder: Path, tmp_path: Path) -> None:
    _only_pickles(folder)
    with pytest.raises(ModelError, match="pickle"):
        add(folder, tmp_path / "into")
    (tmp_path / "whole.ckpt").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelError, match="pickle"):
        add(tmp_path / "whole.ckpt", tmp_path / "other")


def test_a_model_of_the_generator_image_is_refused(tmp_path: Path) -> None:
    model = make_image_model(tmp_path / "model")
    with pytest.raises(ModelError, match=r"model\.json"):
        add(model, tmp_path / "into")
    with pytest.raises(ModelError, match=r"model\.json"):
        read_defaults(model)


def test_a_pipeline_is_no_model_of_the_generator_image(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"no model\.json"):
        read_config(folder)


def test_controlnets_and_adapters_are_added(originals: Path, tmp_path: Path) -> None:
    controlnet = add(originals / "edges", tmp_path / "controlnet")
    assert names(controlnet) == {"config.json", "diffusion_pytorch_model.safetensors"}
    lora = make_lora(tmp_path / "style.safetensors", originals / "tiny")
    assert names(add(lora, tmp_path / "lora")) == {"style.safetensors"}


def test_added_models_are_used_by_their_names(originals: Path, home: Path, tmp_path: Path) -> None:
    lora = make_lora(tmp_path / "style.safetensors", originals / "tiny")
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nactor = "tester"\n')
    with muniment.Session(home) as session:
        generator = DiffusersGenerator()
        for source in (originals / "tiny", lora, originals / "edges"):
            session.models.add(str(source), "diffusers", generator)
        assert "diffusers" in session.verify_model("tiny")
        assert session.verify_model("style") == session.verify_model("edges") == {}
        with pytest.raises(ModelError, match=INDEX):
            session.generate("a cat", generator="diffusers", model="style")
        done = session.generate(
            "a cat", generator="diffusers", parameters={"steps": 1, "lora": "style"}, seed=7
        )
        assert done.status == "completed"
        assert done.model is not None
        assert (done.model.name, done.models["lora"].name) == ("tiny", "style")
        assert [replay.result for replay in session.replay([done])] == ["exact"]


def test_adapter_or_controlnet_is_never_the_default_model(
    originals: Path, home: Path, tmp_path: Path
) -> None:
    lora = make_lora(tmp_path / "style.safetensors", originals / "tiny")
    with muniment.Session(home) as session:
        generator = DiffusersGenerator()
        for source in (lora, originals / "edges"):
            session.models.add(str(source), "diffusers", generator)
            assert session.models.default("diffusers") is None
            with pytest.raises(ModelError, match="no model was added yet"):
                session.models.choose(None, "diffusers", generator)
        session.models.add(str(originals / "tiny"), "diffusers", generator)
        assert session.models.choose(None, "diffusers", generator) == "tiny"
        assert session.models.default("diffusers") == "tiny"


# ---- single files --------------------------------------------------------------------------------


def test_single_file_becomes_the_pipeline_that_it_contains(
    originals: Path, folder: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    for file in folder.rglob("*.safetensors"):
        file.unlink()
    into = add(
        make_single_file(folder / "whole.safetensors", originals / "tiny"), tmp_path / "into"
    )
    for name in names(originals / "tiny"):
        if name.endswith(".safetensors"):
            converted, original = load_file(into / name), load_file(originals / "tiny" / name)
            assert converted.keys() == original.keys()
            assert all(bool((converted[key] == original[key].half()).all()) for key in original)
    assert drawn(into)


def test_single_file_without_a_tensor_is_refused(
    originals: Path, folder: Path, tmp_path: Path
) -> None:
    file = make_single_file(folder / "whole.safetensors", originals / "tiny")
    rewrite(file, lambda weights: weights.pop("first_stage_model.quant_conv.weight"))
    with pytest.raises(ModelError, match=file.name):
        add(file, tmp_path / "into")


def test_single_file_without_configuration_or_network_is_refused(
    originals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    file = make_single_file(tmp_path / "whole.safetensors", originals / "tiny")
    with pytest.raises(ModelError, match="stable-diffusion-v1-5"):
        add(file, tmp_path / "into")
    with pytest.raises(ModelError, match="models add"):
        load_pipeline(file)


# ---- the hub -------------------------------------------------------------------------------------


def test_unknown_path_or_hub_id_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    for source in (str(tmp_path / "nowhere"), "nowhere.safetensors", "some-one/nothing"):
        with pytest.raises(ModelError, match=source):
            hub.find(source)


def test_unknown_hub_id_and_missing_network_are_errors_without_retries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    began = time.monotonic()
    with served(tmp_path) as (address, fetched):
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        with pytest.raises(ModelError, match=r"some-one/nothing .* no public model") as unknown:
            hub.find("some-one/nothing")
    with pytest.raises(ModelError, match=r"some-one/nothing .* check the network") as unreachable:
        hub.find("some-one/nothing")  # no server listens at the address any more
    with pytest.raises(ModelError, match="no model at"):
        hub.find("./" + "x" * 300)
    assert time.monotonic() - began < 5
    assert fetched == []
    assert all("\n" not in str(error.value) for error in (unknown, unreachable))


FIND = """
import sys, muniment
from muniment_image.diffusion.hub import find
for source in sys.argv[1:]:
    try:
        print(find(source))
    except muniment.ModelError as error:
        print(error)
"""


@pytest.mark.integration
def test_hub_models_are_fetched_once_without_code_and_pickles(
    originals: Path, folder: Path, tmp_path: Path
) -> None:
    models = tmp_path / "hub" / "some-one"
    shutil.copytree(folder, models / "tiny")
    shutil.copytree(originals / "edges", models / "edges")
    shutil.copytree(folder, models / "pickled")
    _only_pickles(models / "pickled")
    shutil.copytree(folder, models / "own")
    _own_pipeline(models / "own")
    for name in ("tiny/unet/model.bin", "tiny/whole.safetensors", "edges/evil.py"):
        (models / name).write_bytes(b"\0")
    sources = [f"some-one/{name}" for name in ("tiny", "edges", "pickled", "own", "nothing")]

    def find(address: str, *, offline: bool) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", FIND, *sources],
            env={
                **os.environ,
                "HF_ENDPOINT": address,
                "HF_HOME": str(tmp_path / "cache"),
                "HF_HUB_OFFLINE": str(int(offline)),
            },
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()

    with served(tmp_path / "hub") as (address, fetched):
        tiny, edges, pickled, own, nothing = find(address, offline=False)
    assert names(Path(tiny)) == names(folder)
    assert names(Path(edges)) == names(originals / "edges")
    assert "pickle" in pickled
    assert "code" in own
    assert "some-one/nothing" in nothing
    assert not any(name.endswith((".bin", ".py")) for name in fetched)
    assert find(address, offline=True)[:2] == [tiny, edges]
    assert drawn(Path(tiny)) == drawn(folder)
