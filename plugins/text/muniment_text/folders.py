"""Checks of a model folder before a library reads it, so that each fault is named by its file."""

from __future__ import annotations

import codecs
import contextlib
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import ModelUnusable
from .settings import check_positive, check_token_ids, declared_rows

FORMAT = "muniment-fp16/3"
WEIGHTS = "model.safetensors"
PREPARED = "muniment.json"
CONFIG = "config.json"
GENERATION_CONFIG = "generation_config.json"
CHAT_TEMPLATE = "chat_template.jinja"
FETCH_AGAIN = "fetch the model again"
# Constant tables that older versions of transformers stored with the weights.
TABLES = re.compile(r"(rotary_emb\.inv_freq|masked_bias|\.(attn|attention)\.bias)$")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "vocab.txt")
# tokenizer.json is large, and the library that reads it names it in its errors.
_OBJECTS = (
    CONFIG,
    GENERATION_CONFIG,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


def check_folder(folder: Path) -> None:
    """Raise ModelUnusable, with the missing or invalid file, unless `folder` contains a model."""

    def refuse(message: str) -> ModelUnusable:
        return ModelUnusable(str(folder), f"{folder} {message}")

    if not folder.is_dir():
        raise refuse("is not a folder; give the path of a model's folder")
    if not (folder / CONFIG).is_file():
        raise refuse(
            "has no config.json, so it is not a model or was only half written; "
            f"give another folder, or {FETCH_AGAIN}"
        )
    _check_json(folder)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = _shards(index)
    else:
        shards = [file.name for file in sorted(folder.glob("*.safetensors"))]
    if not shards:
        if any(file for pattern in _PICKLES for file in folder.glob(pattern)):
            raise refuse(
                "holds its weights as pickles, which can run code when opened; "
                "convert them to safetensors first"
            )
        raise refuse(f"has no weights (*.safetensors); {FETCH_AGAIN}")
    for shard in shards:
        if Path(shard).name != shard or not (folder / shard).is_file():
            raise refuse(f"lacks {shard}, which its index names; {FETCH_AGAIN}")
        _check_whole(folder / shard)
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise refuse(f"has no tokenizer (tokenizer.json); {FETCH_AGAIN}")


def _check_json(folder: Path) -> None:
    """Raise ModelUnusable for a file of settings that is not UTF-8, not JSON or not valid."""
    rows = None
    for name in _OBJECTS:
        path = folder / name
        if not path.is_file():
            continue
        value = read_json(path)
        if name == CONFIG:  # the first one
            check_positive(path, value)
            rows = declared_rows(value)
        check_token_ids(path, value, rows)
    template = folder / CHAT_TEMPLATE
    if template.is_file():
        read_text(template)


def _shards(index: Path) -> list[str]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ModelUnusable(
            str(index), f"{index}: weight_map must map tensors to file names; {FETCH_AGAIN}"
        )
    return sorted(set(names.values()))


def _check_whole(shard: Path) -> None:
    """Raise ModelUnusable if a weights file is cut off, or its weights are not of a float type."""
    size = shard.stat().st_size
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            if size < 8 + length:
                raise ValueError("header cut off")
            header = json.loads(file.read(length))
            tensors = {name: entry for name, entry in header.items() if name[:2] != "__"}
            offsets = [entry["data_offsets"][1] for entry in tensors.values()]
            types = {name: str(entry["dtype"]) for name, entry in tensors.items()}
        except (ValueError, KeyError, TypeError) as error:
            raise ModelUnusable(
                str(shard), f"{shard} is not a whole safetensors file ({error}); {FETCH_AGAIN}"
            ) from error
    if size < 8 + length + max(offsets, default=0):
        raise ModelUnusable(str(shard), f"{shard} is cut off; {FETCH_AGAIN}")
    for name, kind in types.items():
        is_weight = name.endswith((".weight", ".bias")) and not TABLES.search(name)
        if is_weight and not kind.startswith(("F", "BF")):
            raise ModelUnusable(
                str(shard),
                f"{shard} has the tensor {name} of type {kind} instead of floats; "
                "use a model that is not quantized",
            )


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file without a byte order mark. Raise ModelUnusable."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ModelUnusable(
            str(path),
            f"{path} cannot be read as UTF-8 ({error}); correct the file, or {FETCH_AGAIN}",
        ) from error


def read_json(path: Path) -> Any:
    """Return the JSON object in a file. Raise ModelUnusable for anything else."""
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ModelUnusable(
            str(path),
            f"{path} cannot be read as JSON ({error}); correct the file, or {FETCH_AGAIN}",
        ) from error
    if not isinstance(value, dict):
        raise ModelUnusable(
            str(path), f"{path} is not a JSON object; correct the file, or {FETCH_AGAIN}"
        )
    return value


@contextlib.contextmanager
def without_marks(folder: Path) -> Iterator[Path]:
    """Yield a folder with the same files, of which no text file begins with a byte order mark.

    The libraries refuse a file with such a mark, or read it as a part of the text. Usually no file
    has one, and `folder` itself is yielded.
    """
    marked = [file for file in _texts(folder) if _has_mark(file)]
    if not marked:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="muniment-model-") as name:
        for file in folder.iterdir():
            (Path(name) / file.name).symlink_to(file.resolve())
        for file in marked:
            copy = Path(name) / file.name
            copy.unlink()
            copy.write_text(read_text(file), encoding="utf-8")
        yield Path(name)


def _texts(folder: Path) -> list[Path]:
    return [file for pattern in ("*.json", "*.jinja", "*.txt") for file in folder.glob(pattern)]


def _has_mark(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8


def is_prepared(folder: Path) -> bool:
    """Return whether `prepare` made `folder`. Raise ModelUnusable for another format version."""
    path = folder / PREPARED
    if not path.is_file():
        return False
    if read_json(path).get("format") != FORMAT:
        raise ModelUnusable(
            str(folder),
            f"{folder} was prepared by another version of muniment-text; add it again",
        )
    return True
