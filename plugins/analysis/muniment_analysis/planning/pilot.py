"""The variances of a recorded experiment, from which another one is planned."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

import muniment
from muniment_analysis.controllability.experiment_design import ExperimentDesign, parse_design
from muniment_analysis.errors import AnalysisError, MixedVersionsError
from muniment_analysis.intervals import Floats
from muniment_analysis.recorded_scores import find_score, full_name, may_mean, problem_of, source_of
from muniment_analysis.variance.design import Design
from muniment_analysis.variance.mean_squares import mean_squares
from muniment_analysis.variance.sample import check_sample, size_warnings
from muniment_analysis.variance.shares import VarianceShares, variance_shares

from .allocation import Components

PARAPHRASE = "paraphrase"


@dataclass(frozen=True)
class Pilot:
    """A score of a recorded experiment.

    Attributes:
        design: The design of the experiment.
        score: The full name of the score.
        values: The values of the complete items [items, paraphrases, settings, seeds].
        warnings: Sentences on the number of items.
    """

    design: ExperimentDesign
    score: str
    values: Floats
    warnings: tuple[str, ...]

    @property
    def components(self) -> Components:
        """The variances of the mean over the settings of the experiment.

        With one paraphrase, its variance is part of that of the items.
        """
        _, paraphrases, settings, seeds = self.values.shape
        seed = float(self.values.var(axis=-1, ddof=1).mean()) / settings
        means = self.values.mean(axis=(2, 3))
        paraphrase = 0.0
        if paraphrases > 1:
            paraphrase = max(0.0, float(means.var(axis=1, ddof=1).mean()) - seed / seeds)
        # The variance of the means of items has part of the other variances.
        others = Components(0.0, paraphrase, seed).of_item_mean(paraphrases, seeds)
        item = max(0.0, float(means.mean(axis=1).var(ddof=1)) - others)
        return Components(item, paraphrase, seed)

    @property
    def shares(self) -> VarianceShares:
        """The variance shares of paraphrase, control parameters, interactions and seed."""
        controls = self.design.controls
        factors = (
            {PARAPHRASE: range(self.design.paraphrases)} if self.design.paraphrases > 1 else {}
        )
        levels = {**factors, **controls}
        design = Design(
            tuple(levels),
            tuple(tuple(map(str, values)) for values in levels.values()),
            self.design.replicates,
            tuple(controls),
        )
        values = self.values.reshape(len(self.values), *design.shape, design.seeds)
        return variance_shares(design, mean_squares(design, values))


def read_pilot(
    session: muniment.Session, reference: str, score: str, *, allow_incomplete: bool = False
) -> Pilot:
    """Return a score of a recorded experiment, of the items with all values.

    Raises AnalysisError for a run without a readable design, and MixedVersionsError for several
    versions of the evaluator. Raises UnknownNameError for an unknown run or score, and SampleError
    for too few items.
    """
    recorded = session.experiment(reference)
    text = None if recorded is None else recorded.text("design")
    if recorded is None or text is None:
        raise AnalysisError(
            f"run {reference} has no design of an experiment; use one of "
            "muniment analyze controllability, or --sd"
        )
    design = parse_design(text, f"of run {reference}")
    shape = (design.paraphrases, len(design.combinations), design.replicates)
    columns: dict[str, Floats] = {}
    names: set[str] = set()
    sources: dict[str, Counter[str]] = {}
    for generation in session.cells(reference):
        cell = generation.cell
        # Misspelt prompts have the numbers after those of the paraphrases.
        if cell is None or cell.paraphrase >= design.paraphrases:
            continue
        for one in () if problem_of(generation) else generation.newest_scores:
            name = full_name(one)
            names.add(name)
            if one.value is not None and may_mean(score, name):
                column = columns.setdefault(name, np.full((len(design.items), *shape), np.nan))
                column[cell] = one.value
                sources.setdefault(name, Counter())[source_of(one)] += 1
    name = find_score(score, names)
    if len(counts := sources.get(name, Counter())) > 1:
        raise MixedVersionsError(name, "of the pilot", counts)
    values = columns.get(name, np.empty((0, *shape)))
    complete = np.isfinite(values).all(axis=(1, 2, 3))
    number = int(complete.sum())
    left_out = check_sample(number, int((~complete).sum()), allow_incomplete=allow_incomplete)
    return Pilot(design, name, values[complete], (*left_out, *size_warnings(number)))
