"""Read recorded feedback with the generations and items that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast, get_args

from muniment.errors import MunimentError, UsageError
from muniment.generation.lists import Lists
from muniment.ledger.fields import Action, Rating
from muniment.representation import showing
from muniment.types.generations import Generation
from muniment.types.outputs import Item

if TYPE_CHECKING:
    from muniment.ledger.events import FeedbackEntry
    from muniment.store.recording.events import RecordedEvent


@dataclass(frozen=True, slots=True)
class FeedbackEvent:
    """Recorded feedback on a generation or one of its items.

    Attributes:
        number: The number of its entry in the ledger, which increases in time.
        generation: The generation, as it was recorded.
        actor: The name of the actor, or an empty text if it was erased.
        at: The time of the feedback.
        rating: `up`, `down`, a number from 1 to 5 as a text, or None.
        action: `impression`, `click`, `like`, `dislike`, `buy` or None.
        comment: The comment, or None if there is none or it was erased or altered.
        position: The position of the item among the candidates, from 1. None for feedback on the
            whole generation.
        item: The item. None for feedback on the whole generation. None too if the item is unknown,
            because its list was erased or altered or no installed plugin reads it.

    Example:
        >>> event = session.feedback(done.id, "up")
        >>> (read,) = session.feedback_events()
        >>> isinstance(read, muniment.FeedbackEvent), read.rating
        (True, 'up')
    """

    number: int
    generation: Generation
    actor: str
    at: datetime
    rating: Rating | None = None
    action: Action | None = None
    comment: str | None = None
    position: int | None = None
    item: Item | None = None

    __repr__ = showing("number", "rating", "action", "comment", "item", "generation")


def checked_feedback(
    rating: str | int | None, comment: str | None, action: str | None
) -> tuple[Rating | None, Action | None]:
    """Return a rating and an action as they are recorded.

    Raises UsageError for any other value, and if there is neither of them nor a comment.
    """
    text = None if rating is None else str(rating)
    if text is not None and text not in get_args(Rating):
        raise UsageError(f"a rating is up, down or a number from 1 to 5, not {rating!r}")
    if action is not None and action not in get_args(Action):
        raise UsageError(f"an action is impression, click, like, dislike or buy, not {action!r}")
    if text is None and not comment and action is None:
        raise UsageError("feedback needs a rating, a comment or an action")
    return cast("Rating | None", text), cast("Action | None", action)


def feedback_events(
    recorded: Iterable[tuple[RecordedEvent[FeedbackEntry], Generation]], lists: Lists
) -> Iterator[FeedbackEvent]:
    """Yield recorded feedback with its items. Feedback on one generation must be together."""
    read: tuple[str, Mapping[int, Item]] = ("", {})
    for event, generation in recorded:
        entry = event.entry
        if entry.item is not None and read[0] != generation.id:
            read = generation.id, _returned_items(generation, lists)
        yield FeedbackEvent(
            event.number,
            generation,
            event.actor,
            event.at,
            entry.rating,
            entry.action,
            event.text("comment"),
            entry.item,
            None if entry.item is None else read[1].get(entry.item),
        )


def _returned_items(generation: Generation, lists: Lists) -> dict[int, Item]:
    """Return the items that a generation returned, by position, or none if they are unknown."""
    try:
        candidates = lists.candidates(generation)
    except MunimentError:
        return {}
    return {item.position: Item(item.id, item.text) for item in candidates if item.kept}
