"""Loading of models: prepared folders in a few seconds, other folders and hub ids by conversion.

Remote code never runs and pickled weights are never opened: only `.safetensors` files are read.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from logging import CRITICAL
from pathlib import Path
from typing import Any

from .architecture import Architecture
from .errors import ModelUnusable, RowsMixed
from .folders import (
    CONFIG,
    FETCH_AGAIN,
    GENERATION_CONFIG,
    PREPARED,
    TABLES,
    WEIGHTS,
    check_folder,
    is_prepared,
    read_json,
    without_marks,
)
from .importing import import_libraries
from .memory import SelfTests
from .settings import check_token_ids, describe_error
from .tokens import Codec

HUB_PATTERNS = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "LICENSE*", "NOTICE*"]
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
    path = Path(os.path.expanduser(source))
    if os.path.exists(path):  # `Path.exists` raises for a name that is too long
        return path
    text = str(source)
    if not _HUB_ID.fullmatch(text) or text.startswith("."):
        raise ModelUnusable(text, f"there is no model at {text}; give the path of a model's folder")
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
    load_codec = functools.cache(lambda: read_codec(folder))
    if prepared is None:
        model = read_transformers(folder, progress)
        from .choosing import choose_decoder

        about, (decoder, why) = limits(model.config, folder), choose_decoder(model, tests)
    else:
        about, (decoder, why) = prepared, read_prepared(folder, prepared, tests, load_codec)
    codec = load_codec()
    if prepared is None:
        check_vocabulary(folder, codec, decoder.vocabulary)
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


def read_codec(folder: Path) -> Codec:
    """Return the tokenizer of a prepared folder or a transformers folder. Raise ModelUnusable."""
    if is_prepared(folder):
        return Codec.load(folder)
    with without_marks(folder) as readable:
        _check_config(readable, folder)
        return Codec.convert(readable, str(folder))


def check_vocabulary(folder: Path, codec: Codec, rows: int) -> None:
    """Raise ModelUnusable for a token id in a tokenizer or a setting that the embedding lacks.

    Special tokens other than the first and the last one of a text may be beyond the embedding, as
    in Gemma 3. A prompt that contains one is refused.
    """
    largest = codec.largest_id()
    if largest >= rows:
        raise ModelUnusable(
            str(folder),
            f"{folder} has a tokenizer with the token id {largest}, but its embedding has "
            f"{rows:,} rows; use the tokenizer of this model",
        )
    for name in (CONFIG, GENERATION_CONFIG):
        path = folder / name
        if path.is_file():
            check_token_ids(path, read_json(path), rows)


def limits(config: Any, folder: Path) -> dict[str, Any]:
    """Return the maximum length of a text and the ids that end it, from a configuration."""
    config = config.get_text_config()
    generation = folder / GENERATION_CONFIG
    defaults = read_json(generation) if generation.is_file() else {}
    ends: set[int] = set()
    for value in (config.eos_token_id, defaults.get("eos_token_id")):
        ends.update(value if isinstance(value, list) else [value] if value is not None else [])
    context = getattr(config, "max_position_embeddings", None) or 1 << 20
    return {"context": int(context), "ends": sorted(ends)}


def read_transformers(folder: Path, progress: Progress = silent) -> Any:
    """Return the model of a transformers folder, converted in memory. Raise ModelUnusable.

    The weights must be those of the configuration, without a missing tensor, and finite.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    progress("reading weights", 0.0)
    logging.disable_progress_bar()
    level = logging.get_verbosity()
    logging.set_verbosity(CRITICAL)  # it prints a table of the tensors that do not fit
    try:
        with without_marks(folder) as readable:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                readable,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # the report contains them
            )
            model, report = loaded  # two, because of output_loading_info
    except Exception as error:  # each model's code raises errors of its own
        raise _no_language_model(folder, error) from error
    finally:
        logging.set_verbosity(level)
    _check_report(folder, model, report)
    progress("converting", 0.5)
    convert_weights(folder, model)
    model.eval()
    return model


def _check_config(readable: Path, folder: Path) -> None:
    """Raise ModelUnusable if transformers refuses config.json.

    The tokenizer is read with it, and would be named in the error instead.
    """
    from transformers import AutoConfig

    try:
        AutoConfig.from_pretrained(readable, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # each configuration's code raises errors of its own
        raise _no_language_model(folder, error) from error


def _no_language_model(folder: Path, error: Exception) -> ModelUnusable:
    """Return the error for a model that transformers refuses."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    config = read_json(folder / CONFIG)
    known = str(config.get("model_type")) in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    remedy = f"correct its {CONFIG}, or {FETCH_AGAIN}" if known else "use another model"
    reason = describe_error(error, config)
    return ModelUnusable(
        str(folder), f"{folder} cannot be used as a causal language model ({reason}); {remedy}"
    )


def _check_report(folder: Path, model: Any, report: dict[str, Any]) -> None:
    """Raise ModelUnusable, with the names, for tensors that do not fit the configuration.

    transformers fills a missing tensor with random numbers. A tensor that the model does not use
    is a fault if it belongs to one of its modules, such as a layer too many.
    """
    modules = {name for name, _ in model.named_modules()}
    unused = [
        name
        for name in report["unexpected_keys"]
        if not TABLES.search(name) and _container(name) in modules
    ]
    mismatched = [name for name, *_ in report["mismatched_keys"]]
    faults = [
        (report["missing_keys"], "lacks tensors that its config.json requires"),
        (mismatched, "has tensors of other shapes than its config.json requires"),
        (unused, "has tensors that a model of its config.json does not use"),
    ]
    for names, fault in faults:
        if names:
            raise ModelUnusable(str(folder), f"{folder} {fault}: {_listed(names)}; {FETCH_AGAIN}")
    if report["error_msgs"]:
        raise ModelUnusable(
            str(folder),
            f"{folder} cannot be loaded ({report['error_msgs'][0].splitlines()[0]}); {FETCH_AGAIN}",
        )


def _container(name: str) -> str:
    """Return the module that contains a tensor's module: `model.layers` of `model.layers.7.…`."""
    head, found, _ = name.partition(".layers.")
    if found:
        return head + ".layers"
    return name.rpartition(".")[0]


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def convert_weights(source: Path, model: Any) -> None:
    """Convert a model's weights to fp16 in place. Raise ModelUnusable if one does not fit."""
    from .layers import halve_model

    check_finite(source, dict(model.named_parameters()))
    try:
        halve_model(model)
    except OverflowError as error:
        raise ModelUnusable(
            str(source),
            f"{source} has values beyond 65504 in {error}, which fp16 cannot represent; "
            "use another model, or scale its weights",
        ) from error


def check_finite(source: Path, tensors: Mapping[str, Any]) -> None:
    """Raise ModelUnusable, with the names, for weights that are infinite or not a number."""
    import torch

    damaged = [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point()
        and tensor.numel()
        and not all(torch.isfinite(value) for value in torch.aminmax(tensor.detach()))
    ]
    if damaged:
        raise ModelUnusable(
            str(source),
            f"{source} has weights that are not finite numbers, in {_listed(damaged)}; "
            f"{FETCH_AGAIN}",
        )


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
    check_finite(folder, state)
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
