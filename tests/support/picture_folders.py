"""Folders of awkward pictures, as they are found on the disks of people who train models."""

from __future__ import annotations

import itertools
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from support import pictures

_numbers = itertools.count()


def picture(size: int = 12, mode: str = "RGB") -> Image.Image:
    """Return a picture of random colours, another one at each call."""
    return Image.fromarray(pictures.noise(size, size, seed=next(_numbers))).convert(mode)


def save(path: Path, image: Image.Image | None = None, **options: object) -> Path:
    """Save a picture, in a new folder if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or picture()).save(path, **options)
    return path


def write_classes(folder: Path) -> Path:
    """Write two classes beside what is no class: hidden, empty and checkpoint folders."""
    for name in ("cat", "狗"):
        for number in range(4):
            save(folder / name / f"{number}.png")
    (folder / "empty").mkdir()
    save(folder / ".ipynb_checkpoints" / "0-checkpoint.png")
    save(folder / "cat" / ".ipynb_checkpoints" / "0-checkpoint.png")
    save(folder / ".hidden" / "0.png")
    (folder / "cat" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    return folder


def write_modes(folder: Path) -> Path:
    """Write usable pictures: palette, 16 bits, CMYK, a thin one, an upper-case ending."""
    for mode in ("1", "P", "L", "RGB", "RGBA"):
        save(folder / f"{mode}.png", picture(mode=mode))
    save(folder / "cmyk.jpg", picture(mode="CMYK"))
    ramp = np.linspace(0, 65535, 144, dtype=np.uint16).reshape(12, 12)
    save(folder / "sixteen.png", Image.fromarray(ramp))
    save(folder / "thin.png", Image.fromarray(pictures.noise(500, 3)))
    save(folder / "UPPER.PNG", format="PNG")
    return folder


def write_turned(folder: Path) -> Path:
    """Write one arrow in the EXIF orientations 1 to 8, which look the same when shown."""
    folder.mkdir(parents=True)
    for orientation in pictures.STORED:
        (folder / f"{orientation}.png").write_bytes(pictures.turned(orientation))
    return folder


def write_damaged(folder: Path) -> Path:
    """Write three whole pictures, one with a wrong ending, and six that cannot be used."""
    jpeg = save(folder / "whole.jpg", picture(64)).read_bytes()
    (folder / "truncated.jpg").write_bytes(jpeg[:900])
    whole = save(folder / "whole.png", picture(64)).read_bytes()
    (folder / "truncated.png").write_bytes(whole[:3000])
    (folder / "zero.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture\n")
    (folder / "really-png.jpg").write_bytes(whole)
    (folder / "animated.gif").write_bytes(pictures.animated("GIF"))
    (folder / "animated.png").write_bytes(pictures.animated("PNG"))
    return folder


def write_bombs(folder: Path) -> Path:
    """Write a picture of too many pixels, and usable ones with a text or a profile that inflate."""
    folder.mkdir(parents=True)
    (folder / "pixels.png").write_bytes(pictures.pixel_bomb())
    rows = pictures.rows_of([bytes(28)] * 28)
    profile = pictures.chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(2 << 20)))
    for name, chunk in (("text", pictures.inflating_chunk()), ("profile", profile)):
        (folder / f"{name}.png").write_bytes(pictures.raw_png(28, 28, rows, chunk))
    return folder


def write_talking(folder: Path) -> Path:
    """Write pictures whose metadata have terminal escapes, markup, formulas and instructions."""
    folder.mkdir(parents=True)
    for name, text in pictures.HOSTILE.items():
        (folder / f"{name}.png").write_bytes(pictures.with_text(text))
        (folder / f"{name}.jpg").write_bytes(pictures.with_text(text, "JPEG"))
    return folder


def write_names(folder: Path) -> Path:
    """Write equal names in two folders, in two cases and with two endings, and links outwards."""
    for path in ("a/cat.png", "b/cat.png", "cat.jpg", "Cat.JPG"):
        save(folder / path, format="PNG" if path.endswith("png") else "JPEG")
    save(folder.parent / "elsewhere" / "secret.png")
    (folder / "outside").symlink_to("../elsewhere")
    (folder / "secret.png").symlink_to("../elsewhere/secret.png")
    return folder


FOLDERS = {
    "classes": write_classes,
    "modes": write_modes,
    "turned": write_turned,
    "damaged": write_damaged,
    "bombs": write_bombs,
    "talking": write_talking,
    "names": write_names,
}
