"""`muniment analyze plan`: known numbers, simulated coverage, pilots, and options that clash."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint

from muniment import Cell, GenerationSpec, Levels
from muniment.ids import new_id
from muniment.testing import CommandContract, CommandResult, run_command
from muniment_analysis.commands import analyze
from muniment_analysis.commands.plan import plan
from muniment_analysis.errors import ConstantError, MixedVersionsError
from muniment_analysis.intervals import mean_estimate
from muniment_analysis.planning.allocation import Components, Costs, Option, options
from muniment_analysis.planning.pilot import PARAPHRASE, Pilot, read_pilot
from muniment_analysis.planning.plans import Choices, plan_mean_of_pilot
from muniment_analysis.planning.sample_size import (
    cautious_variance,
    items_for_effect,
    items_for_mean,
    items_for_proportion,
)
from muniment_analysis.planning.simulation import KnownShares, items_for_share, simulate
from muniment_analysis.variance.design import Design
from muniment_analysis.variance.mean_squares import mean_squares
from muniment_analysis.variance.shares import variance_shares
from support.plugins import PluginFolder
from support.workspace import Workspace


def call(*arguments: str, session: Any = None) -> CommandResult:
    return run_command(analyze, "plan", *arguments, session=session or object())


def planned(*arguments: str, session: Any = None) -> Any:
    result = call(*arguments, "--json", session=session)
    assert result.code == 0, result.stderr
    (record,) = result.json
    return record


def refused(result: CommandResult) -> str:
    assert (result.code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    return result.stderr


class TestPlan(CommandContract):
    command = plan
    arguments: ClassVar = ("--proportion", "0.5", "--precision", "0.05")

    @pytest.fixture
    def session(self) -> Any:
        return object()


# ---- numbers of items --------------------------------------------------------------------------


@pytest.mark.parametrize(("expected", "precision"), [(0.5, 0.05), (0.1, 0.03), (0.0, 0.05)])
def test_items_for_a_proportion_are_the_fewest_by_wilson(expected: float, precision: float) -> None:
    def half_width(items: int) -> float:
        low, high = proportion_confint(round(expected * items), items, method="wilson")
        return float(high - low) / 2

    items = items_for_proportion(expected, precision)
    assert half_width(items) <= precision < half_width(items - 2)


def test_items_for_a_proportion_of_one_half_follow_from_the_formula() -> None:
    z = 1.959963984540054
    exact = z**2 / (4 * 0.05**2) - z**2
    assert items_for_proportion(0.5, 0.05) == math.ceil(exact) == 381


def test_items_for_a_mean_are_the_fewest_by_student() -> None:
    assert items_for_mean(1.0, 0.2) == 99
    assert items_for_mean(0.0, 0.2) == 2


def test_mean_of_the_planned_items_is_covered_and_as_precise_as_wanted() -> None:
    components, paraphrases, seeds = Components(1.0, 0.5, 4.0), 2, 3
    items = items_for_mean(components.of_item_mean(paraphrases, seeds), 0.25)
    draw = np.random.default_rng(5)
    covered, widths = 0, []
    for _ in range(300):
        values = draw.normal(0, 1, (items, 1, 1))
        values = values + draw.normal(0, 0.5**0.5, (items, paraphrases, 1))
        values = values + draw.normal(0, 2, (items, paraphrases, seeds))
        estimate = mean_estimate(values.mean(axis=(1, 2)))
        covered += estimate.low <= 0 <= estimate.high
        widths.append((estimate.high - estimate.low) / 2)
    assert covered / 300 >= 0.92
    assert np.mean(widths) == pytest.approx(0.25, rel=0.05)


@pytest.mark.parametrize(("effect", "power"), [(0.5, 0.8), (0.2, 0.9), (1.5, 0.8)])
def test_items_for_an_effect_are_those_of_a_paired_t_test(effect: float, power: float) -> None:
    exact = TTestPower().solve_power(effect_size=effect, alpha=0.05, power=power)
    assert items_for_effect(1.0, effect, power) == math.ceil(exact - 0.01)


def test_variance_of_a_small_pilot_is_raised_to_its_upper_bound() -> None:
    draw = np.random.default_rng(2)
    bounds = [cautious_variance(draw.normal(size=10).var(ddof=1), 10) for _ in range(2000)]
    assert np.mean(np.array(bounds) >= 1) == pytest.approx(0.8, abs=0.03)


# ---- dividing generations ----------------------------------------------------------------------


def test_cheapest_option_is_that_of_the_optimal_allocation() -> None:
    components, costs = Components(1.0, 0.0, 16.0), Costs(item=4.0, generation=1.0)
    optimal = math.sqrt(4.0 / 1.0 * 16.0 / 1.0)  # Cochran 1977, section 10.6
    ways = options(
        lambda paraphrases, seeds: items_for_mean(components.of_item_mean(paraphrases, seeds), 0.1),
        costs,
        paraphrases=(1,),
    )
    assert abs(ways[0].seeds - optimal) <= 1


def test_cheapest_option_of_three_stages_is_that_of_the_optimal_allocation() -> None:
    components = Components(1.0, 4.0, 16.0)
    costs = Costs(item=36.0, paraphrase=9.0, generation=1.0)
    # Paraphrases √(36/9 · 4/1) = 4, and seeds √(9/1 · 16/4) = 6: Cochran 1977, section 10.8.
    best, *_ = options(
        lambda paraphrases, seeds: items_for_mean(
            components.of_item_mean(paraphrases, seeds), 0.05
        ),
        costs,
    )
    assert (best.paraphrases, best.seeds) == (4, 6)


def test_without_a_cost_of_items_one_output_an_item_is_cheapest() -> None:
    record = planned("--sd", "1", "--seed-sd", "3", "--precision", "0.2")
    best = record["options"][0]
    assert (best["paraphrases"], best["seeds"]) == (1, 1)
    assert best["generations"] == best["items"] == best["cost"] == items_for_mean(10.0, 0.2)


def test_no_plan_has_fewer_items_than_an_analysis_needs() -> None:
    assert planned("--sd", "1", "--precision", "100")["options"][0]["items"] == 10


def test_settings_multiply_the_generations() -> None:
    record = planned("--sd", "1", "--precision", "0.2", "--settings", "3", "--item-cost", "2")
    best = record["options"][0]
    assert (best["items"], best["generations"], best["cost"]) == (99, 297, 495)


# ---- shares ------------------------------------------------------------------------------------


def test_planned_items_give_a_share_the_wanted_precision() -> None:
    shares, cell = KnownShares(0.2, 0.2, 0.1, 0.5), (3, 3, 3)
    items = items_for_share(shares, "seed", 0.05, cell)
    design = Design(("paraphrase", "setting"), (("a", "b", "c"),) * 2, 3, ("setting",))
    widths, covered = [], 0
    for seed in range(1000, 1060):
        values = simulate(shares, items, cell, seed)
        estimate = variance_shares(design, mean_squares(design, values)).shares["seed"]
        widths.append((estimate.high - estimate.low) / 2)
        covered += estimate.low <= 0.5 <= estimate.high
    assert np.mean(widths) == pytest.approx(0.05, rel=0.12)
    assert covered / 60 >= 0.85


def test_share_of_controllability_is_planned_by_simulation() -> None:
    arguments = ("--shares", ".2,.2,.1,.5", "--share", "controllability", "--seeds", "2")
    coarse = planned(*arguments, "--paraphrases", "2", "--precision", "0.1")["options"]
    fine = planned(*arguments, "--paraphrases", "2", "--precision", "0.05")["options"]
    assert len(coarse) == 1
    assert fine[0]["items"] == pytest.approx(4 * coarse[0]["items"], rel=0.25)


# ---- pilots ------------------------------------------------------------------------------------

DESIGN = """
version: 1
generator: echo
items:
{items}
settings: {{text: ["0", "1"]}}
replicates: 3
seed: 1
"""
SHAPE = (24, 3, 2, 3)


@pytest.fixture(scope="module")
def values() -> np.ndarray[Any, Any]:
    draw = np.random.default_rng(4)
    scales = (3, 2, 1, 1.5)
    grids = (1, 1, 1), (3, 1, 1), (1, 2, 1), (3, 2, 3)
    total = np.zeros(SHAPE)
    for scale, grid in zip(scales, grids, strict=True):
        total = total + draw.normal(0, scale, (SHAPE[0], *grid))
    return total


@pytest.fixture
def workspace(
    home: Path, plugin_folder: PluginFolder, values: np.ndarray[Any, Any]
) -> Iterator[Workspace]:
    """A workspace with an experiment whose score is one of the values. One item has none."""
    plugin_folder.generator("echo", "for r in requests: yield r.reply(Text(r.prompt))")
    body = "return {'value': float(generation.text)} if generation.text != 'none' else {}"
    plugin_folder.evaluator("number", body)
    workspace = Workspace(home, plugin_folder)
    items = [
        f"- {{id: i{number}, paraphrases: [a{number}, b{number}, c{number}]}}"
        for number in range(SHAPE[0] + 1)
    ]
    run = new_id()
    text = DESIGN.format(items="\n".join(items))
    workspace.session.record_experiment(run, text, Levels(SHAPE[0] + 1, *SHAPE[1:]))
    specs = [
        GenerationSpec(repr(value), generator="echo", cell=Cell(*cell))
        for cell, value in zip(np.ndindex(*SHAPE), values.ravel().tolist(), strict=True)
    ]
    specs.append(GenerationSpec("none", generator="echo", cell=Cell(SHAPE[0], 0, 0, 0)))
    list(workspace.session.run(specs, run_id=run, batch_size=256))
    yield workspace
    workspace.close()


def test_pilot_of_a_recorded_experiment_has_its_variances(
    workspace: Workspace, values: np.ndarray[Any, Any]
) -> None:
    pilot = read_pilot(workspace.session, "last", "value")
    assert np.array_equal(pilot.values, values)
    assert len(pilot.warnings) == 1  # on the item without values
    design = Design((PARAPHRASE, "text"), (("a", "b", "c"), ("0", "1")), 3, ("text",))
    expected = variance_shares(design, mean_squares(design, values)).components
    components = pilot.components
    assert components.seed == pytest.approx(expected["seed"] / 2)
    paraphrase = expected[PARAPHRASE] + expected[f"{PARAPHRASE}:text"] / 2
    assert components.paraphrase == pytest.approx(paraphrase)
    means = values.mean(axis=(1, 2, 3)).var(ddof=1)
    assert components.of_item_mean(3, 3) == pytest.approx(means)
    assert pilot.shares.controllability is not None

    record = planned(
        *("--run", "last", "--score", "value", "--precision", "0.5", "--item-cost", "50"),
        session=workspace.session,
    )
    best = record["options"][0]
    assert best["settings"] == 2
    needed = items_for_mean(components.of_item_mean(best["paraphrases"], best["seeds"]), 0.5)
    assert best["items"] == needed
    assert record["cautious"]["items"] > needed

    share = ("--run", "last", "--score", "value", "--share", "seed", "--precision", "0.01")
    (only,) = planned(*share, session=workspace.session)["options"]
    estimate = pilot.shares.shares["seed"]
    scale = ((estimate.high - estimate.low) / 2 / 0.01) ** 2
    assert only["items"] == math.ceil(24 * scale)
    assert (only["paraphrases"], only["settings"], only["seeds"]) == SHAPE[1:]

    unknown = ("--run", "last", "--score", "quality", "--precision", "1")
    assert "no score named 'quality'" in refused(call(*unknown, session=workspace.session))
    other = (*share[:4], "--share", "luck", "--precision", "1")
    assert "no share named 'luck'" in refused(call(*other, session=workspace.session))
    other_run = workspace.session.generate("1", generator="echo").run_id
    no_design = ("--run", other_run, "--score", "value", "--precision", "1")
    assert "no design" in refused(call(*no_design, session=workspace.session))


def test_pilot_of_scores_of_two_versions_is_refused(
    workspace: Workspace, values: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    generations = list(workspace.session.cells("last"))
    [score] = generations[0].scores
    generations[0] = replace(generations[0], scores=(replace(score, version="2"),))
    monkeypatch.setattr(workspace.session, "cells", lambda run: iter(generations))
    with pytest.raises(MixedVersionsError) as caught:
        read_pilot(workspace.session, "last", "value")
    assert caught.value.counts["2"] == 1


def test_pilot_with_one_paraphrase_counts_it_with_the_items() -> None:
    grid = np.arange(40.0).reshape(10, 1, 2, 2)
    components = Pilot(None, "x", grid, ()).components  # type: ignore[arg-type]
    assert components.paraphrase == 0
    assert components.of_item_mean(1, 2) == pytest.approx(grid.mean(axis=(1, 2, 3)).var(ddof=1))


def test_pilot_of_equal_values_is_refused() -> None:
    pilot = Pilot(None, "x", np.ones((10, 1, 2, 2)), ())  # type: ignore[arg-type]
    with pytest.raises(ConstantError):
        plan_mean_of_pilot(pilot, 0.1, Choices())


# ---- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--precision .1", "--proportion"),
        ("--proportion .5 --sd 1 --precision .1", "--proportion"),
        ("--proportion .5", "--precision"),
        ("--proportion 1.5 --precision .1", "--proportion"),
        ("--proportion .5 --precision nan", "--precision"),
        ("--proportion .5 --precision -1", "--precision"),
        ("--proportion .5 --precision .1 --seed-sd 1", "--seed-sd"),
        ("--proportion .5 --effect .1", "--effect"),
        ("--sd 1 --precision .1 --effect .1", "--effect"),
        ("--sd 0 --precision .1", "--sd"),
        ("--sd 1 --precision 1e-9", "10,000,000"),
        ("--sd 1 --effect .1 --power 1", "--power"),
        ("--sd 1 --precision .1 --seeds 0", "--seeds"),
        ("--sd 1 --precision .1 --seeds 1,,2", "--seeds"),
        ("--sd 1 --precision .1 --item-cost -1", "cost"),
        ("--run last --precision .1", "--score"),
        ("--run last --score x --precision .1 --settings 2", "--settings"),
        ("--run last --score x --share seed --precision .1 --seeds 2", "--seeds"),
        ("--shares .2,.2,.1,.5 --precision .1", "--share"),
        ("--shares .2,.2,.1,.6 --share seed --precision .1", "--shares"),
        ("--shares .2,.2,.1,.5 --share luck --precision .1", "luck"),
        ("--shares .2,.2,.1,.5 --share seed --precision .1 --seeds 1", "2 seeds"),
    ],
)
def test_options_without_a_meaning_are_refused(arguments: str, named: str) -> None:
    assert named in refused(call(*arguments.split()))


def test_table_has_the_cheapest_options() -> None:
    result = call("--sd", "1", "--seed-sd", "2", "--precision", "0.2", "--item-cost", "10")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert len(rows) == 8
    costs = [float(row[-1]) for row in rows]
    assert costs == sorted(costs)
    assert Option(163, 1, 1, 6, 2608.0).generations == int(rows[0][4])
