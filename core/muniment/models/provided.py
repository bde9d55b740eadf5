"""Models that a generator lists, adds and finds, and the errors of these calls."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from muniment.errors import ModelError, ModelTermsWarning, MunimentError
from muniment.failures import explain
from muniment.hookspecs import ModelProvider
from muniment.models.notices import AdditionNotices
from muniment.types.models import PackagedModel


def is_path(reference: str) -> bool:
    """Return whether a reference can only be a path."""
    return reference.startswith((".", "~")) or os.path.isabs(reference)


def is_hub_id(reference: str, generator: object) -> bool:
    """Return whether a reference can only be the hub id of a model that the generator can find."""
    if not is_hub_id_form(reference) or not isinstance(generator, ModelProvider):
        return False
    return not os.path.exists(reference)


def is_hub_id_form(reference: str) -> bool:
    """Return whether a reference has the form of a hub id, which some relative paths have, too."""
    return "/" in reference and not is_path(reference)


def packaged_models(generator: object) -> list[PackagedModel]:
    """Return the models that come with installed packages. Raise ModelError on failure."""
    if not isinstance(generator, ModelProvider):
        return []
    with model_errors("", "packaged models cannot be listed", generator):
        packaged: object = generator.packaged_models()
        if not isinstance(packaged, Sequence) or not all(
            isinstance(model, PackagedModel) for model in packaged
        ):
            raise _broken(generator, "packaged_models", "a list of muniment.PackagedModel")
        return list(packaged)


def packaged_names(generator: object) -> list[str]:
    """Return the names of the models that come with installed packages. Raise ModelError."""
    return [model.name for model in packaged_models(generator)]


class ModelFacts(msgspec.Struct):
    """The facts that `add_model` of a generator returns."""

    name: str | None = None
    roles: dict[str, str] = {}
    terms: str = ""
    is_part: bool = False


def model_facts(
    generator: ModelProvider, source: str, into: Path, notices: AdditionNotices
) -> ModelFacts:
    """Return the facts of a model that the generator put into a folder."""
    facts: object = generator.add_model(source, into, notices.progress)
    try:
        return msgspec.convert(facts, ModelFacts, from_attributes=False)
    except msgspec.ValidationError:
        raise _broken(
            generator,
            "add_model",
            "a mapping with name and terms as texts, roles with files, and is_part as a bool",
        ) from None


def model_folder(generator: ModelProvider, reference: str) -> Path:
    """Return the folder of a model that was never added."""
    folder: object = generator.find_model(reference)
    if not isinstance(folder, str | os.PathLike):
        raise _broken(generator, "find_model", "the pathlib.Path of a folder")
    return Path(folder)


def _broken(generator: ModelProvider, method: str, expected: str) -> ModelError:
    """Return the error of a method that did not return what the contract of plugins demands."""
    name = getattr(generator, "name", type(generator).__name__)
    return ModelError("", f"{method}() of generator {name!r} must return {expected}")


@contextlib.contextmanager
def model_errors(name: str, failure: str, generator: object) -> Iterator[None]:
    """Raise ModelError instead of an exception of a generator or of the file system."""
    try:
        yield
    except (MunimentError, ModelTermsWarning):
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(
            name, f"{failure}: {explain(error, type(generator).__module__)}"
        ) from error
