"""The command `muniment image measure`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import muniment
from muniment.command import emit_one, json_option, pass_session, progress

from .options import classifier_option, count, first_seed_option

if TYPE_CHECKING:
    from muniment_image.quality import Quality

_FIELDS = (
    ("pictures", "pictures"),
    ("compared", "compared"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("label consistency", "label_consistency"),
    ("copied", "copied"),
    ("blank", "blank"),
    ("unreadable", "unreadable"),
    ("missing", "missing"),
)


@click.command
@click.option("--run", metavar="RUN", help="Run whose pictures are measured.")
@click.option("-m", "--model", metavar="MODEL", help="Model to draw new pictures with.")
@click.option(
    "-n",
    "--number",
    type=count(10, 1_000_000),
    metavar="N",
    default=1000,
    show_default=True,
    help="Number of pictures to draw with --model.",
)
@first_seed_option("the first picture of --model")
@click.option(
    "--prompt",
    "prompts",
    multiple=True,
    help="Prompt of --model (may be repeated), by turns. The classifier's labels by default.",
)
@click.option("--no-prompt", is_flag=True, help="Draw without a prompt.")
@click.option(
    "--data",
    metavar="FOLDER|DATASET",
    required=True,
    help="Real pictures that the model was not trained on, at least 20, to compare with.",
)
@click.option(
    "--training",
    metavar="FOLDER|DATASET",
    help="Pictures that the model was trained on, for the share of copies.",
)
@classifier_option("Folder of the classifier whose features are compared.")
@json_option
@pass_session
def measure(
    session: muniment.Session,
    run: str | None,
    model: str | None,
    number: int,
    seed: int,
    prompts: tuple[str, ...],
    no_prompt: bool,
    data: str,
    training: str | None,
    classifier_folder: Path,
    as_json: bool,
) -> None:
    """Measure the pictures of a run or of a model against real ones.

    The Fréchet distance FD compares the features of a classifier. Its floor is that of real against
    real pictures, which a perfect model would have on average. Values of different classifiers or
    numbers of pictures cannot be compared.
    """
    from muniment_image.classifier import load_classifier
    from muniment_image.datasets import read_dataset
    from muniment_image.quality import check_counts, measure_quality, picture_set

    if (run is None) == (model is None):
        raise muniment.UsageError("use one of --run and --model")
    if no_prompt and prompts:
        raise muniment.UsageError("use --prompt or --no-prompt, not both")
    classifier = load_classifier(classifier_folder)
    size = classifier.config.size
    with progress("reading pictures"):
        real = read_dataset(data, size=size)
        known = None if training is None else read_dataset(training, size=size)
    if run is not None:
        generations: Iterable[muniment.Generation] = session.generations(
            muniment.Query(run=session.store.find_run(run))
        )
    else:
        check_counts(number, len(real))  # before a picture is drawn
        turns = [None] if no_prompt else list(prompts or classifier.config.labels)
        generations = _drawn(session, str(model), number, seed, turns)
    generated = picture_set(generations, size)
    with progress("comparing"):
        quality = measure_quality(generated, real, classifier, known)
    name = classifier_folder.resolve().name
    record = {
        **quality.to_json(),
        "features": name,
        "classifier": muniment.model_digest(classifier_folder),
    }
    fd = (
        (f"FD-{name}", lambda _: f"{quality.fd:.1f} (real against real: {quality.fd_floor:.1f})"),
    )
    columns = [*fd, *((header, _shown(quality, field)) for header, field in _FIELDS)]
    emit_one(record, columns, as_json, to_json=lambda _: record)


def _shown(quality: Quality, field: str) -> Callable[[object], object]:
    """Return a function that returns the text of a field, or None for one without a value."""
    value = getattr(quality, field)
    if value is None or isinstance(value, int):
        return lambda _: value
    if isinstance(value, float):
        return lambda _: f"{value:.3f}"
    return lambda _: f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"


def _drawn(
    session: muniment.Session, model: str, number: int, seed: int, prompts: Sequence[str | None]
) -> Iterator[muniment.Generation]:
    """Generate pictures of all prompts by turns, as one recorded run."""
    specs = (
        muniment.GenerationSpec(prompt, "image", model, seed=(seed + index) % 2**64)
        for index, prompt in enumerate(itertools.islice(itertools.cycle(prompts), number))
    )
    with progress("drawing", number) as bar:
        run = None
        for generation in session.run(specs, evaluate=[]):
            assert isinstance(generation, muniment.Generation)  # nothing is streamed
            if run is None:
                run = generation.run_id
                bar.note(f"run {run}")
            bar.advance(1)
            yield generation
