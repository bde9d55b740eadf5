"""Compare tokens per second with transformers' fp32 `generate` and llama.cpp.

    python benchmarks/text_speed.py [--model FOLDER] [--tokens 64] [--rounds 3]

Prints one JSON line, for one prompt and for eight at once. Each of the three runs in a separate
process, since their thread pools interfere in one. They are measured in turn, `rounds` times in one
run. The best round of each counts, since other load can only slow a program down. llama.cpp runs
its Q4_K_M file through `xllamacpp`. Without that package its figures are null.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import text_models
import torch
from text_models import PROMPTS

from muniment_text.engine import Finish
from muniment_text.preparing import DEFAULT_PACKAGE, package_file
from muniment_text.sampling import Sampling

SAMPLING = Sampling(temperature=1.0, top_k=64, top_p=0.95)


def ours(engine: Any, prompts: list[str], tokens: int) -> int:
    """Decode the prompts together and return the number of chosen tokens."""
    rows = [
        engine.row(n, prompt, seed=n, max_tokens=tokens, sampling=SAMPLING)
        for n, prompt in enumerate(prompts)
    ]
    return sum(len(e.token_ids) for e in engine.decode(rows) if isinstance(e, Finish))


def theirs(model: Any, codec: Any, prompts: list[str], tokens: int) -> int:
    """Do the same with transformers' `generate`, left-padded, with the same sampling filters."""
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
    """Return llama.cpp's server with 8 slots as a similar function, or None without it."""
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


def serve(which: str, model: str | None, tokens: int, pipe: Connection) -> None:
    """Run one of the three in this process, receiving prompts and sending tokens a second."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        work: Callable[[list[str], int], int] | None
        if which == "llama_cpp":
            with package_file(DEFAULT_PACKAGE, scratch) as (path, _):
                work = llama(path, torch.get_num_threads())
        else:
            engine = text_models.engine(model, scratch)
            # All three ignore end tokens, so that every prompt costs the same number of tokens.
            engine.model.ends = frozenset()
            if which == "ours":
                work = partial(ours, engine)
            else:
                codec = engine.model.codec
                del engine
                work = partial(theirs, text_models.full_precision(scratch), codec)
        pipe.send(text_models.environment(engine) if which == "ours" else work is not None)
        while (prompts := pipe.recv()) is not None and work is not None:
            start = time.perf_counter()
            pipe.send(work(prompts, tokens) / (time.perf_counter() - start))
    # llama.cpp's server threads outlive their object and would prevent the process's exit.
    os._exit(0)


def main() -> None:
    """Measure and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="Prepared folder (default: the default model)")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    ready: dict[str, Any] = {}
    for which in ("ours", "fp32", "llama_cpp"):
        pipes[which], end = spawn.Pipe()
        options = (which, arguments.model, arguments.tokens, end)
        spawn.Process(target=serve, args=options, daemon=True).start()
        ready[which] = pipes[which].recv()
    best: dict[str, float | None] = {}
    for _ in range(arguments.rounds):
        for which, pipe in pipes.items():
            for label, prompts in (("alone", PROMPTS[:1]), ("at_8", PROMPTS)):
                name = f"{which}_{label}"
                best.setdefault(name, None)
                if ready[which]:
                    pipe.send(list(prompts))
                    best[name] = max(best[name] or 0.0, pipe.recv())
    for pipe in pipes.values():
        pipe.send(None)

    def ratio(one: str, other: str) -> float | None:
        ours, theirs = best[one], best[other]
        return None if ours is None or theirs is None else round(ours / theirs, 2)

    line: dict[str, Any] = {
        "benchmark": "text_speed",
        "unit": "tokens/s",
        "tokens": arguments.tokens,
        **ready["ours"],
        "load_average": round(os.getloadavg()[0], 2),
        **{label: value and round(value, 1) for label, value in best.items()},
        "alone_over_fp32": ratio("ours_alone", "fp32_alone"),
        "at_8_over_fp32": ratio("ours_at_8", "fp32_at_8"),
        "at_8_over_llama_cpp": ratio("ours_at_8", "llama_cpp_at_8"),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
