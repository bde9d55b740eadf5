"""The generator `image`: exact images from small models with random weights."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import muniment
from muniment.testing import GeneratorContract, request
from muniment_image.conditions import ConditionError
from muniment_image.generator import ImageGenerator
from muniment_image.parameters import ImageParameters
from muniment_image.pictures import read_picture
from muniment_image.png import encode
from support.images import CAPTIONS, LABELS, UNCONDITIONAL, ImageModels, make_image_model
from support.pictures import animated, noise, saved

LARGEST = 2**64 - 1
LIGHT = encode(np.full((8, 8), 255, np.uint8))
HALF = np.zeros((8, 8), np.uint8)
HALF[:, 4:] = 255


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> ImageModels:
    return ImageModels(tmp_path_factory.mktemp("models"))


class Drawer:
    """A generator with a loaded model."""

    def __init__(self, model: muniment.Model) -> None:
        self.model = model
        self.generator = ImageGenerator()
        self.generator.load(model)

    def request(
        self,
        prompt: str = "Trouser",
        seed: int = 7,
        *,
        system: str | None = None,
        inputs: dict[str, bytes] | None = None,
        **parameters: Any,
    ) -> muniment.Request:
        """Return a resolved request."""
        given = request(
            prompt,
            seed=seed,
            system=system,
            inputs=inputs or {},
            model=self.model,
            parameters=ImageParameters(**parameters),
        )
        values = self.generator.resolve(given, self.model).parameters
        return replace(given, parameters=ImageParameters(**values))

    def draw(self, requests: Sequence[muniment.Request]) -> list[bytes | str]:
        """Return the bytes of each image, or the reason why there is none."""
        replies = {reply.request_id: reply for reply in self.generator.generate(requests)}
        return [
            replies[item.id].failure or replies[item.id].outputs[0].data  # type: ignore[misc]
            for item in requests
        ]

    def pixels(self, *arguments: Any, **options: Any) -> Any:
        """Return the pixels of one image."""
        (data,) = self.draw([self.request(*arguments, **options)])
        assert isinstance(data, bytes), data
        return read_picture(data)


@pytest.fixture(scope="session")
def drawer(maker: ImageModels) -> Drawer:
    return Drawer(maker())


class TestContract(GeneratorContract):
    generator = ImageGenerator
    prompts = ("Trouser", "ankle boot", "T-SHIRT/TOP", " trouser ")
    inputs: ClassVar = {"init": LIGHT, "mask": LIGHT, "reference": LIGHT}

    @pytest.fixture
    def model(self, maker: ImageModels) -> muniment.Model:
        return maker()


# ---- one image depends on its own request only ---------------------------------------------------


@pytest.mark.parametrize("family", ["flow", "vae", "dcgan"])
def test_an_image_is_equal_alone_and_in_batches_of_any_size(
    maker: ImageModels, family: str
) -> None:
    drawer = Drawer(maker(family))
    requests = [drawer.request(("trouser", "ankle boot")[seed % 2], seed) for seed in range(16)]
    alone = [drawer.draw([item])[0] for item in requests]
    assert len(set(alone)) == 16
    for size in (2, 7, 16):
        for start in range(0, 16, size):
            part = slice(start, start + size)
            assert drawer.draw(requests[part]) == alone[part]


@pytest.mark.integration
@pytest.mark.parametrize(("image_size", "channels"), [(32, 3), (28, 1)])
def test_an_image_of_a_network_of_full_size_is_equal_in_batches_of_any_size(
    maker: ImageModels, image_size: int, channels: int
) -> None:
    drawer = Drawer(maker(image_size=image_size, channels=channels, network={}, batch=8))
    requests = [drawer.request(seed=seed) for seed in range(16)]
    alone = [drawer.draw([item])[0] for item in requests]
    for size in (2, 7, 16):
        batches = [requests[start : start + size] for start in range(0, 16, size)]
        assert [image for batch in batches for image in drawer.draw(batch)] == alone
    assert drawer.generator.sampler.rows == 8
    assert len(set(alone)) == 16


def test_an_image_is_equal_beside_requests_with_other_options(drawer: Drawer) -> None:
    requests = [
        drawer.request(),
        drawer.request(guidance=1),
        drawer.request(steps=3),
        drawer.request(inputs={"init": LIGHT}, strength=0.5),
        drawer.request(inputs={"init": LIGHT, "mask": encode(HALF)}),
        drawer.request("ankle boot"),
    ]
    alone = [drawer.draw([item])[0] for item in requests]
    assert drawer.draw(requests) == drawer.draw(requests[::-1])[::-1] == alone
    assert len(set(alone)) == len(alone)


def test_all_64_bits_of_a_seed_count(drawer: Drawer) -> None:
    seeds = [0, 1, 7, 7 + 2**32, 2**32, 2**63, LARGEST - 1, LARGEST]
    images = drawer.draw([drawer.request(seed=seed) for seed in seeds])
    assert len(set(images)) == len(seeds)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_rows_are_drawn_singly_where_rows_of_a_batch_differ(
    drawer: Drawer, monkeypatch: pytest.MonkeyPatch, guidance: float
) -> None:
    from muniment_image.sampler import Sampler

    family = drawer.generator.sampler.family
    sample = family.sample

    def uneven(conditions: Any, noise: Any, **options: Any) -> Any:
        images = sample(conditions, noise, **options)
        if options["guidance"] == guidance:  # twice the rows have other kernels
            images[1:] += 1e-6  # as kernels do that compute some rows of a batch in another order
        return images

    assert Sampler(family).rows == 4
    monkeypatch.setattr(family, "sample", uneven)
    assert Sampler(family).rows == 1


# ---- init and mask -------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("strength", [0.01, 0.3, 1])
def test_pixels_outside_the_mask_are_those_of_init(
    maker: ImageModels, channels: int, strength: float
) -> None:
    drawer = Drawer(maker(channels=channels, image_size=16))
    shades = np.arange(256, dtype=np.uint8).reshape(16, 16)
    init = shades if channels == 1 else np.stack([shades, shades.T, 255 - shades], axis=2)
    mask = np.zeros((16, 16), np.uint8)
    mask[4:12, 3:9] = 255
    inputs = {"init": encode(init), "mask": encode(mask)}
    (data,) = drawer.draw([drawer.request(inputs=inputs, strength=strength)])
    assert isinstance(data, bytes)
    drawn = read_picture(data, grey=channels == 1)
    assert (drawn[mask == 0] == init[mask == 0]).all()
    assert (drawn[mask == 255] != init[mask == 255]).any()


def test_a_strength_near_zero_is_near_init(drawer: Drawer) -> None:
    init = noise(8, 8)
    near, far = (
        np.abs(drawer.pixels(inputs={"init": encode(init)}, strength=strength).astype(int) - init)
        for strength in (0.01, 1)
    )
    assert near.mean() < 10 < far.mean()


def test_a_strength_of_one_without_mask_ignores_init(drawer: Drawer) -> None:
    plain = drawer.pixels()
    changed = drawer.pixels(inputs={"init": encode(noise(8, 8))}, strength=1)
    assert (plain == changed).all()


def test_init_of_another_size_is_scaled_and_cut_to_its_middle(drawer: Drawer) -> None:
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = noise(8, 8)
    inputs = {"init": encode(wide)}
    middle = {"init": encode(np.ascontiguousarray(wide[:, 8:16]))}
    assert (drawer.pixels(inputs=inputs) == drawer.pixels(inputs=middle)).all()
    large = np.repeat(np.repeat(noise(8, 8), 8, axis=0), 8, axis=1)
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 32:] = 255
    kept = drawer.pixels(inputs={"init": encode(large), "mask": encode(mask)})[:, :3]
    assert np.abs(kept.astype(int) - noise(8, 8)[:, :3]).max() < 80


def test_the_default_strength_is_recorded(drawer: Drawer) -> None:
    def strength(**inputs: bytes) -> float | None:
        value: float | None = drawer.request(inputs=inputs).parameters.strength
        return value

    assert strength() is None
    assert strength(init=LIGHT) == 0.6
    assert strength(init=LIGHT, mask=LIGHT) == 1.0


def test_the_defaults_are_those_of_the_model(maker: ImageModels) -> None:
    values = dict(Drawer(maker(steps=3, guidance=1.5)).request().parameters)
    assert values == {"steps": 3, "guidance": 1.5, "strength": None}
    unconditional = Drawer(maker(condition=UNCONDITIONAL)).request("").parameters
    assert (unconditional.steps, unconditional.guidance) == (2, None)
    vae = Drawer(maker("vae")).request().parameters
    assert (vae.steps, vae.guidance) == (None, None)


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "prompt", "part"),
    [
        ({}, "", "T-shirt/top, Trouser, Ankle boot"),
        ({}, "trousers", "did you mean Trouser?"),
        ({}, "a", "use one of"),
        ({"condition": CAPTIONS}, "", "subject"),
        ({"condition": CAPTIONS}, "red haert", "did you mean heart?"),
        ({"condition": CAPTIONS}, "the", "content words"),
        ({"condition": CAPTIONS}, "red blue heart star", "takes 3"),
        ({"condition": UNCONDITIONAL}, "a heart", "remove the prompt"),
    ],
)
def test_a_prompt_that_the_model_cannot_use_is_refused(
    maker: ImageModels, model: dict[str, Any], prompt: str, part: str
) -> None:
    with pytest.raises(ConditionError) as raised:
        Drawer(maker(**model)).request(prompt)
    assert part in str(raised.value)


@pytest.mark.parametrize(
    ("model", "options", "name"),
    [
        ({}, {"strength": 0.5}, "strength"),
        ({}, {"steps": 0}, "steps"),
        ({}, {"steps": -1}, "steps"),
        ({}, {"steps": 2.5}, "steps"),
        ({}, {"guidance": -1}, "guidance"),
        ({}, {"guidance": "nan"}, "guidance"),
        ({}, {"inputs": {"init": LIGHT}, "strength": 0}, "strength"),
        ({}, {"inputs": {"init": LIGHT}, "strength": 1.5}, "strength"),
        ({"family": "vae"}, {"steps": 5}, "steps"),
        ({"family": "dcgan"}, {"guidance": 2}, "guidance"),
        ({"family": "dcgan"}, {"inputs": {"init": LIGHT}}, "init"),
        ({"family": "vae"}, {"inputs": {"init": LIGHT, "mask": LIGHT}}, "init"),
        ({"condition": UNCONDITIONAL}, {"prompt": "", "guidance": 2}, "guidance"),
        ({}, {"inputs": {"mask": LIGHT}}, "mask"),
        ({}, {"inputs": {"init": LIGHT, "mask": encode(HALF[:4])}}, "mask"),
        ({}, {"inputs": {"init": LIGHT, "mask": encode(HALF // 3)}}, "mask"),
        ({}, {"inputs": {"init": LIGHT[:40]}}, "init"),
        ({}, {"inputs": {"init": LIGHT, "mask": animated("GIF")}}, "mask"),
        ({}, {"inputs": {"reference": b"no picture"}}, "reference"),
    ],
)
def test_a_value_without_meaning_is_refused_before_anything_is_drawn(
    maker: ImageModels, model: dict[str, Any], options: dict[str, Any], name: str
) -> None:
    with pytest.raises((muniment.ParameterError, muniment.InputError)) as raised:
        Drawer(maker(**model)).request(**options)
    assert raised.value.name == name  # type: ignore[attr-defined]
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("condition", [LABELS, CAPTIONS])
def test_the_message_about_a_long_prompt_is_short(maker: ImageModels, condition: Any) -> None:
    with pytest.raises(ConditionError) as raised:
        Drawer(maker(condition=condition)).request("x" * 100_000)
    assert len(str(raised.value)) < 300


def test_a_system_prompt_is_refused(drawer: Drawer) -> None:
    with pytest.raises(muniment.UsageError, match="system prompt"):
        drawer.request(system="Draw well.")


def test_a_request_that_was_not_resolved_fails_alone(drawer: Drawer) -> None:
    good = drawer.request()
    bad = replace(good, id="other", prompt="unknown")
    image, reason = drawer.draw([good, bad])
    assert isinstance(image, bytes)
    assert isinstance(reason, str)
    assert "unknown" in reason


# ---- numbers that are not finite, and memory -----------------------------------------------------


def test_only_the_image_without_finite_numbers_fails(tmp_path: Path) -> None:
    from muniment_image.model_folder import load_model, save_model

    folder = make_image_model(tmp_path / "model")
    family = load_model(folder)
    family.network.condition.embedding.weight[1] = 3e38  # the first label
    save_model(family, folder, half=False)
    drawer = Drawer(muniment.Model("odd", "", str(folder)))
    requests = [drawer.request(label) for label in ("trouser", "t-shirt/top", "ankle boot")]
    images = drawer.draw(requests)
    assert [isinstance(image, bytes) for image in images] == [True, False, True]
    assert "not finite" in str(images[1])
    assert images[0] == Drawer(drawer.model).draw([requests[0]])[0]


WITHOUT_MEMORY = """
import resource, sys
from pathlib import Path
import torch
import muniment
from muniment.testing import request
from muniment_image.generator import ImageGenerator
from muniment_image.parameters import ImageParameters

model = muniment.Model("large", "", sys.argv[1])
generator = ImageGenerator()
generator.load(model)
drawn = request("trouser", model=model, parameters=ImageParameters(steps=1, guidance=1))
list(generator.generate([drawn]))
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (size, hard))
ballast = []
try:
    while True:
        ballast.append(bytearray(1 << 20))
except MemoryError:
    pass
try:
    list(generator.generate([drawn]))
except muniment.MunimentError as error:
    ballast.clear()
    print(error)
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
assert list(generator.generate([drawn]))[0].failure is None
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_missing_memory_is_an_error_that_names_the_batch(maker: ImageModels) -> None:
    model = maker(image_size=64, batch=16)
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_MEMORY, model.path], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "batch of 16 images of 64 x 64" in result.stdout


# ---- recorded generations ------------------------------------------------------------------------


@pytest.fixture
def session(tmp_path: Path) -> Iterator[muniment.Session]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nactor = "tester"\n', encoding="utf-8")
    with muniment.open(home) as session:
        yield session


def test_a_replay_is_exact_and_needs_no_file(
    session: muniment.Session, maker: ImageModels, tmp_path: Path
) -> None:
    init, mask = tmp_path / "init.jpg", tmp_path / "mask.png"
    init.write_bytes(saved(noise(40, 30), "JPEG"))
    mask.write_bytes(encode(np.full((40, 30), 255, np.uint8)))
    made = session.generate(
        "trouser",
        generator="image",
        model=maker().path,
        seed=LARGEST,
        inputs={"init": init, "mask": mask},
        parameters={"strength": 0.7},
    )
    assert (made.status, made.parameters) == (
        "completed",
        {"guidance": 2.0, "steps": 2, "strength": 0.7},
    )
    assert made.inputs[0].data == init.read_bytes()
    assert {"device", "rows", "threads", "torch"} <= made.environment.keys()
    init.unlink()
    mask.unlink()
    assert [replay.result for replay in session.replay([made])] == ["exact"]


def test_a_worker_process_draws_the_same_pixels(
    session: muniment.Session, maker: ImageModels
) -> None:
    specs = [
        muniment.GenerationSpec("ankle boot", generator="image", model=maker().path, seed=seed)
        for seed in range(7)
    ]
    here = [item.outputs for item in session.run(specs)]  # type: ignore[union-attr]
    with muniment.open(session.home, isolate=True) as isolated:
        there = [item.outputs for item in isolated.run(specs[::-1])]  # type: ignore[union-attr]
    assert there[::-1] == here
    assert all(len(outputs) == 1 for outputs in here)


def test_nothing_is_recorded_of_a_request_that_the_model_refuses(
    session: muniment.Session, maker: ImageModels
) -> None:
    model = maker().path
    with pytest.raises(ConditionError):
        session.generate("sandals", generator="image", model=model)
    assert not (session.home / "muniment.db").exists()


def test_an_added_folder_is_unchanged_and_can_be_named(
    session: muniment.Session, maker: ImageModels
) -> None:
    folder = Path(maker().path)
    added = session.models.add(str(folder), "image", ImageGenerator(), name="mine")
    assert added.digest == muniment.model_digest(folder)
    made = session.generate("trouser", generator="image", model="mine")
    assert made.status == "completed"


def test_packaged_models_need_no_addition(
    session: muniment.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_image_model(tmp_path / "models/emoji-32", condition=CAPTIONS)
    make_image_model(tmp_path / "models/fashion-28", condition=LABELS)
    monkeypatch.setattr("muniment_image.generator.PACKAGED_FOLDER", tmp_path / "models")
    heart = session.generate("红心", generator="image", seed=7)
    assert (heart.status, heart.model and heart.model.name) == ("completed", "emoji-32")
    same = session.generate("red heart", generator="image", seed=7)
    assert same.outputs == heart.outputs
    shirt = session.generate("t-shirt/top", generator="image", model="fashion-28")
    assert (shirt.status, shirt.model and shirt.model.name) == ("completed", "fashion-28")
    assert session.generate("star", generator="image").model == heart.model
    digest = muniment.model_digest(tmp_path / "models/emoji-32")
    assert heart.model is not None
    assert heart.model.digest == digest
    assert [item.result for item in session.replay([heart, shirt])] == ["exact", "exact"]


@pytest.mark.parametrize("source", ["missing/model", "./missing", "stabilityai/sd-turbo"])
def test_a_model_that_is_not_there_is_an_error(session: muniment.Session, source: str) -> None:
    with pytest.raises((muniment.ModelError, muniment.UnknownNameError)):
        session.generate("trouser", generator="image", model=source)


@pytest.mark.parametrize(
    ("names", "owner"),
    [
        (["model_index.json"], "diffusers"),
        (["model.json", "model.safetensors", "catalogue.json", "users.json"], "recommendation"),
    ],
)
def test_a_folder_of_another_generator_is_refused_with_its_name(
    session: muniment.Session, tmp_path: Path, names: list[str], owner: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("{}", encoding="utf-8")
    with pytest.raises(muniment.ModelError, match=f"muniment generate {owner} "):
        session.generate("trouser", generator="image", model=str(tmp_path))


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_model_with_a_link_out_of_its_folder_is_not_added(
    session: muniment.Session, tmp_path: Path, kind: str
) -> None:
    folder, private = make_image_model(tmp_path / "model"), tmp_path / "private.txt"
    private.write_text("private")
    odd = folder / "odd.txt"
    odd.symlink_to(private) if kind == "link" else os.mkfifo(odd)
    with pytest.raises(muniment.ModelError, match=r"odd\.txt"):
        session.models.add(str(folder), "image", ImageGenerator())
    assert session.models.added() == []
