"""Decode 200 records in batches of 1 to 16, then each alone, and compare them bit for bit.

    python benchmarks/text_exactness.py [--model FOLDER] [--records 200] [--tokens 16]

Prints one JSON line. A record is a prompt of 5 to 600 tokens, English or Chinese, with its own seed
and parameters. The logits of every step are hashed. In the same run, the same 8 prompts go through
transformers' `generate` alone and as a batch, with the same seed, for comparison.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import text_models
import torch

from muniment_text.engine import Engine, Finish, Row
from muniment_text.sampling import Sampling

TEXTS = Path(__file__).parent / "texts"


class Recorder:
    """A decoder that hashes every logit it returns, by row."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.name, self.max_rows = inner.name, inner.max_rows
        self.hashes: dict[int, list[str]] = {}
        self._of: dict[int, int] = {}
        self._rows: list[Any] = []

    def prefill(self, ids: Any) -> tuple[Any, torch.Tensor]:
        row, logits = self.inner.prefill(ids)
        self._rows.append(row)  # a reference, so that no id() is reused
        self._of[id(row)] = len(self.hashes)
        self.hashes[len(self.hashes)] = [digest(logits)]
        return row, logits

    def step(self, rows: Any, ids: Any) -> torch.Tensor:
        logits = self.inner.step(rows, ids)
        for row, values in zip(rows, logits, strict=True):
            self.hashes[self._of[id(row)]].append(digest(values))
        return logits


def digest(logits: torch.Tensor) -> str:
    """Return a short hash of the bits of fp32 logits."""
    return hashlib.blake2b(logits.contiguous().numpy().tobytes(), digest_size=16).hexdigest()


def records(engine: Engine, count: int, tokens: int) -> list[Row]:
    """Return rows with prompts of 5 to 600 tokens, two thirds of them under 60."""
    draw = random.Random(20261122)
    codec = engine.model.codec
    pools = [
        codec.tokenizer.encode((TEXTS / f"{name}.txt").read_text("utf-8")).ids
        for name in ("english", "chinese")
    ]
    rows = []
    for number in range(count):
        length = draw.randint(5, 60) if number % 3 else draw.randint(60, 600)
        length = {0: 5, 3: 600}.get(number, length)
        pool = pools[number % 2]
        start = draw.randrange(len(pool) - length)
        sampling = Sampling(
            temperature=draw.choice([0.0, 0.7, 1.0, 1.3]),
            top_k=draw.choice([0, 20, 64]),
            top_p=draw.choice([1.0, 0.9]),
            repetition_penalty=draw.choice([1.0, 1.1]),
        )
        prompt = tuple(pool[start : start + length])
        rows.append(Row(number, prompt, draw.getrandbits(64), tokens, sampling))
    return rows


def decode(engine: Engine, rows: list[Row]) -> dict[Any, tuple[Finish, list[str]]]:
    """Decode rows together and return the answer of each with the hashes of its logits."""
    recorder = Recorder(engine.model.decoder)
    engine.model.decoder = recorder
    try:
        done = {e.key: e for e in engine.decode(rows) if isinstance(e, Finish)}
    finally:
        engine.model.decoder = recorder.inner
    # Rows are admitted in their order, so the n-th prefill is the n-th row.
    return {row.key: (done[row.key], recorder.hashes[n]) for n, row in enumerate(rows)}


def library(scratch: Path, engine: Engine, tokens: int) -> int:
    """Return how many of 8 prompts transformers answers identically alone and in a batch."""
    model = text_models.full_precision(scratch)
    ids = [engine.model.codec.prompt(prompt) for prompt in text_models.PROMPTS]

    def generate(rows: list[list[int]]) -> list[list[int]]:
        longest = max(map(len, rows))
        torch.manual_seed(7)
        output = model.generate(
            torch.tensor([[0] * (longest - len(row)) + row for row in rows]),
            attention_mask=torch.tensor(
                [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
            ),
            do_sample=True,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            pad_token_id=0,
        )
        return [list(row) for row in output[:, longest:].tolist()]

    together = generate(ids)
    return sum(generate([row])[0] == answer for row, answer in zip(ids, together, strict=True))


def main() -> None:
    """Measure and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="Prepared folder (default: the default model)")
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=16)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        engine = text_models.engine(arguments.model, Path(name), max_rows=16)
        rows = records(engine, arguments.records, arguments.tokens)
        draw = random.Random(1)
        batched: dict[Any, tuple[Finish, list[str]]] = {}
        waiting = draw.sample(rows, len(rows))
        sizes = []
        while waiting:
            sizes.append(min(len(waiting), len(sizes) % 16 + 1))
            batch, waiting = waiting[: sizes[-1]], waiting[sizes[-1] :]
            batched.update(decode(engine, batch))
        exact = bits = steps = 0
        for row in rows:
            finish, hashes = decode(engine, [row])[row.key]
            exact += finish == batched[row.key][0]
            bits += hashes == batched[row.key][1]
            steps += len(hashes)
        line = {
            "benchmark": "text_exactness",
            **text_models.environment(engine),
            "records": len(rows),
            "batches": len(sizes),
            "batch_sizes": [min(sizes), max(sizes)],
            "prompt_tokens": [min(len(r.prompt) for r in rows), max(len(r.prompt) for r in rows)],
            "steps": steps,
            "records_exact": exact,
            "records_with_bit_equal_logits": bits,
            "library_sampling_exact_of_8": library(Path(name), engine, arguments.tokens),
        }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
