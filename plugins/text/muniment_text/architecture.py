"""What a model of the Llama kind is made of: enough to run it without transformers.

Llama, Mistral, Qwen 2 and 3, and Gemma 1 to 3 are one design with a few switches. `describe` reads
the switches off a transformers model; whether the description is right is not believed but tested,
by comparing logits (`selftest.unlike`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .errors import NotOfThisKind

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
# Frequencies that change with the length of the text cannot be written down once.
_CHANGING = {"dynamic", "longrope"}


@dataclass(frozen=True, slots=True)
class Rotary:
    """Rotary positions: angle = position * frequency; cosine and sine are multiplied by `scale`."""

    frequencies: tuple[float, ...]
    scale: float


@dataclass(frozen=True, slots=True)
class Architecture:
    """A decoder of the Llama kind.

    heads, key_heads, width: attention heads, heads of keys and values, numbers a head.
    epsilon, norm_offset: RMS norm multiplies by norm_offset + weight. head_norms: queries and keys
    are normed too. sandwich: what attention and feed-forward give is normed before it is added.
    attention_cap, logit_cap: x becomes cap * tanh(x / cap). windows: how many tokens each layer
    sees, None for all. rotary_of: which of `rotaries` each layer uses.
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
        """How many layers there are."""
        return len(self.windows)

    def to_json(self) -> dict[str, Any]:
        """Plain values; floats keep every bit."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Architecture:
        """The reverse of `to_json`; raises KeyError or TypeError for anything else."""
        fields = dict(value)
        rotaries = tuple(
            Rotary(tuple(one["frequencies"]), one["scale"]) for one in fields.pop("rotaries")
        )
        windows, rotary_of = tuple(fields.pop("windows")), tuple(fields.pop("rotary_of"))
        return cls(windows=windows, rotaries=rotaries, rotary_of=rotary_of, **fields)


def describe(model: Any) -> Architecture:
    """Read the description off a transformers causal LM; raises NotOfThisKind."""
    base, config = getattr(model, "model", None), model.config
    if base is None or {name for name, _ in base.named_children()} != _BASE:
        raise NotOfThisKind("its modules are not those of the Llama kind")
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
        raise NotOfThisKind("it norms queries otherwise than head by head")
    rotaries: list[Rotary] = []
    rotary_of = [_rotary(base.rotary_emb, config, n, rotaries) for n in range(len(base.layers))]
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
    """How many tokens a layer sees: a matter of the layer, of the list of layers, or of all."""
    everywhere = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    if hasattr(attention, "sliding_window"):
        value = attention.sliding_window
    elif types is not None:
        value = everywhere if types[layer] == "sliding_attention" else None
    else:
        value = everywhere
    return None if value is None else int(value)


def _rotary(module: Any, config: Any, layer: int, known: list[Rotary]) -> int:
    """The place of a layer's rotary positions in `known`, added when they are new."""
    kind = "" if hasattr(module, "inv_freq") else f"{config.layer_types[layer]}_"
    types = getattr(module, "rope_type", "default")
    if (types if isinstance(types, str) else types.get(kind.removesuffix("_"))) in _CHANGING:
        raise NotOfThisKind("its rotary positions change with the length")
    frequencies = getattr(module, f"{kind}inv_freq", None)
    if frequencies is None:
        raise NotOfThisKind(f"layer {layer} has no rotary positions")
    scale = float(getattr(module, f"{kind}attention_scaling", 1.0))
    found = Rotary(tuple(frequencies.float().tolist()), scale)
    if found not in known:
        known.append(found)
    return known.index(found)


def _epsilon(norm: Any) -> float:
    for name in ("variance_epsilon", "eps"):
        if hasattr(norm, name):
            return float(getattr(norm, name))
    raise NotOfThisKind("its norm has no epsilon")


def _norm_offset(norm: Any) -> float:
    """0 when the norm multiplies by its weight, 1 when by one more (Gemma); found by trying."""
    import torch

    sample = torch.linspace(-2.0, 3.0, norm.weight.shape[0])[None]
    with torch.inference_mode():
        wanted = norm(sample)
        normed = sample * torch.rsqrt(sample.pow(2).mean(-1, keepdim=True) + _epsilon(norm))
        for offset in (0.0, 1.0):
            if torch.allclose(normed * (offset + norm.weight), wanted, rtol=1e-4, atol=1e-5):
                return offset
    raise NotOfThisKind("its norm is another")


def _embedding_scale(embedding: Any) -> float:
    original = getattr(embedding, "original", embedding)
    return float(getattr(original, "scalar_embed_scale", 1.0))
