"""Descriptions of architectures of the Llama family, sufficient to run them without transformers.

Llama, Mistral, Qwen 2 and 3, and Gemma 1 to 3 have the same design with different options.
`describe` reads the options from a transformers model. The result can be wrong for an unknown
model, so it is tested by comparing logits (`selftest.compare_logits`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .errors import NotOfThisKind

# Names of the modules of a model, a layer, its attention and its feed-forward part.
_BASE = {"embed_tokens", "layers", "norm", "rotary_emb"}
_PLAIN = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
_SANDWICH = _PLAIN | {"pre_feedforward_layernorm", "post_feedforward_layernorm"}
_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
_HEAD_NORMS = {"q_norm", "k_norm"}
_MLP = {"gate_proj", "up_proj", "down_proj"}
_ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}
# Types of rotary embeddings whose frequencies change with the length of the text, which an
# Architecture cannot describe.
_DYNAMIC_ROTARIES = {"dynamic", "longrope"}


@dataclass(frozen=True, slots=True)
class Rotary:
    """A rotary position embedding with angle = position * frequency.

    Cosine and sine are multiplied by `scale`.
    """

    frequencies: tuple[float, ...]
    scale: float


@dataclass(frozen=True, slots=True)
class Architecture:
    """An architecture of the Llama family.

    - heads, key_heads: number of attention heads, and of heads of keys and values
    - width: number of elements of a head
    - epsilon, norm_offset: an RMS norm adds epsilon and multiplies by norm_offset + weight
    - head_norms: whether queries and keys are normalised
    - sandwich: whether the outputs of attention and feed-forward are normalised before adding
    - activation: name of the activation function
    - embedding_scale, attention_scale: factors of the embedding and of the attention scores
    - attention_cap, logit_cap: if set, x becomes cap * tanh(x / cap)
    - windows: number of tokens that each layer attends to, None for all
    - rotaries, rotary_of: the rotary embeddings, and the index of the one that each layer uses
    """

    heads: int
    key_heads: int
    width: int
    epsilon: float
    norm_offset: float
    head_norms: bool
    sandwich: bool
    activation: str
    embedding_scale: float
    attention_scale: float
    attention_cap: float | None
    logit_cap: float | None
    windows: tuple[int | None, ...]
    rotaries: tuple[Rotary, ...]
    rotary_of: tuple[int, ...]

    @property
    def layers(self) -> int:
        """The number of layers."""
        return len(self.windows)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values. Floats keep all bits."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Architecture:
        """Return the architecture from the result of `to_json`.

        Raises KeyError or TypeError for any other value.
        """
        fields = dict(value)
        rotaries = tuple(
            Rotary(tuple(item["frequencies"]), item["scale"]) for item in fields.pop("rotaries")
        )
        windows, rotary_of = tuple(fields.pop("windows")), tuple(fields.pop("rotary_of"))
        return cls(windows=windows, rotaries=rotaries, rotary_of=rotary_of, **fields)


def describe_architecture(model: Any) -> Architecture:
    """Return the architecture of a transformers causal LM. Raise NotOfThisKind if unsupported."""
    base, config = getattr(model, "model", None), model.config
    if base is None or {name for name, _ in base.named_children()} != _BASE:
        raise NotOfThisKind("its modules are not those of the Llama family")
    first = base.layers[0]
    parts = {name for name, _ in first.named_children()}
    attention = {name for name, _ in first.self_attn.named_children()}
    if parts not in (_PLAIN, _SANDWICH):
        raise NotOfThisKind("its layers have other parts")
    if attention not in (_ATTENTION, _ATTENTION | _HEAD_NORMS):
        raise NotOfThisKind("its attention has other parts")
    if not {name for name, _ in first.mlp.named_children()} >= _MLP:
        raise NotOfThisKind("its feed-forward layer has other parts")
    activation = getattr(config, "hidden_activation", None) or getattr(config, "hidden_act", "")
    if activation not in _ACTIVATIONS:
        raise NotOfThisKind(f"its activation is {activation}")
    width = int(first.self_attn.head_dim)
    if attention >= _HEAD_NORMS and tuple(first.self_attn.q_norm.weight.shape) != (width,):
        raise NotOfThisKind("it does not normalise queries for each head")
    rotaries: list[Rotary] = []
    rotary_of = [
        _rotary_index(base.rotary_emb, config, number, rotaries)
        for number in range(len(base.layers))
    ]
    return Architecture(
        heads=first.self_attn.q_proj.out_features // width,
        key_heads=first.self_attn.k_proj.out_features // width,
        width=width,
        epsilon=_epsilon(base.norm),
        norm_offset=_norm_offset(base.norm),
        head_norms=attention >= _HEAD_NORMS,
        sandwich=parts == _SANDWICH,
        activation=_ACTIVATIONS[activation],
        embedding_scale=_embedding_scale(base.embed_tokens),
        attention_scale=float(first.self_attn.scaling),
        attention_cap=getattr(first.self_attn, "attn_logit_softcapping", None),
        logit_cap=getattr(config, "final_logit_softcapping", None),
        windows=tuple(_window(layer.self_attn, config, n) for n, layer in enumerate(base.layers)),
        rotaries=tuple(rotaries),
        rotary_of=tuple(rotary_of),
    )


def _window(attention: Any, config: Any, layer: int) -> int | None:
    """Return the number of tokens that a layer attends to, or None for all.

    Depending on the model, it is an attribute of the layer, follows from the layer's type in the
    configuration, or is common to all layers.
    """
    common = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    if hasattr(attention, "sliding_window"):
        value = attention.sliding_window
    elif types is not None:
        value = common if types[layer] == "sliding_attention" else None
    else:
        value = common
    return None if value is None else int(value)


def _rotary_index(module: Any, config: Any, layer: int, rotaries: list[Rotary]) -> int:
    """Return the index of a layer's rotary embedding in `rotaries`, and append it if missing."""
    kind = "" if hasattr(module, "inv_freq") else f"{config.layer_types[layer]}_"
    types = getattr(module, "rope_type", "default")
    if (
        types if isinstance(types, str) else types.get(kind.removesuffix("_"))
    ) in _DYNAMIC_ROTARIES:
        raise NotOfThisKind("its rotary positions change with the length")
    frequencies = getattr(module, f"{kind}inv_freq", None)
    if frequencies is None:
        raise NotOfThisKind(f"layer {layer} has no rotary positions")
    scale = float(getattr(module, f"{kind}attention_scaling", 1.0))
    rotary = Rotary(tuple(frequencies.float().tolist()), scale)
    if rotary not in rotaries:
        rotaries.append(rotary)
    return rotaries.index(rotary)


def _epsilon(norm: Any) -> float:
    for name in ("variance_epsilon", "eps"):
        if hasattr(norm, name):
            return float(getattr(norm, name))
    raise NotOfThisKind("its norm has no epsilon")


def _norm_offset(norm: Any) -> float:
    """Return 0 if the norm multiplies by its weight, and 1 if by 1 + weight (Gemma).

    The offset is determined by running the norm on a sample.
    """
    import torch

    sample = torch.linspace(-2.0, 3.0, norm.weight.shape[0])[None]
    with torch.inference_mode():
        expected = norm(sample)
        normed = sample * torch.rsqrt(sample.pow(2).mean(-1, keepdim=True) + _epsilon(norm))
        for offset in (0.0, 1.0):
            if torch.allclose(normed * (offset + norm.weight), expected, rtol=1e-4, atol=1e-5):
                return offset
    raise NotOfThisKind("its norm is unknown")


def _embedding_scale(embedding: Any) -> float:
    original = getattr(embedding, "original", embedding)
    return float(getattr(original, "scalar_embed_scale", 1.0))
