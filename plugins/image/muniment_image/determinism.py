"""Settings of torch with which equal operations have equal results."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Use deterministic algorithms in the block, and restore settings and random state at its end.

    An operation of CUDA that has no such algorithm prints a warning.
    """
    is_cuda = device.type == "cuda"
    if is_cuda:  # cuBLAS reads this when it is first used
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    settings: Any = torch.utils.deterministic
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    warned_only = torch.is_deterministic_algorithms_warn_only_enabled()
    filled = settings.fill_uninitialized_memory
    with torch.random.fork_rng(devices=[device] if is_cuda else []):
        torch.use_deterministic_algorithms(True, warn_only=True)
        settings.fill_uninitialized_memory = False  # it costs time and changes no result
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(was_deterministic, warn_only=warned_only)
            settings.fill_uninitialized_memory = filled
