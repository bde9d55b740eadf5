"""The Python interface: a session generates, reads the record and replays it.

import muniment

with muniment.open() as session:
    generation = session.generate("Once upon a time", seed=7)
    print(generation.text)
"""

from __future__ import annotations

import collections.abc
import itertools
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from muniment import config
from muniment._version import __version__
from muniment.diff import Differences, differences
from muniment.errors import (
    ModelError,
    MunimentError,
    PluginError,
    UnknownFileError,
    UnknownNameError,
    UsageError,
)
from muniment.generation import batch
from muniment.generation.assessment import PolicyRunner, request_contents
from muniment.generation.evaluation import Evaluators
from muniment.generation.notices import GenerationNotices
from muniment.generation.pipeline import Pipeline
from muniment.generation.policy import Policy, parse_policy, resolve_policy
from muniment.generation.powers import Embeddings, Powers, ScoredTexts
from muniment.generation.replay import replay
from muniment.generation.requests import (
    BoundRequest,
    CheckedSpec,
    GenerationSpec,
    Resolver,
    samples,
    unresolved,
)
from muniment.hookspecs import ModelProvider
from muniment.ids import new_id
from muniment.models.registry import AdditionNotices, ModelRecord, Models
from muniment.plugins.isolation import PluginWorkers
from muniment.plugins.registry import Plugin, Plugins, quiet_stdout
from muniment.representation import showing
from muniment.signing import KeyStore, open_store
from muniment.store import NoStoreError, Query, Store
from muniment.types.experiments import Levels
from muniment.types.generations import Generation
from muniment.types.models import PackagedModel
from muniment.types.outputs import Comparison, Output
from muniment.types.plugins import PluginRef
from muniment.types.provenance import Provenance
from muniment.types.replays import Replay
from muniment.types.replies import Chunk
from muniment.types.requests import Request
from muniment.validation import check_name, check_texts, refuse_empty

if TYPE_CHECKING:
    from datetime import datetime

    from muniment.generation.feedback import FeedbackEvent
    from muniment.generation.lists import Candidate, Lists
    from muniment.generation.origin import Origin
    from muniment.generation.scoring import ScoredGroup
    from muniment.ledger.events import (
        ExperimentEntry,
        FeedbackEntry,
        ReviewEntry,
        TrainingEntry,
    )
    from muniment.ledger.fields import Action, Judgement, ModelAct, PluginAct, Rating
    from muniment.ledger.proofs import Proof
    from muniment.models.training import Training
    from muniment.plugins.media import MediaTypes
    from muniment.store import Rule, Verification
    from muniment.store.queries.stats import Stats
    from muniment.store.recording.events import RecordedEvent
    from muniment.store.retention.erasure import ErasureResult
    from muniment.store.search.engine import Hit

BATCH_SIZE = 32  # requests in one call of a generator, which may run fewer at a time


class Session(AbstractContextManager["Session"]):
    """An actor's access to the configuration, plugins, models and store of a home.

    Objects are created on first use. A session that only reads loads no plugin. Use it as a
    context manager, or call `close`.

    Example:
        >>> with muniment.Session(folder, actor="tester") as opened:
        ...     opened.home == folder
        True
    """

    __repr__ = showing("home", "actor", store=lambda session: _shown_store(session))

    def __init__(
        self,
        home: str | Path | None = None,
        *,
        store: str | None = None,
        actor: str | None = None,
        plugins: Plugins | None = None,
        isolate: bool = False,
    ) -> None:
        """Take the home folder, the store's URL or path, and the actor (see muniment.config).

        `isolate` runs every plugin in a worker process, not only those that a setting isolates.
        Raises UsageError for an empty text.
        """
        refuse_empty(**{"home": home, "store": store, "actor's name": actor})
        self.home = Path(home) if home is not None else config.home_folder()
        self.config = config.Config(self.home)
        self.store_url = config.store_url(self.home, store)
        self.actor = config.actor_name(self.config, actor)
        check_name("actor's name", self.actor)
        self.plugins = plugins if plugins is not None else Plugins()
        self.plugins.disable(self.config.disabled())
        self._workers = PluginWorkers(self.config, everything=isolate)
        self.plugins.load_objects = self._workers.load_objects
        self.models = Models(self.home)
        self.plugins.hash_cache = self.models.hash_cache
        self.notices: Callable[[str], AbstractContextManager[AdditionNotices]] = lambda label: (
            nullcontext(AdditionNotices())
        )
        self.generation_notices = GenerationNotices()
        self.warn: Callable[[str], None] | None = None  # instead of warnings of Python
        self._store: Store | None = None

    def generate(
        self,
        prompt: str | None = None,
        *,
        generator: str = "text",
        model: str | None = None,
        system: str | None = None,
        seed: int | None = None,
        parameters: Mapping[str, object] | None = None,
        policy: str | Path | None = None,
        tags: Sequence[str] = (),
        parents: Sequence[str] = (),
        inputs: Mapping[str, Path | str | bytes] | None = None,
        evaluate: Sequence[str] | None = None,
    ) -> Generation:
        """Generate once, record it, and return it.

        `generator` is a generator's name or a media kind. Some generators need no prompt. `policy`
        is a file or the name of an installed policy. `inputs` has paths or bytes by the names that
        the generator declares. `evaluate` has the names of the evaluators, as in
        `similarity(scale=2)`, and None selects those of the settings. A blocked or failed
        generation is returned, too (see its `status`). A packaged model that is not in the home
        yet is added first, which may take a minute. Its terms are a ModelTermsWarning. Raises
        UsageError, ModelError, PluginError or StoreError before anything is generated.

        Example:
            >>> generation = session.generate("Once upon a time", seed=7, tags=["story"])
            >>> generation.status, generation.text
            ('completed', 'Once upon a time, 你好')
        """
        check_texts("tags", tags)
        check_texts("parents", parents)
        spec = GenerationSpec(
            prompt,
            generator=generator,
            model=model,
            system=system,
            seed=seed,
            parameters=dict(parameters or {}),
            tags=tuple(tags),
            parents=tuple(parents),
            inputs=inputs or {},
        )
        (generation,) = self.run([spec], policy=policy, evaluate=evaluate)
        return cast(Generation, generation)  # without `stream` there are no chunks

    def run(
        self,
        specs: Iterable[GenerationSpec],
        *,
        samples_each: int = 1,
        policy: str | Path | None = None,
        stream: bool = False,
        batch_size: int = BATCH_SIZE,
        run_id: str | None = None,
        evaluate: Sequence[str] | None = None,
    ) -> collections.abc.Generator[Generation | Chunk, None, None]:
        """Generate for every spec and yield the generations in the order of the specs.

        All of them form one run. A run that is continued, by `run_id`, has its recorded policy
        unless one is given. `samples_each` makes several generations of a spec with derived seeds.
        `evaluate` is as in `generate`. With `stream`, chunks of text come first, unless a filter
        checks outputs.
        Raises at once, with nothing recorded, for a policy or evaluators that cannot be used.
        An invalid spec raises before any spec of its batch is generated. An invalid spec that
        was read from a line becomes a failed generation instead.

        Example:
            >>> spec = muniment.GenerationSpec("Once upon a time", seed=7)
            >>> len({generation.seed for generation in session.run([spec], samples_each=3)})
            3
        """
        if batch_size < 1 or samples_each < 1:
            raise UsageError("the batch size and the number of samples must be at least 1")
        moderator = PolicyRunner(self._policy(policy, run_id), self.plugins)
        pipeline = Pipeline(
            self._open_store,  # an invalid request must not create the store
            self._resolver,
            moderator,
            self._evaluators if evaluate is None else self._named_evaluators(evaluate),
            core_environment(),
            cache(lambda: self.plugins.ref(core_plugin())),  # a mistake must not create the home
            lambda: self.media,
            self.generation_notices,
        )
        sampled = (sample for spec in specs for sample in samples(spec, samples_each))
        batches = iter(lambda: list(itertools.islice(sampled, batch_size)), [])
        return self._run_batches(batches, pipeline, run_id or new_id(), moderator, stream)

    def like(self, reference: str | Provenance, **changes: Any) -> GenerationSpec:
        """Return a recorded request as a spec for `run`, with the recorded one as its parent.

        `reference` names a generation. It can also be what `read_file` returned of a file that was
        generated elsewhere, and the spec then has no parent.

        `changes` are fields of GenerationSpec. Parameters, inputs, tags and parents are added to
        those of the request. The seed is the recorded one unless it is changed, and None draws
        another. The policy in force and the installed plugins apply, not the recorded ones, so
        that `resolve` sets its values again. Raises UsageError if the request was erased, or if its
        model's name belongs to another one now, and VerificationError if it was altered.

        Example:
            >>> spec = session.like(done.id, seed=8)
            >>> [(made.seed, made.parents == (done.id,)) for made in session.run([spec])]
            [(8, True)]
        """
        from muniment.generation.repetition import spec_like, spec_of_file

        if isinstance(reference, Provenance):
            name = changes.pop("generator", reference.generator)
            registered = self.plugins.generator(name, self.config.generators())
            add = self._resolver.add_packaged
            return spec_of_file(reference, registered, self.models, add, changes)
        generation = self.generation(reference)
        name = changes.get("generator", generation.generator)
        if name != generation.generator:
            registered = self.plugins.generator(name, self.config.generators())
            if registered.name == generation.generator:  # a media kind stands for it
                del changes["generator"]
        return spec_like(generation, self.models, changes)

    def batch(
        self,
        lines: Iterable[bytes],
        *,
        defaults: GenerationSpec | None = None,
        policy: str | Path | None = None,
        batch_size: int = BATCH_SIZE,
        resume: str | None = None,
        run_id: str | None = None,
        folder: str | Path = "",
        evaluate: Sequence[str] | None = None,
    ) -> collections.abc.Generator[Generation, None, None]:
        """Generate for every line of a batch file (JSON), and yield the generations in order.

        Paths of inputs are relative to `folder`, by default the current one.

        `resume` is the id of a run to continue. Lines that it completed, blocked or failed are
        skipped. Lines that were interrupted are generated again with the recorded seeds. Raises
        UsageError when the file is not UTF-8 or not the run's, or the run is still in progress.

        Example:
            >>> lines = [b'{"prompt": "Once", "seed": 1}', b'{"prompt": "Twice", "seed": 2}']
            >>> [(made.line, made.text) for made in session.batch(lines)]
            [(1, 'Once, 你好'), (2, 'Twice, 你好')]
        """
        specs = batch.read_specs(lines, defaults, Path(folder))
        if resume is not None:
            run_id = self.store.find_run(resume)
            specs = batch.unfinished_specs(
                specs, run_id, self.store, self.plugins, self._resolver.read_inputs
            )
        items = self.run(
            specs, policy=policy, batch_size=batch_size, run_id=run_id, evaluate=evaluate
        )
        return cast(
            collections.abc.Generator[Generation, None, None], items
        )  # without `stream` there are no chunks

    def generation(self, reference: str) -> Generation:
        """Return a recorded generation by its id, a unique prefix or suffix of it, or `last`.

        Example:
            >>> session.generation("last").id == session.generation(done.id[-8:]).id == done.id
            True
        """
        return self.store.generation(self.store.find(reference))

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
        if rating is not None and str(rating) not in ("up", "down", "1", "2", "3", "4", "5"):
            raise UsageError(f"a rating is up, down or a number from 1 to 5, not {rating!r}")
        if action not in (None, "impression", "click", "like", "dislike", "buy"):
            raise UsageError(
                f"an action is impression, click, like, dislike or buy, not {action!r}"
            )
        if rating is None and not comment and action is None:
            raise UsageError("feedback needs a rating, a comment or an action")
        identifier = self.store.find(reference)
        position = None
        if item is not None:
            position = self._lists.returned_position(self.store.generation(identifier), item)
        return self.store.events.add_feedback(
            identifier,
            self.actor,
            cast("Rating | None", None if rating is None else str(rating)),
            comment,
            cast("Action | None", action),
            position,
        )

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
        if self.store.generation(identifier).decision == "allow":
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

    def replay(
        self, generations: Iterable[Generation], *, record: bool = True
    ) -> collections.abc.Generator[Replay, None, None]:
        """Generate recorded generations again, and record and yield the comparisons.

        The generations are read from the store again, with all texts. Without `record` nothing is
        written, which suits a copy of another installation's store. No model is added.

        Example:
            >>> [replay.result for replay in session.replay([done])]
            ['exact']
        """
        remaining = iter(generations)
        while batch := list(itertools.islice(remaining, BATCH_SIZE)):
            complete = [self.store.generation(generation.id) for generation in batch]
            core = core_plugin().ref()
            results = replay(
                complete,
                self._resolver,
                core_environment(),
                core,
                self._compare,
                self.selection,
            )
            for result in results:
                if record:
                    self.store.events.add_replay(result, self.actor)
                yield result

    def score(
        self,
        texts: Sequence[str],
        *,
        prompts: Sequence[str] | None = None,
        generator: str = "text",
        model: str | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> ScoredTexts:
        """Return how probable texts are under a model, as answers to prompts, token by token.

        There is one prompt for each text, and all are empty by default. `parameters` are those of
        the generator. Nothing is recorded. Raises UsageError if the generator cannot do it,
        ModelError or PluginError.

        Example:
            >>> session.score(["the sea"], prompts=["Describe it: "]).scores[0].logprobs
            (-0.5,)
        """
        return self._powers.score(texts, prompts, generator, model, parameters or {})

    def embed(
        self, outputs: Sequence[Output], *, generator: str, model: str | None = None
    ) -> Embeddings:
        """Return a vector of each output, by a generator that can do it.

        Similar outputs have a small angle between their vectors. Nothing is recorded. Raises
        UsageError if the generator cannot do it, ModelError or PluginError.

        Example:
            >>> outputs = [muniment.Text("sea"), muniment.Text("land")]
            >>> session.embed(outputs, generator="text").vectors
            ((1.0, 3.0), (1.0, 4.0))
        """
        return self._powers.embed(outputs, generator, model)

    def evaluate(
        self,
        generations: Sequence[str] | Query,
        evaluators: Sequence[str],
        *,
        references: str | Path | None = None,
    ) -> collections.abc.Generator[ScoredGroup, None, None]:
        """Score recorded generations, record the scores and yield them group by group.

        `generations` are ids, which can be abbreviated, or a query. `evaluators` are as in
        `generate`, and evaluators of groups too. `references` is a file of JSON lines, each with
        `references` and one of `id`, `item` and `prompt`. Without it, the references in the design
        of an experiment are used. Generations that are not completed, erased or altered are
        omitted. Raises UsageError, ModelError or PluginError before anything is scored.

        Example:
            >>> for group in session.evaluate(muniment.Query(seed=7), ["words"]):
            ...     print(group.scores(done.id)[0].value)
            5.0
        """
        from muniment.generation.scoring import RecordedScorer  # a generation needs none of it

        bound = self._named_evaluators(evaluators, groups=True)
        core = self.plugins.ref(core_plugin())
        scorer = RecordedScorer(
            self.store, self.actor, bound, core, self.selection, references, self.warn
        )
        return scorer.scored(generations)

    def check(self, spec: GenerationSpec) -> None:
        """Raise if a spec cannot be used, before anything is generated or recorded.

        The parameters, the seed, the inputs and the name of the generator are checked. Raises
        UsageError or PluginError.

        Example:
            >>> session.check(muniment.GenerationSpec("Once", seed=7))
        """
        self._resolver.check(spec)

    def verify_model(self, name: str) -> Mapping[str, str | int]:
        """Hash the files of an added model, load it and repeat its generator's tests.

        No cache is used. Return the generator's facts of the environment. Raises
        UnknownNameError, PluginError or ModelError, for example if a file was changed.

        Example:
            >>> try:
            ...     session.verify_model("gemma-3-270m")
            ... except muniment.UnknownNameError as error:
            ...     print(error.kind)
            model
        """
        return self._resolver.verify_model(name)

    def release_models(self) -> None:
        """Release all loaded models, so that the next request or replay reads their files again.

        A session resolves each model once. Call this after the files of a model were replaced.

        Example:
            >>> session.release_models()
        """
        self._resolver.close()

    def ensure_store(self) -> None:
        """Open the store for recording, and create it if it does not exist. Raises StoreError.

        Example:
            >>> with muniment.open(folder) as opened:
            ...     opened.ensure_store()
            >>> (folder / "muniment.db").is_file()
            True
        """
        self._open_store()

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
    def media(self) -> MediaTypes:
        """The media types of the installed plugins, for outputs other than text.

        Example:
            >>> session.media.describe(done.outputs[0])
        """
        from muniment.plugins.media import MediaTypes  # a text generation needs none of it

        return MediaTypes(self.plugins, self.warn, self.config)

    @cached_property
    def _lists(self) -> Lists:
        from muniment.generation.lists import Lists  # a text generation needs none of it

        return Lists(self.media)

    @property
    def store(self) -> Store:
        """The store. Raises StoreError if it does not exist.

        Example:
            >>> session.store.find("last") == done.id
            True
        """
        return self._open_store(create=False)

    def close(self) -> None:
        """Sign a checkpoint if something was recorded and a key exists, and close all objects.

        Raises VerificationError when the record does not continue the last signed checkpoint.

        Example:
            >>> opened = muniment.open(folder)
            >>> opened.close()
        """
        try:
            if self._store is not None and self._store.wrote:
                KeyStore(self.home).sign(self._store)
        finally:
            if self._store is not None:
                self._store.close()
            self._store = None
            if "_resolver" in self.__dict__:
                self._resolver.close()
            self._workers.close()

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _policy(self, reference: str | Path | None, run_id: str | None) -> Policy:
        """Return the policy with a name or path, else that of a recorded run or the default."""
        if reference is not None:
            return resolve_policy(str(reference))
        with suppress(NoStoreError):
            if run_id is not None and (document := self.store.policy_of_run(run_id)) is not None:
                if not document:
                    raise UsageError(
                        f"the policy of run {run_id} was erased or altered; give the policy to use"
                    )
                return parse_policy(document, f"the policy of run {run_id}")
        return resolve_policy(self.config.get("policy"))

    def _run_batches(
        self,
        batches: Iterable[Sequence[GenerationSpec]],
        pipeline: Pipeline,
        run_id: str,
        moderator: PolicyRunner,
        stream: bool,
    ) -> collections.abc.Generator[Generation | Chunk, None, None]:
        for specs in batches:
            yield from self._run_batch(specs, pipeline, run_id, moderator, stream)

    def _run_batch(
        self,
        specs: Sequence[GenerationSpec],
        pipeline: Pipeline,
        run_id: str,
        moderator: PolicyRunner,
        stream: bool,
    ) -> Iterator[Generation | Chunk]:
        order: list[str] = []
        groups: dict[tuple[str, str], list[BoundRequest]] = {}
        rejected: list[Generation] = []
        label = moderator.policy.label

        def reject(spec: GenerationSpec, error: MunimentError) -> None:
            if spec.line is None:
                raise error
            rejected.append(unresolved(spec, str(error), run_id, self.actor, label))
            order.append(rejected[-1].id)

        def blocks(request: Request) -> bool:
            return moderator.blocks(request_contents(request))

        # All specs are checked before one is bound, because binding may add a model.
        for spec, checked in [(spec, self._check(spec)) for spec in specs]:
            if not isinstance(checked, CheckedSpec):
                reject(spec, checked)
                continue
            try:
                bound = self._resolver.bind(checked, run_id, self.actor, label, blocks)
            except (UsageError, ModelError, PluginError) as error:
                reject(spec, error)
                continue
            order.append(bound.request.id)
            model = bound.request.model
            key = (bound.registered.name, model.digest if model else "")
            groups.setdefault(key, []).append(bound)
        done = {item.id: item for item in pipeline.reject(rejected)} if rejected else {}
        for group in groups.values():
            for item in pipeline.run(group, stream=stream):
                if isinstance(item, Chunk):
                    yield item
                else:
                    done[item.id] = item
        for identifier in order:
            yield done[identifier]

    def _check(self, spec: GenerationSpec) -> CheckedSpec | UsageError | PluginError:
        """Return the spec checked, or the error of an invalid spec that was read from a line."""
        try:
            return self._resolver.check(spec)
        except (UsageError, PluginError) as error:
            if spec.line is None:
                raise
            return error

    def _add_packaged(
        self, packaged: PackagedModel, generator_name: str, generator: ModelProvider
    ) -> None:
        self.ensure_store()  # fails before the conversion, which takes a minute
        with self.notices(f"adding model {packaged.name}") as notices, quiet_stdout():
            self.models.add_packaged(
                packaged,
                generator_name,
                generator,
                notices,
                lambda added: self.record_model("added", added),
            )

    def _knows_model(self, model_digest: str) -> bool:
        """Return whether a model of a digest is in the home or on record."""
        added = self.models.added(on_error=lambda error: None)
        return any(model.digest == model_digest for model in added) or (
            self._open_store().trainings.knows_model(model_digest)
        )

    def _compare(self, recorded: Output, again: Output) -> Comparison | None:
        return self.media.compare(recorded, again)

    def _open_store(self, *, create: bool = True) -> Store:
        """Return the store, opened on first use. Without `create`, a missing one is an error."""
        if self._store is None:
            self._store = open_store(self.home, self.store_url, create=create)
        return self._store

    @cached_property
    def _resolver(self) -> Resolver:
        parts = self.config, self.plugins, self.models
        return Resolver(
            *parts,
            self._add_packaged,
            self._returned,
            lambda media_type, data: self.media.matches(media_type, data),
            lambda model: self.generation_notices.loading(model),
        )

    @cached_property
    def _powers(self) -> Powers:
        return Powers(self._resolver, self.plugins, self.models)

    def _returned(self, reference: str) -> Generation:
        """Return a recorded generation with the outputs that its caller got."""
        generation = self.generation(reference)
        is_list = any(output.kept is not None for output in generation.outputs)
        return self.selection(generation) if is_list else generation

    def _named_evaluators(self, names: Sequence[str], *, groups: bool = False) -> Evaluators:
        check_texts("evaluate", names)
        for name in names:
            refuse_empty(evaluator=name)
        return Evaluators(
            self.plugins,
            self.models,
            names,
            self.warn,
            powers=self._powers,
            report_unread=True,
            groups=groups,
        )

    @cached_property
    def _evaluators(self) -> Evaluators:
        named = self.config.get("evaluators")
        names = None if named is None else [named]
        return Evaluators(self.plugins, self.models, names, self.warn, powers=self._powers)


def open(
    home: str | Path | None = None,
    *,
    store: str | None = None,
    actor: str | None = None,
    isolate: bool = False,
) -> Session:
    """Return a session on a home folder and store, with the defaults of the command line.

    `isolate` runs every plugin in a worker process.

    Example:
        >>> with muniment.open(folder, actor="tester") as opened:
        ...     opened.actor
        'tester'
    """
    return Session(home, store=store, actor=actor, isolate=isolate)


def _shown_store(session: Any) -> str:
    return config.without_password(session.store_url)


def core_plugin() -> Plugin:
    """Return a description of the core as a plugin, as it is recorded."""
    return Plugin("muniment", __version__, "muniment", "muniment")


def core_environment() -> dict[str, str | int]:
    """Return the facts of the environment that the core records."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
    }
