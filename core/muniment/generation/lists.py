"""Judge outputs that are lists item by item, and select the items that callers get.

The items that a generator returns are candidates. The record contains all of them, with the
positions of the selected ones. Callers, files and evaluators get the selection.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hmac import compare_digest

from muniment.errors import (
    AmbiguousNameError,
    MunimentError,
    PluginError,
    SelectionError,
    UsageError,
)
from muniment.generation.assessment import JudgedOutput, PolicyRunner, with_returned_outputs
from muniment.ledger.payloads import SALT_BYTES, selection_commitment
from muniment.plugins.media import MediaTypes
from muniment.representation import showing
from muniment.types.generations import Generation
from muniment.types.outputs import Item, Output, SelectionCommitment
from muniment.types.replies import Reply
from muniment.types.verdicts import Content, Verdict


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item of a recorded list.

    Attributes:
        position: The position among the candidates of all outputs of the generation, from 1.
        id: The id of the item.
        text: The text that filters read.
        kept: Whether the item was selected and returned.
    """

    position: int
    id: str
    text: str
    kept: bool

    __repr__ = showing()


class Lists:
    """Reads outputs that are lists with the media types that plugins register."""

    def __init__(self, media_types: MediaTypes) -> None:
        self._media_types = media_types

    def judge(self, reply: Reply, runner: PolicyRunner) -> Iterator[JudgedOutput]:
        """Yield the outputs of a reply, judged by a policy.

        Candidates are judged in order until the wanted number has passed. Rules for outputs then
        judge the selection as a whole, and can block it. A list whose items cannot be read is
        blocked if a filter must read them. So is a list with a blocked item whose selection
        cannot be made. Raises MunimentError if items are wanted and no plugin reads them.
        """
        first = 1
        for output in reply.outputs:
            try:
                items = self._items_to_judge(output, reply.wanted, runner)
            except (PluginError, AmbiguousNameError) as error:
                yield self._unreadable_list(output, reply.wanted, runner, str(error))
                continue
            if items is None:
                yield self._judge_whole(output, runner)
            else:
                yield self._judge_list(output, items, reply.wanted, runner, first)
                first += len(items)

    def selection(self, generation: Generation) -> Generation:
        """Return a recorded generation with the outputs that its caller got.

        A generation that is not completed, or has no list, is returned unchanged. A selection of
        some of the candidates has no trace. Raises MunimentError if it cannot be made, and
        SelectionError if its bytes differ from the recorded ones.
        """
        if generation.status != "completed" or _is_gone(generation):
            return generation
        outputs = tuple(
            output
            if output.kept is None
            else self._recorded_selection(output, self._media_types.items(output))
            for output in generation.outputs
        )
        return with_returned_outputs(generation, outputs)

    def candidates(self, generation: Generation) -> list[Candidate]:
        """Return the items of all lists among the outputs of a recorded generation.

        Raises MunimentError if they cannot be read, and SelectionError if the installed plugin
        would select other bytes than the recorded ones.
        """
        candidates: list[Candidate] = []
        if _is_gone(generation):
            return candidates
        for output in generation.outputs:
            if output.kept is None and not self._media_types.is_list(output.media_type):
                continue
            items = self._media_types.items(output)
            if output.selection is not None:
                self._recorded_selection(output, items)
            kept = set(range(len(items)) if output.kept is None else output.kept)
            first = len(candidates) + 1
            candidates += [
                Candidate(
                    first + position,
                    item.id,
                    item.text,
                    position in kept and generation.status == "completed",
                )
                for position, item in enumerate(items)
            ]
        return candidates

    def returned_position(self, generation: Generation, id: str) -> int:
        """Return the position of an item that a recorded generation returned, by its id.

        Raises UsageError for another item, and MunimentError if the items cannot be read.
        """
        if _is_gone(generation):
            raise UsageError(
                f"the items of generation {generation.id} are unknown: its output was erased or "
                "changed"
            )
        returned = [item for item in self.candidates(generation) if item.kept]
        for item in returned:
            if item.id == id:
                return item.position
        titled = [item.id for item in returned if _has_title(item, id)]
        ids = [item.id for item in returned[:5]] + ["…"] * (len(returned) > 5)
        hint = f"it returned {', '.join(ids)}" if ids else "it returned no items"
        if len(titled) == 1:
            hint = f"the id of the item with this title is {titled[0]}"
        raise UsageError(f"generation {generation.id} did not return an item {id!r}; {hint}")

    def _items_to_judge(
        self, output: Output, wanted: int | None, runner: PolicyRunner
    ) -> tuple[Item, ...] | None:
        """Return the items of an output, or None if neither the policy nor a number needs them."""
        if wanted is None and not (
            runner.judges_items and self._media_types.is_list(output.media_type)
        ):
            return None
        return self._media_types.items(output)

    def _judge_whole(self, output: Output, runner: PolicyRunner) -> JudgedOutput:
        """Return an output without items after the filters.

        An output that is not text is blocked by rules for items if no plugin registers its type.
        """
        judged = runner.judge(output)
        media_type = output.media_type
        if media_type.startswith("text/") or self._media_types.registered(media_type) is not None:
            return judged
        verdicts = runner.unhandled(media_type)
        return replace(
            judged, verdicts=judged.verdicts + verdicts, blocked=judged.blocked or bool(verdicts)
        )

    def _unreadable_list(
        self, output: Output, wanted: int | None, runner: PolicyRunner, reason: str
    ) -> JudgedOutput:
        """Return a list whose items cannot be read, blocked or with the failure."""
        whole = runner.judge(output, is_list=True)
        if runner.judges_items:
            verdicts = whole.verdicts + runner.unreadable(reason)
            return JudgedOutput(output, output, verdicts, blocked=True)
        recorded = replace(output, kept=(), wanted=wanted)
        return JudgedOutput(recorded, recorded, whole.verdicts, whole.blocked, reason)

    def _judge_list(
        self,
        output: Output,
        items: tuple[Item, ...],
        wanted: int | None,
        runner: PolicyRunner,
        first: int,
    ) -> JudgedOutput:
        """Return a list after the filters. `first` is the position of its first candidate."""
        whole = runner.judge(output, is_list=True)
        is_read = bool(whole.verdicts)
        kept, verdicts = _judge_items(items, wanted, runner, first, is_read=is_read)
        recorded = replace(output, kept=kept, wanted=wanted)
        verdicts = whole.verdicts + verdicts
        blocked = whole.blocked or bool(items and not kept)
        returned, failure = recorded, None
        if not blocked:
            try:
                returned = self._select(recorded, items)
            except MunimentError as error:
                # A plugin that fails must not hide that a filter blocked an item.
                failure = str(error)
                blocked = any(verdict.action == "block" for verdict in verdicts)
                verdicts += runner.unreadable(failure) if blocked else []
            else:
                selection_verdicts = runner.judge_selection(returned)
                verdicts += selection_verdicts
                blocked = any(verdict.action == "block" for verdict in selection_verdicts)
        if blocked:
            returned = recorded
        elif failure is None:
            # Only in the record: with the salt, a plugin could test guesses after an erasure.
            recorded = replace(recorded, selection=_commitment(returned))
        reader = self._media_types.plugin(output.media_type)
        return JudgedOutput(recorded, returned, verdicts, blocked, failure, reader)

    def _select(self, output: Output, items: tuple[Item, ...]) -> Output:
        """Return a list with only the items kept. Raises MunimentError if it cannot be made."""
        if output.kept is None or output.kept == tuple(range(len(items))):
            return output
        if max(output.kept, default=-1) >= len(items):
            raise MunimentError(
                f"the record selects item {max(output.kept) + 1} of a list in which the installed "
                f"plugin reads {len(items)} items; install the version that made it"
            )
        expected = tuple(items[position] for position in output.kept)
        return self._media_types.select(output, output.kept, expected)

    def _recorded_selection(self, output: Output, items: tuple[Item, ...]) -> Output:
        """Return the selection of a recorded list, compared with its commitment.

        Raises MunimentError if it cannot be made, and SelectionError if its bytes differ.
        """
        returned = self._select(output, items)
        recorded = output.selection
        if recorded is None:  # made before selections had commitments, or not completed
            return returned
        digest = selection_commitment(recorded.salt, returned.data)
        if not compare_digest(digest, recorded.digest):
            plugin = self._media_types.plugin(output.media_type)
            name = "" if plugin is None else plugin.distribution
            raise SelectionError(
                name,
                f"the selection differs from the recorded one: select() of {name} returned other "
                f"bytes for {output.media_type}; install the version that made it, or read all "
                "candidates",
            )
        return replace(returned, selection=None)


def _commitment(output: Output) -> SelectionCommitment:
    """Return the commitment to a selection, with a new salt for the payload of its output."""
    salt = os.urandom(SALT_BYTES)
    return SelectionCommitment(salt, selection_commitment(salt, output.data))


def _judge_items(
    items: tuple[Item, ...],
    wanted: int | None,
    runner: PolicyRunner,
    first: int,
    *,
    is_read: bool,
) -> tuple[tuple[int, ...], list[Verdict]]:
    """Return the positions of the items that pass, up to the wanted number, and the verdicts.

    `first` is the position of the first item in verdicts. `is_read` is whether a filter read the
    list as a whole.
    """
    kept: list[int] = []
    verdicts: list[Verdict] = []
    for position, item in enumerate(items):
        if len(kept) == wanted:
            break
        # The id is returned too, and a text could be moved into it.
        text = item.text if item.id in item.text else f"{item.text}\n{item.id}"
        item_verdicts = runner.check(Content("item", "text/plain", text.encode()), is_read=is_read)
        verdicts += [replace(verdict, item=first + position) for verdict in item_verdicts]
        if not any(verdict.action == "block" for verdict in item_verdicts):
            kept.append(position)
    return tuple(kept), verdicts


def _has_title(item: Candidate, words: str) -> bool:
    """Return whether words are a part of the title of an item, which is its first line."""
    return words.casefold() in item.text.partition("\n")[0].casefold()


def _is_gone(generation: Generation) -> bool:
    return "output" in generation.erased or "output" in generation.altered
