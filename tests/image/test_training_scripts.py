"""The scripts that write the data of the packaged models, and the models in the package."""

from __future__ import annotations

import gzip
import importlib.util
import json
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import muniment_image
from muniment_image import idx
from muniment_image.conditions import ConditionError
from muniment_image.families.base import Noise
from muniment_image.model_folder import load_model, read_config

SCRIPTS = Path(__file__).parents[2] / "plugins" / "image" / "training"
PACKAGED = Path(muniment_image.__file__).parent / "models"
COLOURS = {"red": "红", "orange": "橙", "yellow": "黄", "green": "绿", "blue": "蓝"} | {
    "purple": "紫", "brown": "棕", "black": "黑", "white": "白"
}  # fmt: skip
SHAPES = {"heart": "心", "circle": "圆", "square": "方块"}
EXAMPLES = [("red heart", "红心"), ("blue circle", "蓝色圆"), ("lemon", "柠檬")]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"training_{name}", SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # for dataclasses
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def emoji_data() -> ModuleType:
    return script("emoji_data")


def entry(code: int, name: str, subgroup: int, *tags: str, version: float = 1) -> dict[str, Any]:
    return {
        "hexcode": f"{code:04X}",
        "label": name,
        "subgroup": subgroup,
        "tags": list(tags),
        "version": version,
    }


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """Return a folder like that of emojibase-data, with few entries."""
    pairs = [
        (
            f"{colour} {shape}",
            (f"{COLOURS[colour]}{'' if shape == 'heart' else '色'}{SHAPES[shape]}"),
        )
        for colour in COLOURS
        for shape in SHAPES
        if (shape, colour) not in {("square", "black"), ("square", "white")}
    ]
    pairs += [("lemon", "柠檬"), ("dog face", "狗脸"), ("robot face", "机器脸")]
    entries: list[list[dict[str, Any]]] = [[], []]
    for number, pair in enumerate(pairs):
        for language, name in enumerate(pair):
            tags = (("geometric",), ("几何",))[language] if number < 5 else ()
            entries[language].append(entry(0x1F300 + number, name, 0, *tags))
    for code, name, subgroup, version in (
        (0x1F468, "man", 1, 1),
        (0x1F550, "one o’clock", 2, 1),
        (0x1FAE9, "face with bags under eyes", 0, 16),
    ):
        for language in entries:
            language.append(entry(code, name, subgroup, version=version))
    groups = [{"order": k, "key": key} for k, key in enumerate(("geometric", "person", "time"))]
    for folder, content in zip(("en", "zh"), entries, strict=True):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "data.json").write_text(json.dumps(content), encoding="utf-8")
    messages = json.dumps({"subgroups": groups})
    (tmp_path / "en" / "messages.json").write_text(messages, encoding="utf-8")
    return tmp_path


def test_emoji_of_persons_clocks_and_later_standards_are_not_drawn(
    emoji_data: ModuleType, names: Path
) -> None:
    emoji = emoji_data.read_emoji(names)
    assert len(emoji) == 28
    assert sum(one.is_shape for one in emoji) == 25
    assert {one.names[0] for one in emoji} >= set(emoji_data.HELD_OUT)


def test_held_out_names_have_words_of_other_names(emoji_data: ModuleType, names: Path) -> None:
    emoji = emoji_data.read_emoji(names)
    trained = {
        word
        for one in emoji
        if one.names[0] not in emoji_data.HELD_OUT
        for word in one.names[0].split()
    }
    assert len(emoji_data.HELD_OUT) == 5
    assert all(set(name.split()) <= trained for name in emoji_data.HELD_OUT)


def test_vocabulary_gives_both_names_of_shapes_the_same_ids(
    emoji_data: ModuleType, names: Path
) -> None:
    emoji = emoji_data.read_emoji(names)
    condition = emoji_data.build_vocabulary(emoji)
    for one in emoji:
        english, chinese = (condition.encode(name) for name in one.names)
        if one.is_shape or one.names[0] in ("lemon", "dog face"):
            assert english == chinese, one.names
    assert list(condition.split("机器脸")) == ["机器", "脸"]
    assert condition.encode("geometric")  # a tag of several emoji


def test_captions_are_known_and_the_same_again(emoji_data: ModuleType, names: Path) -> None:
    emoji = emoji_data.read_emoji(names)
    condition = emoji_data.build_vocabulary(emoji)
    for one in emoji:
        first, again = (
            emoji_data.captions(one, condition, np.random.default_rng(3)) for _ in range(2)
        )
        assert first == again
        assert set(one.names) <= set(first)
        assert all(condition.encode(caption) for caption in first)


def test_part_of_fashion_mnist_is_read_as_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    labels = np.array([3, 1, 9, 0, 2], np.uint8)
    images = struct.pack(">IIII", 0x803, 5, 28, 28) + pictures.tobytes()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    header = struct.pack(">II", 0x801, 5)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + labels.tobytes()))
    fashion = script("fashion")
    fashion.write_part(tmp_path, tmp_path / "first", slice(0, 3))
    fashion.write_part(tmp_path, tmp_path / "rest", slice(3, None))
    first, numbers, classes = idx.read(tmp_path / "first" / "train-images-idx3-ubyte")
    rest, others, _ = idx.read(tmp_path / "rest" / "train-images-idx3-ubyte")
    assert np.array_equal(np.concatenate([first, rest]), pictures)
    assert [*numbers, *others] == labels.tolist()
    assert classes[9] == "Ankle boot"


# ---- the models in the package ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["fashion-28", "emoji-32"])
def test_packaged_model_draws_and_is_small(name: str) -> None:
    folder = PACKAGED / name
    assert sum(file.stat().st_size for file in folder.iterdir()) < 8_000_000
    assert (folder / "README.md").is_file()
    training = json.loads((folder / "training.json").read_text())
    assert training["status"] == "completed"
    model = load_model(folder)
    images = model.sample(None, Noise([1, 2]), steps=1)
    assert torch.isfinite(images).all()
    assert images.std() > 0.1


def test_packaged_fashion_has_the_names_of_the_data_set() -> None:
    condition = read_config(PACKAGED / "fashion-28").condition
    assert condition.encode("ANKLE boot") == (10,)
    with pytest.raises(ConditionError) as raised:
        condition.encode("boots")
    assert "Ankle boot" in raised.value.suggestions


def test_packaged_emoji_understands_both_languages() -> None:
    condition = read_config(PACKAGED / "emoji-32").condition
    for english, chinese in EXAMPLES:
        assert condition.encode(english) == condition.encode(chinese)
    assert condition.encode("a red heart") == condition.encode("一个红色的心")
    with pytest.raises(ConditionError) as raised:
        condition.encode("red haert")
    assert "heart" in raised.value.suggestions
