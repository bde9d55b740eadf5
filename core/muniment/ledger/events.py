"""The entries about actions of actors: feedback, reviews, erasures, holds and others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from muniment.ledger.canonical import SAFE
from muniment.ledger.entries import Entry
from muniment.ledger.facts import ErasedFact, PluginFact, RetentionFact, ScoreFact, are_valid_scores
from muniment.ledger.fields import (
    Action,
    ActorNumber,
    Cause,
    Commitment,
    Count,
    EntryOf,
    Fingerprint,
    ModelAct,
    ModelDigest,
    PayloadOf,
    PluginAct,
    PluginNumbers,
    Positive,
    Rating,
    StartedNumber,
    Time,
    TrainingCount,
    TrainingStatus,
    Ulid,
)
from muniment.types.replays import ReplayResult
from muniment.types.verdicts import Judgement


class Event(Entry):
    """The base class of entries about an action of an actor.

    The table `event` has one row for each of the `subjects`.

    Attributes:
        at: The time of the event.
        actor: The actor who caused it.
    """

    at: Time
    actor: ActorNumber

    @property
    def subjects(self) -> Sequence[int | None]:
        """The numbers of the generations that the event is about, or one None."""
        return (None,)

    @property
    def key(self) -> str | None:
        """The text by which events of the kind are found, such as the id of a hold."""
        return None


class GenerationEvent(Event):
    """The base class of events about one generation.

    Attributes:
        generation: The generation that it is about.
    """

    generation: StartedNumber

    @property
    def subjects(self) -> Sequence[int | None]:
        """The number of the generation."""
        return (self.generation,)


class FeedbackFields(GenerationEvent):
    """A rating of, or a comment on, a generation."""

    rating: Rating | None
    comment: Annotated[Commitment | None, PayloadOf("comment")]


class FeedbackEntry(FeedbackFields, kind="feedback", version=2):
    """A rating of, a comment on, or an action with a generation or one of its items.

    Attributes:
        action: The action of a user, if there was one.
        item: The position of the item among the candidates, unless the feedback is about the whole
            generation.
    """

    action: Action | None = None
    item: Annotated[int, Meta(ge=1, le=SAFE, description="position from 1")] | None = None


class ReviewEntry(GenerationEvent, kind="review", version=1):
    """A person's decision on the action of the filters. The verdicts stay unchanged.

    Attributes:
        decision: `approve` if the action was right, `overturn` if it was wrong.
    """

    decision: Judgement
    reason: Annotated[Commitment | None, PayloadOf("reason")]


class ReplayEntry(GenerationEvent, kind="replay", version=1):
    """The result of making a generation again and comparing it with its record.

    Attributes:
        environment: The environment of the replay. The outcome has that of the generation.
        plugins: The core and the plugin that contains the generator, if it is available, as they
            were at the replay.
    """

    result: ReplayResult
    environment: Annotated[Count, EntryOf("environment")]
    plugins: PluginNumbers
    detail: Annotated[Commitment, PayloadOf("replay")]


class ScoredEntry(GenerationEvent, kind="scored", version=1):
    """Scores that evaluators gave a generation after its outcome.

    A score replaces an earlier one of the same evaluator, with the same parameters, and measure.
    The earlier one remains on record.

    Attributes:
        siblings: The other generations that the evaluators compared it with, if any.
        plugins: The core and the plugins that provide the evaluators and run their models.
        detail: The parameters of the evaluators, and the reasons of failures.
        references: The texts that the outputs were compared with.
    """

    scores: list[ScoreFact]
    siblings: Annotated[list[Count], EntryOf("started")]
    plugins: PluginNumbers
    detail: Annotated[Commitment | None, PayloadOf("detail")]
    references: Annotated[Commitment | None, PayloadOf("references")]

    def invalid_field(self) -> str | None:
        """Return `scores` if one has a value that does not have its only form."""
        return None if are_valid_scores(self.scores) else "scores"


class ErasureEntry(Event, kind="erasure", version=1):
    """Payloads that were destroyed with their salts, before the entry was committed.

    Attributes:
        cause: `request` if someone requested it, `retention` if their maximum age had passed.
    """

    cause: Cause
    reason: Annotated[Commitment | None, PayloadOf("reason")]
    payloads: list[ErasedFact]


class HoldEntry(Event, kind="hold", version=1):
    """Generations that may not be erased until the hold is released.

    A hold on many generations has several entries with one id.

    Attributes:
        hold: The id of the hold.
    """

    hold: Ulid
    reason: Annotated[Commitment, PayloadOf("reason")]
    generations: Annotated[list[Count], EntryOf("started")]

    @property
    def subjects(self) -> Sequence[int | None]:
        """The numbers of the generations under the hold."""
        return self.generations

    @property
    def key(self) -> str | None:
        """The id of the hold."""
        return self.hold


class ReleaseEntry(Event, kind="release", version=1):
    """The end of a hold.

    Attributes:
        hold: The id of the hold.
    """

    hold: Ulid
    reason: Annotated[Commitment | None, PayloadOf("reason")]

    @property
    def key(self) -> str | None:
        """The id of the hold."""
        return self.hold


class RetentionEntry(Event, kind="retention", version=1):
    """The retention rules from then on. They replace the earlier rules."""

    rules: list[RetentionFact]


class InstallationEntry(Event, kind="installation", version=1):
    """A change of a plugin by `muniment plugins`, written after the change.

    Attributes:
        act: `upgraded` if it replaced another version, older or newer.
        plugin: The state of the plugin after the change, or its last state.
        signer: The key that signed the bundle it was installed from. None if it was not signed.
    """

    act: PluginAct
    plugin: PluginFact
    signer: Fingerprint | None

    @property
    def key(self) -> str | None:
        """The name of the distribution."""
        return self.plugin.distribution


class ModelEntry(Event, kind="model", version=1):
    """The addition of a model to the home folder, or its removal.

    Attributes:
        digest: The digest of the model when it was added. None if its record was corrupt.
        detail: The name and the source of the model.
    """

    act: ModelAct
    digest: ModelDigest | None
    detail: Annotated[Commitment, PayloadOf("model")]

    @property
    def key(self) -> str | None:
        """The digest of the model."""
        return self.digest


class TrainingEntry(Event, kind="training", version=1):
    """The training of a model.

    Attributes:
        claimed: Whether it took place elsewhere, and was read from the model's `training.json`.
        base: The digest of the model that the training began with. None if there was none.
        result: The digest of the trained model. None if no model was written.
        counts: The numbers of epochs, steps, examples, classes and tokens, as far as given. Counts
            with other names are in the payload, because a person may have written the names.
        plugins: The core and the plugin that trained the model. Empty if it is claimed.
        detail: Everything else, such as the data, the parameters and the losses.
    """

    status: TrainingStatus
    claimed: bool
    base: ModelDigest | None
    result: ModelDigest | None
    counts: dict[TrainingCount, Count]
    plugins: PluginNumbers
    detail: Annotated[Commitment, PayloadOf("training")]

    @property
    def key(self) -> str | None:
        """The digest of the trained model."""
        return self.result


class ExperimentEntry(Event, kind="experiment", version=1):
    """The plan of an experiment, written before its first generation.

    Attributes:
        run: The id of the run that has its generations.
        items: The number of items.
        paraphrases: The number of wordings of an item.
        settings: The number of combinations of the values of parameters.
        replicates: The number of repetitions of a combination.
        design: The design, with the prompts and values.
    """

    run: Ulid
    items: Positive
    paraphrases: Positive
    settings: Positive
    replicates: Positive
    design: Annotated[Commitment, PayloadOf("design")]

    @property
    def key(self) -> str | None:
        """The id of the run."""
        return self.run
