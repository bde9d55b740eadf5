"""The command group `muniment recommendation`. Its commands import numpy when they run."""

from __future__ import annotations

import click


@click.group()
def recommendation() -> None:
    """Fit recommendation models, measure and use them."""
