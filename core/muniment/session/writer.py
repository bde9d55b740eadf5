"""Recording of events other than generations, and the erasure of what was recorded.

Modules that a generation does not need are imported in the methods that use them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from muniment.errors import UnknownNameError, UsageError
from muniment.models.records import ModelRecord
from muniment.plugins.core import core_environment, core_plugin
from muniment.session.reader import RecordReader
from muniment.store import Query
from muniment.types.experiments import Levels
from muniment.types.plugins import PluginRef

if TYPE_CHECKING:
    from datetime import datetime

    from muniment.ledger.events import ExperimentEntry, FeedbackEntry, ReviewEntry, TrainingEntry
    from muniment.ledger.fields import ModelAct, PluginAct
    from muniment.models.training import Training
    from muniment.store import Rule
    from muniment.store.recording.events import RecordedEvent
    from muniment.store.retention.erasure import ErasureResult
    from muniment.types.verdicts import Judgement


class RecordWriter(RecordReader):
    """The part of a session that records events of its actor, which need no generator."""

    def feedback(
        self,
        reference: str,
        rating: str | int | None = None,
        comment: str | None = None,
        *,
        action: str | None = None,
        item: str | None = None,
    ) -> RecordedEvent[FeedbackEntry]:
        """Record this actor's feedback on a generation or one of its items, and return it.

        `rating` is `up`, `down` or a number from 1 to 5. `action` is the action of a user:
        `impression`, `click`, `like`, `dislike` or `buy`. At least one of rating, comment and
        action is needed. `item` is the id of an item that the generation returned, and its
        position is recorded. Raises UsageError for another item.

        Example:
            >>> session.feedback(done.id, "down", "too short").text("comment")
            'too short'
        """
        from muniment.generation.feedback import checked_feedback

        checked_rating, checked_action = checked_feedback(rating, comment, action)
        identifier = self.store.find(reference)
        position = None
        if item is not None:
            position = self._lists.returned_position(self.store.generation(identifier), item)
        return self.store.events.add_feedback(
            identifier,
            self.actor,
            checked_rating,
            comment,
            checked_action,
            position,
        )

    def review(
        self, reference: str, decision: str, reason: str | None = None
    ) -> RecordedEvent[ReviewEntry]:
        """Record that this actor would `approve` or `overturn` the actions on a generation.

        Returns the recorded event. The recorded verdicts and actions do not change. Raises
        UsageError for a generation that was neither flagged nor blocked.

        Example:
            >>> path = folder / "policy.yaml"
            >>> rules = "[{filter: colour, stages: [prompt]}]"
            >>> _ = path.write_text(f"{{policy: team, version: 1, filters: {rules}}}")
            >>> blocked = session.generate("the red one", policy=path)
            >>> session.review(blocked.id, "overturn", "it is a colour").entry.decision
            'overturn'
        """
        if decision not in ("approve", "overturn"):
            raise UsageError(f"a review is approve or overturn, not {decision!r}")
        checked = cast("Judgement", decision)
        identifier = self.store.find(reference)
        if self.store.generation(identifier).decision not in ("flag", "block"):
            raise UsageError(
                f"generation {identifier} was neither flagged nor blocked, so it has no decision "
                "to review; use `muniment feedback` to rate it"
            )
        return self.store.events.add_review(identifier, self.actor, checked, reason)

    def hold(self, query: Query, reason: str) -> tuple[str, int]:
        """Place the generations that match now under legal hold.

        Returns the id of the hold and the number of generations.

        Example:
            >>> hold, number = session.hold(muniment.Query(seed=7), "case 17")
            >>> number
            1
        """
        return self.store.holds.add(query, self.actor, reason)

    def release(self, hold: str, reason: str | None = None) -> str:
        """End a hold, given its id or a unique prefix or suffix of it, and return the id.

        Example:
            >>> hold, number = session.hold(muniment.Query(seed=7), "case 17")
            >>> session.release(hold, "the case is closed") == hold
            True
        """
        return self.store.holds.release(hold, self.actor, reason)

    def set_retention(self, rule: Rule) -> list[Rule]:
        """Set a retention rule, which replaces the rule for the same payloads.

        A rule can be set before anything is recorded. Returns the rules in force.

        Example:
            >>> from muniment.store import Rule
            >>> session.set_retention(Rule(payload="prompt", most_days=30))
            [Rule(payload='prompt', most_days=30)]
        """
        return self._open_store().retention.set_rule(rule, self.actor)

    def run_retention(self, progress: Callable[[int], None] = lambda number: None) -> ErasureResult:
        """Erase the texts whose maximum retention has passed.

        Example:
            >>> session.run_retention().erased
            0
        """
        return self.store.retention.run(self.actor, progress)

    def erase(
        self,
        query: Query,
        reason: str | None = None,
        progress: Callable[[int], None] = lambda number: None,
    ) -> ErasureResult:
        """Destroy all texts and inputs of the matching generations permanently.

        The entries stay, so every proof still verifies. Generations on hold, under retention or
        in progress are skipped. The result counts them, and reports whether bytes may remain.

        Example:
            >>> session.erase(muniment.Query(ids=[done.id]), "on request").erased
            1
            >>> session.generation(done.id).prompt, session.verify(payloads=True).ok
            ('', True)
        """
        return self.store.erasures.erase(query, self.actor, reason=reason, progress=progress)

    def erase_event(self, number: int, reason: str | None = None) -> ErasureResult:
        """Destroy the texts of one event permanently, by the number of its entry.

        These are a reason, a comment, the name and source of a model, the texts of a training or
        the design of an experiment. Raises UsageError.

        Example:
            >>> event = session.feedback(done.id, comment="by Ada, 5 King Street")
            >>> session.erase_event(event.number).pending
            False
        """
        return self.store.erasures.erase_event(number, self.actor, reason=reason)

    def record_installation(
        self, act: PluginAct, plugin: PluginRef, at: datetime, signer: str | None = None
    ) -> None:
        """Record this actor's change to a plugin at a time. Recording it twice has no effect.

        `signer` is the fingerprint of the key that signed the plugin's bundle.

        Example:
            >>> from datetime import UTC, datetime
            >>> plugin = muniment.PluginRef("muniment-echo", "1.0", "tree1-sha256:" + "00" * 32)
            >>> session.record_installation("installed", plugin, datetime.now(UTC))
        """
        self._open_store().events.add_installation(self.actor, act, plugin, at, signer)

    def record_model(self, act: ModelAct, model: ModelRecord) -> None:
        """Record that this actor added or removed a model.

        The training in the `training.json` of an added model is recorded as claimed, unless a
        training of the model is on record. A file of this name in another format is not recorded.
        Raises ModelError, with nothing recorded, for a malformed description.

        Example:
            >>> for model in session.models.added():
            ...     session.record_model("removed", model)
        """
        from muniment.models.training import FILE, FORMAT, read_training_json

        folder, claim = self.models.path(model.name), None
        if act == "added":
            # The copy in this home is deleted if the addition fails, so its path is no help.
            claim = read_training_json(folder, model.name)
            if claim is None and self.warn and (folder / FILE).is_file():
                self.warn(
                    f"the {FILE} of model {model.name} is not {FORMAT}, so it was not recorded"
                )
        store, training = self._open_store(), None
        if claim is not None:
            training = store.trainings.claimed(self.actor, claim, model.digest)
        store.events.add_model(
            self.actor, act, model.digest, model.name, model.source, training=training
        )

    def record_training(
        self, training: Training, *, plugin: str | None = None
    ) -> RecordedEvent[TrainingEntry]:
        """Record a training of this actor, and return the recorded event.

        All files of the model must be written before, because its digest is computed here.
        `plugin` is the distribution that trained it. Raises UsageError or ModelError, with no
        training recorded, for an invalid field, or a model or plugin that is not there.

        Example:
            >>> training = muniment.Training(model=None, status="stopped", counts={"steps": 3})
            >>> session.record_training(training).entry.status
            'stopped'
        """
        from muniment.models.training import check_training

        checked = check_training(training, core_environment())
        trainers = () if plugin is None else (self.plugins.of_distribution(plugin),)
        plugins = [self.plugins.ref(item) for item in (core_plugin(), *trainers)]
        store, base = self._open_store(), checked.claim.base
        is_digest = base == training.base  # else it was computed from the files of the base model
        if base is not None and is_digest and not self._knows_model(base):
            hint = "use the path of the base model, or add that model first"
            raise UnknownNameError("model", base, hint=hint)
        return store.trainings.add(self.actor, checked, plugins)

    def record_experiment(
        self, run_id: str, design: str, levels: Levels
    ) -> RecordedEvent[ExperimentEntry]:
        """Record an experiment of this actor, and return the recorded event.

        It comes before the first generation of the run with this id, whose specs have cells.
        `design` is the text of the design, which can be erased, and `levels` the numbers of its
        levels. Raises StoreError if the run has an experiment or a generation.

        Example:
            >>> levels = muniment.Levels(2, 1, 1, 3)
            >>> event = session.record_experiment(run_id, "two questions", levels)
            >>> event.text("design")
            'two questions'
        """
        return self._open_store().experiments.add(self.actor, run_id, design, levels)

    def _knows_model(self, model_digest: str) -> bool:
        """Return whether a model of a digest is in the home or on record."""
        added = self.models.added(on_error=lambda error: None)
        return any(model.digest == model_digest for model in added) or (
            self._open_store().trainings.knows_model(model_digest)
        )
