"""Reading the record: queries, statistics, exports, proofs, files and recorded events.

Modules that a generation does not need are imported in the methods that use them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from muniment.diff import Differences, differences
from muniment.errors import UnknownFileError, UnknownNameError
from muniment.session.home import OpenHome
from muniment.signing import KeyStore
from muniment.store import NoStoreError, Query
from muniment.types.generations import Generation
from muniment.types.outputs import Comparison, Output
from muniment.types.provenance import Provenance
from muniment.validation import check_texts

if TYPE_CHECKING:
    from muniment.generation.feedback import FeedbackEvent
    from muniment.generation.lists import Candidate, Lists
    from muniment.generation.origin import Origin
    from muniment.ledger.events import ExperimentEntry
    from muniment.ledger.proofs import Proof
    from muniment.store import Verification
    from muniment.store.queries.stats import Stats
    from muniment.store.recording.events import RecordedEvent
    from muniment.store.search.engine import Hit


class RecordReader(OpenHome):
    """The part of a session that reads the record, and loads a plugin only for media types."""

    def generation(self, reference: str) -> Generation:
        """Return a recorded generation by its id, a unique prefix or suffix of it, or `last`.

        Example:
            >>> session.generation("last").id == session.generation(done.id[-8:]).id == done.id
            True
        """
        return self.store.generation(self.store.find(reference))

    def generations(self, query: Query | None = None) -> Iterator[Generation]:
        """Yield recorded generations, newest first unless the query orders them.

        Example:
            >>> [found.prompt for found in session.generations(muniment.Query(status="completed"))]
            ['Once upon a time']
        """
        return self.store.generations(query or Query())

    def search(
        self, text: str, query: Query | None = None, *, ranked: bool = False
    ) -> Iterator[Hit]:
        """Yield the generations whose texts contain all words of `text`, newest first.

        Words between quotes must be adjacent. With `ranked`, the most relevant come first.

        Example:
            >>> [hit.snippets[0].source for hit in session.search("你好")]
            ['output']
        """
        return self.store.search(text, query, ranked=ranked)

    def stats(
        self, query: Query | None = None, by: Sequence[str] = (), *, local_days: bool = False
    ) -> Stats:
        """Return statistics of the generations that match a query.

        `by` has the names of groups: `decision`, `generator`, `model`, `policy`, `actor`, `day`,
        `filter`, `category` and `reviewer`. The field `groups` of the result then has the numbers
        of generations by value and decision. Those of a filter or category are by the decision of
        the filter, and those of a reviewer count the reviews by judgement. Days are in UTC, or
        with `local_days` in the local time zone.

        Example:
            >>> session.stats(by=["decision"]).statuses["completed"]
            1
        """
        check_texts("by", by)
        return self.store.stats(query, by, local_days=local_days)

    def diff(self, reference: str, other: str) -> Differences:
        """Return the differences between two recorded generations.

        Example:
            >>> other = session.generate("Once upon a hill", seed=7)
            >>> [difference.name for difference in session.diff(done.id, other.id).texts]
            ['prompt', 'output']
        """
        a, b = self.generation(reference), self.generation(other)
        return differences(a, b, self._compare)

    def export(self, target: str | Path, format: str = "jsonl", query: Query | None = None) -> int:
        """Write the generations that match a query to a file, and return their number.

        `format` is `jsonl`, `csv` or `parquet`. An existing file is replaced when the export is
        complete.

        Example:
            >>> session.export(folder / "all.jsonl")
            1
        """
        return self.store.export(Path(target), format, query).run()

    def verify(
        self,
        *,
        projections: bool = False,
        payloads: bool = False,
        search: bool = False,
        processes: int = 1,
    ) -> Verification:
        """Verify the record with this home's key and the last checkpoint that it signed.

        The ledger is always checked. Query tables, payloads and the search index are checked if
        requested. The result lists the problems and the checks that were made.

        Example:
            >>> session.verify(projections=True).ok
            True
        """
        return KeyStore(self.home).verify(
            self.store,
            projections=projections,
            payloads=payloads,
            search=search,
            processes=processes,
        )

    def prove(self, reference: str, disclose: Sequence[str] = ()) -> Proof:
        """Return a proof that a generation is in the record, signed with this home's key.

        `disclose` has the kinds of payloads to include, such as `prompt` and `output`. The bytes
        of `Proof.write` are the file that `muniment-verify` checks.

        Example:
            >>> proof = session.prove(done.id, disclose=["prompt"])
            >>> (folder / "proof.json").write_bytes(proof.write()) > 0
            True
        """
        note = KeyStore(self.home).newest_checkpoint(self.store)
        return self.store.prove(self.store.find(reference), note, disclose)

    def read_file(self, file: str | Path) -> tuple[Provenance, ...]:
        """Return what an exported file contains about its generations.

        It is empty if the file contains nothing of this kind. A combined file has several. Anyone
        can change a file, so this is not evidence. Raises UsageError for a file that cannot be
        read.

        Example:
            >>> _ = (folder / "story.txt").write_text(done.text)
            >>> session.read_file(folder / "story.txt")
            ()
        """
        from muniment.generation.origin import read_file

        content = read_file(file, lambda: self.media)
        if content.problem:
            self.media.report(f"the file has no readable provenance: {content.problem}")
        return content.provenances

    def find_file(self, file: str | Path, *, content: bytes | None = None) -> Origin:
        """Return the generation that a file came from, or that used it as an input.

        A file is found by its content and by the id in it. With `content`, which are its bytes, the
        file is only named and not read again. Raises UsageError for a file that cannot be read, and
        UnknownFileError if it belongs to no generation, or nothing is recorded yet.

        Example:
            >>> _ = (folder / "story.txt").write_text(done.text)
            >>> origin = session.find_file(folder / "story.txt")
            >>> origin.id == done.id, origin.same_content
            (True, True)
        """
        from muniment.generation.origin import find_origin, read_file

        try:
            store = self.store
        except NoStoreError as error:
            raise UnknownFileError(str(error)) from None
        read = read_file(file, lambda: self.media, content)
        return find_origin(read, store, lambda: self.media)

    def selection(self, generation: Generation) -> Generation:
        """Return a recorded generation with the outputs that its caller got.

        A recorded list contains all candidates, and the selection only the items that passed the
        policy. Raises MunimentError if no installed plugin can read the list, and SelectionError
        if the plugin returns a selection that differs from the recorded one.

        Example:
            >>> ranked = session.generate('["red", "green"]', generator="rank")
            >>> session.selection(session.generation(ranked.id)).outputs[0].data
            b'["red", "green"]'
        """
        return self._lists.selection(generation)

    def candidates(self, generation: Generation) -> list[Candidate]:
        """Return the items of the lists of a recorded generation, selected or not.

        Raises MunimentError if no installed plugin can read them, and SelectionError if it returns
        a selection that differs from the recorded one.

        Example:
            >>> ranked = session.generate('["red", "green"]', generator="rank")
            >>> [(item.id, item.kept) for item in session.candidates(session.generation(ranked.id))]
            [('id-red', True), ('id-green', True)]
        """
        return self._lists.candidates(generation)

    def feedback_events(self, query: Query | None = None) -> Iterator[FeedbackEvent]:
        """Yield recorded feedback on the generations that pass the filters of a query.

        Feedback on one generation is together, in its order. The earliest generation is first. The
        query's `limit` and `sort` have no effect. A page is in memory at a time.

        Example:
            >>> event = session.feedback(done.id, "up")
            >>> [(event.actor, event.rating) for event in session.feedback_events()]
            [('tester', 'up')]
        """
        from muniment.generation.feedback import feedback_events

        return feedback_events(self.store.events.feedback(query or Query()), self._lists)

    def experiment(self, run: str) -> RecordedEvent[ExperimentEntry] | None:
        """Return the experiment of a run, or None if the run has none.

        `run` is its id, a unique prefix or suffix of it, or `last` for the newest experiment.
        `text("design")` of the event is the design. Raises UnknownNameError for an unknown run.

        Example:
            >>> session.experiment(done.run_id) is None
            True
        """
        return self.store.experiments.of(self._find_experiment(run))

    def cells(self, run: str) -> Iterator[Generation]:
        """Yield one generation for each cell of an experiment, in the order of the cells.

        It is the completed attempt at the cell, or else the latest. `run` is as in `experiment`.

        Example:
            >>> levels = muniment.Levels(2, 1, 1, 1)
            >>> event = session.record_experiment(run_id, "two questions", levels)
            >>> cells = [muniment.Cell(item, 0, 0, 0) for item in (0, 1)]
            >>> specs = [muniment.GenerationSpec("Why?", cell=cell) for cell in cells]
            >>> made = list(session.run(specs, run_id=run_id))
            >>> [generation.cell.item for generation in session.cells(run_id)]
            [0, 1]
        """
        return self.store.experiments.generations(self._find_experiment(run))

    def _find_experiment(self, reference: str) -> str:
        """Return the id of the run of an experiment, or else of another run."""
        try:
            return self.store.experiments.find(reference)
        except UnknownNameError:
            return self.store.find_run(reference)

    @cached_property
    def _lists(self) -> Lists:
        from muniment.generation.lists import Lists  # a text generation needs none of it

        return Lists(self.media)

    def _compare(self, recorded: Output, again: Output) -> Comparison | None:
        """Return the difference of two outputs by their media type, which is loaded if needed."""
        return self.media.compare(recorded, again)
