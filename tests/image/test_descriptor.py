"""Vectors of pictures: the layout of colours, by the generator `image`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import muniment
from muniment_image.descriptor import FREQUENCIES, GRID, LENGTH, describe_picture
from muniment_image.generator import ImageGenerator
from muniment_image.png import encode

GENERATOR = ImageGenerator()


def plain(colour: tuple[int, int, int], size: int = 28) -> NDArray[np.uint8]:
    return np.full((size, size, 3), colour, np.uint8)


def noise(seed: int, size: int = 28) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def angle(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize(
    ("colour", "oklab"),
    [  # the values of the definition of Oklab
        ((255, 255, 255), (1.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (0.6279554, 0.2248631, 0.1258463)),
        ((0, 0, 255), (0.4520137, -0.0324570, -0.3115281)),
    ],
)
@pytest.mark.parametrize("size", [1, 8, 28, 200])
def test_a_plain_picture_has_its_colour_and_nothing_else(
    colour: tuple[int, int, int], oklab: tuple[float, float, float], size: int
) -> None:
    vector = describe_picture(plain(colour, size)).reshape(3, FREQUENCIES, FREQUENCIES)
    lightness, green_red, blue_yellow = vector[:, 0, 0]
    assert (lightness + 0.5, green_red, blue_yellow) == pytest.approx(oklab, abs=1e-5)
    vector[:, 0, 0] = 0
    assert np.abs(vector).max() < 1e-6


def test_a_distance_is_that_of_the_colours() -> None:
    """Parseval: a pattern of low frequencies has the same distance in both."""
    rows = np.cos(np.pi * 2 * (2 * np.arange(GRID) + 1) / (2 * GRID))
    grey = np.round(127 + 20 * np.repeat(rows[:, None], GRID, axis=1)).astype(np.uint8)
    pixels = np.stack([grey] * 3, axis=-1)
    light = (pixels[..., 0] / 255 + 0.055) / 1.055
    lightness = np.cbrt(light**2.4)
    expected = np.sqrt(np.square(lightness - 0.5).mean())
    assert np.linalg.norm(describe_picture(pixels)) == pytest.approx(expected, rel=1e-3)


def test_similar_pictures_have_a_small_angle() -> None:
    ramp = np.linspace(0, 255, 28).astype(np.uint8)
    picture = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], ramp[None]), axis=-1)
    changed = picture.copy()
    changed[10:13, 10:13] = 0
    near = angle(describe_picture(picture), describe_picture(changed))
    far = angle(describe_picture(picture), describe_picture(picture[::-1, ::-1]))
    assert far < 0.5 < 0.98 < near < 1


def test_a_vector_is_equal_alone_and_in_a_batch() -> None:
    outputs = [muniment.Output("image/png", encode(noise(seed))) for seed in range(9)]
    together = GENERATOR.embed(outputs)
    assert [GENERATOR.embed([output])[0] for output in outputs] == list(together)
    assert list(GENERATOR.embed(outputs[::-1])) == list(together)[::-1]
    assert {len(vector) for vector in together} == {LENGTH}
    assert len({tuple(vector) for vector in together}) == 9


def test_a_grey_picture_is_that_in_three_channels() -> None:
    grey = noise(3)[..., 0]
    files = encode(grey), encode(np.stack([grey] * 3, axis=-1))
    one, other = GENERATOR.embed([muniment.Output("image/png", data) for data in files])
    assert one == other


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (muniment.Text("a"), "text/plain"),
        (muniment.Output("image/png", b"x"), "cannot be embedded"),
        (muniment.Output("image/png", encode(noise(1))[:400]), "cannot be embedded"),
    ],
)
def test_an_output_that_cannot_be_read_is_refused(output: muniment.Output, reason: str) -> None:
    with pytest.raises(muniment.UsageError, match=reason):
        GENERATOR.embed([output])


@pytest.mark.integration
@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize(
    ("model", "prompts"),
    [("emoji-32", ("红心", "blue circle")), ("fashion-28", ("ankle boot", "trouser"))],
)
def test_pictures_of_a_packaged_model_differ_more_between_prompts(
    home: Path, model: str, prompts: tuple[str, str], isolate: bool
) -> None:
    specs = [
        muniment.GenerationSpec(prompt, generator="image", model=model, seed=seed)
        for prompt in prompts
        for seed in range(4)
    ]
    with muniment.open(home, isolate=isolate) as session:
        made = [item for item in session.run(specs) if isinstance(item, muniment.Generation)]
        outputs = [item.outputs[0] for item in made]
        embedded = session.embed(outputs, generator="image", model=model)
        alone = [session.embed([one], generator="image", model=model) for one in outputs]
    assert [item.vectors[0] for item in alone] == list(embedded.vectors)
    assert embedded.model is not None
    assert embedded.model.digest == made[0].model.digest  # type: ignore[union-attr]
    vectors = np.array(embedded.vectors)
    distances = np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
    within = (distances[:4, :4].sum() + distances[4:, 4:].sum()) / 24
    assert 0 < within < distances[:4, 4:].mean()
