"""The facts of the environment on which the bytes of an image, or of trained weights, depend."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def facts(device: torch.device) -> dict[str, str | int]:
    """Return the processor, its kernels, the threads and the versions of the libraries, by name."""
    import numpy
    import torch

    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "cpu": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _processor() -> str:
    """Return the name of the processor, which Linux has in a file only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
