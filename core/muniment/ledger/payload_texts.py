"""The texts of generations, models and trainings, which are payloads as JSON.

Fields without a value are omitted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from muniment.representation import showing
from muniment.types.verdicts import Decision, Reason

T = TypeVar("T", bound=Struct)


class _Text(Struct, frozen=True, omit_defaults=True, gc=False):
    pass


class ModelText(_Text, frozen=True):
    """The model of a request.

    Attributes:
        name: The name of the model.
        path: The path of its files.
        digest: The digest, if it does not have the form that an entry needs.
    """

    name: str = ""
    path: str = ""
    digest: str = ""


class RequestText(_Text, frozen=True):
    """Everything that the caller wrote besides the prompt.

    Attributes:
        system: The system prompt.
        tags: The tags.
        generator: The requested name, if the request could not be resolved.
        parameters: Parameters that are texts or lists. If the request could not be resolved, all
            parameters.
        models: The models of parameters, by the name of the parameter.
        resolved_parameters: The names of parameters that the caller left to the generator's
            `resolve`.
        resolved_inputs: The names of inputs that it added.
    """

    system: str | None = None
    tags: tuple[str, ...] = ()
    generator: str = ""
    model: ModelText | None = None
    parameters: Mapping[str, Any] = {}
    models: Mapping[str, ModelText] = {}
    resolved_parameters: tuple[str, ...] = ()
    resolved_inputs: tuple[str, ...] = ()


class VerdictText(_Text, frozen=True):
    """The texts of a verdict.

    Attributes:
        filter: The name of the filter, if no plugin declares it.
        categories: Scores of the categories that the filter does not declare.
        failure: The reason why the filter failed.
        observed_action: The action that enforcing would have taken, if the policy only observes.
        policy_version: The policy, as in `default@1`, if it is not that of the generation.
    """

    filter: str = ""
    reasons: tuple[Reason, ...] = ()
    categories: Mapping[str, float] = {}
    failure: str | None = None
    observed_action: Decision | None = None
    policy_version: str | None = None


class ScoreText(_Text, frozen=True):
    """The texts of a score.

    Attributes:
        evaluator: The name of the evaluator with parameters, unless it is the name in the entry.
        parameters: All parameters of the evaluator.
        models: The digests of models that do not have the form that an entry needs.
        failure: The reason why the evaluator failed.
    """

    evaluator: str = ""
    parameters: Mapping[str, Any] = {}
    models: Mapping[str, str] = {}
    failure: str | None = None


class DetailText(_Text, frozen=True):
    """The texts of an outcome. Those of verdicts and scores are by position, as a string.

    Attributes:
        verdicts: The texts of verdicts.
        scores: The texts of scores.
        failure: The reason why the generation failed.
    """

    verdicts: Mapping[str, VerdictText] = {}
    scores: Mapping[str, ScoreText] = {}
    failure: str = ""


class TraceText(Struct, frozen=True):
    """The tokens of a text, in three lists of equal length.

    Attributes:
        token_ids: The numbers of the tokens.
        logprobs: Their log-probabilities. A number that is not finite is a text, as in `"inf"`.
        margins: The changes of logits that could change them, as numbers of the same form.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float | str, ...]
    margins: tuple[float | str, ...]


class PolicyText(Struct, frozen=True):
    """The name of a policy, and its document.

    Attributes:
        name: The name of the policy.
        document: The text of its file.
    """

    name: str = ""
    document: str = ""


class TrainingText(Struct, frozen=True):
    """The texts of a training. A claimed one has neither data folder, files nor environment.

    Attributes:
        other_counts: The counts whose names an entry does not contain.
        parameters: The parameters of the training.
        losses: The losses in their order. A number that is not finite is a text, as in `"nan"`.
        data_digest: The digest of the data, in a form that the plugin chose.
        data_folder: The folder of the data.
        data_files: The names of the files of the data.
        classes: The names of the classes of the data.
        environment: The facts on which the result can depend.
        failure: The reason why the training failed.
    """

    other_counts: Mapping[str, int] | None = None
    parameters: Mapping[str, Any] | None = None
    losses: tuple[float | str, ...] | None = None
    data_digest: str | None = None
    data_folder: str | None = None
    data_files: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    environment: Mapping[str, str | int] | None = None
    failure: str | None = None

    __repr__ = showing()


encode_text = msgspec.json.Encoder().encode
"""Return a text structure as the JSON of its payload."""


def decode_text(text_class: type[T], content: bytes | None) -> T:
    """Return the structure in a payload, or an empty one for a payload that is gone."""
    return text_decoder(text_class).decode(content) if content else text_class()


@cache
def text_decoder(text_class: type[T]) -> msgspec.json.Decoder[T]:
    """Return the decoder of a text structure."""
    return msgspec.json.Decoder(text_class)


def finite_or_text(value: float) -> float | str:
    """Return a number, or its text if it is not finite, because JSON has no such numbers."""
    value = float(value)
    return value if math.isfinite(value) else str(value)


NO_REQUEST_TEXT, NO_VERDICT_TEXT, NO_DETAIL_TEXT = RequestText(), VerdictText(), DetailText()
NO_SCORE_TEXT = ScoreText()
