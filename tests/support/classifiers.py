"""A small classifier of transformers, trained to know ten words."""

from __future__ import annotations

from pathlib import Path

LABELS = {"negative": "bad sad dark 坏 恨".split(), "positive": "good happy bright 好 爱".split()}


def make_classifier(folder: Path, **config: object) -> Path:
    """Write a model that knows the words of `LABELS`, with other fields of its configuration."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", *LABELS["negative"], *LABELS["positive"]]
    words_alone = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]"))
    words_alone.normalizer = normalizers.BertNormalizer()
    words_alone.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words_alone, pad_token="[PAD]", unk_token="[UNK]"
    )
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(words),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=32,
            id2label=dict(enumerate(LABELS)),
            **config,
        )
    )
    rows = [(word, label) for label, known in enumerate(LABELS.values()) for word in known]
    batch = tokenizer([f"a {word} day" for word, _ in rows], return_tensors="pt")
    target = torch.tensor([label for _, label in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for _ in range(60):
        logits = model(**batch).logits
        loss = torch.nn.functional.cross_entropy(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder
