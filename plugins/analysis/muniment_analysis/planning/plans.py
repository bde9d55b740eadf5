"""Plans: the ways to reach a wanted precision, and what they are based on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import muniment
from muniment_analysis.errors import ConstantError
from muniment_analysis.variance.sample import LEAST_ITEMS

from .allocation import Components, Costs, Option, options
from .pilot import Pilot
from .sample_size import (
    cautious_variance,
    items_for_effect,
    items_for_mean,
    items_for_proportion,
)
from .simulation import KnownShares, items_by_scale, items_for_share, share_estimate


@dataclass(frozen=True)
class Plan:
    """The ways to reach a precision.

    Attributes:
        wanted: A phrase for people, such as `the mean ± 0.1`.
        options: The ways, the cheapest first. Never empty.
        components: The variances that the plan is based on, or None.
        cautious: The cheapest way if the variances of the pilot are at their upper 80 % bound, or
            None without a pilot.
        warnings: Sentences on the basis of the plan.
    """

    wanted: str
    options: list[Option]
    components: Components | None = None
    cautious: Option | None = None
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON."""
        return {
            "wanted": self.wanted,
            "options": [option.to_json() for option in self.options],
            "components": None if self.components is None else self.components._asdict(),
            "cautious": None if self.cautious is None else self.cautious.to_json(),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Choices:
    """The numbers to choose from, and the costs.

    Attributes:
        paraphrases: The numbers of paraphrases, or empty for those that the plan suggests.
        settings: The number of settings.
        seeds: The numbers of seeds, or empty for those that the plan suggests.
        costs: The costs.
    """

    paraphrases: tuple[int, ...] = ()
    settings: int = 1
    seeds: tuple[int, ...] = ()
    costs: Costs = field(default_factory=Costs)


def plan_proportion(expected: float, precision: float, choices: Choices) -> Plan:
    """Return the plan for a proportion of independent outputs, one for each item."""
    items = items_for_proportion(expected, precision)
    ways = _options(
        lambda paraphrases, seeds: items, replace(choices, paraphrases=(1,), seeds=(1,))
    )
    return Plan(f"a proportion of {expected:g} ± {precision:g}", ways)


def plan_mean(components: Components, precision: float, choices: Choices) -> Plan:
    """Return the plan for a mean of known variances."""

    def items_for(paraphrases: int, seeds: int) -> int:
        return items_for_mean(components.of_item_mean(paraphrases, seeds), precision)

    return Plan(f"a mean ± {precision:g}", _options(items_for, _varied(components, choices)))


def plan_effect(components: Components, effect: float, power: float, choices: Choices) -> Plan:
    """Return the plan for finding a difference between two runs, per run.

    `components` are the variances of the differences of items.
    """

    def items_for(paraphrases: int, seeds: int) -> int:
        return items_for_effect(components.of_item_mean(paraphrases, seeds), effect, power)

    return Plan(
        f"in each of two runs, for a difference of {effect:g} with a power of {power:g}",
        _options(items_for, _varied(components, choices)),
    )


def plan_mean_of_pilot(pilot: Pilot, precision: float, choices: Choices) -> Plan:
    """Return the plan for the mean of a score over the settings of a recorded experiment."""
    items, paraphrases, settings, _ = pilot.values.shape
    components = pilot.components
    if not any(components):
        raise ConstantError(
            f"all values of {pilot.score} are equal, so they say nothing about its variance; use "
            "another score or run"
        )
    choices = replace(choices, settings=settings)
    if paraphrases == 1:
        choices = replace(choices, paraphrases=(1,))
    plan = plan_mean(components, precision, choices)
    factor = cautious_variance(1.0, items)
    cautious = plan_mean(Components(*(factor * one for one in components)), precision, choices)
    return replace(
        plan,
        wanted=f"the mean of {pilot.score} ± {precision:g}",
        components=components,
        cautious=cautious.options[0],
        warnings=pilot.warnings,
    )


def plan_share(shares: KnownShares, part: str, precision: float, choices: Choices) -> Plan:
    """Return the plan for a variance share or the controllability, by simulation."""
    settings = choices.settings
    choices = replace(
        choices, paraphrases=choices.paraphrases or (2, 3, 5), seeds=choices.seeds or (2, 3, 5)
    )
    if min(*choices.paraphrases, *choices.seeds, settings) < 2:
        raise muniment.UsageError("shares need 2 paraphrases, 2 settings and 2 seeds, or more")
    return Plan(
        f"the share {part} ± {precision:g}",
        _options(
            lambda paraphrases, seeds: items_for_share(
                shares, part, precision, (paraphrases, settings, seeds)
            ),
            choices,
        ),
        warnings=("numbers of items are from simulations, and about 10 % uncertain",),
    )


def plan_share_of_pilot(pilot: Pilot, part: str, precision: float, choices: Choices) -> Plan:
    """Return the plan for a share with the design of a recorded experiment and more items."""
    estimate = share_estimate(pilot.shares, part)
    _, paraphrases, settings, seeds = pilot.values.shape
    half_width = (estimate.high - estimate.low) / 2
    items = items_by_scale(estimate.n, half_width, precision)
    return Plan(
        f"the share {part} of {pilot.score} ± {precision:g}",
        _options(
            lambda paraphrases, seeds: items,
            replace(choices, paraphrases=(paraphrases,), settings=settings, seeds=(seeds,)),
        ),
        warnings=pilot.warnings,
    )


def _varied(components: Components, choices: Choices) -> Choices:
    """Return choices without repetitions that a variance of 0 makes useless."""
    paraphrases = choices.paraphrases or ((1,) if components.paraphrase == 0 else ())
    seeds = choices.seeds or ((1,) if components.seed == 0 else ())
    return replace(choices, paraphrases=paraphrases, seeds=seeds)


def _options(items_for: Callable[[int, int], int], choices: Choices) -> list[Option]:
    """Return the options, each with at least the 10 items that every analysis needs."""

    def at_least(paraphrases: int, seeds: int) -> int:
        return max(LEAST_ITEMS, items_for(paraphrases, seeds))

    return options(
        at_least,
        choices.costs,
        paraphrases=choices.paraphrases,
        settings=choices.settings,
        seeds=choices.seeds,
    )


def check_positive(**numbers: float | None) -> None:
    """Raise UsageError for a number that is not finite and above 0. None passes."""
    for name, number in numbers.items():
        if number is not None and not (0 < number < math.inf):
            raise muniment.UsageError(
                f"--{name.replace('_', '-')} is {number:g}; use a number above 0"
            )
