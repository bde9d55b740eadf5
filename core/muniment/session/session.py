"""The Python interface: a session generates, reads the record and replays it.

import muniment

with muniment.open() as session:
    generation = session.generate("Once upon a time", seed=7)
    print(generation.text)
"""

from __future__ import annotations

import collections.abc
import itertools
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from muniment.errors import StoreError, UsageError
from muniment.generation import batch
from muniment.generation.assessment import PolicyRunner
from muniment.generation.evaluation import Evaluators
from muniment.generation.generators import Generators
from muniment.generation.pipeline import Pipeline
from muniment.generation.policy import Policy, parse_policy, resolve_policy
from muniment.generation.powers import Embeddings, Powers, ScoredTexts
from muniment.generation.replay import Replayer
from muniment.generation.requests import Resolver
from muniment.generation.runner import Runner
from muniment.generation.specs import GenerationSpec, samples
from muniment.hookspecs import ModelProvider
from muniment.ids import new_id
from muniment.plugins.core import core_environment, core_plugin
from muniment.plugins.quiet_output import quiet_stdout
from muniment.session.writer import RecordWriter
from muniment.store import NoStoreError, Query
from muniment.types.generations import Generation
from muniment.types.models import PackagedModel
from muniment.types.outputs import Output
from muniment.types.provenance import Provenance
from muniment.types.replays import Replay
from muniment.types.replies import Chunk
from muniment.types.requests import BATCH_SIZE
from muniment.validation import check_texts, refuse_empty

if TYPE_CHECKING:
    from muniment.generation.scoring import ScoredGroup


class Session(RecordWriter):
    """An actor's access to the configuration, plugins, models and store of a home.

    Objects are created on first use. A session that only reads loads no plugin. Use it as a
    context manager, or call `close`.

    Example:
        >>> with muniment.Session(folder, actor="tester") as opened:
        ...     opened.home == folder
        True
    """

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
        in_force = self._policy(policy, run_id)
        self._warn_of_other_text(in_force)
        moderator = PolicyRunner(in_force, self.plugins)
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
        runner = Runner(
            self._resolver, pipeline, moderator, run_id or new_id(), self.actor, stream=stream
        )
        sampled = (sample for spec in specs for sample in samples(spec, samples_each))
        return runner.run(sampled, batch_size)

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
            add = self._generators.add_packaged
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
        replayer = Replayer(
            self._resolver, core_environment(), core_plugin().ref(), self._compare, self.selection
        )
        remaining = iter(generations)
        while batch := list(itertools.islice(remaining, BATCH_SIZE)):
            for result in replayer.replay(self.store.generation(item.id) for item in batch):
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
        return self._generators.verify_model(name)

    def release_models(self) -> None:
        """Release all loaded models, so that the next request or replay reads their files again.

        A session resolves each model once. Call this after the files of a model were replaced.

        Example:
            >>> session.release_models()
        """
        self._generators.close()

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

    def _warn_of_other_text(self, policy: Policy) -> None:
        """Warn if other texts, and not this one, are recorded with the policy's version."""
        if self.warn is None:
            return
        documents: list[str] = []
        with suppress(StoreError):  # raised again when a generation is recorded
            documents = self.store.policy_documents(name=policy.label)
        if documents and policy.document not in documents:
            self.warn(
                f"policy {policy.label} is recorded with another text; give each text its own "
                "version, by which reports tell them apart"
            )

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

    @cached_property
    def _generators(self) -> Generators:
        generators = Generators(
            self.config,
            self.plugins,
            self.models,
            self._add_packaged,
            lambda model: self.generation_notices.loading(model),
        )
        self._closing.append(generators.close)
        return generators

    @cached_property
    def _resolver(self) -> Resolver:
        return Resolver(
            self.config,
            self.plugins,
            self._generators,
            self._returned,
            lambda media_type, data: self.media.matches(media_type, data),
        )

    @cached_property
    def _powers(self) -> Powers:
        return Powers(self._generators, self.plugins, self.models)

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
