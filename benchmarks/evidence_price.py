"""Measure the cost of the evidence, comparing the whole pipeline with the bare engine.

The same prompts, seeds and parameters go through `Session.run` (default policy, default
evaluators, everything recorded) and through the text engine called directly, in turn, in one
process. Prints one JSON line. `ratio` is the best pipeline throughput ÷ the best bare throughput,
and `ratio_median` the median over the rounds.

    python benchmarks/evidence_price.py [--rounds N] [--requests N] [--max-tokens N] [--model NAME]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import muniment
from muniment_text.engine import Engine, Finish
from muniment_text.generator import TextGenerator
from muniment_text.loading import load
from muniment_text.sampling import Sampling

PROMPTS = (
    "The old lighthouse keeper climbed the stairs and",
    "最近我国成功发射了新的卫星",
    "In the beginning there was nothing but",
    "春天来了，公园里的花",
    "A good recipe for bread begins with",
    "他站在窗前，看着外面的雨，",
    "The committee decided after a long debate that",
    "科学家们发现，在深海里生活着",
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--requests", type=int, default=32)
    arguments.add_argument("--max-tokens", type=int, default=32)
    arguments.add_argument("--model", default=None)
    options = arguments.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        session = muniment.Session(store=str(Path(folder) / "muniment.db"))
        parameters = {"max_tokens": options.max_tokens}
        specs = [
            muniment.GenerationSpec(
                PROMPTS[index % len(PROMPTS)],
                model=options.model,
                seed=index,
                parameters=parameters,
            )
            for index in range(options.requests)
        ]
        recorded = list(session.run(specs[:8]))  # adds and loads the model, makes the store
        model = session.models.resolve(recorded[0].model.name, TextGenerator())
        engine = Engine(load(model.path))
        sampling = Sampling(
            **{
                name: value
                for name, value in recorded[0].parameters.items()
                if name in Sampling.__dataclass_fields__
            }
        )
        rows = [
            engine.row(
                index,
                spec.prompt,
                seed=index,
                max_tokens=options.max_tokens,
                sampling=sampling,
            )
            for index, spec in enumerate(specs)
        ]
        bare_tokens(engine, rows[:8])
        bare, whole = [], []

        def run_bare() -> None:
            start = time.perf_counter()
            tokens = bare_tokens(engine, rows)
            bare.append(tokens / (time.perf_counter() - start))

        def run_whole() -> None:
            start = time.perf_counter()
            generations = list(session.run(specs))
            tokens = sum(item.usage.output_tokens for item in generations)
            whole.append(tokens / (time.perf_counter() - start))
            statuses = {item.status for item in generations}
            assert statuses == {"completed"}, statuses

        for round_ in range(options.rounds):
            for work in (run_bare, run_whole) if round_ % 2 else (run_whole, run_bare):
                work()
            print(f"round {round_ + 1}: {bare[-1]:.1f} {whole[-1]:.1f}", file=sys.stderr)
        ratios = [mine / theirs for mine, theirs in zip(whole, bare, strict=True)]
        print(
            json.dumps(
                {
                    "benchmark": "evidence_price",
                    "compared_to": "the text engine called bare, same prompts, seeds, parameters",
                    "requests": options.requests,
                    "max_tokens": options.max_tokens,
                    "rounds": options.rounds,
                    "verdicts_each": len(recorded[0].verdicts),
                    "scores_each": len(recorded[0].scores),
                    "pipeline_tokens_per_second": round(max(whole), 1),
                    "bare_tokens_per_second": round(max(bare), 1),
                    "ratio": round(max(whole) / max(bare), 3),
                    "ratio_median": round(statistics.median(ratios), 3),
                    "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
                }
            )
        )
        session.close()


def bare_tokens(engine: Engine, rows: list[object]) -> int:
    """Decode the rows and return the number of output tokens."""
    return sum(len(event.token_ids) for event in engine.decode(rows) if isinstance(event, Finish))


if __name__ == "__main__":
    main()
