"""Small models made on the spot: real architectures and tokenizers, random weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from muniment.models.notices import AdditionNotices

CORPUS = [
    "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs.",
    "最近我国成功发射了新的卫星，天气很好，我们一起去看海。",
    "0123456789 + - * / = ( ) [ ] { } < > ! ? , . ; : \n\t",
]
SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
}


def make_tokenizer(folder: Path, template: str | None = None, markers: Sequence[str] = ()) -> int:
    """Train a byte-level tokenizer into `folder`; gives the size of its vocabulary.

    `markers` are special tokens besides `<s>` and `</s>`.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=["<s>", "</s>", *markers],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", chat_template=template
    )
    wrapped.save_pretrained(folder)
    return tokenizer.get_vocab_size()


def make_model(
    family: str,
    folder: Path,
    template: str | None = None,
    markers: Sequence[str] = (),
    **changes: Any,
) -> Path:
    """Save a random model of a family as a transformers folder and give its path."""
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    size = make_tokenizer(folder, template, markers)
    options = {**SIZES, "vocab_size": size, "bos_token_id": 0, "eos_token_id": 1, **changes}
    if family == "gpt2":
        config: Any = transformers.GPT2Config(
            vocab_size=size, n_embd=64, n_layer=3, n_head=4, n_positions=1024,
            bos_token_id=0, eos_token_id=1,
        )  # fmt: skip
    elif family == "gemma3":
        config = transformers.Gemma3TextConfig(
            **options, head_dim=16, sliding_window=32, query_pre_attn_scalar=16
        )
    elif family == "gemma2":
        config = transformers.Gemma2Config(
            **options, head_dim=16, sliding_window=32, query_pre_attn_scalar=16
        )
    elif family in ("gemma", "qwen3"):
        named = {"gemma": transformers.GemmaConfig, "qwen3": transformers.Qwen3Config}
        config = named[family](**options, head_dim=16)
    else:
        kinds = {
            "llama": transformers.LlamaConfig,
            "qwen2": transformers.Qwen2Config,
            "mistral": transformers.MistralConfig,
        }
        config = kinds[family](**options)
        if family == "mistral":
            config.sliding_window = 32
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4.0)
            else:
                parameter.add_(torch.randn_like(parameter) / 4)
    model.save_pretrained(folder)
    return folder


class ListedNotices(AdditionNotices):
    """Notices that list the steps of an addition."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, float]] = []

    def progress(self, step: str, fraction: float) -> None:
        self.steps.append((step, fraction))
