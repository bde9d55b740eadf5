"""Import of torch with less processor time."""

from __future__ import annotations

import gc
import os
import sys

# Iterations for which an idle OpenMP thread waits before it sleeps. With libgomp's default of
# 300,000 it waits for milliseconds, and uses most of the processor time on a busy machine. With
# 10,000, a step on an idle machine takes a tenth longer, because threads sleep within it.
_SPIN_COUNT = "25000"


def import_torch() -> None:
    """Import torch without garbage collections, and limit the waiting of its idle threads.

    A limit that the user has set in the environment stays in force.
    """
    if "torch" in sys.modules:
        return
    limited = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    enabled = gc.isenabled()
    gc.disable()
    if limited:
        os.environ["GOMP_SPINCOUNT"] = _SPIN_COUNT  # libgomp reads it once, when torch loads it
    try:
        import torch  # noqa: F401
    finally:
        if limited:
            del os.environ["GOMP_SPINCOUNT"]
        if gc.get_freeze_count():  # the program exempts imported objects from collections
            gc.freeze()
        if enabled:
            gc.enable()
