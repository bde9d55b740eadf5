"""The command group `muniment image`. Its commands import torch when they run."""

from __future__ import annotations

import click

from .augment import augment
from .certificate import certificate
from .classifier import classifier
from .inspect import inspect
from .measure import measure
from .sheet import sheet
from .train import train
from .verify import verify
from .words import words


@click.group
def image() -> None:
    """Train image models, measure and use them, and check picture files."""


image.add_command(augment)
image.add_command(certificate)
image.add_command(classifier)
image.add_command(inspect)
image.add_command(measure)
image.add_command(sheet)
image.add_command(train)
image.add_command(verify)
image.add_command(words)
