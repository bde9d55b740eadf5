"""Run the generations of an experiment through the session, which records them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import muniment
from muniment_analysis.errors import SampleError
from muniment_analysis.variance.sample import LEAST_ITEMS

from .experiment_design import ExperimentDesign, ItemDesign
from .measures import MeasureSpec, parse_measure
from .typos import misspell


def run_experiment(
    session: muniment.Session,
    design: ExperimentDesign,
    document: str,
    run: str,
    *,
    policy: str | None = None,
    measures: Sequence[str] = (),
    folder: Path = Path(),
    on_start: Callable[[], None] = lambda: None,
    on_generation: Callable[[muniment.Generation], None] = lambda generation: None,
) -> None:
    """Record the design and generate every cell of it as one run.

    `measures` are scored besides those of the design. Paths of inputs are relative to `folder`.
    `on_start` is called after all checks, and before the first generation.
    Raises SampleError, with nothing recorded, for too few items. Raises UsageError, ModelError or
    PluginError for a design that the generator or its measures cannot use.
    """
    if len(design.items) < LEAST_ITEMS:
        raise SampleError(
            f"the design has {len(design.items)} items, and {LEAST_ITEMS} are needed; add items",
            complete=len(design.items),
            needed=LEAST_ITEMS,
        )
    _check_measures(session, design, measures)
    specs = list(specs_of(design, folder=folder))
    for spec in specs:
        session.check(spec)
    generations = session.run(
        specs, run_id=run, policy=policy, evaluate=evaluators_of(design, measures)
    )
    session.record_experiment(run, document, levels_of(design))
    on_start()
    for generation in generations:
        if isinstance(generation, muniment.Generation):  # without `stream` there are no chunks
            on_generation(generation)


def resume_experiment(
    session: muniment.Session,
    design: ExperimentDesign,
    run: str,
    *,
    policy: str | None = None,
    measures: Sequence[str] = (),
    folder: Path = Path(),
    on_start: Callable[[], None] = lambda: None,
    on_generation: Callable[[muniment.Generation], None] = lambda generation: None,
) -> None:
    """Generate the cells of a recorded experiment that were never begun or were interrupted.

    Cells that were completed, blocked or failed stay as they are. Paths of inputs are relative to
    `folder`. `on_start` is called after all checks. Raises UsageError as `ended_cells` does, and
    UsageError, ModelError or PluginError for measures that cannot be used.
    """
    _check_measures(session, design, measures)
    ended = ended_cells(session, run)
    specs = [spec for spec in specs_of(design, folder=folder) if spec.cell not in ended]
    generations = session.run(
        specs, run_id=run, policy=policy, evaluate=evaluators_of(design, measures)
    )
    on_start()
    for generation in generations:
        if isinstance(generation, muniment.Generation):  # without `stream` there are no chunks
            on_generation(generation)


def ended_cells(session: muniment.Session, run: str) -> set[muniment.Cell | None]:
    """Return the cells of a recorded experiment that were completed, blocked or failed.

    Raises UsageError if another process generates a cell.
    """
    ended = set()
    for recorded in session.cells(run):
        if recorded.status == "started":
            raise muniment.UsageError(f"run {run} is still running; wait until it ends")
        if recorded.status != "interrupted":
            ended.add(recorded.cell)
    return ended


def levels_of(design: ExperimentDesign) -> muniment.Levels:
    """Return the numbers of levels of a design. Misspelt prompts are further paraphrases."""
    return muniment.Levels(
        items=len(design.items),
        paraphrases=design.paraphrases + design.typos,
        settings=len(design.combinations),
        replicates=design.replicates,
    )


def specs_of(
    design: ExperimentDesign, *, folder: Path = Path()
) -> Iterator[muniment.GenerationSpec]:
    """Yield the specs of a design item by item.

    The seed of a cell is derived from the seed of the design, the id of the item and the cell. So
    no seed serves two cells, and an item that is added changes no other.
    """
    for number, item in enumerate(design.items):
        inputs = _inputs(item, folder)
        for paraphrase, prompt in enumerate(_prompts(design, item)):
            for setting, values in enumerate(design.combinations):
                for replicate in range(design.replicates):
                    cell = muniment.Cell(number, paraphrase, setting, replicate)
                    yield muniment.GenerationSpec(
                        design.filled(prompt, values) or None,
                        generator=design.generator,
                        model=design.model,
                        seed=muniment.derive_seed(design.seed, item.id, *cell[1:]),
                        parameters=design.parameters(values),
                        inputs=inputs,
                        cell=cell,
                    )


def evaluators_of(design: ExperimentDesign, measures: Sequence[str] = ()) -> list[str] | None:
    """Return the evaluators that the measures of a design and others need.

    None stands for the default evaluators, which run if there is no measure.
    """
    specs = [*design.measure_specs(), *map(parse_measure, measures)]
    if not specs:
        return None
    return list(dict.fromkeys(spec.reference for spec in specs if spec.kind == "score"))


def _prompts(design: ExperimentDesign, item: ItemDesign) -> list[str]:
    """Return the paraphrases of an item, and the misspelt versions of the first one."""
    first = item.paraphrases[0]
    seeds = (muniment.derive_seed(design.seed, item.id, "typo", n) for n in range(design.typos))
    return [*item.paraphrases, *(misspell(first, seed) for seed in seeds)]


def _inputs(item: ItemDesign, folder: Path) -> dict[str, Path | str]:
    """Return the inputs of an item. A text that names no file is the id of a generation."""
    paths = {name: folder / text for name, text in item.inputs.items()}
    return {name: path if path.is_file() else item.inputs[name] for name, path in paths.items()}


def _check_measures(
    session: muniment.Session, design: ExperimentDesign, measures: Sequence[str]
) -> None:
    for measure in [*design.measure_specs(), *map(parse_measure, measures)]:
        check_measure(session, design, measure)


def check_measure(
    session: muniment.Session, design: ExperimentDesign, measure: MeasureSpec
) -> None:
    """Raise if a measure does not exist, before anything is generated for it."""
    parameters = measure.evaluator.parameters
    if measure.kind == "embedding":
        generator = str(parameters.get("generator", design.generator))
        model = str(parameters["model"]) if "model" in parameters else design.model
        session.embed([], generator=generator, model=model)
    if measure.kind == "score":
        try:
            evaluator = session.plugins.find("evaluator", measure.evaluator.name).load_class()
        except muniment.UnknownNameError as error:
            known = [*error.known, "wording", "ranking", "embedding"]
            raise muniment.UnknownNameError("measure", measure.name, known) from None
        names = [declared.name for declared in evaluator.measures]
        if measure.measure not in ("", *names):
            known = [f"{measure.reference}.{name}" for name in names]
            raise muniment.UnknownNameError("measure", measure.name, known)
