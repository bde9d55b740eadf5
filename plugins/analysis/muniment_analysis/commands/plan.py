"""The command `muniment analyze plan`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

import muniment
from muniment.command import (
    emit,
    headers_option,
    json_option,
    pass_session,
    progress,
    write_json,
    write_note,
)

if TYPE_CHECKING:
    from muniment_analysis.planning.plans import Choices, Plan

_COLUMNS = (
    ("items", "items"),
    ("paraphrases", "paraphrases"),
    ("settings", "settings"),
    ("seeds", "seeds"),
    ("generations", "generations"),
    ("cost", "cost"),
)
_SHOWN = 8
_SUBJECTS = ("proportion", "sd", "run", "shares")
_NEEDED = {"run": ("score",), "shares": ("share",)}
_ALLOWED = {
    "proportion": ("settings",),
    "sd": ("paraphrase_sd", "seed_sd", "effect", "paraphrases", "settings", "seeds"),
    "run": ("share", "paraphrases", "seeds"),
    "shares": ("paraphrases", "settings", "seeds"),
}
_DEPENDENT = tuple(dict.fromkeys(("score", *_ALLOWED["run"], *_ALLOWED["sd"])))


@click.command
@click.option("--proportion", metavar="P", type=float, help="Expected proportion, from 0 to 1.")
@click.option(
    "--sd",
    metavar="SD",
    type=float,
    help="Standard deviation of outputs of different items. With --seed-sd, that of items' means.",
)
@click.option(
    "--paraphrase-sd",
    metavar="SD",
    type=float,
    help="Further deviation between paraphrases of an item, with --sd.",
)
@click.option(
    "--seed-sd",
    metavar="SD",
    type=float,
    help="Further deviation between seeds of a paraphrase, with --sd.",
)
@click.option("--run", metavar="RUN", help="Recorded experiment that the variances come from.")
@click.option("--score", metavar="NAME", help="Score of that experiment.")
@click.option(
    "--shares",
    metavar="P,S,B,E",
    help="Expected variance shares of paraphrase, setting, both and seed, such as .2,.2,.1,.5.",
)
@click.option(
    "--share",
    metavar="NAME",
    help="Share to estimate, such as seed or controllability, with --shares or --run.",
)
@click.option(
    "--precision", metavar="NUMBER", type=float, help="Wanted half-width of the 95 % interval."
)
@click.option(
    "--effect", metavar="NUMBER", type=float, help="Difference of two runs to find, with --sd."
)
@click.option(
    "--power",
    metavar="P",
    type=float,
    default=0.8,
    show_default=True,
    help="Probability of finding it.",
)
@click.option("--paraphrases", metavar="N,…", help="Numbers of paraphrases to choose from.")
@click.option(
    "--settings",
    metavar="N",
    type=click.IntRange(1, 1000),
    help="Number of settings. [default: 1, and 2 with --shares]",
)
@click.option("--seeds", metavar="N,…", help="Numbers of seeds to choose from.")
@click.option("--item-cost", metavar="COST", type=float, default=0.0, help="Cost of an item.")
@click.option(
    "--paraphrase-cost", metavar="COST", type=float, default=0.0, help="Cost of a paraphrase."
)
@click.option(
    "--generation-cost",
    metavar="COST",
    type=float,
    default=1.0,
    show_default=True,
    help="Cost of a generation.",
)
@click.option(
    "--allow-incomplete",
    is_flag=True,
    help="Leave out more than 10 % of the items of --run, if they lack outputs.",
)
@headers_option
@json_option
@pass_session
def plan(session: muniment.Session, as_json: bool, **values: Any) -> None:
    """Compute how many generations a wanted precision needs.

    Nothing is generated. The plan is for a proportion (--proportion) or a mean (--sd, or --run with
    --score). With --effect, --sd is that of the differences between two runs. With --share, it is
    for a variance share (--shares or --run).

    Prints ways to divide the generations between items, paraphrases and seeds, the cheapest first.
    """
    with progress("planning"):
        result = _plan(session, values)
    for warning in result.warnings:
        write_note(f"Warning: {warning}")
    if as_json:
        write_json(result.to_json())
        return
    emit(_rows(result), _COLUMNS, as_json=False)
    write_note(f"wanted: {result.wanted}")
    if (cautious := result.cautious) is not None:
        write_note(
            f"the variances of the pilot are estimates; {cautious.generations:,} generations of "
            f"{cautious.items:,} items are enough in 80 % of all cases"
        )


def _plan(session: muniment.Session, values: dict[str, Any]) -> Plan:
    """Return the plan for the options of the command. Raise UsageError if they do not fit."""
    from muniment_analysis.planning import plans
    from muniment_analysis.planning.allocation import Components
    from muniment_analysis.planning.pilot import read_pilot
    from muniment_analysis.planning.simulation import parse_shares

    subject = _subject(values)
    choices = _choices(values)
    precision, share = values["precision"], values["share"]
    if subject == "proportion":
        return plans.plan_proportion(values["proportion"], precision, choices)
    if subject == "shares":
        return plans.plan_share(parse_shares(values["shares"]), share, precision, choices)
    if subject == "sd":
        deviations = values["sd"], values["paraphrase_sd"] or 0.0, values["seed_sd"] or 0.0
        components = Components(*(deviation**2 for deviation in deviations))
        if precision is None:
            return plans.plan_effect(components, values["effect"], values["power"], choices)
        return plans.plan_mean(components, precision, choices)
    pilot = read_pilot(
        session, values["run"], values["score"], allow_incomplete=values["allow_incomplete"]
    )
    if share is None:
        return plans.plan_mean_of_pilot(pilot, precision, choices)
    return plans.plan_share_of_pilot(pilot, share, precision, choices)


def _subject(values: dict[str, Any]) -> str:
    """Return the option that the plan is about, after a check of those that go with it."""
    from muniment_analysis.planning.plans import check_positive

    named = [name for name in _SUBJECTS if values[name] is not None]
    if len(named) != 1:
        raise muniment.UsageError("use one of --proportion, --sd, --run and --shares")
    (subject,) = named
    needed = _NEEDED.get(subject, ())
    # The share of a pilot is planned with the paraphrases and seeds of the pilot.
    allowed = ("share",) if subject == "run" and values["share"] else _ALLOWED[subject]
    for name in _DEPENDENT:
        option = f"--{name.replace('_', '-')}"
        if values[name] is None and name in needed:
            raise muniment.UsageError(f"--{subject} needs {option}; add it")
        if values[name] is not None and name not in (*needed, *allowed):
            raise muniment.UsageError(f"{option} has no meaning with --{subject}; remove it")
    if (values["precision"] is None) == (values["effect"] is None):
        effects = "either --precision or --effect" if subject == "sd" else "--precision"
        raise muniment.UsageError(f"use {effects}")
    deviations = ("precision", "effect", "sd", "paraphrase_sd", "seed_sd", "generation_cost")
    check_positive(**{name: values[name] for name in deviations})
    for name, low, high in (("proportion", 0, 1), ("power", 0, 1)):
        number = values[name]
        if number is not None and not low <= number <= high:
            raise muniment.UsageError(f"--{name} is {number:g}; use a number from 0 to 1")
    if not 0.05 < values["power"] < 1:
        raise muniment.UsageError("--power must be above 0.05 and below 1; use 0.8")
    return subject


def _choices(values: dict[str, Any]) -> Choices:
    from muniment_analysis.planning.allocation import Costs
    from muniment_analysis.planning.plans import Choices

    costs = Costs(*(values[f"{name}_cost"] for name in ("item", "paraphrase", "generation")))
    if not all(0 <= cost < float("inf") for cost in costs):
        raise muniment.UsageError("a cost is negative or not a number; use 0 or more")
    return Choices(
        _numbers("--paraphrases", values["paraphrases"]),
        values["settings"] or (1 if values["shares"] is None else 2),
        _numbers("--seeds", values["seeds"]),
        costs,
    )


def _numbers(option: str, text: str | None) -> tuple[int, ...]:
    """Return the numbers of an option, without repetitions and in their order."""
    if text is None:
        return ()
    parts = [part.strip() for part in re.split("[,，]", text)]
    if not all(re.fullmatch(r"[1-9][0-9]{0,3}", part) for part in parts):
        raise muniment.UsageError(f"{option} {text!r} is not a list of numbers; use 1,2,5")
    return tuple(sorted({int(part) for part in parts}))


def _rows(result: Plan) -> Iterator[dict[str, Any]]:
    for option in result.options[:_SHOWN]:
        yield {**option.to_json(), "cost": f"{option.cost:g}"}
