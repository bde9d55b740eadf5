"""Compare the engine's perplexity with the same weights in fp32, on English and Chinese.

    python benchmarks/text_perplexity.py [--model FOLDER_OR_SOURCE]

Prints one JSON line. Both evaluate the same tokens in windows of 512 from the text's start. fp32 is
transformers' own model of the weights before conversion.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import text_models
import torch

WINDOW = 512
TEXTS = Path(__file__).parent / "texts"


def windows(ids: list[int], bos: list[int]) -> list[list[int]]:
    """Return the text's tokens in windows, each after the beginning-of-text token."""
    return [bos + ids[start : start + WINDOW] for start in range(0, len(ids), WINDOW)]


def perplexity(logprobs: list[float]) -> float:
    """Return exp of the mean negative natural-log probability of a token."""
    return math.exp(-sum(logprobs) / len(logprobs))


@torch.inference_mode()
def reference(model: Any, ids: list[int]) -> list[float]:
    """Return the fp32 log-probabilities of ids[1:]."""
    logits = model(torch.tensor([ids[:-1]])).logits[0].float()
    wanted = logits.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    return list((wanted - logits.logsumexp(1)).tolist())


def main() -> None:
    """Measure both languages and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="Prepared folder (default: the default model)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        engine = text_models.engine(arguments.model, Path(scratch))
        full = text_models.full_precision(Path(scratch))
        codec = engine.model.codec
        line: dict[str, Any] = {"benchmark": "text_perplexity", **text_models.environment(engine)}
        for language in ("english", "chinese"):
            text = (TEXTS / f"{language}.txt").read_text(encoding="utf-8")
            ids = codec.tokenizer.encode(text, add_special_tokens=False).ids
            bos = [] if codec.bos is None else [codec.bos]
            ours = [value for part in windows(ids, bos) for value in engine.score(part)]
            theirs = [value for part in windows(ids, bos) for value in reference(full, part)]
            mine, other = perplexity(ours), perplexity(theirs)
            line[language] = {
                "tokens": len(ours),
                "ours": round(mine, 4),
                "fp32": round(other, 4),
                "change_percent": round(100 * (mine / other - 1), 3),
            }
        line["holds"] = all(line[name]["change_percent"] <= 1.0 for name in ("english", "chinese"))
        print(json.dumps(line))


if __name__ == "__main__":
    main()
