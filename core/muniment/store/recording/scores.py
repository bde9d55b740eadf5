"""Record scores that are added to generations after their outcomes, and read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from muniment.errors import UnknownNameError
from muniment.ledger.division import add_scores
from muniment.ledger.events import ScoredEntry
from muniment.ledger.fields import milliseconds
from muniment.store.database.engine import Database
from muniment.store.recording import references
from muniment.store.recording.events import Events, RecordedEvent
from muniment.store.recording.generations import started_numbers
from muniment.store.recording.ledger import append_all_with_rows, prepare
from muniment.types.plugins import PluginRef
from muniment.types.scores import Score
from muniment.validation import check_text, now


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of one generation, to be added to its record.

    Attributes:
        generation: The complete id of the generation.
        scores: The scores, at least one.
        plugins: The core and the plugins that provide the evaluators and run their models.
        siblings: The complete ids of the other generations that it was compared with.
        references: The text that the outputs were compared with, or None.
    """

    generation: str
    scores: Sequence[Score]
    plugins: Sequence[PluginRef]
    siblings: Sequence[str] = ()
    references: str | None = None


class Scores:
    """The scores that were added to the generations of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, actor: str, evaluations: Sequence[Evaluation]) -> None:
        """Record scores of several generations in one transaction.

        Raises UnknownNameError for a generation that is not recorded, and PromptError for
        references that cannot be recorded.
        """
        if not evaluations:
            return
        plugins = [plugin for item in evaluations for plugin in item.plugins]
        numbers = references.numbers(self._database, {"actor": [actor], "plugin": plugins})
        generations = self._numbers(evaluations)
        at = milliseconds(now())
        prepared = [
            prepare(
                *add_scores(
                    item.scores,
                    item.references,
                    at=at,
                    actor=numbers["actor", actor],
                    generation=generations[item.generation],
                    siblings=[generations[id] for id in item.siblings],
                    plugins=[numbers["plugin", plugin] for plugin in item.plugins],
                )
            )
            for item in evaluations
        ]
        with self._database.writing() as connection:
            append_all_with_rows(connection, prepared)

    def of(self, id: str) -> list[RecordedEvent[ScoredEntry]]:
        """Return the events that added scores to the generation with a complete id, in order."""
        return Events(self._database).of(id, ScoredEntry)

    def _numbers(self, evaluations: Sequence[Evaluation]) -> dict[str, int]:
        """Return the numbers of the generations and siblings of evaluations by id."""
        ids = {id for item in evaluations for id in (item.generation, *item.siblings)}
        with self._database.reading() as connection:
            numbers = started_numbers(connection, sorted(ids))
        if missing := sorted(ids - numbers.keys()):
            raise UnknownNameError("generation", missing[0])
        for item in evaluations:
            check_text("references", item.references or "")
        return numbers
