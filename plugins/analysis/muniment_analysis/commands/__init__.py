"""The group `muniment analyze`, and `audit report`. Its commands import numpy when they run."""

from __future__ import annotations

import click

from .audit_report import report as audit_report
from .compare import compare
from .controllability import controllability
from .drift import drift
from .ifeval import ifeval
from .import_logs import import_logs
from .labels import labels
from .plan import plan
from .variance import variance

__all__ = ["analyze", "audit_report"]


@click.group()
def analyze() -> None:
    """Analyse what moves an output, by how much, and with which certainty."""


analyze.add_command(compare)
analyze.add_command(controllability)
analyze.add_command(drift)
analyze.add_command(ifeval)
analyze.add_command(import_logs)
analyze.add_command(labels)
analyze.add_command(plan)
analyze.add_command(variance)
