"""The size of the memory, and the recognition of exceptions that mean that it was too small."""

from __future__ import annotations

import os

_SENTENCES = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception of torch or numpy means that memory could not be allocated."""
    import torch  # reading pictures needs none of it

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # On a processor, the allocators of torch and its libraries raise a plain RuntimeError.
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sentence in text for sentence in _SENTENCES)


def physical_memory() -> float:
    """Return the size of the machine's memory in bytes, or infinity if it is not known."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return float("inf")
