"""Loading of models: prepared folders in a few seconds, other folders and hub ids by conversion.

Remote code never runs and pickled weights are never opened: only `.safetensors` files are read.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .architecture import Architecture
from .errors import ModelUnusable, RowsMixed
from .importing import import_libraries
from .memory import SelfTests
from .tokens import Codec

FORMAT = "muniment-fp16/2"
WEIGHTS = "model.safetensors"
PREPARED = "muniment.json"
HUB_PATTERNS = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "LICENSE*", "NOTICE*"]
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")

Progress = Callable[[str, float], None]


def silent(label: str, fraction: float) -> None:
    """Ignore the progress."""


@dataclass(slots=True)
class TextModel:
    """A loaded model.

    `context` is the maximum number of tokens of prompt and answer together. `ends` are the ids
    that end an answer. `why` is the reason that a row's bits do not depend on other rows, and
    `tests` are the self-tests that showed it.
    """

    source: str
    name: str
    codec: Codec
    decoder: Any
    why: str
    context: int
    ends: frozenset[int]
    tests: SelfTests


def resolve(source: str | Path, progress: Progress = silent) -> Path:
    """Return the local folder or file of `source`, after downloading a hub id if necessary.

    A revision in the hub cache is used without a request to the hub. So a replay needs no network
    and gets no newer revision. Raises ModelUnusable.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    text = str(source)
    if not _HUB_ID.fullmatch(text) or text.startswith("."):
        raise ModelUnusable(text, f"there is no model at {text}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    with contextlib.suppress(LocalEntryNotFoundError, ModelUnusable):
        cached = Path(snapshot_download(text, allow_patterns=HUB_PATTERNS, local_files_only=True))
        check_folder(cached)  # an interrupted download is repeated
        return cached
    progress("fetching", 0.0)
    try:
        return Path(snapshot_download(text, allow_patterns=HUB_PATTERNS))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise ModelUnusable(
            text,
            f"{text} is no folder here and could not be fetched from the Hugging Face hub "
            f"({type(error).__name__}); check the name and the network, or give a local folder",
        ) from error


def check_folder(folder: Path) -> None:
    """Raise ModelUnusable, with the missing files, unless `folder` contains a model."""

    def refuse(message: str) -> ModelUnusable:
        return ModelUnusable(str(folder), f"{folder} {message}")

    if not folder.is_dir():
        raise refuse("is not a folder")
    if not (folder / "config.json").is_file():
        raise refuse("has no config.json, so it is not a model or was only half written")
    read_json(folder / "config.json")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(read_json(index).get("weight_map", {}).values()))
    else:
        shards = [file.name for file in sorted(folder.glob("*.safetensors"))]
    if not shards:
        if any(file for pattern in _PICKLES for file in folder.glob(pattern)):
            raise refuse(
                "holds its weights as pickles, which can run code when opened; "
                "convert them to safetensors first"
            )
        raise refuse("has no weights (*.safetensors); it was only half written")
    for shard in shards:
        if Path(shard).name != shard or not (folder / shard).is_file():
            raise refuse(f"lacks {shard}, which its index names; it was only half written")
        _check_whole(folder / shard)
    names = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "vocab.txt")
    if not any((folder / name).is_file() for name in names):
        raise refuse("has no tokenizer (tokenizer.json); it was only half written")


def _check_whole(shard: Path) -> None:
    """Raise ModelUnusable if a weights file is shorter than its header declares."""
    size = shard.stat().st_size
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            if size < 8 + length:
                raise ValueError("header cut off")
            header = json.loads(file.read(length))
            offsets = [
                entry["data_offsets"][1] for name, entry in header.items() if name[:2] != "__"
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise ModelUnusable(
                str(shard), f"{shard} is not a whole safetensors file ({error}); fetch it again"
            ) from error
    if size < 8 + length + max(offsets, default=0):
        raise ModelUnusable(str(shard), f"{shard} is cut off; it was only half written")


def read_json(path: Path) -> Any:
    """Return the JSON object in a file. Raise ModelUnusable for anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnusable(str(path), f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelUnusable(str(path), f"{path} is not a JSON object")
    return value


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


def load(
    source: str | Path, *, progress: Progress = silent, tests: SelfTests | None = None
) -> TextModel:
    """Load a prepared folder, a transformers folder or a hub id. Raise ModelUnusable.

    `tests` may contain the results of earlier processes. By default all self-tests run.
    """
    folder = resolve(source, progress)
    if folder.is_file():
        raise ModelUnusable(
            str(source),
            f"{source} is a file; add it as a model first, which converts it to a folder",
        )
    check_folder(folder)
    tests = tests or SelfTests()
    prepared = read_json(folder / PREPARED) if is_prepared(folder) else None
    import_libraries()
    # Loading the tokenizer holds the interpreter's lock for a second, so it overlaps with packing
    # only. The first call loads it, and later calls return it.
    load_codec = functools.cache(lambda: Codec.load(folder))
    if prepared is None:
        model = read_transformers(folder, progress)
        from .choosing import choose_decoder

        about, (decoder, why) = limits(model.config, folder), choose_decoder(model, tests)
    else:
        about, (decoder, why) = prepared, read_prepared(folder, prepared, tests, load_codec)
    codec = load_codec()
    ends = {*about["ends"], *([] if codec.eos is None else [codec.eos])}
    return TextModel(
        source=str(source),
        name=folder.name,
        codec=codec,
        decoder=decoder,
        why=why,
        context=int(about["context"]),
        ends=frozenset(ends),
        tests=tests,
    )


def limits(config: Any, folder: Path) -> dict[str, Any]:
    """Return the maximum length of a text and the ids that end it, from a configuration."""
    config = config.get_text_config()
    generation = folder / "generation_config.json"
    defaults = read_json(generation) if generation.is_file() else {}
    ends: set[int] = set()
    for value in (config.eos_token_id, defaults.get("eos_token_id")):
        ends.update(value if isinstance(value, list) else [value] if value is not None else [])
    context = getattr(config, "max_position_embeddings", None) or 1 << 20
    return {"context": int(context), "ends": sorted(ends)}


def read_transformers(folder: Path, progress: Progress = silent) -> Any:
    """Return the model of a transformers folder, converted in memory. Raise ModelUnusable."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    from .layers import halve_model

    progress("reading weights", 0.0)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelUnusable(
            str(folder), f"{folder} cannot be used as a causal language model: {first}"
        ) from error
    progress("converting", 0.5)
    halve_model(model)
    model.eval()  # type: ignore[no-untyped-call]
    return model


def build_empty(auto: Any, config: Any, **options: Any) -> Any:
    """Return a model with parameters on the meta device and with real constant tables."""
    import torch
    from torch import nn

    with torch.device("meta"):
        model = auto.from_config(config, **options)
    for module in model.modules():
        lost = [
            name
            for name, buffer in module._buffers.items()
            if buffer is not None and buffer.is_meta and name in module._non_persistent_buffers_set
        ]
        for name in lost:
            module._buffers[name] = torch.empty_like(module._buffers[name], device="cpu")
        if lost and not isinstance(module, nn.ModuleList):
            owner = next(part for part in _owners(model, module))
            owner._init_weights(module)
    return model.eval()


def _owners(model: Any, module: Any) -> Any:
    """Return the transformers models that contain `module`, the innermost first."""
    from transformers import PreTrainedModel

    inner = [
        part
        for part in model.modules()
        if isinstance(part, PreTrainedModel) and any(child is module for child in part.modules())
    ]
    return reversed(inner)


def read_prepared(
    folder: Path, about: dict[str, Any], tests: SelfTests, meanwhile: Callable[[], object]
) -> tuple[Any, str]:
    """Return the decoder of a prepared folder, with mapped weights, and the reason for its kind.

    `meanwhile` is called while weights are packed, if it can run then. Raises ModelUnusable.
    """
    from safetensors import safe_open

    from .choosing import choose_module_decoder, pack_direct

    with safe_open(folder / WEIGHTS, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if about["architecture"] is not None:
        try:
            architecture = Architecture.from_json(about["architecture"])
            return pack_direct(architecture, state, tests, meanwhile)
        except (KeyError, TypeError) as error:
            raise ModelUnusable(
                str(folder),
                f"{folder}/{WEIGHTS} does not fit its {PREPARED} ({error}); add it again",
            ) from error
        except RowsMixed:
            pass
    return choose_module_decoder(read_modules(folder, state), tests)


def read_modules(folder: Path, state: dict[str, Any]) -> Any:
    """Return the model of a prepared folder as transformers modules. Raise ModelUnusable."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from .layers import halve_model

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    model = build_empty(AutoModelForCausalLM, config, dtype=torch.float32)
    halve_model(model)
    _, unexpected = model.load_state_dict(state, strict=False, assign=True)
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head is not None and head.weight.is_meta:
        head.weight = embedding.weight
    empty = [
        name
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
        if tensor.is_meta
    ]
    if empty or unexpected:
        named = ", ".join([*empty, *unexpected][:3])
        raise ModelUnusable(
            str(folder), f"{folder}/{WEIGHTS} does not fit its config.json ({named}); add it again"
        )
    return model
