"""The width of a terminal below which help has a formatter of its own."""

from __future__ import annotations

import shutil

CLICK_LEAST = 50  # cells of a line of help; click formats for no narrower terminal


def is_narrow() -> bool:
    """Return whether click would format help for a wider terminal, with lines that are cut."""
    return shutil.get_terminal_size().columns < CLICK_LEAST + 2
