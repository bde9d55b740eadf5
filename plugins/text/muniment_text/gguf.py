"""Reading of the configuration, weights and tokenizer in a GGUF file.

The reader of transformers takes 28 s for a vocabulary of 262,144, because it creates a Python
object for every element of the metadata. Here its faster metadata reader, its tables of names and
its tokenizer conversion are used, so that the result is the same. Architectures whose files need
more than renaming are read by transformers alone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .errors import ModelUnusable
from .folders import FETCH_AGAIN

# Architectures whose configuration and weights are plain renamings in transformers' own reader.
_PLAIN = frozenset({"llama", "qwen2", "qwen3", "gemma2", "gemma3", "gpt2", "phi3"})


def read_tokenizer(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the `tokenizers.Tokenizer` of a GGUF file and its tokenizer_config."""
    from transformers import PreTrainedTokenizerFast
    from transformers.integrations.gguf.gguf_tokenizer_mapping import (
        convert_gguf_tokenizer,
        get_gguf_tokenizer,
    )

    architecture, tables, config = get_gguf_tokenizer(str(path))
    backend, extra = convert_gguf_tokenizer(architecture, tables)
    make: Any = PreTrainedTokenizerFast
    wrapped = make(tokenizer_object=backend, **config, **extra)
    return wrapped, config


def read_model(path: Path, progress: Callable[[str, float], None]) -> Any:
    """Return the transformers model of a GGUF file in fp32, before its layers are replaced.

    `progress` is called with a step and its fraction. Raises ModelUnusable.
    """
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.integrations.gguf.reader import read_gguf_metadata

    try:
        metadata, names = read_gguf_metadata(str(path))
    except (ValueError, OSError, IndexError, struct.error) as error:
        raise ModelUnusable(
            str(path), f"{path} is not a whole GGUF file ({error}); {FETCH_AGAIN}"
        ) from error
    architecture = metadata["general.architecture"]
    named_mistral = "mistral" in str(metadata.get("general.name", "")).lower()
    if architecture not in _PLAIN or named_mistral:
        progress("reading weights", 0.0)
        return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name)
    config = AutoConfig.for_model(**configuration(metadata, names))
    return _filled(path, config, progress)


def configuration(metadata: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the transformers configuration of GGUF metadata, as transformers' reader does."""
    from transformers.integrations import ggml

    architecture = metadata["general.architecture"]
    result: dict[str, Any] = {"tie_word_embeddings": "output.weight" not in names}
    names_of: Any = ggml.GGUF_CONFIG_MAPPING
    result.update(ggml.GGUF_CONFIG_DEFAULTS_MAPPING.get(architecture, {}))
    for key, value in metadata.items():
        prefix, _, rest = key.partition(".")
        wanted = names_of.get(prefix, {}).get(rest)
        if wanted not in (None, -1):
            result[wanted] = value
    for key, name in (("bos", "bos"), ("eos", "eos"), ("unknown", "unk"), ("padding", "pad")):
        token = metadata.get(f"tokenizer.ggml.{key}_token_id")
        if token is not None:
            result[f"{name}_token_id"] = token
    result.setdefault("vocab_size", metadata.get("tokenizer.ggml.tokens"))
    if result["model_type"] == "gemma3":
        result["model_type"] = "gemma3_text"
    return result


class Entry(NamedTuple):
    """A tensor of the file: its name, shape in torch's order, GGML type and position."""

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int


_FIXED = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9


def tensor_table(blob: Any) -> list[Entry]:
    """Return the tensors in the mapped bytes of a GGUF file (version 2 or 3).

    Both public readers are unsuitable. `gguf.GGUFReader` takes 21 s for a large vocabulary, and
    the reader of transformers refuses files with a type that it has no torch code for.
    """

    def text(at: int) -> tuple[str, int]:
        (length,) = struct.unpack_from("<Q", blob, at)
        return bytes(blob[at + 8 : at + 8 + length]).decode("utf-8"), at + 8 + length

    def skip(at: int, kind: int) -> int:
        if kind == _STRING:
            return at + 8 + int(struct.unpack_from("<Q", blob, at)[0])
        if kind != _ARRAY:
            return at + _FIXED[kind]
        element, count = struct.unpack_from("<IQ", blob, at)
        at += 12
        if element in _FIXED:
            return at + _FIXED[element] * int(count)
        for _ in range(count):
            at = skip(at, element)
        return at

    tensors, values = struct.unpack_from("<QQ", blob, 8)
    at, alignment = 24, 32
    for _ in range(values):
        key, at = text(at)
        (kind,) = struct.unpack_from("<I", blob, at)
        if key == "general.alignment":
            (alignment,) = struct.unpack_from("<I", blob, at + 4)
        at = skip(at + 4, kind)
    found = []
    for _ in range(tensors):
        name, at = text(at)
        (count,) = struct.unpack_from("<I", blob, at)
        shape = struct.unpack_from(f"<{count}Q", blob, at + 4)
        kind, start = struct.unpack_from("<IQ", blob, at + 4 + 8 * count)
        at += 16 + 8 * count
        found.append(Entry(name, tuple(reversed(shape)), kind, start))
    data = -(-at // alignment) * alignment
    return [entry._replace(start=entry.start + data) for entry in found]


def _filled(path: Path, config: Any, progress: Callable[[str, float], None]) -> Any:
    """Return a model of this configuration with the weights dequantised one by one."""
    import numpy as np
    import torch
    from gguf import GGMLQuantizationType, dequantize
    from gguf.quants import quant_shape_to_byte_shape
    from transformers import AutoModelForCausalLM
    from transformers.modeling_gguf_pytorch_utils import (
        TENSOR_PROCESSORS,
        TensorProcessor,
        get_gguf_hf_weights_map,
    )

    from .loading import build_empty

    model = build_empty(AutoModelForCausalLM, config)
    kinds: Any = TENSOR_PROCESSORS
    family = config.model_type.removesuffix("_text")
    processor = kinds.get(family, TensorProcessor)(config=config.to_dict())
    map_names: Any = get_gguf_hf_weights_map
    mapping = map_names(model, processor)
    unpack: Any = dequantize
    blob = np.memmap(path, mode="r", dtype=np.uint8)
    state: dict[str, torch.Tensor] = {}
    table = tensor_table(blob)
    for count, entry in enumerate(table):
        progress("reading weights", count / len(table))
        kind = GGMLQuantizationType(entry.kind)
        plain = {"F32": np.float32, "F16": np.float16}.get(kind.name)
        if plain is not None:
            size = int(np.prod(entry.shape)) * np.dtype(plain).itemsize
            raw = blob[entry.start : entry.start + size].view(plain).reshape(entry.shape)
        else:
            shape = quant_shape_to_byte_shape(entry.shape, kind)
            size = int(np.prod(shape))
            raw = blob[entry.start : entry.start + size].reshape(shape)
        if raw.nbytes < size:
            raise ModelUnusable(str(path), f"{path} is cut off; {FETCH_AGAIN}")
        done = processor.process(
            weights=unpack(raw, kind),
            name=entry.name,
            tensor_key_mapping=mapping,
            parsed_parameters={"tensors": state},
        )
        if done.name in mapping:
            weights = np.array(done.weights, dtype=np.float32)
            state[mapping[done.name]] = torch.from_numpy(weights)
    missing, unexpected = model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    left = [name for name in missing if model.get_parameter(name).is_meta]
    if left or unexpected:
        raise ModelUnusable(
            str(path),
            f"{path} lacks weights this model needs: {', '.join([*left, *unexpected])}; "
            f"{FETCH_AGAIN}",
        )
    return model
