"""The engine, the same weights in fp32 and the prompts of the text benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from muniment_text.engine import Engine
from muniment_text.environment import facts
from muniment_text.loading import load
from muniment_text.preparing import DEFAULT_PACKAGE, DEFAULT_SOURCE, package_file, prepare

PROMPTS = (
    "The moon landing was",
    "最近我国成功发射了新的卫星",
    "Once upon a time",
    "人工智能的未来",
    "In 1849, the first settlers",
    "春天来了，",
    "The recipe needs two eggs and",
    "Dear Sir or Madam,",
)


def engine(folder: str | None, scratch: Path, max_rows: int = 8) -> Engine:
    """Return the default model's engine, from a prepared folder or prepared here."""
    where = Path(folder) if folder else prepare(DEFAULT_SOURCE, scratch / "model")
    return Engine(load(where), max_rows=max_rows)


def full_precision(scratch: Path) -> Any:
    """Return the default model in transformers at fp32, before Muniment's conversion."""
    from muniment_text.gguf import read_model

    with package_file(DEFAULT_PACKAGE, scratch) as (path, _):
        model = read_model(path, lambda label, fraction: None)
    model.set_attn_implementation("sdpa")
    return model.eval()


def environment(of: Engine) -> dict[str, str | int]:
    """Return the facts on which the figures depend."""
    known = facts(of)
    names = ("kernel", "threads", "torch", "transformers", "cpu", "cpu_capability")
    return {name: known[name] for name in names}
