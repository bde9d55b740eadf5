"""Tiny Stable-Diffusion pipelines made on the spot: real architectures, random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from muniment_image.diffusion.libraries import silence

CHANNELS = (32, 64)  # of the two blocks of the UNet
CONTEXT = 32  # the size of an embedded token
# The layers that adapters usually change. diffusers reads kohya's names only beside out_proj.
_ADAPTED = (".to_q.weight", ".to_v.weight", ".q_proj.weight", ".out_proj.weight")
TOKENS = 77  # the longest prompt of the tiny text encoder, with its start and its end


def make_pipeline(folder: Path, *, flagged: bool | None = None, **changes: Any) -> Path:
    """Save a random Stable-Diffusion pipeline for pictures of 32 x 32 and return its folder.

    With `flagged` it has a safety checker that flags every picture or none. `changes` replace
    parts of the pipeline.
    """
    import diffusers

    parts: dict[str, Any] = {
        "unet": make_unet(),
        "vae": make_vae(),
        "text_encoder": make_text_encoder(),
        "tokenizer": make_tokenizer(),
        "scheduler": make_scheduler(),
        "safety_checker": None,
        "feature_extractor": None,
        **({} if flagged is None else make_safety_checker(flagged=flagged)),
        **changes,
    }
    with silence():
        pipeline = diffusers.StableDiffusionPipeline(
            **parts, requires_safety_checker=flagged is not None
        )
        pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def make_controlnet(folder: Path) -> Path:
    """Save a random ControlNet for the pipeline, one that changes its pictures."""
    import diffusers
    import torch

    torch.manual_seed(3)
    controlnet = diffusers.ControlNetModel(
        block_out_channels=CHANNELS,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        cross_attention_dim=CONTEXT,
        attention_head_dim=2,
        norm_num_groups=8,
        conditioning_embedding_out_channels=(16, 32),
    )
    with torch.no_grad():
        for name, parameter in controlnet.named_parameters():
            if "controlnet" in name:  # they are zero before a training
                parameter.normal_(std=0.5)
    with silence():
        controlnet.save_pretrained(folder, safe_serialization=True)
    return folder


def make_lora(file: Path, pipeline: Path, *, kohya: bool = False, **names: str) -> Path:
    """Write a random LoRA for the UNet and the text encoder of a pipeline.

    With `kohya` the tensors have the names of kohya's trainer. `names` replaces parts of the
    names, such as `unet="foreign"`.
    """
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(4)
    weights = {}
    for prefix in ("unet", "text_encoder"):
        for name, shape in _linear_layers(pipeline / prefix).items():
            weights[f"{prefix}.{name}.lora_A.weight"] = torch.randn(2, shape[1]) / 2
            weights[f"{prefix}.{name}.lora_B.weight"] = torch.randn(shape[0], 2) / 2
    if kohya:
        weights = _kohya_weights(weights)
    for old, new in names.items():
        weights = {name.replace(old, new): tensor for name, tensor in weights.items()}
    save_file(weights, file)
    return file


def _kohya_weights(weights: dict[str, Any]) -> dict[str, Any]:
    """Return the tensors under the names of kohya's trainer, with its factors alpha."""
    import torch

    renamed = {}
    for name, tensor in weights.items():
        layer, _, kind = name.removesuffix(".weight").rpartition(".")
        layer = layer.removeprefix("text_encoder.").replace("text_model.", "")
        prefix = "lora_unet_" if layer.startswith("unet.") else "lora_te_text_model_"
        layer = prefix + layer.removeprefix("unet.").replace(".", "_")
        renamed[f"{layer}.{'lora_down' if kind == 'lora_A' else 'lora_up'}.weight"] = tensor
        renamed[f"{layer}.alpha"] = torch.tensor(1.0)
    return renamed


def _linear_layers(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the shapes of the layers that adapters usually change, by name."""
    from safetensors import safe_open

    layers = {}
    for file in folder.glob("*.safetensors"):
        with safe_open(file, framework="pt") as stream:
            for name in stream.keys():  # noqa: SIM118
                if name.endswith(_ADAPTED):
                    layers[name.removesuffix(".weight")] = tuple(stream.get_slice(name).get_shape())
    return layers


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


def make_tokenizer() -> Any:
    """Return a CLIP tokenizer whose tokens are single bytes."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{item}</w>" for item in letters)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=TOKENS)


def make_safety_checker(*, flagged: bool) -> dict[str, Any]:
    """Return a safety checker that flags every picture or none, and its feature extractor."""
    import torch
    from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    torch.manual_seed(5)
    tower = {"hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4}
    vision = {**tower, "num_hidden_layers": 1, "image_size": 32, "patch_size": 16}
    config = CLIPConfig(
        vision_config={**vision, "projection_dim": 16},
        text_config={**tower, "num_hidden_layers": 1, "bos_token_id": 0, "eos_token_id": 1},
        projection_dim=16,
    )
    checker = StableDiffusionSafetyChecker(config)
    with torch.no_grad():  # a picture is flagged if its similarity exceeds these
        for name in ("concept_embeds_weights", "special_care_embeds_weights"):
            getattr(checker, name).fill_(-2.0 if flagged else 2.0)
    side = {"height": 32, "width": 32}
    extractor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=side)
    return {"safety_checker": checker, "feature_extractor": extractor}


def make_scheduler() -> Any:
    import diffusers

    return diffusers.DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
