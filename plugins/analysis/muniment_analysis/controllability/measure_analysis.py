"""The analysis of one measure over all items: shares, distances, response and compliance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from muniment_analysis.errors import ConstantError, SampleError
from muniment_analysis.intervals import (
    Estimate,
    Floats,
    bootstrap_estimates,
    mean_estimates,
    proportion_estimate,
    resampled_means,
    wilson_estimate,
)
from muniment_analysis.variance.design import Design as VarianceDesign
from muniment_analysis.variance.mean_squares import distance_mean_squares, item_mean_squares
from muniment_analysis.variance.shares import VarianceShares, components_of, variance_shares

from . import item_statistics
from .compliance import is_binary, pass_curve
from .experiment_design import WORDING, ExperimentDesign, is_numeric
from .layout import Layout
from .reading import layout_of
from .values import ItemValues


@dataclass(frozen=True)
class Response:
    """The response of a measure to a numeric control.

    Attributes:
        levels: The values of the control.
        means: The mean of the measure at each level.
        spearman: The mean rank correlation within items, or None if no item has one.
        slope: The mean slope of the measure for each unit of the control.
    """

    levels: Sequence[float]
    means: list[Estimate]
    spearman: Estimate | None
    slope: Estimate | None


@dataclass(frozen=True)
class Compliance:
    """Compliance, where the numbers of a measure are 0 and 1.

    Attributes:
        rate: The share of outputs that comply, averaged over items.
        by_setting: The same for each setting.
        curve: pass^1, pass^2, … up to the number of seeds.
    """

    rate: Estimate
    by_setting: list[Estimate]
    curve: list[Estimate]


@dataclass(frozen=True)
class MeasureResult:
    """The results of one measure. A result is None where there is no basis for it.

    Attributes:
        name: The name of the measure.
        unit: Its unit, or empty.
        items: The number of items with a value for each output.
        left_out: The ids of complete items without one.
        shares: The variance shares.
        constant: Why there are no shares, or None.
        distances: The mean distances between outputs that differ in the seed, the settings and the
            wording, as far as the design has them.
        item_distances: The same distances of each item, without those that have none.
        step_ratio: The distance between settings divided by that between seeds. None if outputs
            that differ in the seed alone are equal.
        seed_distances: The mean distance between seeds at each setting.
        response: The response to each numeric control. Empty for distances.
        error: The `absolute` and the `signed` mean difference from the requested value. Empty
            unless the measure should equal a setting.
        compliance: None unless all values are 0 and 1.
        typos: The mean distance between outputs of misspelt prompts and of the prompt as written.
    """

    name: str
    unit: str
    items: int
    left_out: tuple[str, ...]
    shares: VarianceShares | None
    constant: str | None
    distances: Mapping[str, Estimate]
    item_distances: Mapping[str, Floats]
    step_ratio: Estimate | None
    seed_distances: list[Estimate]
    response: Mapping[str, Response]
    error: Mapping[str, Estimate]
    compliance: Compliance | None
    typos: Estimate | None


@dataclass
class MeasureAnalysis:
    """Collects the statistics of one measure, item by item. No output is kept."""

    name: str
    design: ExperimentDesign
    unit: str = ""
    requested: str = ""
    _rows: list[Floats] = field(default_factory=list)
    _distances: list[list[float]] = field(default_factory=list)
    _seed_distances: list[list[float]] = field(default_factory=list)
    _numbers: list[Floats] = field(default_factory=list)
    _responses: list[list[float]] = field(default_factory=list)
    _curves: list[list[float]] = field(default_factory=list)
    _errors: list[list[float]] = field(default_factory=list)
    _typos: list[float] = field(default_factory=list)
    _all_binary: bool = True
    ids: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.layout: Layout = layout_of(self.design)
        self.variance_design = variance_design(self.design)
        controls = self.design.controls
        self._numeric = [name for name, levels in controls.items() if is_numeric(levels)]

    def add(self, id: str, values: ItemValues) -> None:
        """Add the values of an item."""
        layout = self.layout
        shape = (*self.variance_design.shape, layout.replicates)
        self.ids.append(id)
        self._distances.append(list(item_statistics.mean_distances(layout, values).values()))
        self._seed_distances.append(item_statistics.seed_distances(layout, values))
        if values.numbers is None:
            self._all_binary = False
            self._rows.append(distance_mean_squares(self.variance_design, values.squared))
            return
        self._rows.append(item_mean_squares(self.variance_design, values.numbers.reshape(shape)))
        grid = values.numbers.reshape(layout.shape)
        self._numbers.append(grid.mean(axis=0).mean(axis=-1))
        self._responses.append(
            [
                value
                for name in self._numeric
                for value in item_statistics.control_response(
                    layout, values, self.design.controls, name
                ).values()
            ]
        )
        if self.requested:
            wanted = [float(c[self.requested]) for c in self.design.combinations]
            errors = item_statistics.request_error(layout, values, wanted)
            self._errors.append(list(errors.values()))
        self._all_binary = self._all_binary and is_binary(values.numbers)
        if self._all_binary:
            self._curves.append(pass_curve(grid))

    def add_typos(self, distance: float) -> None:
        """Add an item's mean distance between outputs of misspelt and of correct prompts."""
        self._typos.append(distance)

    def result(self) -> MeasureResult:
        """Return the results over the items that were added."""
        shares, constant = self._shares()
        distances = self._means(self._distances)
        names = ("seed", "setting", WORDING)
        columns = dict(zip(names, np.array(self._distances).T, strict=True))
        return MeasureResult(
            name=self.name,
            unit=self.unit,
            items=len(self.ids),
            left_out=tuple(self.left_out),
            shares=shares,
            constant=constant,
            distances={
                name: estimate
                for name, estimate in zip(names, distances, strict=True)
                if estimate is not None
            },
            item_distances={name: column[~np.isnan(column)] for name, column in columns.items()},
            step_ratio=self._step_ratio(),
            seed_distances=[item for item in self._means(self._seed_distances) if item],
            response=self._response(),
            error=self._error(),
            compliance=self._compliance(),
            typos=self._means([[value] for value in self._typos])[0] if self._typos else None,
        )

    def item_controllability(self) -> dict[str, float]:
        """Return the share of the control parameters in the variance of each item alone, by id."""
        shares: dict[str, float] = {}
        for id, row in zip(self.ids, self._rows, strict=True):
            value = _single_share(self.variance_design, row)
            if value is not None:
                shares[id] = value
        return shares

    def _shares(self) -> tuple[VarianceShares | None, str | None]:
        try:
            return variance_shares(self.variance_design, np.array(self._rows)), None
        except (ConstantError, SampleError) as error:
            return None, str(error)

    def _step_ratio(self) -> Estimate | None:
        rows = np.array(self._distances)[:, :2]
        rows = rows[~np.isnan(rows).any(axis=1)]
        if len(rows) < 2 or not rows[:, 0].sum() > 0:
            return None
        means, samples = rows.mean(axis=0), resampled_means(rows)
        samples = samples[samples[:, 0] > 0]
        ratios = samples[:, 1:] / samples[:, :1]
        return bootstrap_estimates(means[1:] / means[:1], ratios, len(rows))[0]

    def _response(self) -> dict[str, Response]:
        if not self._numbers:
            return {}
        controls = self.design.controls
        shape = (len(self._numbers), *map(len, controls.values()))
        numbers = np.array(self._numbers).reshape(shape)
        fitted = self._means(self._responses) if self._numeric else []
        responses = {}
        for position, name in enumerate(self._numeric):
            axis = 1 + list(controls).index(name)
            others = tuple(a for a in range(1, numbers.ndim) if a != axis)
            responses[name] = Response(
                levels=[float(level) for level in controls[name]],
                means=mean_estimates(numbers.mean(axis=others)),
                spearman=fitted[2 * position],
                slope=fitted[2 * position + 1],
            )
        return responses

    def _error(self) -> dict[str, Estimate]:
        if not self._errors:
            return {}
        estimates = mean_estimates(np.array(self._errors))
        return dict(zip(("absolute", "signed"), estimates, strict=True))

    def _compliance(self) -> Compliance | None:
        if not self._all_binary or not self._numbers:
            return None
        numbers = np.array(self._numbers)
        by_setting = [self._rate(numbers[:, setting]) for setting in range(numbers.shape[1])]
        curves = np.array(self._curves)
        return Compliance(
            rate=self._rate(numbers.mean(axis=1)),
            by_setting=by_setting,
            curve=[proportion_estimate(curves[:, k]) for k in range(curves.shape[1])],
        )

    def _rate(self, shares: Floats) -> Estimate:
        """Return the mean share of items. With one output an item, the interval is Wilson's."""
        if self.layout.size == 1:
            return wilson_estimate(round(float(shares.sum())), len(shares))
        return proportion_estimate(shares)

    def _means(self, rows: Sequence[Sequence[float]]) -> list[Estimate | None]:
        """Return the mean of each column over the items that have a value, or None."""
        estimates: list[Estimate | None] = []
        for column in np.array(rows, dtype=np.float64).T:
            present = column[~np.isnan(column)]
            estimates.append(mean_estimates(present[:, None])[0] if len(present) > 1 else None)
        return estimates


def variance_design(design: ExperimentDesign) -> VarianceDesign:
    """Return the factors of the outputs of each item. A factor with one level is none."""
    factors: dict[str, tuple[str, ...]] = {}
    if design.paraphrases > 1:
        factors[WORDING] = tuple(str(number) for number in range(1, design.paraphrases + 1))
    factors |= {name: tuple(map(str, levels)) for name, levels in design.controls.items()}
    return VarianceDesign(
        factors=tuple(factors),
        levels=tuple(factors.values()),
        seeds=design.replicates,
        controls=tuple(design.controls),
    )


def _single_share(design: VarianceDesign, row: Floats) -> float | None:
    """Return the share of the control parameters in the variance of one item, or None."""
    components = {name: max(value, 0) for name, value in components_of(design, row).items()}
    total = sum(components.values())
    if total <= 0:
        return None
    return sum(components[name] for name in design.control_names) / total
