"""The command `muniment analyze variance`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import muniment
from muniment.command import (
    emit,
    headers_option,
    json_option,
    progress,
    write_data,
    write_json,
    write_note,
)

if TYPE_CHECKING:
    from muniment_analysis.intervals import Estimate
    from muniment_analysis.variance.layout import Layout
    from muniment_analysis.variance.shares import VarianceShares

_SHARES = (("source", "source"), ("share", "share"), ("low", "low"), ("high", "high"))
_COLUMNS = (*_SHARES, ("variance", "variance"))
_SETTINGS = (("setting", "setting"), ("seed variance", "value"), ("low", "low"), ("high", "high"))


@click.command
@click.argument("table", metavar="FILE.csv", type=click.Path(path_type=Path))
@click.option("--item", metavar="COL", required=True, help="Column of the item.")
@click.option(
    "--factors",
    metavar="COL,…",
    multiple=True,
    required=True,
    help="One to three columns of crossed factors, such as paraphrase,temperature.",
)
@click.option("--seed", metavar="COL", required=True, help="Column of the seed or repetition.")
@click.option("--value", metavar="COL", required=True, help="Column of the measured number.")
@click.option(
    "--control",
    "controls",
    metavar="COL,…",
    multiple=True,
    help="Factors that are control parameters. By default, all not called paraphrase or prompt.",
)
@click.option(
    "--allow-incomplete",
    is_flag=True,
    help="Leave out more than 10 % of the items, if they lack outputs.",
)
@headers_option
@json_option
def variance(
    table: Path,
    item: str,
    factors: tuple[str, ...],
    seed: str,
    value: str,
    controls: tuple[str, ...],
    allow_incomplete: bool,
    as_json: bool,
) -> None:
    """Divide the variance of a measure among wording, controls, interactions and seed.

    FILE.csv has a header and one row for each output. Each item has an output for every combination
    of the levels of the factors and for every seed, at least 2. Shares sum to 1, with intervals of
    95 % from resampled items. The controllability is the summed share of the control parameters and
    of the interactions among them.
    """
    from muniment_analysis.errors import RepeatedRowError
    from muniment_analysis.variance.design import check_factors, control_factors
    from muniment_analysis.variance.layout import layout_of
    from muniment_analysis.variance.mean_squares import mean_squares
    from muniment_analysis.variance.sample import check_sample, size_warnings
    from muniment_analysis.variance.shares import variance_shares
    from muniment_analysis.variance.table import Columns, forgotten_factor, read_rows

    names = _names("--factors", factors)
    check_factors(names)
    chosen = control_factors(names, _names("--control", controls))
    with progress("reading the table"):
        columns = Columns(item, names, seed, value)
        try:
            layout = layout_of(read_rows(table, columns), names, chosen)
        except RepeatedRowError as error:
            raise forgotten_factor(table, columns, error.lines) or error from None
    notes = check_sample(
        len(layout.items),
        len(layout.left_out),
        allow_incomplete=allow_incomplete,
        example=layout.example,
    )
    shares = variance_shares(layout.design, mean_squares(layout.design, layout.values))
    notes += [*size_warnings(len(layout.items)), *shares.notes]
    for note in notes:
        write_note(f"Warning: {note}")
    if as_json:
        write_json(_to_json(shares, layout, notes))
        return
    emit(_share_rows(shares), _COLUMNS, as_json=False)
    if len(shares.seed_variance) > 1:
        write_data("")
        emit(_setting_rows(shares), _SETTINGS, as_json=False)


def _names(option: str, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of an option that may be repeated, or has several between commas."""
    names = [name.strip() for text in texts for name in re.split("[,，]", text)]
    if not all(names):
        raise muniment.UsageError(f"{option} has an empty name; remove a comma")
    return tuple(names)


def _share_rows(shares: VarianceShares) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table of shares, with the controllability last."""
    for name, estimate in shares.shares.items():
        component = f"{shares.components[name]:.4g}"
        yield {"source": name, **_share_texts(estimate), "variance": component}
    controls = ", ".join(shares.design.controls) or "without a control parameter"
    name = f"controllability ({controls})"
    yield {"source": name, **_share_texts(shares.controllability), "variance": None}


def _share_texts(estimate: Estimate | None) -> dict[str, str | None]:
    if estimate is None:
        return {"share": None, "low": None, "high": None}
    return {
        "share": f"{estimate.value:.3f}",
        "low": f"{estimate.low:.3f}",
        "high": f"{estimate.high:.3f}",
    }


def _setting_rows(shares: VarianceShares) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table of the seed's variance at each setting."""
    for levels, estimate in shares.seed_variance.items():
        pairs = zip(shares.design.controls, levels, strict=True)
        setting = ", ".join(f"{name}={level}" for name, level in pairs)
        texts = {name: f"{getattr(estimate, name):.4g}" for name in ("value", "low", "high")}
        yield {"setting": setting, **texts}


def _to_json(shares: VarianceShares, layout: Layout, notes: list[str]) -> dict[str, Any]:
    design, control = shares.design, shares.controllability
    return {
        "shares": {name: estimate.value for name, estimate in shares.shares.items()},
        "interval": {name: [share.low, share.high] for name, share in shares.shares.items()},
        "components": shares.components,
        "controllability": None if control is None else control.value,
        "controllability_interval": None if control is None else [control.low, control.high],
        "controls": list(design.controls),
        "seed_variance": [
            {"setting": dict(zip(design.controls, levels, strict=True)), **estimate.to_json()}
            for levels, estimate in shares.seed_variance.items()
        ],
        "items": shares.items,
        "levels": dict(zip(design.factors, map(list, design.levels), strict=True)),
        "seeds": design.seeds,
        "left_out": layout.left_out_json(),
        "lost": [
            {"setting": dict(zip(design.controls, levels, strict=True)), "outputs": number}
            for levels, number in layout.lost.items()
        ],
        "warnings": notes,
    }
