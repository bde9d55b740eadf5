"""The generator `diffusers` on a tiny Stable-Diffusion pipeline."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import muniment
from muniment.errors import InputError, ParameterError
from muniment.testing import GeneratorContract
from muniment_image.diffusion.drawing import initial_seed
from muniment_image.diffusion.generator import DiffusersGenerator
from muniment_image.diffusion.parameters import DiffusersParameters
from muniment_image.pictures import read_picture
from support.diffusion import TOKENS, make_controlnet, make_lora, make_pipeline
from support.diffusion_families import make_flux, make_sdxl
from support.pictures import animated, noise, pixel_bomb, saved, turned

INIT = noise(32, 32)
MASK = np.zeros((32, 32), np.uint8)
MASK[8:20, 10:24] = 255
FLOW = ("flow-euler", "flow-heun")
QUICK = ("auto", "dpm-sde", "euler-ancestral")
SCHEDULERS = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.integration)
    for name in DiffusersParameters.fields()["scheduler"].choices
    if name not in FLOW
]


def as_model(path: Path) -> muniment.Model:
    return muniment.Model(path.name, f"tree1-sha256:{path.name}", str(path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pipeline(tmp_path_factory.mktemp("diffusers") / "tiny")


@pytest.fixture(scope="module")
def lora(folder: Path) -> Path:
    return make_lora(folder.with_name("lora.safetensors"), folder)


@pytest.fixture(scope="module")
def controlnet(folder: Path) -> Path:
    return make_controlnet(folder.with_name("controlnet"))


@pytest.fixture(scope="module")
def generator(folder: Path) -> DiffusersGenerator:
    """A generator with the tiny pipeline, which all tests of this module use."""
    return loaded(folder)


def loaded(folder: Path) -> DiffusersGenerator:
    generator = DiffusersGenerator()
    generator.load(as_model(folder))
    return generator


def request(
    folder: Path,
    prompt: str = "a cat",
    *,
    seed: int = 7,
    inputs: Mapping[str, bytes] | None = None,
    models: Mapping[str, Path] | None = None,
    **parameters: Any,
) -> muniment.Request:
    named = {name: as_model(path) for name, path in (models or {}).items()}
    values = {"steps": 2, **parameters, **{name: model.name for name, model in named.items()}}
    return muniment.Request(
        "request",
        prompt,
        seed,
        DiffusersParameters(**values),
        model=as_model(folder),
        inputs={
            name: muniment.Input(name, "image/png", data) for name, data in (inputs or {}).items()
        },
        models=named,
    )


def replies(generator: DiffusersGenerator, *requests: muniment.Request) -> list[muniment.Reply]:
    return list(generator.generate(requests))


def draw(generator: DiffusersGenerator, *arguments: Any, **options: Any) -> NDArray[np.uint8]:
    (reply,) = replies(generator, request(*arguments, **options))
    assert reply.failure is None, reply.failure
    return read_picture(reply.outputs[0].data)


def failure(generator: DiffusersGenerator, *arguments: Any, **options: Any) -> str:
    (reply,) = replies(generator, request(*arguments, **options))
    assert reply.failure is not None
    return reply.failure


class TestContract(GeneratorContract):
    generator = DiffusersGenerator
    parameters: ClassVar = {"steps": 1, "scheduler": "euler-ancestral"}
    prompts: ClassVar = ("a cat", "海", "two dogs", "天")
    inputs: ClassVar = {
        "init": saved(INIT),
        "mask": saved(MASK),
        "reference": saved(INIT),
        "control": saved(INIT),
    }

    @pytest.fixture
    def model(self, folder: Path) -> muniment.Model:
        return as_model(folder)


# ---- seeds and batches ---------------------------------------------------------------------------


def test_picture_has_the_size_of_the_model_and_no_metadata(
    generator: DiffusersGenerator, folder: Path
) -> None:
    (reply,) = replies(generator, request(folder))
    assert draw(generator, folder).shape == (32, 32, 3)
    assert reply.outputs[0].data.count(b"IDAT") == 1
    assert b"tEXt" not in reply.outputs[0].data


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_scheduler_draws_the_same_picture_alone_and_in_a_batch(
    generator: DiffusersGenerator, folder: Path, scheduler: str
) -> None:
    requests = [request(folder, seed=seed, scheduler=scheduler, steps=3) for seed in (7, 8)]
    outputs = [reply.outputs for reply in replies(generator, *requests)]
    alone = [replies(generator, item)[0].outputs for item in reversed(requests)]
    assert outputs == alone[::-1]
    assert all(outputs)
    assert outputs[0] != outputs[1]


def test_schedulers_draw_different_pictures(generator: DiffusersGenerator, folder: Path) -> None:
    pictures = {
        draw(generator, folder, scheduler=scheduler, steps=3).tobytes()
        for scheduler in ("auto", "ddpm", "dpm", "euler", "lcm", "unipc")
    }
    assert len(pictures) == 6


@pytest.mark.parametrize("scheduler", FLOW)
def test_scheduler_of_flow_matching_is_refused_for_another_model(
    generator: DiffusersGenerator, folder: Path, scheduler: str
) -> None:
    assert scheduler in failure(generator, folder, scheduler=scheduler)
    wanted = request(folder, scheduler=scheduler)
    with pytest.raises(ParameterError, match=scheduler):  # before the model is loaded
        DiffusersGenerator().resolve(wanted, as_model(folder))


def test_seeds_that_differ_in_upper_bits_draw_different_pictures(
    generator: DiffusersGenerator, folder: Path
) -> None:
    pictures = {
        draw(generator, folder, seed=seed).tobytes() for seed in (7, 7 + (1 << 32), 7 + (1 << 63))
    }
    assert len(pictures) == 3


def test_initial_seeds_do_not_change() -> None:
    assert [initial_seed(seed) for seed in (0, 7, (1 << 32) - 1)] == [0, 7, (1 << 32) - 1]
    expected = int.from_bytes(hashlib.sha256((1 << 32).to_bytes(8, "big")).digest()[:4], "big")
    assert initial_seed(1 << 32) == expected


def test_picture_equals_the_one_that_diffusers_draws(
    generator: DiffusersGenerator, folder: Path
) -> None:
    import diffusers
    import torch

    from muniment_image.diffusion.libraries import silence

    with silence():
        pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder)
        pipeline.set_progress_bar_config(disable=True)
        images = pipeline(
            "a cat",
            num_inference_steps=2,
            generator=torch.Generator().manual_seed(7),
            output_type="np",
        ).images
    assert np.array_equal(draw(generator, folder), (images[0] * 255).round().astype(np.uint8))


def test_generator_leaves_the_global_random_numbers_unchanged(
    generator: DiffusersGenerator, folder: Path
) -> None:
    import torch

    torch.manual_seed(1)
    draw(generator, folder, scheduler="euler-ancestral")
    after = torch.randn(4)
    assert torch.equal(after, torch.randn(4, generator=torch.Generator().manual_seed(1)))


def test_request_is_independent_of_the_inputs_and_models_of_others(
    generator: DiffusersGenerator, folder: Path, lora: Path, controlnet: Path
) -> None:
    init, control = {"init": saved(INIT)}, {"control": saved(INIT)}
    requests = [
        request(folder),
        request(folder, inputs={**init, "mask": saved(MASK)}, models={"lora": lora}),
        request(folder, inputs=control, models={"controlnet": controlnet}),
        request(folder, inputs=init, scheduler="euler-ancestral"),
    ]
    together = [reply.outputs for reply in replies(generator, *requests)]
    assert all(together)
    assert together[::-1] == [reply.outputs for reply in replies(generator, *requests[::-1])]
    assert together == [replies(generator, item)[0].outputs for item in requests]


# ---- defaults ------------------------------------------------------------------------------------


def test_resolve_sets_values_of_the_model(generator: DiffusersGenerator, folder: Path) -> None:
    new = replace(request(folder), parameters=DiffusersParameters())
    resolution = generator.resolve(new, new.model)
    assert resolution.parameters == {"steps": 50, "guidance": 7.5, "width": 32, "height": 32}


@pytest.mark.parametrize(
    ("inputs", "strength"),
    [({"init": saved(noise(20, 48))}, 0.8), ({"init": saved(INIT), "mask": saved(MASK)}, 1.0)],
)
def test_resolve_sets_size_and_strength_of_inputs(
    generator: DiffusersGenerator, folder: Path, inputs: dict[str, bytes], strength: float
) -> None:
    new = request(folder, inputs=inputs)
    values = generator.resolve(new, new.model).parameters
    shape = read_picture(inputs["init"]).shape
    assert (values["height"], values["width"]) == shape[:2]
    assert values["strength"] == strength


def test_one_side_keeps_the_proportion(generator: DiffusersGenerator, folder: Path) -> None:
    new = request(folder, inputs={"init": saved(noise(20, 40))}, width=80)
    assert generator.resolve(new, new.model).parameters["height"] == 40


@pytest.mark.parametrize(
    ("parameters", "inputs", "name"),
    [
        ({"strength": 0.5}, {}, "strength"),
        ({"strength": 0.4}, {"init": saved(INIT)}, "strength"),  # of 2 steps
        ({"strength": 0.0}, {"init": saved(INIT)}, "strength"),
        ({"negative_prompt": "dog", "guidance": 1.0}, {}, "negative_prompt"),
        ({"lora_scale": 0.5}, {}, "lora_scale"),
        ({"control_scale": 0.5}, {}, "control_scale"),
    ],
)
def test_parameter_without_effect_is_refused(
    generator: DiffusersGenerator,
    folder: Path,
    parameters: dict[str, Any],
    inputs: dict[str, bytes],
    name: str,
) -> None:
    new = request(folder, inputs=inputs, **parameters)
    with pytest.raises(ParameterError) as caught:
        generator.resolve(new, new.model)
    assert caught.value.name == name
    assert replies(generator, new)[0].failure == str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({"mask": saved(MASK)}, "mask"),
        ({"init": saved(INIT), "mask": saved(MASK[:16])}, "mask"),
        ({"init": saved(INIT), "mask": saved(np.zeros_like(MASK))}, "mask"),
        ({"control": saved(INIT)}, "control"),
        ({"init": saved(INIT)[:60]}, "init"),
        ({"init": saved(noise(2, 9000))}, "init"),
        ({"init": animated("GIF")}, "init"),
        ({"reference": pixel_bomb()}, "reference"),
    ],
)
def test_input_that_does_not_fit_is_refused(
    generator: DiffusersGenerator, folder: Path, inputs: dict[str, bytes], name: str
) -> None:
    new = request(folder, inputs=inputs)
    with pytest.raises(InputError) as caught:
        generator.resolve(new, new.model)
    assert caught.value.name == name
    assert replies(generator, new)[0].failure == str(caught.value)


# ---- prompts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameter", ["prompt", "negative_prompt"])
def test_text_that_the_encoder_would_truncate_is_refused(
    generator: DiffusersGenerator, folder: Path, parameter: str
) -> None:
    fitting, too_long = "a" * (TOKENS - 2), "a" * (TOKENS - 1)
    draw(generator, folder, **{parameter: fitting})
    sentence = failure(generator, folder, **{parameter: too_long})
    assert parameter in sentence
    assert str(TOKENS) in sentence


def test_negative_prompt_and_guidance_change_the_picture(
    generator: DiffusersGenerator, folder: Path
) -> None:
    pictures = {
        draw(generator, folder, **parameters).tobytes()
        for parameters in ({}, {"negative_prompt": "dog"}, {"guidance": 1.0}, {"guidance": 9.0})
    }
    assert len(pictures) == 4


# ---- inputs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), [(40, 24), (33, 17)])
def test_picture_has_the_given_size(
    generator: DiffusersGenerator, folder: Path, width: int, height: int
) -> None:
    assert draw(generator, folder, width=width, height=height).shape == (height, width, 3)


def test_init_gives_the_picture_its_size_and_less_strength_stays_closer(
    generator: DiffusersGenerator, folder: Path
) -> None:
    init = noise(20, 45)
    distances = []
    for strength in (0.2, 0.9):
        picture = draw(generator, folder, inputs={"init": saved(init)}, strength=strength, steps=10)
        assert picture.shape == init.shape
        distances.append(np.abs(picture.astype(int) - init).mean())
    assert distances[0] != distances[1]


@pytest.mark.parametrize("side", [32, 37])
def test_mask_changes_only_its_white_pixels(
    generator: DiffusersGenerator, folder: Path, side: int
) -> None:
    init, mask = noise(side, side), np.zeros((side, side), np.uint8)
    mask[3:20, 5:30] = 255
    inputs = {"init": saved(init), "mask": saved(mask)}
    picture = draw(generator, folder, inputs=inputs)
    assert np.array_equal(picture[mask == 0], init[mask == 0])
    assert (picture[mask == 255] != init[mask == 255]).any(axis=-1).mean() > 0.9


@pytest.mark.parametrize(
    "init",
    [
        pytest.param(saved(noise(), mode="P"), id="palette"),
        pytest.param(saved(noise(), mode="RGBA"), id="transparent"),
        pytest.param(saved(noise(), "JPEG", mode="CMYK"), id="cmyk"),
        pytest.param(saved(noise(9, 9)[:, :, 0].astype(np.uint16) * 257), id="16 bits"),
        pytest.param(saved(noise(50, 3)), id="thin"),
        pytest.param(turned(6, "JPEG"), id="turned"),
    ],
)
def test_pixels_outside_the_mask_are_those_of_a_picture_of_any_kind(
    generator: DiffusersGenerator, folder: Path, init: bytes
) -> None:
    pixels = read_picture(init)
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[: len(mask) // 2] = 255
    picture = draw(generator, folder, inputs={"init": init, "mask": saved(mask)})
    assert np.array_equal(picture[mask == 0], pixels[mask == 0])
    assert not np.array_equal(picture, pixels)


def test_control_changes_the_picture_only_with_its_controlnet(
    generator: DiffusersGenerator, folder: Path, controlnet: Path
) -> None:
    plain = draw(generator, folder)
    inputs = {"control": saved(INIT)}
    options: dict[str, Any] = {"models": {"controlnet": controlnet}}
    controlled = draw(generator, folder, inputs=inputs, **options)
    weaker = draw(generator, folder, inputs=inputs, control_scale=0.3, **options)
    changed = draw(generator, folder, inputs={"control": saved(INIT[::-1])}, **options)
    started = draw(generator, folder, inputs={**inputs, "init": saved(INIT)}, **options)
    masked = draw(
        generator, folder, inputs={**inputs, "init": saved(INIT), "mask": saved(MASK)}, **options
    )
    pictures = (plain, controlled, weaker, changed, started, masked)
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    assert np.array_equal(masked[MASK == 0], INIT[MASK == 0])
    assert np.array_equal(draw(generator, folder), plain)
    assert "control" in failure(generator, folder, **options)


def test_reference_does_not_change_the_picture(generator: DiffusersGenerator, folder: Path) -> None:
    with_reference = draw(generator, folder, inputs={"reference": saved(INIT)})
    assert np.array_equal(with_reference, draw(generator, folder))


# ---- adapters ------------------------------------------------------------------------------------


def test_adapter_changes_only_the_requests_that_name_it(
    generator: DiffusersGenerator, folder: Path, lora: Path
) -> None:
    requests = [
        request(folder, models={"lora": lora}),
        request(folder),
        request(folder, models={"lora": lora}, lora_scale=0.5),
        request(folder, models={"lora": lora}, lora_scale=0.0),
        request(folder, models={"lora": lora}),
        request(folder, inputs={"init": saved(INIT)}),
    ]
    adapted, plain, half, none, again, started = (
        reply.outputs for reply in replies(generator, *requests)
    )
    fresh = loaded(folder)  # never had an adapter
    assert (plain, started) == tuple(
        reply.outputs for reply in replies(fresh, requests[1], requests[5])
    )
    assert none == plain
    assert adapted == again
    assert len({tuple(one.data for one in outputs) for outputs in (adapted, plain, half)}) == 3


def test_adapter_in_the_format_of_other_trainers_is_applied(
    generator: DiffusersGenerator, folder: Path, tmp_path: Path
) -> None:
    file = make_lora(tmp_path / "kohya.safetensors", folder, kohya=True)
    adapted = draw(generator, folder, models={"lora": file})
    assert not np.array_equal(adapted, draw(generator, folder))


@pytest.mark.parametrize(
    "names",
    [
        {"unet": "foreign"},
        {"text_encoder": "foreign"},
        {"attn1": "foreign"},
        {"lora_B": "foreign"},
        {"down_blocks": "down_block"},
    ],
)
def test_adapter_with_foreign_names_is_refused(
    generator: DiffusersGenerator, folder: Path, tmp_path: Path, names: dict[str, str]
) -> None:
    plain = draw(generator, folder)
    file = make_lora(tmp_path / "foreign.safetensors", folder, **names)
    assert file.name in failure(generator, folder, models={"lora": file})
    assert np.array_equal(draw(generator, folder), plain)


def test_adapter_of_another_size_is_refused(
    generator: DiffusersGenerator, folder: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    file = make_lora(tmp_path / "wide.safetensors", folder)
    weights = load_file(file)
    name = next(name for name in weights if name.startswith("unet") and "lora_A" in name)
    weights[name] = weights[name].repeat(1, 2)
    save_file(weights, file)
    plain = draw(generator, folder)
    assert file.name in failure(generator, folder, models={"lora": file})
    assert np.array_equal(draw(generator, folder), plain)


def test_adapter_of_one_part_is_applied(
    generator: DiffusersGenerator, folder: Path, lora: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    pictures = {draw(generator, folder).tobytes()}
    for part in ("unet", "text_encoder"):
        weights = {name: item for name, item in load_file(lora).items() if name.startswith(part)}
        save_file(weights, tmp_path / f"{part}.safetensors")
        models = {"lora": tmp_path / f"{part}.safetensors"}
        pictures.add(draw(generator, folder, models=models, lora_scale=0.7).tobytes())
    assert len(pictures) == 3


def test_pickled_or_damaged_adapter_is_refused(
    generator: DiffusersGenerator, folder: Path, lora: Path, tmp_path: Path
) -> None:
    pickled, damaged = tmp_path / "lora.bin", tmp_path / "lora.safetensors"
    pickled.write_bytes(b"\x80\x04.")
    damaged.write_bytes(lora.read_bytes()[:-1])
    assert "pickle" in failure(generator, folder, models={"lora": pickled})
    assert damaged.name in failure(generator, folder, models={"lora": damaged})


# ---- pictures that must not count as success -----------------------------------------------------


def test_values_that_are_not_numbers_fail(
    generator: DiffusersGenerator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = generator._pipeline.vae
    weight = vae.decoder.conv_out.weight
    original = weight.detach().clone()
    weight.data.fill_(float("nan"))
    try:
        assert "not numbers" in failure(generator, folder)
    finally:
        weight.data.copy_(original)


def test_flagged_picture_fails(tmp_path: Path) -> None:
    folder = make_pipeline(tmp_path / "flagging", flagged=True)
    flagging = loaded(folder)
    assert "safety checker" in failure(flagging, folder)
    assert "safety checker" in failure(flagging, folder, inputs={"init": saved(INIT)})


def test_unflagged_picture_is_the_one_without_a_safety_checker(
    generator: DiffusersGenerator, folder: Path, tmp_path: Path
) -> None:
    checked = make_pipeline(tmp_path / "checked", flagged=False)
    assert np.array_equal(draw(loaded(checked), checked), draw(generator, folder))


def test_missing_memory_fails_with_a_remedy(
    generator: DiffusersGenerator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*arguments: object, **options: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(generator._pipeline.vae, "decode", decode)
        assert "offload" in failure(generator, folder)
    draw(generator, folder)


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offload_does_not_change_the_picture(
    generator: DiffusersGenerator, folder: Path, offload: str
) -> None:
    assert np.array_equal(draw(generator, folder, offload=offload), draw(generator, folder))


def test_failure_of_a_request_leaves_the_others(
    generator: DiffusersGenerator, folder: Path
) -> None:
    with_system = replace(request(folder), system="Draw well.")
    results = replies(
        generator, request(folder), request(folder, "a" * 99), with_system, request(folder, seed=8)
    )
    assert [reply.failure is None for reply in results] == [True, False, False, True]


def test_generation_prints_nothing(
    generator: DiffusersGenerator, folder: Path, lora: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    loaded(folder)
    draw(generator, folder, models={"lora": lora})
    draw(generator, folder, inputs={"init": saved(INIT), "mask": saved(MASK)})
    failure(generator, folder, "a" * 99)
    assert capfd.readouterr() == ("", "")


# ---- pipelines of other families -----------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize("make", [make_sdxl, make_flux])
def test_pipeline_of_another_family_draws_from_texts_and_pictures(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    folder = make(tmp_path / "other")
    generator, size = loaded(folder), {"width": 32, "height": 32}
    inputs = {"init": saved(INIT), "mask": saved(MASK)}
    plain = draw(generator, folder, **size)
    started = draw(generator, folder, inputs={"init": saved(INIT)})
    masked = draw(generator, folder, inputs=inputs)
    assert len({plain.tobytes(), started.tobytes(), masked.tobytes()}) == 3
    assert np.array_equal(masked[MASK == 0], INIT[MASK == 0])
    assert draw(generator, folder, width=40, height=21).shape == (21, 40, 3)
    assert np.array_equal(draw(generator, folder, **size), plain)
    assert np.array_equal(draw(loaded(folder), folder, **size), plain)


@pytest.mark.integration
def test_flow_matching_has_its_own_schedulers_and_no_guidance(tmp_path: Path) -> None:
    folder = make_flux(tmp_path / "flux")
    generator = loaded(folder)
    assert "flow-euler" in failure(generator, folder, scheduler="ddim")
    assert "guidance" in failure(generator, folder, guidance=4.0)
    assert "negative_prompt" in failure(generator, folder, negative_prompt="dog")
    small = {"width": 32, "height": 32}
    picture = draw(generator, folder, **small)
    assert np.array_equal(draw(generator, folder, scheduler="flow-euler", **small), picture)
    # T5 takes 512 tokens. CLIP, which takes 77, only gives a summary of the prompt.
    draw(generator, folder, "a" * 200, **small)
    assert "512" in failure(generator, folder, "a" * 600, **small)
