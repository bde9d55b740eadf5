"""Synthetic pictures for a training set: drawn, chosen by their scores, and written to a folder."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import muniment

from .dataset_folder import METADATA

REJECTED = "rejected.jsonl"
_CONDITION = re.compile(r"\s*([A-Za-z][\w-]*)\s*(<=|>=|<|>)\s*([0-9.eE+-]+)\s*")
_FORBIDDEN = re.compile(r'[\\/:*?"<>|\x00-\x1f]')  # in names of folders of some systems
_MEETS: Mapping[str, Callable[[float, float], bool]] = {
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}
_ATTEMPTS = 5  # pictures drawn for one that is wanted, at most


@dataclass(frozen=True)
class ScoreCondition:
    """A bound of a score, such as `label-confidence>0.8`."""

    score: str
    comparison: str
    bound: float

    def __str__(self) -> str:
        return f"{self.score}{self.comparison}{self.bound:g}"


def parse_conditions(text: str, scores: Sequence[str]) -> tuple[ScoreCondition, ...]:
    """Return the conditions of a text, separated by commas. `_` in a name is read as `-`.

    Raises UsageError for a malformed condition and for a name that is none of `scores`.
    """
    conditions = []
    for part in text.split(","):
        match = _CONDITION.fullmatch(part)
        try:
            bound = float(match[3]) if match else None
        except ValueError:
            bound = None
        if match is None or bound is None:
            raise muniment.UsageError(
                f"{part.strip()!r} is not a condition; use one such as label-confidence>0.8"
            )
        name = match[1].replace("_", "-")
        if name not in scores:
            raise muniment.UsageError(
                f"there is no score {name!r}; use {', '.join(sorted(scores))}"
            )
        conditions.append(ScoreCondition(name, match[2], bound))
    return tuple(conditions)


@dataclass
class Augmentation:
    """The number of pictures of each label that were kept and rejected."""

    folder: Path
    run_id: str = ""
    kept: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Return the counts by label."""
        return {
            "folder": str(self.folder),
            "run": self.run_id,
            "kept": dict(self.kept),
            "rejected": dict(self.rejected),
        }


def augment(
    session: muniment.Session,
    *,
    model: str,
    labels: Sequence[str],
    per_class: int,
    seed: int,
    evaluators: Sequence[str],
    keep: Sequence[ScoreCondition],
    folder: Path,
    advance: Callable[[int], None] = lambda count: None,
) -> Augmentation:
    """Draw pictures until `per_class` of each label meet all conditions, and write them.

    All are recorded generations of one run. At most five times as many are drawn as are wanted. The
    folder has a folder for each label, `metadata.jsonl` with a line for each kept picture, and
    `rejected.jsonl` with the reasons of the others. Each file is stamped with its record, and each
    line has `"synthetic": true` and the id. `folder` must not exist. An interrupted call leaves the
    pictures and lines that were written until then.
    """
    folder.mkdir(parents=True)
    result = Augmentation(folder)
    names = _folder_names(labels)
    specs = _specs(result, model, labels, per_class, seed)
    with (
        _removed_without_pictures(result),
        (folder / METADATA).open("x", encoding="utf-8") as kept,
        (folder / REJECTED).open("x", encoding="utf-8") as rejected,
    ):
        # A small batch, because the next specs depend on what was kept.
        for generation in session.run(specs, evaluate=evaluators, batch_size=len(labels)):
            assert isinstance(generation, muniment.Generation)  # nothing is streamed
            result.run_id = generation.run_id
            label = generation.prompt
            reasons = _reasons(generation, keep)
            if result.kept[label] >= per_class:
                reasons = ["enough pictures of its label were kept"]
            if reasons:
                result.rejected[label] += 1
                _write_line(rejected, {**_facts(generation), "reasons": reasons})
                continue
            name = f"{names[label]}/{generation.id}.png"
            (folder / names[label]).mkdir(exist_ok=True)
            file = session.media.export(generation, generation.outputs[0], ".png", {})
            (folder / name).write_bytes(file)
            _write_line(kept, {"file_name": name, **_facts(generation)})
            result.kept[label] += 1
            advance(1)
    return result


@contextlib.contextmanager
def _removed_without_pictures(result: Augmentation) -> Iterator[None]:
    """Remove the folder if the block raises an exception before the first picture."""
    try:
        yield
    except BaseException:
        if not result.kept and not result.rejected:
            shutil.rmtree(result.folder)
        raise


def _specs(
    result: Augmentation, model: str, labels: Sequence[str], per_class: int, seed: int
) -> Iterator[muniment.GenerationSpec]:
    """Yield requests of the labels that lack pictures, with consecutive seeds."""
    drawn: Counter[str] = Counter()
    for number in itertools.count():
        label = labels[number % len(labels)]
        wanted = [
            name
            for name in labels
            if result.kept[name] < per_class and drawn[name] < _ATTEMPTS * per_class
        ]
        if not wanted:
            return
        if label in wanted:
            drawn[label] += 1
            yield muniment.GenerationSpec(label, "image", model, seed=(seed + number) % 2**64)


def _reasons(generation: muniment.Generation, keep: Sequence[ScoreCondition]) -> list[str]:
    """Return the reasons against a picture, or none."""
    if generation.status != "completed":
        failure = f": {generation.failure.message}" if generation.failure else ""
        return [f"{generation.status}{failure}"]
    scores = {score.name: score.value for score in generation.scores}
    reasons = []
    for condition in keep:
        value = scores.get(condition.score)
        if value is None:
            reasons.append(f"it has no score {condition.score}")
        elif not _MEETS[condition.comparison](value, condition.bound):
            reasons.append(
                f"{condition.score} is {value:.4g}, not {condition.comparison} {condition.bound:g}"
            )
    return reasons


def _facts(generation: muniment.Generation) -> dict[str, Any]:
    """Return the fields of a line, by which a picture leads back to its record."""
    return {
        "label": generation.prompt,
        "synthetic": True,
        "generation": generation.id,
        "seed": str(generation.seed),
        "model": generation.model.digest if generation.model else "",
        "scores": {score.name: score.value for score in generation.scores},
    }


def _folder_names(labels: Sequence[str]) -> dict[str, str]:
    """Return a name of a folder for each label. `T-shirt/top` becomes `T-shirt_top`."""
    names = {label: _FORBIDDEN.sub("_", label).strip(" .") or "_" for label in labels}
    if len({name.casefold() for name in names.values()}) < len(names):
        return {label: f"{index:03d}" for index, label in enumerate(labels)}
    return names


def _write_line(file: Any, line: Mapping[str, Any]) -> None:
    file.write(json.dumps(line, ensure_ascii=False) + "\n")
    file.flush()
