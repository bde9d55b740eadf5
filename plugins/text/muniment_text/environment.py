"""The environment that a generation's bits may depend on, to be recorded with it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Instruction sets that kernels choose by, among the many flags of a processor.
_FLAGS = re.compile(r"(s?sse|avx|amx|fma|asimd|sve)\w*|f16c|sme|bf16|i8mm")
# Variables by which libraries choose kernels and threads. OMP_NUM_THREADS shows in `threads`.
# threadpoolctl sets KMP_DUPLICATE_LIB_OK when it is imported. It changes no result.
_VARIABLES = re.compile(
    r"(OMP|GOMP|KMP|MKL|ATEN|DNNL|ONEDNN)_(?!NUM_THREADS|DUPLICATE_LIB_OK)\w+|MKL_NUM_THREADS"
)
_PLAIN = re.compile(r"[\w.,:=+-]{0,40}")


def facts(engine: Any) -> dict[str, str | int]:
    """Return the environment of an engine's generations, by name.

    `threads` is the number of torch's threads. `kernel` is the name of the decoder, which is
    "direct", "rows" or "row-by-row". `note.self_test` is "remembered" if a test of an earlier
    process counted, and "run" otherwise.
    """
    model = engine.model
    return {
        **decoder_facts(model.decoder),
        "rows": engine.max_rows,
        "note.self_test": "remembered" if model.tests.remembered else "run",
    }


def decoder_facts(decoder: Any) -> dict[str, str | int]:
    """Return the environment of a decoder, or of a decoder class, without the engine's facts."""
    import numpy
    import tokenizers
    import torch

    from .layers import has_fbgemm

    cpu = _cpu_lines()
    return {
        "dtype": "float16 weights, float32 elsewhere",
        "kernel": decoder.name,
        "multiplication": "fbgemm" if has_fbgemm() else "torch",
        "attention": decoder.attention,
        "padding": "none",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "tokenizers": tokenizers.__version__,
        "numpy": numpy.__version__,
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_flags": _arithmetic(cpu.get("flags") or cpu.get("Features", "")),
        "variables": _variables(),
        "os": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def _cpu_lines() -> dict[str, str]:
    """Return what Linux reports of the first processor, by name."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _arithmetic(flags: str) -> str:
    return " ".join(sorted(flag for flag in flags.split() if _FLAGS.fullmatch(flag)))


def _variables() -> str:
    """Return the variables that libraries choose kernels by, each as NAME=value.

    Long or unusual values are replaced by a digest, because the record must contain no paths.
    """
    return " ".join(
        f"{name}={value if _PLAIN.fullmatch(value) else _digest(value)}"
        for name, value in sorted(os.environ.items())
        if _VARIABLES.fullmatch(name)
    )


def _digest(value: str) -> str:
    return f"sha256:{hashlib.sha256(os.fsencode(value)).hexdigest()}"
