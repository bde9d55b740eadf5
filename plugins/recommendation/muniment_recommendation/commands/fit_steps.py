"""Steps of a fit that the commands share. They import numpy when they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import muniment
from muniment.command import progress

if TYPE_CHECKING:
    from muniment_recommendation.data.reading import Data
    from muniment_recommendation.data.tables import Tables
    from muniment_recommendation.fitting.fitted_model import FittedModel
    from muniment_recommendation.fitting.options import FitOptions
    from muniment_recommendation.home.forgotten_users import ForgottenUsers


def data_to_fit(
    session: muniment.Session,
    tables: Tables,
    options: FitOptions,
    forgotten: ForgottenUsers | None = None,
) -> tuple[Data, int | None]:
    """Return the data of tables, with recorded feedback if the options have `feedback`.

    Feedback of `forgotten` users is omitted, by default those of the session's home.
    The number is that of the rows from feedback, or None without the option. Raises DataError.
    """
    from muniment_recommendation.data.reading import data_of
    from muniment_recommendation.home.feedback import with_feedback
    from muniment_recommendation.home.forgotten_users import ForgottenUsers

    added = None
    if options.options.get("feedback"):
        session.ensure_store()
        forgotten = forgotten or ForgottenUsers(session.home)
        tables, added = with_feedback(tables, session.feedback_events(), forgotten.has)
    return data_of(tables, min_rating=options.options.get("min_rating")), added


def fit_with_progress(data: Data, options: FitOptions) -> FittedModel:
    """Return a model of data, and show the progress of the fit."""
    from muniment_recommendation.fitting.fit import fit

    with progress("fitting", 100) as bar:
        done = 0

        def advance(step: str, share: float) -> None:
            nonlocal done
            percent = int(100 * share)
            bar.advance(percent - done)
            done = percent

        return fit(
            data.interactions,
            data.catalogue,
            options,
            data_digest=data.digest,
            progress=advance,
        )
