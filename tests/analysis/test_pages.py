"""Pages and tables of reports: names that a plot or a spreadsheet would take for something else."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from muniment_analysis.intervals import Estimate
from muniment_analysis.pages import plots
from muniment_analysis.pages.csv_table import csv_text

HALF = Estimate(0.5, 0.4, 0.6, 10)


@pytest.mark.parametrize("name", ["_hidden", "<b>&", "$x^2$", "]]>", "海", "a" * 300])
def test_a_legend_names_every_share(name: str) -> None:
    svg = plots.stacked_shares({"words": {name: HALF, "seed": HALF}})
    text = "".join(ElementTree.fromstring(svg).itertext())
    assert name[:39] in text
    assert "seed" in text


def test_a_curve_is_in_the_order_of_its_levels() -> None:
    estimates = [Estimate(value, value, value, 10) for value in (30.0, 10.0, 20.0)]
    shuffled = plots.curve([3, 1, 2], estimates, x_label="x", y_label="y")
    ordered = plots.curve([1, 2, 3], sorted(estimates), x_label="x", y_label="y")
    assert shuffled == ordered


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1+1"])
def test_a_formula_is_written_as_a_text(text: str) -> None:
    assert csv_text(["name"], [[text]]).splitlines()[1].lstrip('"').startswith("'")


def test_a_negative_number_is_no_formula() -> None:
    assert csv_text(["value"], [[-1.5]]).splitlines()[1] == "-1.5"
