"""Measure how long the evaluators that use no model take for 10,000 texts.

The texts are 100 words of English, or 100 characters of Chinese, drawn from the folder `texts`.
Each is scored by text-statistics, by instructions with three instructions of IFEval, and by chrf
with one reference. The language is checked for every 27th text, as often as in IFEval, because it
takes 100 times as long as the others. The limit is 30 s for all of it together. The other measures,
which have no limit, are measured on a tenth of the texts.

Prints one JSON line. The exit code is 1 if the limit is missed.

    OMP_NUM_THREADS=1 python benchmarks/analysis_measures.py [--texts 10000]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import muniment
from muniment_analysis.evaluators.group_diversity import Diversity, SelfBleu
from muniment_analysis.evaluators.instructions import Instructions
from muniment_analysis.evaluators.reference_overlap import Bleu, Chrf, RougeL
from muniment_analysis.evaluators.text_statistics import TextStatistics
from muniment_analysis.words import words

LIMIT = 30.0  # seconds for 10,000 texts
LENGTH = 100  # words
GROUP = 10  # texts that are compared with each other
IDS = (
    "punctuation:no_comma",
    "length_constraints:number_words",
    "length_constraints:number_sentences",
)
ARGUMENTS = """[
    {},
    {"num_words": 50, "relation": "at least"},
    {"num_sentences": 3, "relation": "at least"}
]"""
LANGUAGE = ("language:response_language",), '[{"language": "en"}]'
EVERY = 27  # of 834 instructions of IFEval, 31 are about the language


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=10_000)
    count = parser.parse_args().texts
    generations, references = make_texts(count)
    instructions = Instructions(Instructions.Parameters(ids=IDS, arguments=ARGUMENTS))
    ids, arguments = LANGUAGE
    language = Instructions(Instructions.Parameters(ids=ids, arguments=arguments))
    language.evaluate(generations[0])  # reads the profiles of the languages
    cheap = {
        "text-statistics": seconds(lambda: [*map(TextStatistics().evaluate, generations)]),
        "instructions": seconds(lambda: [*map(instructions.evaluate, generations)]),
        "language": seconds(lambda: [*map(language.evaluate, generations[::EVERY])]),
        "chrf": seconds(lambda: Chrf().evaluate_group(generations, references)),
    }
    part = generations[: count // 10]
    groups = [part[start : start + GROUP] for start in range(0, len(part), GROUP)]
    others = {
        "language": seconds(lambda: [*map(language.evaluate, part)]),
        "bleu": seconds(lambda: Bleu().evaluate_group(part, references)),
        "rouge-l": seconds(lambda: RougeL().evaluate_group(part, references)),
        "self-bleu": seconds(lambda: [SelfBleu().evaluate_group(group, {}) for group in groups]),
        "diversity": seconds(lambda: [Diversity().evaluate_group(group, {}) for group in groups]),
    }
    total = sum(cheap.values())
    passed = total <= LIMIT * count / 10_000
    record: dict[str, Any] = {
        "benchmark": "analysis_measures",
        "texts": count,
        "words": LENGTH,
        "seconds": {name: round(value, 2) for name, value in cheap.items()},
        "total": round(total, 2),
        "limit": LIMIT,
        "others": {name: round(value, 2) for name, value in others.items()},
        "others_texts": len(part),
        "cpus": os.cpu_count(),
        "ok": passed,
    }
    print(json.dumps(record))
    sys.exit(not passed)


def make_texts(count: int) -> tuple[list[muniment.Generation], dict[str, list[str]]]:
    """Return generations, three in four of them in English, and a reference for each."""
    draw = random.Random(0)
    folder = Path(__file__).parent / "texts"
    whole = "".join(file.read_text(encoding="utf-8") for file in sorted(folder.iterdir()))
    found = words(whole)
    english = [word for word in found if word.isascii()]
    chinese = [word for word in found if not word.isascii()] or list("最近我国成功发射了新的卫星")

    def text() -> str:
        if draw.random() < 0.25:
            return "".join(draw.choices([*chinese, "，", "。"], k=LENGTH))
        return " ".join(draw.choices([*english, "and,", "so."], k=LENGTH))

    generations = [generation(str(number), text()) for number in range(count)]
    return generations, {item.id: [text()] for item in generations}


def generation(name: str, text: str) -> muniment.Generation:
    return muniment.Generation(
        id=name,
        run_id="R",
        actor="benchmark",
        status="completed",
        generator="none",
        prompt="?",
        seed=0,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        outputs=(muniment.Text(text),),
    )


def seconds(task: Callable[[], object]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
