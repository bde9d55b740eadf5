"""The lengths of prompts, which text encoders would truncate silently."""

from __future__ import annotations

from typing import Any

import muniment

from .loading import pipeline_arguments


def check_length(pipeline: Any, text: str, name: str) -> None:
    """Raise UsageError if no text encoder of a pipeline takes the whole text.

    The text encoders of some pipelines differ: the short ones only give a summary, and the longest
    one counts. `name` is that of the text in the message.
    """
    counts = [
        (len(tokenizer(text, truncation=False).input_ids), _limit(pipeline, part, tokenizer))
        for part, tokenizer in pipeline.components.items()
        if part.startswith("tokenizer") and callable(tokenizer)
    ]
    if counts and all(count > limit for count, limit in counts):
        count, limit = max(counts, key=lambda pair: pair[1])
        raise muniment.UsageError(
            f"the {name} has {count:,} tokens with its start and end, and the text encoder of "
            f"this model takes {limit:,}; shorten it"
        )


def _limit(pipeline: Any, part: str, tokenizer: Any) -> int:
    """Return the maximum number of tokens of a text encoder."""
    encoder = getattr(pipeline, part.replace("tokenizer", "text_encoder"), None)
    positions = getattr(getattr(encoder, "config", None), "max_position_embeddings", None)
    limits = [int(tokenizer.model_max_length)]
    if positions:
        limits.append(int(positions))
    # CLIP has few positions. Other encoders are cut at an argument of the pipeline.
    argument = pipeline_arguments(pipeline).get("max_sequence_length")
    if argument and "CLIP" not in type(encoder).__name__:
        limits.append(int(argument))
    return min(limits)
