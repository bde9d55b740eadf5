"""Tiny Stable-Diffusion pipelines made on the spot: real architectures, random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHANNELS = (32, 64)  # of the two blocks of the UNet
CONTEXT = 32  # the size of an embedded token
TOKENS = 16  # the longest prompt of the tiny text encoder, with its start and its end


def make_pipeline(folder: Path, *, safety_checker: bool = False, **changes: Any) -> Path:
    """Save a random Stable-Diffusion pipeline for pictures of 32 x 32 and return its folder.

    `changes` replace parts of the pipeline.
    """
    import diffusers

    parts: dict[str, Any] = {
        "unet": make_unet(),
        "vae": make_vae(),
        "text_encoder": make_text_encoder(),
        "tokenizer": make_tokenizer(folder.with_name(f"{folder.name}-tokenizer")),
        "scheduler": make_scheduler(),
        "safety_checker": make_safety_checker() if safety_checker else None,
        "feature_extractor": make_feature_extractor() if safety_checker else None,
        **changes,
    }
    pipeline = diffusers.StableDiffusionPipeline(**parts, requires_safety_checker=safety_checker)
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def make_unet(**changes: Any) -> Any:
    import diffusers
    import torch

    torch.manual_seed(0)
    options = {
        "sample_size": 16,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": CHANNELS,
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": CONTEXT,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
    }
    return diffusers.UNet2DConditionModel(**{**options, **changes})


def make_vae() -> Any:
    import diffusers
    import torch

    torch.manual_seed(1)
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 16),
        norm_num_groups=4,
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        sample_size=32,
    )


def make_text_encoder() -> Any:
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(2)
    config = CLIPTextConfig(
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        hidden_size=CONTEXT,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        max_position_embeddings=TOKENS,
        vocab_size=600,
    )
    return CLIPTextModel(config)


def make_tokenizer(folder: Path) -> Any:
    """Return a CLIP tokenizer whose tokens are single bytes."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{item}</w>" for item in letters)]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=TOKENS
    )


def make_scheduler() -> Any:
    import diffusers

    return diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
    )
