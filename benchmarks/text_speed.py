"""Tokens per second alone and at 8, beside transformers' fp32 `generate` and llama.cpp.

    python benchmarks/text_speed.py [--model FOLDER] [--tokens 64] [--rounds 3]

Prints one JSON line. The three are measured in turn, `rounds` times in one run, and the best round
of each counts, since anything else on the machine only ever slows one down. llama.cpp runs the
Q4_K_M file it was made for through `xllamacpp`; without that package its figures are null.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import text_models
import torch

from muniment_text.engine import Finish
from muniment_text.preparing import DEFAULT_PACKAGE, package_file
from muniment_text.sampling import Sampling

SAMPLING = Sampling(temperature=1.0, top_k=64, top_p=0.95)


def ours(engine: Any, prompts: list[str], tokens: int) -> int:
    """Decode the prompts together; the number of tokens decided."""
    rows = [
        engine.row(n, prompt, seed=n, max_tokens=tokens, sampling=SAMPLING)
        for n, prompt in enumerate(prompts)
    ]
    return sum(len(e.token_ids) for e in engine.decode(rows) if isinstance(e, Finish))


def theirs(model: Any, codec: Any, prompts: list[str], tokens: int) -> int:
    """The same with transformers' `generate`, left-padded, sampling with the same filters."""
    ids = [codec.prompt(prompt) for prompt in prompts]
    longest = max(map(len, ids))
    padded = torch.tensor([[0] * (longest - len(row)) + row for row in ids])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids])
    torch.manual_seed(0)
    output = model.generate(
        padded,
        attention_mask=mask,
        do_sample=True,
        top_k=64,
        top_p=0.95,
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        pad_token_id=0,
    )
    return int((output.shape[1] - longest) * len(ids))


def llama(path: Path, threads: int) -> Callable[[list[str], int], int] | None:
    """llama.cpp's server with 8 slots as a function of the same shape, or None without it."""
    try:
        import xllamacpp
    except ImportError:
        return None
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = 8
    params.n_ctx = 8 * 1024
    params.cont_batching = True
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.verbosity = -1
    server = xllamacpp.Server(params)

    def one(prompt: str, seed: int, tokens: int) -> int:
        result = server.handle_completions(
            {
                "prompt": prompt,
                "max_tokens": tokens,
                "ignore_eos": True,
                "seed": seed,
                "top_k": 64,
                "top_p": 0.95,
                "cache_prompt": False,
            }
        )
        return int(result["usage"]["completion_tokens"])

    def run(prompts: list[str], tokens: int) -> int:
        with ThreadPoolExecutor(len(prompts)) as pool:
            return sum(pool.map(one, prompts, range(len(prompts)), [tokens] * len(prompts)))

    return run


def rate(work: Callable[[], int]) -> float:
    """Tokens a second of one call."""
    start = time.perf_counter()
    return work() / (time.perf_counter() - start)


def main() -> None:
    """Measure and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="a prepared folder; without it the default is prepared")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    everyone, first = list(text_models.PROMPTS), [text_models.PROMPTS[0]]
    with tempfile.TemporaryDirectory() as name:
        scratch, tokens = Path(name), arguments.tokens
        engine = text_models.engine(arguments.model, scratch)
        # Ends are ignored by all three: every prompt costs the same number of tokens.
        engine.model.ends = frozenset()
        full = text_models.full_precision(scratch)
        codec = engine.model.codec
        with package_file(DEFAULT_PACKAGE, scratch) as (path, _):
            peer = llama(path, torch.get_num_threads())
            works: dict[str, Callable[[], int]] = {
                "ours_alone": lambda: ours(engine, first, tokens),
                "ours_at_8": lambda: ours(engine, everyone, tokens),
                "fp32_alone": lambda: theirs(full, codec, first, tokens),
                "fp32_at_8": lambda: theirs(full, codec, everyone, tokens),
            }
            if peer is not None:
                works["llama_cpp_alone"] = lambda: peer(first, tokens)
                works["llama_cpp_at_8"] = lambda: peer(everyone, tokens)
            best = dict.fromkeys(works, 0.0)
            for _ in range(arguments.rounds):
                for label, work in works.items():
                    best[label] = max(best[label], rate(work))
    line: dict[str, Any] = {
        "benchmark": "text_speed",
        "unit": "tokens/s",
        "tokens": tokens,
        **text_models.environment(engine),
        "load_average": round(os.getloadavg()[0], 2),
        **{label: round(value, 1) for label, value in best.items()},
        "alone_over_fp32": round(best["ours_alone"] / best["fp32_alone"], 2),
        "at_8_over_fp32": round(best["ours_at_8"] / best["fp32_at_8"], 2),
        "at_8_over_llama_cpp": None,
    }
    if peer is not None:
        line["at_8_over_llama_cpp"] = round(best["ours_at_8"] / best["llama_cpp_at_8"], 2)
    print(json.dumps(line), flush=True)
    # llama.cpp's server threads outlive their object and would keep the process alive.
    os._exit(0)


if __name__ == "__main__":
    main()
