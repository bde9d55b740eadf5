"""Pictures as users have them, as inputs of the generator `image`: drawn from, or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import muniment
from muniment_image.pictures import read_picture
from support import pictures
from support.images import ImageModels
from support.pictures import noise, saved

USABLE: dict[str, Callable[[], bytes]] = {
    "bilevel": lambda: saved(noise(), mode="1"),
    "palette": lambda: saved(noise(), mode="P"),
    "grey": lambda: saved(noise(), mode="L"),
    "transparent": lambda: saved(noise(), mode="RGBA"),
    "cmyk": lambda: saved(noise(), "JPEG", mode="CMYK"),
    "grey of 16 bits": lambda: saved(np.linspace(0, 65535, 784, dtype=np.uint16).reshape(28, 28)),
    "thin": lambda: saved(noise(500, 3)),
    "turned": lambda: pictures.turned(6, "JPEG"),
    "webp": lambda: saved(noise(), "WEBP"),
    "still gif": lambda: saved(noise(), "GIF"),
    "jpeg named otherwise": lambda: saved(noise(), "JPEG"),
    "inflating text": lambda: pictures.raw_png(
        28, 28, pictures.rows_of([bytes(range(228, 256))] * 28), pictures.inflating_chunk()
    ),
    **{
        f"metadata with {name}": lambda text=text: pictures.with_text(text)  # type: ignore[misc]
        for name, text in pictures.HOSTILE.items()
    },
}
REFUSED: dict[str, Callable[[], bytes]] = {
    "truncated png": lambda: saved(noise(64, 64))[:3000],
    "truncated jpeg": lambda: saved(noise(64, 64), "JPEG")[:900],
    "empty": lambda: b"",
    "text": lambda: b"no picture\n",
    "animated gif": lambda: pictures.animated("GIF"),
    "animated png": lambda: pictures.animated("PNG"),
    "bomb": pictures.pixel_bomb,
    "no pixels": lambda: pictures.raw_png(0, 5, pictures.rows_of([])),
    "bitmap": lambda: saved(noise(), "BMP"),
    "tiff": lambda: saved(noise(), "TIFF"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return ImageModels(tmp_path_factory.mktemp("models"))(steps=1).path


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[muniment.Session]:
    home = tmp_path_factory.mktemp("home")
    (home / "config.toml").write_text('policy = "none"\nactor = "tester"\n', encoding="utf-8")
    with muniment.open(home) as session:
        yield session


@pytest.mark.parametrize("name", USABLE)
def test_a_usable_picture_is_drawn_from_and_recorded_unchanged(
    session: muniment.Session, model: str, tmp_path: Path, name: str
) -> None:
    data = USABLE[name]()
    file = tmp_path / "picture.png"  # the content decides
    file.write_bytes(data)
    height, width = read_picture(data).shape[:2]
    for inputs in (
        {"init": file},
        {"init": saved(noise(height, width)), "mask": file},
    ):
        made = session.generate("trouser", generator="image", model=model, inputs=inputs, seed=7)
        assert made.status == "completed", made.failure
        assert data in [item.data for item in made.inputs]
        assert read_picture(made.outputs[0].data).shape == (8, 8, 3)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("role", ["init", "mask", "reference"])
def test_an_unusable_picture_is_refused_with_the_name_of_the_input(
    session: muniment.Session, model: str, name: str, role: str
) -> None:
    session.ensure_store()
    before = len(list(session.generations()))
    inputs = {"init": saved(noise(64, 64)), role: REFUSED[name]()}
    with pytest.raises(muniment.InputError) as raised:
        session.generate("trouser", generator="image", model=model, inputs=inputs)
    assert raised.value.name == role
    assert "\n" not in str(raised.value)
    assert len(list(session.generations())) == before


def test_a_bad_picture_in_a_batch_fails_only_its_line(
    session: muniment.Session, model: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(REFUSED["truncated png"]())
    (tmp_path / "good.png").write_bytes(USABLE["grey"]())
    lines = [
        f'{{"prompt": "trouser", "inputs": {{"init": "{name}.png"}}}}'.encode()
        for name in ("good", "bad", "good")
    ]
    defaults = muniment.GenerationSpec(generator="image", model=model)
    made = list(session.batch(lines, defaults=defaults, folder=tmp_path))
    assert [item.status for item in made] == ["completed", "failed", "completed"]
    assert made[1].failure is not None
    assert made[1].failure.code == "invalid"
