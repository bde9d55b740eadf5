"""Import of torch and numpy with less processor time."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator

# How long idle threads of a library wait for work before they sleep. The libraries read it once,
# when they are loaded. libgomp's default of 300,000 iterations takes milliseconds, which is most of
# the processor time on a busy machine. With 10,000, a step on an idle machine takes a tenth longer,
# because threads sleep within it. OpenBLAS waits for 2^26 cycles by default.
_WAITING = {"GOMP_SPINCOUNT": "25000", "OPENBLAS_THREAD_TIMEOUT": "20"}


def import_libraries() -> None:
    """Import torch and numpy without garbage collections, with short waiting of idle threads."""
    with _without_collections(), _short_waiting():
        import numpy  # noqa: F401
        import torch  # noqa: F401


@contextlib.contextmanager
def _short_waiting() -> Iterator[None]:
    """Set the variables that limit waiting, unless the user has set one for the library."""
    limits = {name: value for name, value in _WAITING.items() if name not in os.environ}
    if "OMP_WAIT_POLICY" in os.environ:
        limits.pop("GOMP_SPINCOUNT", None)
    os.environ.update(limits)
    try:
        yield
    finally:
        for name in limits:
            del os.environ[name]


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_freeze_count():  # the program exempts imported objects from collections
            gc.freeze()
        if enabled:
            gc.enable()
