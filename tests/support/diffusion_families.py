"""Tiny pipelines of other families than Stable Diffusion: SDXL, and Flux with flow matching."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from muniment_image.diffusion.libraries import silence
from support.diffusion import TOKENS, make_scheduler, make_tokenizer, make_unet, make_vae


def make_sdxl(folder: Path) -> Path:
    import diffusers

    with silence():
        pipeline = diffusers.StableDiffusionXLPipeline(
            vae=make_vae(),
            text_encoder=_clip(),
            text_encoder_2=_clip(with_projection=True),
            tokenizer=make_tokenizer(),
            tokenizer_2=make_tokenizer(),
            unet=make_unet(
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=6 * 8 + 32,
                cross_attention_dim=64,  # of both text encoders
            ),
            scheduler=make_scheduler(),
        )
        pipeline.save_pretrained(folder)
    return folder


def make_flux(folder: Path) -> Path:
    """Save a Flux without an input for guidance, as Flux schnell is."""
    import diffusers
    import torch

    with silence():
        torch.manual_seed(0)
        transformer = diffusers.FluxTransformer2DModel(
            patch_size=1,
            in_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=[4, 4, 8],
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=(8,),
            norm_num_groups=4,
            down_block_types=("DownEncoderBlock2D",),
            up_block_types=("UpDecoderBlock2D",),
            latent_channels=1,
            shift_factor=0.06,
            scaling_factor=1.5,
            use_quant_conv=False,
            use_post_quant_conv=False,
        )
        pipeline = diffusers.FluxPipeline(
            transformer=transformer,
            vae=vae,
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
            text_encoder=_clip(),
            tokenizer=make_tokenizer(),
            text_encoder_2=_t5(),
            tokenizer_2=_t5_tokenizer(),
        )
        pipeline.save_pretrained(folder)
    return folder


def _clip(*, with_projection: bool = False) -> Any:
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.CLIPTextConfig(
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        max_position_embeddings=TOKENS,
        vocab_size=600,
        projection_dim=32,
    )
    if with_projection:
        return transformers.CLIPTextModelWithProjection(config)
    return transformers.CLIPTextModel(config)


def _t5() -> Any:
    import torch
    import transformers

    torch.manual_seed(0)
    return transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=600, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4
        )
    )


def _t5_tokenizer() -> Any:
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import T5Tokenizer

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    letters = [(letter, -5.0) for letter in sorted(ByteLevel.alphabet())]
    return T5Tokenizer(vocab=[*special, *letters], extra_ids=0)
