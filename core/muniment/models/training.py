"""Trainings of models, and the file `training.json` that a trained model carries.

The file describes the training to other installations. It has no time, path or environment, so
the same training writes the same file. It is one of the files that the model's digest covers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, get_args

import msgspec
from msgspec import Struct

from muniment.errors import ModelError, UsageError, explain_invalid
from muniment.ledger.fields import (
    MODEL_DIGEST,
    Count,
    ModelDigest,
    TrainingCount,
    TrainingStatus,
    is_parameter,
)
from muniment.ledger.payload_texts import TrainingText, finite_or_text
from muniment.models.digests import FileHashes, digest, files
from muniment.parameters import Value
from muniment.representation import showing
from muniment.validation import check_texts, escape_unencodable

T = TypeVar("T", bound=Struct)

FILE = "training.json"
FORMAT: Literal["muniment-training/1"] = "muniment-training/1"

_MARKER = b'"muniment-training/'  # which all versions of the format contain
_ENTRY_COUNTS: tuple[TrainingCount, ...] = get_args(TrainingCount)
_MAX_COUNTS = 100
_MAX_BYTES = 16 << 20  # of the file, which is read into memory
_HINTS = {
    "format": f"use {FORMAT}",
    "status": "use completed, stopped or failed",
    "base": "use the digest of a model or null",
    "counts": "use whole numbers from 0",
    "parameters": "use numbers, truth values, texts, lists of texts or null",
    "losses": "use a list of numbers",
    "data_digest": "use a text or null",
    "classes": "use a list of texts",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A training of a model, for `Session.record_training` and `write_training_json`.

    Attributes:
        model: The folder or file of the trained model, or None if no model was written.
        base: The folder or file of the model that it began with, or that model's digest. None if it
            began without a model.
        status: `completed`, `stopped` before its end, or `failed`.
        counts: Whole numbers, at most 100. Those named epochs, steps, examples, classes and tokens
            can never be erased.
        parameters: The parameters, such as the learning rate and the seed, but no paths.
        losses: The losses in their order, such as one of each epoch.
        data_digest: A digest of the data, in a form of the plugin's choice.
        data_folder: The folder of the data.
        data_files: The names of the files of the data.
        classes: The names of the classes of the data.
        environment: Facts on which the result can depend, besides those that the core adds.
        failure: The reason why the training failed, as a sentence.
        temporary_files: The names of files in the folder `model` that are removed after the
            training is recorded, such as a checkpoint. The digest of the model does not cover them.

    Example:
        >>> training = muniment.Training(model=None, status="failed", failure="no rows")
        >>> session.record_training(training).text("failure") is None
        True
    """

    model: str | Path | None
    base: str | Path | None = None
    status: TrainingStatus = "completed"
    counts: Mapping[str, int] = field(default_factory=dict)
    parameters: Mapping[str, Value] = field(default_factory=dict)
    losses: Sequence[float] = ()
    data_digest: str | None = None
    data_folder: str | Path | None = None
    data_files: Sequence[str] = ()
    classes: Sequence[str] = ()
    environment: Mapping[str, str | int] = field(default_factory=dict)
    failure: str | None = None
    temporary_files: Sequence[str] = ()

    __repr__ = showing("status", "model", "base", "counts", "parameters")


class TrainingClaim(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `training.json`, which has exactly these fields.

    Attributes:
        format: The version of this structure.
        status: `completed`, `stopped` before its end, or `failed`.
        base: The digest of the model that the training began with, or null.
        counts: Whole numbers such as epochs, steps and examples.
        parameters: The parameters of the training.
        losses: The losses in their order. A number that is not finite is a text, as in `"nan"`.
        data_digest: A digest of the data, in a form that the plugin chose, or null.
        classes: The names of the classes of the data.
    """

    format: Literal["muniment-training/1"]
    status: TrainingStatus
    base: ModelDigest | None
    counts: dict[str, Count]
    parameters: dict[str, Value]
    losses: tuple[float | Literal["nan", "inf", "-inf"], ...]
    data_digest: str | None
    classes: tuple[str, ...]

    def entry_counts(self) -> dict[TrainingCount, int]:
        """Return the counts that an entry contains."""
        return {name: self.counts[name] for name in _ENTRY_COUNTS if name in self.counts}

    def texts(self) -> TrainingText:
        """Return the claim as the payload of an entry."""
        return TrainingText(
            other_counts={
                name: count for name, count in self.counts.items() if name not in _ENTRY_COUNTS
            },
            parameters=self.parameters,
            losses=self.losses,
            data_digest=self.data_digest,
            classes=self.classes,
        )


class CheckedTraining(NamedTuple):
    """A training that can be recorded, with the digest of the model that it wrote, or None."""

    claim: TrainingClaim
    texts: TrainingText
    result: str | None


def model_digest(model: str | Path, *, omit: Sequence[str] = ()) -> str:
    """Return the digest of the folder or file of a model, without the files of a folder in `omit`.

    Raises ModelError if there is none, or if a file cannot be read.

    Example:
        >>> _ = (folder / "weights").write_bytes(b"weights")
        >>> muniment.model_digest(folder)[:12]
        'tree1-sha256'
    """
    path = Path(model)
    try:
        if path.is_dir() and not files(path, keep=lambda name: name not in omit):
            raise ModelError(str(path), f"the model {path} has no files; write its files first")
        return digest(path, FileHashes(), keep=lambda name: name not in omit)
    except FileNotFoundError as error:
        raise ModelError(
            str(path), f"there is no model {error.filename or path}; write its files first"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(str(path), f"the model {path!s:.200} cannot be read: {error}") from error


def write_training_json(training: Training) -> Path:
    """Write `training.json` into the folder of a trained model, and return its path.

    Call this before `Session.record_training`, because the digest of the model covers the file.
    Data folder, names of files, environment and failure are not part of it. Raises UsageError and
    ModelError.

    Example:
        >>> _ = (folder / "weights").write_bytes(b"weights")
        >>> muniment.write_training_json(muniment.Training(model=folder, counts={"steps": 3})).name
        'training.json'
    """
    if training.model is None or not Path(training.model).is_dir():
        raise ModelError(
            str(training.model or ""),
            f"{FILE} cannot be written: {training.model} is not a folder; write the model first",
        )
    path = Path(training.model) / FILE
    claim = msgspec.json.encode(_claim(training), order="deterministic")
    content = msgspec.json.format(claim) + b"\n"
    if len(content) > _MAX_BYTES:
        raise UsageError(f"{FILE} would have {len(content):,} bytes; give fewer losses")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ModelError(str(path), f"{path} cannot be written: {error}") from error
    return path


def read_training_json(model: Path, name: str | None = None) -> TrainingClaim | None:
    """Return the claim in the folder of a model, or None if it has no `training.json`.

    A file of this name that does not mention the format is another program's, and no claim. Raises
    ModelError for a file that cannot be read, or has the format but not the structure of a claim.
    The error has the `name` of the model instead of the path, if it is set.
    """
    path = model / FILE
    subject = str(path) if name is None else f"the {FILE} of model {name}"
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if _MARKER not in content:
            return None
        if len(content) > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES:,} bytes; at most these are read")
        claim = msgspec.json.decode(content, type=TrainingClaim)
        _check(claim)
        return claim
    except (OSError, ValueError) as error:
        raise ModelError(
            str(model),
            f"{subject} does not describe a training: {_reason(error)}; correct or remove the file",
        ) from error


def check_training(training: Training, environment: Mapping[str, str | int]) -> CheckedTraining:
    """Return a training as it can be recorded. `environment` has the facts of the core.

    Raises UsageError for an invalid field, or if the model's `training.json` describes another
    training. Raises ModelError for a model that is not there or cannot be read.
    """
    if not isinstance(training, Training):
        raise UsageError(f"a training must be a Training, not {type(training).__name__}")
    claim = _claim(training)
    texts = _converted(
        TrainingText,
        msgspec.structs.asdict(claim.texts())
        | {
            "data_folder": training.data_folder and escape_unencodable(str(training.data_folder)),
            "data_files": _names("data_files", training.data_files),
            "environment": {**environment, **training.environment},
            "failure": training.failure,
        },
    )
    if training.model is None:
        if training.status == "completed":
            raise UsageError("a completed training has no model; give the folder that it wrote")
        return CheckedTraining(claim, texts, None)
    if training.status == "completed" and training.failure is not None:
        raise UsageError("a completed training has no failure; use the status failed or stopped")
    check_texts("the temporary_files of a training", training.temporary_files)
    result = model_digest(training.model, omit=training.temporary_files)
    if read_training_json(Path(training.model)) not in (None, claim):
        raise UsageError(
            f"{Path(training.model) / FILE} describes another training; write it with "
            "muniment.write_training_json before the training is recorded"
        )
    return CheckedTraining(claim, texts, result)


def _claim(training: Training) -> TrainingClaim:
    """Return the part of a training that its `training.json` has. Raise as `check_training`."""
    base = training.base
    if base is not None and not (isinstance(base, str) and MODEL_DIGEST.match(base)):
        base = model_digest(base)
    try:
        losses = tuple(finite_or_text(loss) for loss in training.losses)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the losses of a training must be numbers: {error}") from None
    return _converted(
        TrainingClaim,
        {
            "format": FORMAT,
            "status": training.status,
            "base": base,
            "counts": training.counts,
            "parameters": training.parameters,
            "losses": losses,
            "data_digest": training.data_digest,
            "classes": _names("classes", training.classes),
        },
    )


def _converted(text_class: type[T], values: Mapping[str, Any]) -> T:
    """Return a structure with checked values. Raise UsageError unless JSON can contain them."""
    try:
        made = msgspec.convert(values, text_class)
        if isinstance(made, TrainingClaim):
            _check(made)
        for name, value in msgspec.structs.asdict(made).items():
            _check_encodable(name, value)
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"the training cannot be recorded: {_explained(error)}") from None
    return made


def _check_encodable(name: str, value: object) -> None:
    """Raise ValueError for a field that JSON cannot contain."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError as error:
        text = escape_unencodable(error.object)
        raise ValueError(
            f"UTF-8 cannot encode the text '{text:.80}' in {name}; change that text"
        ) from None


def _reason(error: Exception) -> str:
    """Return why a file has no claim. The text of an OSError would repeat the path."""
    return f"{error.strerror}" if isinstance(error, OSError) else _explained(error)


def _explained(error: Exception) -> str:
    is_invalid = isinstance(error, msgspec.ValidationError)
    return escape_unencodable(explain_invalid(error, _HINTS) if is_invalid else str(error))


def _check(claim: TrainingClaim) -> None:
    """Raise ValueError for a value that the types of the fields allow but a claim does not."""
    if len(claim.counts) > _MAX_COUNTS:
        raise ValueError(
            f"it has {len(claim.counts)} counts, but at most {_MAX_COUNTS} are recorded"
        )
    if unfit := [name for name in claim.counts if not is_parameter(name)]:
        raise ValueError(f"the name {unfit[0]!r:.80} of a count is not an identifier")
    for name, value in claim.parameters.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"the parameter {name!r:.80} is not a finite number")


def _names(field: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return names of the file system as texts that UTF-8 can encode."""
    check_texts(f"the {field} of a training", names)
    return tuple(map(escape_unencodable, names))
