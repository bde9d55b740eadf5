"""Properties of files that change how equal pixels look."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from muniment_image.appearance import differences
from muniment_image.pictures import read_opacity
from muniment_image.stamp import stamped
from support import pictures
from support.pictures import saved
from support.provenance import make_provenance, png_chunks, png_of

PLAIN = saved(pictures.noise())
PROFILE = saved(pictures.noise(), icc_profile=bytes(range(128)))
LEVELS = np.arange(16, dtype=np.uint16).reshape(4, 4) * 257


def layers(opacity: int) -> Image.Image:
    image = Image.fromarray(pictures.noise())
    image.putalpha(opacity)
    return image


@pytest.mark.parametrize(
    ("image", "options", "lowest"),
    [
        (layers(255), {}, None),
        (layers(9), {}, 9),
        (Image.fromarray(pictures.noise()), {}, None),
        (Image.new("RGB", (4, 4), "white"), {"transparency": (255, 255, 255)}, 0),
        (Image.new("RGB", (4, 4), "red"), {"transparency": (255, 255, 255)}, None),
        (Image.fromarray(LEVELS), {"transparency": 257}, 0),
        (Image.fromarray(LEVELS), {"transparency": 3}, None),
        (Image.new("P", (4, 4)), {"transparency": bytes([8])}, 8),
    ],
)
def test_the_opacity_of_each_pixel_is_read(
    image: Image.Image, options: dict[str, object], lowest: int | None
) -> None:
    opacity = read_opacity(saved(image, **options))
    assert (None if opacity is None else opacity.min()) == lowest
    assert opacity is None or opacity.shape == image.size[::-1]


def test_properties_that_the_recorded_picture_has_too_are_no_difference() -> None:
    (_, header), *others = png_chunks(saved(layers(9), icc_profile=bytes(range(128))))
    recorded = png_of([(b"IHDR", header), (b"gAMA", (100_000).to_bytes(4)), *others])
    assert differences(stamped(recorded, [make_provenance()]), recorded) == []
    expected = {"a gamma value", "a colour profile", "transparent pixels"}
    assert set(differences(recorded, PLAIN)) == set(differences(recorded, b"")) == expected
    assert differences(PLAIN, recorded) == []


def test_another_profile_or_opacity_is_a_difference() -> None:
    assert differences(PROFILE, saved(pictures.noise(), icc_profile=bytes(128))) == [
        "a colour profile"
    ]
    assert differences(saved(layers(9)), saved(layers(8))) == ["transparent pixels"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_identical_files_do_not_differ(kind: str) -> None:
    file = saved(layers(9) if kind in ("PNG", "WEBP") else pictures.noise(), kind)
    assert differences(file, file) == []
    assert differences(PROFILE, b"no picture") == ["a colour profile"]


@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
def test_a_format_with_colours_of_its_own_is_a_difference(kind: str) -> None:
    assert differences(saved(pictures.noise(), kind), PLAIN) == [f"the format {kind}"]
