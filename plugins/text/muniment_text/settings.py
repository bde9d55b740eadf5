"""Checks of values in config.json and generation_config.json, which libraries use unchecked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .errors import ModelUnusable

# Sizes, and numbers that a model divides by. With 0, the logits are not numbers or the sizes are
# replaced by defaults.
_POSITIVE = {
    "attn_logit_softcapping",
    "factor",
    "final_logit_softcapping",
    "head_dim",
    "hidden_size",
    "intermediate_size",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "max_position_embeddings",
    "n_embd",
    "n_head",
    "n_layer",
    "n_positions",
    "norm_eps",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "query_pre_attn_scalar",
    "rms_norm_eps",
    "rope_local_base_freq",
    "rope_theta",
    "vocab_size",
}
_TOKEN_IDS = ("bos_token_id", "eos_token_id")
_PADDING_ID = "pad_token_id"  # -1 in some models, which do not pad


def check_positive(path: Path, config: Mapping[str, Any]) -> None:
    """Raise ModelUnusable, with the field, for a number that must be above 0 and is not."""
    for field, value in _fields(config):
        if field.rpartition(".")[2] not in _POSITIVE or not isinstance(value, (int, float)):
            continue
        if not 0 < value < math.inf:  # also false for NaN
            raise ModelUnusable(
                str(path),
                f"{path}: {field} must be a finite number above 0, not {value}; correct the file",
            )


def check_token_ids(path: Path, values: Mapping[str, Any], rows: int | None) -> None:
    """Raise ModelUnusable for a token id that is no id or has no row in the embedding.

    `rows` is the number of rows, or None if it is unknown.
    """
    for settings in (values, _text_settings(values)):
        for key in (*_TOKEN_IDS, _PADDING_ID):
            ids = settings.get(key)
            for item in ids if isinstance(ids, list) else [] if ids is None else [ids]:
                if key != _PADDING_ID and (type(item) is not int or item < 0):
                    raise ModelUnusable(
                        str(path),
                        f"{path}: {key} must be a token id or a list of them, not {ids!r}; "
                        "correct the file",
                    )
                if rows is not None and type(item) is int and item >= rows:
                    raise ModelUnusable(
                        str(path),
                        f"{path}: {key} has the token id {item}, but the model's embedding has "
                        f"{rows:,} rows; correct the file",
                    )


def declared_rows(config: Mapping[str, Any]) -> int | None:
    """Return the number of rows of the embedding that config.json declares, or None."""
    rows = _text_settings(config).get("vocab_size")
    return rows if type(rows) is int else None


def describe_error(error: Exception, config: Mapping[str, Any]) -> str:
    """Return the reason of a library's error about a model as one line.

    A KeyError has only the unknown name, so the field of config.json with that name is added.
    """
    if isinstance(error, KeyError) and error.args:
        for field, value in _fields(config):
            if value == error.args[0]:
                return f"{field} is {value!r}, which transformers does not know"
    # Later paragraphs are advice about transformers.
    first, _, _ = str(error).strip().partition("\n\n")
    return " ".join(first.split()) or type(error).__name__


def _text_settings(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the settings of the language model, which a model of several media nests."""
    nested = config.get("text_config")
    return nested if isinstance(nested, dict) else config


def _fields(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the paths and values of the fields, including those of nested objects."""
    objects = [("", config)]
    while objects:
        prefix, settings = objects.pop()
        for name, value in settings.items():
            if isinstance(value, dict):
                objects.append((f"{prefix}{name}.", value))
            else:
                yield f"{prefix}{name}", value
