"""The command `muniment analyze controllability`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import muniment
from muniment.command import (
    emit,
    headers_option,
    json_option,
    new_run,
    overwrite_option,
    pass_session,
    progress,
    write_data,
    write_json,
    write_note,
)

if TYPE_CHECKING:
    from muniment_analysis.controllability.experiment_design import ExperimentDesign
    from muniment_analysis.controllability.report import ControllabilityReport
    from muniment_analysis.intervals import Estimate

_SHARES = (
    ("measure", "measure"),
    ("source", "source"),
    ("share", "share"),
    ("interval", "interval"),
)
_VALUES = (
    ("measure", "measure"),
    ("statistic", "statistic"),
    ("value", "value"),
    ("interval", "interval"),
)
_LEFT_OUT = (("left out", "item"), ("missing outputs", "missing"))
_LOST = (("setting", "setting"), ("outputs lost", "lost"))
_WORST = (("item", "id"), ("controllability", "share"), ("first generation", "generation"))


@click.command
@click.argument("design", metavar="[DESIGN.yaml]", required=False, type=click.Path(path_type=Path))
@click.option("--run", metavar="RUN", help="Recorded experiment to analyse. Nothing is generated.")
@click.option("--resume", metavar="RUN", help="Experiment to continue after an interruption.")
@click.option(
    "--measure",
    "measures",
    metavar="NAME",
    multiple=True,
    help="Measure to analyse instead of those of the design. Can be repeated.",
)
@click.option(
    "--replay",
    "replays",
    metavar="N",
    type=click.IntRange(0, 10_000),
    default=0,
    show_default=True,
    help="Number of generations to generate again, as a test of the record.",
)
@click.option("--policy", metavar="FILE", help="Policy file, or the name of an installed policy.")
@click.option(
    "--allow-incomplete",
    is_flag=True,
    help="Leave out more than 10 % of the items, if they lack outputs.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    metavar="FILE",
    multiple=True,
    help="File of the report, as .html with plots, .csv or .json. Can be repeated.",
)
@overwrite_option
@headers_option
@json_option
@pass_session
def controllability(
    session: muniment.Session,
    design: Path | None,
    run: str | None,
    resume: str | None,
    measures: tuple[str, ...],
    replays: int,
    policy: str | None,
    allow_incomplete: bool,
    outputs: tuple[str, ...],
    overwrite: bool,
    as_json: bool,
) -> None:
    """Report what moves the outputs of a generator: the controls, the wording or the seed.

    DESIGN.yaml has items with paraphrases, settings with values, and a number of seeds. Every
    combination is generated and recorded as one run. With --run, a recorded experiment is analysed.
    With --resume, DESIGN.yaml is needed only for inputs with paths, which are relative to it.
    The controllability is the share of the variance that the settings explain.
    """
    from muniment_analysis.pages.files import json_text, report_files, write_report_files

    if (run is not None) + (resume is not None or design is not None) != 1:
        raise muniment.UsageError("use either DESIGN.yaml, --run RUN or --resume RUN")
    inputs = [] if design is None else [str(design)]
    files = report_files(outputs, (".html", ".csv", ".json"), overwrite=overwrite, inputs=inputs)
    from muniment_analysis.controllability.analysis import analyse
    from muniment_analysis.controllability.experiment import check_measure
    from muniment_analysis.controllability.measures import parse_measure

    specs = [parse_measure(measure) for measure in measures]
    plan, run = _experiment(session, design, run, resume, policy, measures)
    for spec in specs:
        check_measure(session, plan, spec)
    with progress("analysing items", len(plan.items)) as bar:
        report = analyse(
            session,
            run,
            plan,
            measures=measures,
            replays=replays,
            allow_incomplete=allow_incomplete,
            on_item=lambda: bar.advance(1),
        )
    for warning in report.warnings:
        write_note(f"Warning: {warning}")
    if as_json:
        write_json(_json(report))
    else:
        _print(report)
    if files:
        from muniment_analysis.controllability import report_page

        write_report_files(
            files,
            {
                ".html": lambda: report_page.html(report),
                ".csv": lambda: report_page.csv(report),
                ".json": lambda: json_text(_json(report)),
            },
        )


def _experiment(
    session: muniment.Session,
    path: Path | None,
    run: str | None,
    resume: str | None,
    policy: str | None,
    measures: Sequence[str],
) -> tuple[ExperimentDesign, str]:
    """Run or continue an experiment if that is requested, and return its design and run."""
    from muniment_analysis.controllability.experiment import (
        ended_cells,
        resume_experiment,
        run_experiment,
    )
    from muniment_analysis.controllability.experiment_design import load_design
    from muniment_analysis.controllability.reading import recorded_design

    folder = Path() if path is None else path.parent
    if path is None or resume is not None:
        reference = str(run or resume)
        event = session.experiment(reference)
        identifier = session.store.find_run(reference) if event is None else event.entry.run
        design = recorded_design(session, identifier)
        if path is not None and load_design(path)[0] != design:
            raise muniment.UsageError(
                f"{path} differs from the recorded design of run {identifier}; use the design that "
                "the run was started with"
            )
        if resume is not None:
            remaining = design.size - len(ended_cells(session, identifier))
            with _resumable(identifier), progress("generating", remaining) as bar:
                resume_experiment(
                    session,
                    design,
                    identifier,
                    policy=policy,
                    measures=measures,
                    folder=folder,
                    on_start=lambda: bar.note(f"continuing run {identifier}"),
                    on_generation=lambda generation: bar.advance(1),
                )
        return design, identifier
    design, document = load_design(path)
    with (
        new_run(session) as identifier,
        _resumable(identifier),
        progress("generating", design.size) as bar,
    ):
        run_experiment(
            session,
            design,
            document,
            identifier,
            policy=policy,
            measures=measures,
            folder=folder,
            on_start=lambda: bar.note(f"run {identifier}: {design.size} generations"),
            on_generation=lambda generation: bar.advance(1),
        )
    return design, identifier


@contextlib.contextmanager
def _resumable(run: str) -> Iterator[None]:
    """Print the command that continues a run if Ctrl-C ends the block."""
    try:
        yield
    except KeyboardInterrupt:
        write_note(f"continue with `muniment analyze controllability --resume {run}`")
        raise


def _json(report: ControllabilityReport) -> dict[str, Any]:
    from muniment_analysis.controllability.report_json import to_json

    return to_json(report)


def _print(report: ControllabilityReport) -> None:
    from muniment_analysis.controllability.advice import advice

    emit(_share_rows(report), _SHARES, as_json=False)
    write_data("")
    emit(_value_rows(report), _VALUES, as_json=False)
    write_data("")
    emit(_worst_rows(report), _WORST, as_json=False)
    if report.left_out:
        write_data("")
        emit(_left_out_rows(report), _LEFT_OUT, as_json=False)
        write_data("")
        emit(_lost_rows(report), _LOST, as_json=False)
    for sentence in advice(report):
        write_note(sentence)


def _share_rows(report: ControllabilityReport) -> Iterator[dict[str, Any]]:
    for result in report.measures:
        if result.shares is None:
            yield {"measure": result.name, "source": result.constant, "share": "", "interval": ""}
            continue
        sources = {"controllability": result.shares.controllability, **result.shares.shares}
        for source, estimate in sources.items():
            if estimate is not None:
                low, high = 100 * estimate.low, 100 * estimate.high
                yield {
                    "measure": result.name,
                    "source": source,
                    "share": f"{100 * estimate.value:.1f} %",
                    "interval": f"{low:.1f} to {high:.1f} %",
                }


def _value_rows(report: ControllabilityReport) -> Iterator[dict[str, Any]]:
    from muniment_analysis.controllability.report_page import named_estimates

    for (measure, statistic, name), estimate in named_estimates(report):
        if statistic in ("share", "controllability"):
            continue
        yield {
            "measure": measure,
            "statistic": f"{statistic} {name}".strip(),
            "value": _number(estimate),
            "interval": f"{estimate.low:.4g} to {estimate.high:.4g}",
        }
    if report.replay is not None:
        counts = ", ".join(f"{count} {name}" for name, count in report.replay.counts.items())
        yield {"measure": "", "statistic": "replay", "value": counts, "interval": ""}


def _worst_rows(report: ControllabilityReport) -> Iterator[dict[str, Any]]:
    for item in report.worst:
        share = f"{100 * item.controllability:.1f} %"
        yield {"id": item.id, "share": share, "generation": item.generations[0]}


def _left_out_rows(report: ControllabilityReport) -> Iterator[dict[str, Any]]:
    for id, reasons in report.left_out.items():
        missing = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
        yield {"item": id, "missing": missing}


def _lost_rows(report: ControllabilityReport) -> Iterator[dict[str, Any]]:
    from muniment_analysis.controllability.report_page import setting_names

    for setting, lost in zip(setting_names(report), report.lost, strict=True):
        yield {"setting": setting, "lost": lost}


def _number(estimate: Estimate) -> str:
    return f"{estimate.value:.4g}"
