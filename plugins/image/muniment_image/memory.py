"""The recognition of missing memory, which libraries report by various exceptions."""

from __future__ import annotations

import torch

_SENTENCES = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception of torch or numpy means that memory could not be allocated."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # On a processor, the allocators of torch and its libraries raise a plain RuntimeError.
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sentence in text for sentence in _SENTENCES)
