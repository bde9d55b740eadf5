"""The environment that a generation's bits may depend on, to be recorded with it."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any


def facts(engine: Any) -> dict[str, str | int]:
    """Return the environment of an engine's generations, by name.

    `threads` is the number of torch's threads. `kernel` is the name of the decoder, which is
    "direct", "rows" or "row-by-row".
    """
    import torch

    from .layers import has_fbgemm

    decoder = engine.model.decoder
    return {
        "dtype": "float16 weights, float32 elsewhere",
        "kernel": decoder.name,
        "multiplication": "fbgemm" if has_fbgemm() else "torch",
        "attention": decoder.attention,
        "rows": engine.max_rows,
        "padding": "none",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "os": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def cpu_model() -> str:
    """Return the name of the processor as reported by the operating system."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
