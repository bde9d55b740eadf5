"""Record and read events: feedback, reviews, replays, installations and models.

Each event is an entry with an actor and rows in the table `event`. Trainings are events too
(`trainings.py`), and so are holds, retention rules and erasures (`muniment.store.retention`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar

from msgspec import Struct, to_builtins
from sqlalchemy import ColumnElement, Connection, exists, select, tuple_

from muniment.ledger.assembly import Texts, scores_of
from muniment.ledger.division import plugin_fact
from muniment.ledger.events import (
    Event,
    FeedbackEntry,
    HoldEntry,
    InstallationEntry,
    ModelEntry,
    ReleaseEntry,
    ReplayEntry,
    ReviewEntry,
    ScoredEntry,
    TrainingEntry,
)
from muniment.ledger.fields import (
    MODEL_DIGEST,
    Action,
    ModelAct,
    PluginAct,
    Rating,
    milliseconds,
    moment,
)
from muniment.ledger.payload_texts import TrainingText, decode_text, encode_text
from muniment.ledger.payloads import Kind, Payload, Payloads
from muniment.ledger.schema import kind_of, payload_fields, reference_fields
from muniment.representation import showing
from muniment.store.database.engine import Database, chunks, database_of
from muniment.store.database.tables import event, generation
from muniment.store.errors import corruption_as_store_error
from muniment.store.queries import loader
from muniment.store.queries.planner import QueryPlanner
from muniment.store.queries.query import Query
from muniment.store.recording import references
from muniment.store.recording.ledger import PreparedEntry, append_with_rows, prepare
from muniment.times import iso
from muniment.types.generations import Generation
from muniment.types.plugins import PluginRef
from muniment.types.replays import Difference, Replay
from muniment.types.scores import Score
from muniment.types.verdicts import Decision, Judgement
from muniment.validation import check_text, now

E = TypeVar("E", bound=Event)

_ABOUT = ("kind", "version", "at", "actor")  # fields that all events share


class ReplayText(Struct, frozen=True):
    """The texts of a replay.

    Attributes:
        detail: The result as a sentence or a part of one.
        differences: Facts that differ from the record.
    """

    detail: str | None = None
    differences: tuple[Difference, ...] | None = None

    __repr__ = showing()


class ModelSourceText(Struct, frozen=True):
    """The texts about an added or removed model.

    Attributes:
        name: The name of the model.
        source: The origin of its files.
    """

    name: str | None = None
    source: str | None = None


_STRUCTURES: Mapping[str, type[Struct]] = {
    "replay": ReplayText,
    "model": ModelSourceText,
    "training": TrainingText,
}


@dataclass(frozen=True, slots=True)
class RecordedEvent(Generic[E]):
    """A recorded event: its entry with that entry's number, its actor's name and its texts.

    `plugins` are those that the entry names.
    """

    number: int
    entry: E
    actor: str
    texts: Texts
    plugins: tuple[PluginRef, ...] = ()

    __repr__ = showing("number", "actor", "at", kind=lambda event: kind_of(type(event.entry)))

    @property
    def at(self) -> datetime:
        """The time of the event."""
        return moment(self.entry.at)

    def text(self, kind: Kind) -> str | None:
        """Return a text of the event, or None if it has none or it was erased or altered."""
        return self.texts.text(kind)

    @property
    def altered(self) -> tuple[str, ...]:
        """The kinds of the event's texts that were changed after they were recorded."""
        return tuple(sorted(self.texts.altered))

    @property
    def replay(self) -> ReplayText:
        """The texts of a replay, which are None if they were erased or altered."""
        return decode_text(ReplayText, self.texts.get("replay"))

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scores that were added. Without their payload they have no parameters."""
        return scores_of(self.entry, self.texts) if isinstance(self.entry, ScoredEntry) else ()

    @property
    def training(self) -> TrainingText:
        """The texts of a training, which are None if they were erased or altered."""
        return decode_text(TrainingText, self.texts.get("training"))

    def to_json(self) -> dict[str, Any]:
        """Return the event as `--json` prints it: its fields, with texts for commitments."""
        values: dict[str, Any] = {"at": iso(self.at), "actor": self.actor}
        payloads = payload_fields(type(self.entry))
        for name in self.entry.__struct_fields__:
            kind = payloads.get(name, "")
            if kind == "detail":  # of a `ScoredEntry`, whose scores have the texts
                continue
            if name == "scores":
                values[name] = to_builtins(self.scores)
            elif structure := _STRUCTURES.get(kind):
                values |= to_builtins(decode_text(structure, self.texts.get(kind)))
            elif kind:
                values[name] = self.texts.text(kind)
            elif name == "plugins":
                values[name] = to_builtins(self.plugins)
            elif name not in _ABOUT and name not in reference_fields(type(self.entry)):
                values[name] = to_builtins(getattr(self.entry, name))
        return {**values, "altered": self.altered}


class Events:
    """The events of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_feedback(
        self,
        id: str,
        actor: str,
        rating: Rating | None = None,
        comment: str | None = None,
        action: Action | None = None,
        item: int | None = None,
    ) -> RecordedEvent[FeedbackEntry]:
        """Record feedback on the generation with a complete id, and return it.

        `item` is the position of an item among the candidates, from 1.
        """
        payloads = Payloads()
        entry = FeedbackEntry(
            **self.by(actor),
            generation=self.subject(id),
            rating=rating,
            comment=add_text(payloads, "comment", comment),
            action=action,
            item=item,
        )
        return self._added(entry, payloads)

    def add_review(
        self, id: str, actor: str, decision: Judgement, reason: str | None = None
    ) -> RecordedEvent[ReviewEntry]:
        """Record a person's decision on the verdicts of a generation, and return it.

        `id` is the complete id of the generation.
        """
        payloads = Payloads()
        entry = ReviewEntry(
            **self.by(actor),
            generation=self.subject(id),
            decision=decision,
            reason=add_text(payloads, "reason", reason),
        )
        return self._added(entry, payloads)

    def add_installation(
        self, actor: str, act: PluginAct, plugin: PluginRef, at: datetime, signer: str | None
    ) -> None:
        """Record a change of a plugin, unless it is the plugin's last recorded change already."""
        stamp = self.by(actor) | {"at": milliseconds(at)}
        entry = InstallationEntry(**stamp, act=act, plugin=plugin_fact(plugin), signer=signer)
        self.add(entry, once=True)

    def add_model(
        self,
        actor: str,
        act: ModelAct,
        digest: str,
        name: str,
        source: str,
        training: PreparedEntry | None = None,
    ) -> None:
        """Record that an actor added or removed a model.

        The training that it claims is recorded in the same transaction, unless one of the model is
        on record.
        """
        payloads = Payloads()
        entry = ModelEntry(
            **self.by(actor),
            act=act,
            digest=digest if MODEL_DIGEST.fullmatch(digest) else None,
            detail=payloads.add("model", encode_text(ModelSourceText(name, source))),
        )
        prepared = prepare(entry, payloads)
        with self._database.writing() as connection:
            append_with_rows(connection, prepared)
            if training is not None and not has_key(connection, TrainingEntry, digest):
                append_with_rows(connection, training)

    def by(self, actor: str) -> dict[str, int]:
        """Return the fields `at` and `actor` of an event that the actor causes now."""
        number = references.actor_number(self._database, actor)
        return {"at": milliseconds(now()), "actor": number}

    def add(
        self, entry: Event, payloads: Sequence[Payload] = (), *, once: bool = False
    ) -> int | None:
        """Record an event in a transaction, and return the number of its entry.

        With `once`, return None if the last event of the same kind and key is the same event.
        """
        prepared = prepare(entry, payloads)
        with self._database.writing() as connection:
            if once:
                condition = event.c.key == entry.key
                last = select_events(connection, type(entry), condition, newest=1)
                if [recorded.entry for recorded in last] == [entry]:
                    return None
            return append_with_rows(connection, prepared)

    def add_replay(self, replay: Replay, actor: str) -> None:
        """Record the result of a replay, with its environment and plugins."""
        facts = tuple(sorted(replay.environment.items()))
        numbers = references.numbers(
            self._database,
            {"actor": [actor], "environment": [facts], "plugin": replay.plugins},
        )
        payloads = Payloads()
        entry = ReplayEntry(
            at=milliseconds(now()),
            actor=numbers["actor", actor],
            generation=self.subject(replay.id),
            result=replay.result,
            environment=numbers["environment", facts],
            plugins=[numbers["plugin", plugin] for plugin in replay.plugins],
            detail=payloads.add(
                "replay", encode_text(ReplayText(replay.detail, replay.differences))
            ),
        )
        self.add(entry, payloads)

    def subject(self, id: str) -> int:
        """Return the number of the generation with a complete id. Raise UnknownNameError."""
        with self._database.reading() as connection:
            return loader.number_of(connection, generation, id)

    def of(self, id: str, event_class: type[E]) -> list[RecordedEvent[E]]:
        """Return the events of a class about the generation with a complete id, oldest first."""
        number = self.subject(id)
        with self._database.reading() as connection:
            return select_events(connection, event_class, event.c.subject == number)

    def feedback(self, query: Query) -> Iterator[tuple[RecordedEvent[FeedbackEntry], Generation]]:
        """Yield the feedback on the generations that pass the filters of a query, with them.

        Feedback on one generation is together, in its order. The earliest generation is first.
        """
        place = (event.c.subject, event.c.seq)
        statement = select(*place).where(event.c.kind == kind_of(FeedbackEntry)).order_by(*place)

        def page(
            connection: Connection, after: tuple[int, int] | None, size: int
        ) -> list[tuple[tuple[int, int], tuple[RecordedEvent[FeedbackEntry], Generation] | None]]:
            later = statement if after is None else statement.where(tuple_(*place) > after)
            places = connection.execute(later.limit(size)).tuples().all()
            subjects = list({subject for subject, _ in places})
            matching = QueryPlanner(connection, query).among(subjects)
            loaded = dict(loader.load_numbers(connection, matching))
            recorded = read_events(connection, FeedbackEntry, [number for _, number in places])
            rated = [(item, loaded.get(item.entry.generation)) for item in recorded]
            pairs = [None if made is None else (item, made) for item, made in rated]
            return list(zip(places, pairs, strict=True))

        yield from filter(None, loader.in_pages(self._database, None, page))

    def with_key(self, event_class: type[E], key: str) -> list[RecordedEvent[E]]:
        """Return the events of a class with a key, such as a distribution, the oldest first."""
        with self._database.reading() as connection:
            return select_events(connection, event_class, event.c.key == key)

    def _added(self, entry: E, payloads: Sequence[Payload]) -> RecordedEvent[E]:
        """Record an event, and return it as it was recorded."""
        number = self.add(entry, payloads)
        with self._database.reading() as connection:
            [recorded] = read_events(connection, type(entry), [number or 0])
        return recorded

    def unreviewed(self, query: Query) -> Iterator[Generation]:
        """Yield flagged and blocked generations without a review, the newest first.

        They also pass the filters of the query.
        """
        queries = _unreviewed(query)
        return loader.in_pages(
            self._database,
            query.limit,
            lambda connection, before, size: loader.load_numbers(
                connection, _newest(connection, queries, before, size)
            ),
        )

    def unreviewed_count(self, query: Query) -> int:
        """Return the number of generations that `unreviewed` yields without a limit."""
        with self._database.reading() as connection:
            return sum(QueryPlanner(connection, part).count() for part in _unreviewed(query))


def add_text(payloads: Payloads, kind: Kind, text: str | None) -> str | None:
    """Add a person's text to the payloads of an entry. Return its commitment, or None if empty.

    Raises PromptError for a text that cannot be recorded.
    """
    if not text:
        return None
    check_text(kind, text)
    return payloads.add(kind, text.encode())


def read_events(
    connection: Connection,
    event_class: type[E],
    numbers: Sequence[int],
    *,
    allow_altered: bool = False,
) -> list[RecordedEvent[E]]:
    """Return the events with these numbers, in the order of the numbers.

    Raise DamagedStoreError for an event whose bytes were altered. With `allow_altered`, it is
    returned without texts, and `altered` contains `entry`.
    """
    events = []
    with corruption_as_store_error(database_of(connection).url):
        for part in chunks(numbers):
            altered: set[int] = set()
            entries = loader.entries_of(connection, part, altered if allow_altered else None)
            shared = loader.SharedReader(connection).read(entries.values())
            stored = loader.payloads_of(connection, part)
            for number in part:
                entry, texts = entries[number], Texts()
                if not isinstance(entry, event_class):
                    raise ValueError(f"entry {number} is not a {event_class.__name__}")
                if number in altered:
                    texts.add_altered(entry)
                else:
                    texts.add(entry, stored.get(number, {}))
                plugins = [shared.plugins[plugin] for plugin in getattr(entry, "plugins", ())]
                events.append(
                    RecordedEvent(number, entry, shared.actors[entry.actor], texts, tuple(plugins))
                )
    return events


def select_events(
    connection: Connection,
    event_class: type[E],
    condition: ColumnElement[bool],
    newest: int | None = None,
    *,
    allow_altered: bool = False,
) -> list[RecordedEvent[E]]:
    """Return the events of a class that meet a condition, the oldest first.

    See `read_events` for `allow_altered`.
    """
    statement = select(event.c.seq).where(event.c.kind == kind_of(event_class), condition)
    numbers = connection.scalars(statement.order_by(event.c.seq.desc()).limit(newest)).all()
    return read_events(connection, event_class, numbers[::-1], allow_altered=allow_altered)


def has_key(connection: Connection, event_class: type[Event], key: str) -> bool:
    """Return whether an event of a class with a key is on record."""
    is_key = (event.c.kind == kind_of(event_class)) & (event.c.key == key)
    return bool(connection.scalar(select(exists().where(is_key))))


_REVIEWED: tuple[Decision, ...] = ("flag", "block")  # decisions that a person reviews


def _unreviewed(query: Query) -> Sequence[Query]:
    """Return the queries for generations that need a review, one for each decision."""
    return [replace(query, decision=decision, reviewed=False) for decision in _REVIEWED]


def _newest(
    connection: Connection, queries: Sequence[Query], before: int | None, size: int
) -> Sequence[int]:
    """Return the numbers of up to `size` generations below `before` that match a query."""
    numbers: list[int] = []
    for query in queries:
        numbers += QueryPlanner(connection, query).page(before, size)
    return sorted(numbers, reverse=True)[:size]


# ---- holds -------------------------------------------------------------------------------------

_released = select(event.c.key).where(event.c.kind == kind_of(ReleaseEntry))
HOLD_IN_FORCE = (event.c.kind == kind_of(HoldEntry)) & event.c.key.not_in(_released)
"""The condition for rows of `event` that belong to a hold that was not released."""


def holds_in_force(connection: Connection, since: int = 0) -> list[str]:
    """Return the ids of the holds in force that were placed by entry `since` or later."""
    placed = select(event.c.key).where(HOLD_IN_FORCE, event.c.seq >= since).distinct()
    return sorted(connection.scalars(placed))
