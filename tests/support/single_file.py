"""A tiny pipeline as one file, as Stable Diffusion is often distributed."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def make_single_file(file: Path, pipeline: Path) -> Path:
    """Write the weights of a pipeline to one file, under the names of Stable Diffusion itself."""
    import torch
    from safetensors.torch import load_file, save_file

    weights: dict[str, Any] = {}
    for folder, rename in (("unet", _unet_name), ("vae", _vae_name), ("text_encoder", _clip_name)):
        (source,) = (pipeline / folder).glob("*.safetensors")
        for name, tensor in load_file(source).items():
            weights[rename(name)] = tensor.to(torch.float16)
    save_file(weights, file)
    return file


def _unet_name(name: str) -> str:
    parts = name.split(".")
    match parts:
        case ["time_embedding", layer, kind]:
            new = f"time_embed.{0 if layer == 'linear_1' else 2}.{kind}"
        case ["conv_in", kind]:
            new = f"input_blocks.0.0.{kind}"
        case ["conv_norm_out" | "conv_out" as layer, kind]:
            new = f"out.{0 if layer == 'conv_norm_out' else 2}.{kind}"
        case ["down_blocks", block, "downsamplers", "0", "conv", kind]:
            new = f"input_blocks.{2 + 2 * int(block)}.0.op.{kind}"
        case ["down_blocks", block, kind, layer, *rest]:
            number = 1 + 2 * int(block) + int(layer)
            new = f"input_blocks.{number}.{int(kind == 'attentions')}." + ".".join(rest)
        case ["up_blocks", block, "upsamplers", "0", "conv", kind]:
            new = f"output_blocks.{1 + 2 * int(block)}.2.conv.{kind}"
        case ["up_blocks", block, kind, layer, *rest]:
            number = 2 * int(block) + int(layer)
            new = f"output_blocks.{number}.{int(kind == 'attentions')}." + ".".join(rest)
        case ["mid_block", kind, layer, *rest]:
            number = 1 if kind == "attentions" else 2 * int(layer)
            new = f"middle_block.{number}." + ".".join(rest)
        case _:
            raise ValueError(name)
    if "resnets" in parts:
        for new_part, old_part in {
            "in_layers.0": "norm1",
            "in_layers.2": "conv1",
            "out_layers.0": "norm2",
            "out_layers.3": "conv2",
            "emb_layers.1": "time_emb_proj",
            "skip_connection": "conv_shortcut",
        }.items():
            new = new.replace(old_part, new_part)
    return f"model.diffusion_model.{new}"


def _vae_name(name: str) -> str:
    parts = name.split(".")
    match parts:
        case [coder, "down_blocks", block, "downsamplers", "0", *rest]:
            new = [coder, "down", block, "downsample", *rest]
        case [coder, "down_blocks", block, "resnets", layer, *rest]:
            new = [coder, "down", block, "block", layer, *rest]
        case [coder, "up_blocks", block, "upsamplers", "0", *rest]:
            new = [coder, "up", str(1 - int(block)), "upsample", *rest]
        case [coder, "up_blocks", block, "resnets", layer, *rest]:
            new = [coder, "up", str(1 - int(block)), "block", layer, *rest]
        case [coder, "mid_block", "resnets", layer, *rest]:
            new = [coder, "mid", f"block_{int(layer) + 1}", *rest]
        case [coder, "mid_block", "attentions", "0", *rest]:
            kinds = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v"}
            new = [coder, "mid", "attn_1", kinds.get(rest[0], "proj_out"), rest[-1]]
        case _:
            new = ["norm_out" if part == "conv_norm_out" else part for part in parts]
    new = ["nin_shortcut" if part == "conv_shortcut" else part for part in new]
    return "first_stage_model." + ".".join(new)


def _clip_name(name: str) -> str:
    return f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"
