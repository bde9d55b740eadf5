"""The command group `muniment image`. Its commands import torch when they run."""

from __future__ import annotations

import click

from .augment import augment
from .classifier import classifier
from .measure import measure
from .sheet import sheet
from .train import train


@click.group
def image() -> None:
    """Train image models, and measure and use them."""


image.add_command(augment)
image.add_command(classifier)
image.add_command(measure)
image.add_command(sheet)
image.add_command(train)
