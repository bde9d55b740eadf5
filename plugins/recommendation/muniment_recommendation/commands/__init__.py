"""The command group `muniment recommendation`. Its commands import numpy when they run."""

from __future__ import annotations

import click

from .all_users import all_users
from .article import article
from .evaluate import evaluate
from .fit import fit
from .forget_user import forget_user
from .import_data import import_data
from .report import report
from .similar import similar
from .split import split
from .stats import stats


@click.group()
def recommendation() -> None:
    """Fit recommendation models, measure and use them."""


recommendation.add_command(all_users)
recommendation.add_command(article)
recommendation.add_command(evaluate)
recommendation.add_command(fit)
recommendation.add_command(forget_user)
recommendation.add_command(import_data)
recommendation.add_command(report)
recommendation.add_command(similar)
recommendation.add_command(split)
recommendation.add_command(stats)
