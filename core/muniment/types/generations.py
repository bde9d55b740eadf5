"""Records of generations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePath
from typing import Any, Literal, TypeAlias

from muniment.parameters import Value
from muniment.representation import showing
from muniment.types.experiments import Cell
from muniment.types.inputs import Input
from muniment.types.media_types import is_text_type, shown_content
from muniment.types.models import Model
from muniment.types.outputs import Output
from muniment.types.plugins import PluginRef
from muniment.types.provenance import Provenance
from muniment.types.replies import Trace, Usage
from muniment.types.scores import Score
from muniment.types.verdicts import DECISIONS, Decision, Verdict

Status: TypeAlias = Literal["started", "completed", "blocked", "failed", "interrupted"]
UNDECIDED_STATUSES: tuple[Status, ...] = ("started", "failed", "interrupted")
"""The statuses of a generation that is undecided unless a filter flagged or blocked."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a generation failed, as a code and a sentence.

    Attributes:
        code: `invalid` if the request could not be resolved, `refused` if the generator returned
            `request.fail(...)`, `generator` if it raised or broke the contract.
        message: The reason as a sentence.

    Example:
        >>> muniment.Failure("refused", "the prompt is too long").code
        'refused'
    """

    code: Literal["invalid", "refused", "generator"]
    message: str

    __repr__ = showing()


def _shown_output(value: Any) -> str | bytes | list[str]:
    outputs: tuple[Output, ...] = value.outputs
    if len(outputs) == 1 and is_text_type(outputs[0].media_type):
        return shown_content(outputs[0])
    return [output.media_type for output in outputs]


@dataclass(frozen=True, slots=True)
class Generation:
    """The record of one request that went through the pipeline, as stored and displayed.

    `environment` contains everything else that the output may depend on, such as library
    versions, processor, number of threads and number format. `line` is the line number in a
    batch file, counted from 1. `erased` names the kinds of payloads that were erased, for
    example `prompt` and `output`. An erased trace is not listed. `altered` names the kinds of
    payloads that were changed after they were recorded. Their texts are empty. `inputs` are sorted
    by name. `models` has the models of parameters, such as an adapter, by the name of the
    parameter. `resolved_parameters` names the parameters that the caller left to the generator's
    `resolve`, and `resolved_inputs` the inputs that it added, sorted. `policy_digest` is that of
    the policy's text, and empty without one or if it was altered. `cell` is the place in an
    experiment, or None outside of one. `scores` are those of the outcome, and `added_scores` those
    that were added later, the oldest first.

    Example:
        >>> isinstance(done, muniment.Generation)
        True
        >>> done.status, done.text, done.decision
        ('completed', 'Once upon a time, 你好', 'allow')
        >>> done.newest_scores[0].value, done.unread, done.provenance.seed
        (5.0, (), 7)
        >>> done.to_json()["seed"]
        '7'
    """

    id: str
    run_id: str
    actor: str
    status: Status
    generator: str
    prompt: str
    seed: int
    started_at: datetime
    finished_at: datetime | None = None
    system: str | None = None
    model: Model | None = None
    parameters: Mapping[str, Value] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    policy: str = ""
    policy_digest: str = ""
    tags: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    line: int | None = None
    cell: Cell | None = None
    inputs: tuple[Input, ...] = ()
    resolved_parameters: tuple[str, ...] = ()
    resolved_inputs: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    scores: tuple[Score, ...] = ()
    usage: Usage | None = None
    trace: Trace | None = None
    plugins: tuple[PluginRef, ...] = ()
    environment: Mapping[str, str | int] = field(default_factory=dict)
    failure: Failure | None = None
    erased: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    added_scores: tuple[Score, ...] = ()

    __repr__ = showing("id", "status", "prompt", output=_shown_output)

    @property
    def newest_scores(self) -> tuple[Score, ...]:
        """The newest score of each measure of each evaluator with its parameters."""
        if not self.added_scores:
            return self.scores
        newest: dict[tuple[str, str], Score] = {}
        for score in (*self.scores, *self.added_scores):
            newest[score.evaluator, score.name] = score
        return tuple(newest.values())

    @property
    def text(self) -> str:
        """The outputs that are text, joined by blank lines."""
        return "\n\n".join(output.text for output in self.outputs if output.text is not None)

    @property
    def provenance(self) -> Provenance:
        """The facts that an exported file contains. They include no path of this machine."""
        return Provenance(
            id=self.id,
            generator=self.generator,
            prompt=self.prompt,
            seed=self.seed,
            parameters={
                name: value for name, value in self.parameters.items() if name not in self.models
            },
            # The name of a model that was not added is its path.
            model=PurePath(self.model.name).name if self.model else "",
            model_digest=self.model.digest if self.model else "",
            created_at=self.started_at,
            versions={plugin.distribution: plugin.version for plugin in self.plugins},
            models={name: model.digest for name, model in self.models.items()},
        )

    @property
    def unread(self) -> tuple[str, ...]:
        """The outputs and inputs that are not text and have no verdict, as `output: image/png`.

        Empty without a policy.
        """
        if self.policy in ("", "none", "none@1") or not (self.outputs or self.inputs):
            return ()
        stages = {verdict.stage for verdict in self.verdicts}
        judged = {verdict.input for verdict in self.verdicts}
        inputs = [
            f"input {item.name}: {item.media_type}"
            for item in self.inputs
            if item.name not in judged and not is_text_type(item.media_type)
        ]
        types = [] if stages & {"output", "item"} else [item.media_type for item in self.outputs]
        outputs = [f"output: {name}" for name in dict.fromkeys(types) if not is_text_type(name)]
        return (*inputs, *outputs)

    @property
    def decision(self) -> Decision | None:
        """The most severe action of all verdicts, or None for an undecided generation.

        One that completed without a finding is allowed, also without a filter. Without a finding,
        a generation of the `UNDECIDED_STATUSES` is undecided.
        """
        actions = (verdict.action for verdict in self.verdicts)
        worst: Decision = max(actions, key=DECISIONS.index, default="allow")
        undecided = worst == "allow" and self.status in UNDECIDED_STATUSES
        return None if undecided else worst

    def to_json(self) -> dict[str, Any]:
        """Return the generation in the shape that `--json` prints (docs/reference/json.md)."""
        from muniment.records import to_json  # which imports this module

        return to_json(self)
