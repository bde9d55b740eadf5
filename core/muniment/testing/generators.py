"""The contract suite for generators, run by pytest."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import pytest

from muniment.errors import InputError, ModelError, MunimentError, PluginError
from muniment.failures import describe
from muniment.generation.inputs import read_inputs
from muniment.generation.resolution import resolve_request
from muniment.hookspecs import Generator
from muniment.names import RULE, is_name
from muniment.testing import isolated
from muniment.testing.contract import Contract, broken, without_traceback
from muniment.testing.factories import request
from muniment.types.generations import Generation
from muniment.types.inputs import Input
from muniment.types.models import Model, PackagedModel
from muniment.types.outputs import Output
from muniment.types.requests import Request

_UNUSUAL_PROMPTS = (
    *("", " \n\t ", "a", "a" * 5000, "\x01\x1b[31m", "‮abc‭", "👩‍👩‍👧‍👦", "e\u0301\u0301\u0301"),
    *("مرحبا", "<b>&amp;</b>", "{prompt}", "%s %n", "'; DROP TABLE x; --", "卫星" * 500),
)

_RANDOMNESS = (
    "use only request.random() or request.seed for randomness, and not the time, "
    "hash(), a global generator or earlier requests"
)


class GeneratorContract(Contract):
    """Base class of a generator's test suite. Set `generator` to the generator's class.

    The suite requests each of `prompts` with `parameters`. Set `seeded` to False if the output
    does not depend on the seed. Override the fixture `model` if the generator uses a model.
    `inputs` has a sample of each input that the generator declares, as a text or as bytes. An input
    that is a text needs none. `cancel_seconds` is the time in which the generator must stop after
    it was closed.
    """

    kind = "generator"
    generator: ClassVar[type[Generator]]
    prompts: ClassVar[Sequence[str]] = (
        "to be or not to be that is the question",
        "最近我国成功发射了新的卫星",
        "one two three four five six seven",
        "天 地 玄 黄 宇 宙 洪 荒",
    )
    inputs: ClassVar[Mapping[str, str | bytes]] = {}
    seeded: ClassVar[bool] = True
    cancel_seconds: ClassVar[float] = 5.0

    @pytest.fixture
    def model(self) -> Model | None:
        """Return the model to use, or None for a generator without a model."""
        return None

    # ---- the same seed, the same output ----------------------------------------------------------

    @without_traceback
    def test_the_same_seed_gives_the_same_output_alone(self, model: Model | None) -> None:
        """Check that one object repeats its outputs, and that a new object repeats them too."""
        generator = self._exact(model)
        first = [self._one(generator, request) for request in self._requests(model)]
        again = [self._one(generator, request) for request in self._requests(model)]
        self._same(first, again, "on a second call")
        new_generator = self._ready(model)
        again = [self._one(new_generator, request) for request in self._requests(model)]
        self._same(first, again, "with a new object")

    @without_traceback
    def test_the_same_seed_gives_the_same_output_in_a_batch(self, model: Model | None) -> None:
        """Check that an output does not depend on the other requests of its batch."""
        generator = self._exact(model)
        alone = [self._one(generator, request) for request in self._requests(model)]
        self._same(alone, self._all(generator, self._requests(model)), "in a batch")

    @without_traceback
    def test_the_same_seed_gives_the_same_output_in_another_order(
        self, model: Model | None
    ) -> None:
        """Check that a batch in reverse order has the same outputs for each request."""
        generator = self._exact(model)
        forward = self._all(generator, self._requests(model))
        backward = self._all(generator, self._requests(model)[::-1])[::-1]
        self._same(forward, backward, "in another order")

    @without_traceback
    def test_the_same_seed_gives_the_same_output_in_another_process(
        self, model: Model | None
    ) -> None:
        """Check that an output does not depend on the state of this process.

        Replay takes place in another process.
        """
        local = self._all(self._exact(model), self._requests(model))
        try:
            remote = isolated.answer_requests(self.subject, self._requests(model))
        except RuntimeError as error:
            broken(f"{self.registered.name} does not reply in another process: {error}")
        self._same([isolated.fingerprint(reply) for reply in local], remote, "in another process")

    @without_traceback
    def test_different_seeds_give_different_outputs(self, model: Model | None) -> None:
        """Check that the seed changes the output. Samples (`-n 4`) differ in their seeds only."""
        if not self.seeded:
            pytest.skip("the output does not depend on the seed (seeded = False)")
        generator = self._ready(model)
        for prompt in self.prompts:
            requests = [self._request(prompt, seed, model) for seed in range(8)]
            if len({repr(isolated.fingerprint(r)) for r in self._all(generator, requests)}) > 1:
                return
        broken(
            f"{self.registered.name} gave the same output for eight seeds of every prompt; use "
            "request.random(), or set `seeded = False` in the suite if it uses no randomness"
        )

    # ---- cancelling ------------------------------------------------------------------------------

    @without_traceback
    def test_it_can_be_cancelled(self, model: Model | None) -> None:
        """Check that closing and Ctrl-C stop the generator soon, and that it works afterwards."""
        name = self.registered.name
        generator = self._ready(model)
        replies = iter(generator.generate(self._requests(model)))
        next(replies, None)
        start = time.monotonic()
        try:
            getattr(replies, "close", lambda: None)()
        except BaseException as error:
            broken(
                f"{name} raised {describe(error)} when it was closed after its first answer; "
                "do not catch GeneratorExit: catch Exception instead of BaseException"
            )
        seconds = time.monotonic() - start
        assert seconds <= self.cancel_seconds, (
            f"{name} took {seconds:.1f} s to end after it was closed; the limit is "
            f"{self.cancel_seconds:g} s, so stop when GeneratorExit is raised"
        )
        replies = iter(generator.generate(self._requests(model)))
        next(replies, None)
        if hasattr(replies, "throw"):
            try:
                replies.throw(KeyboardInterrupt())
            except KeyboardInterrupt:
                pass
            except BaseException as error:
                broken(
                    f"{name} turned Ctrl-C into {describe(error)}; do not catch KeyboardInterrupt"
                )
            else:
                broken(f"{name} continued after Ctrl-C; do not catch KeyboardInterrupt")
        after = self._all(generator, self._requests(model))
        if generator.determinism == "exact":
            expected = self._all(self._ready(model), self._requests(model))
            self._same(expected, after, "after it was cancelled")

    # ---- errors ----------------------------------------------------------------------------------

    @without_traceback
    def test_unsupported_requests_fail_with_a_sentence(
        self, model: Model | None, tmp_path: Path
    ) -> None:
        """Check that unusual prompts get a reply, a refusal or a MunimentError.

        `load` must raise ModelError for a missing model.
        """
        generator = self._ready(model)
        for prompt in _UNUSUAL_PROMPTS:
            try:
                request = self._request(prompt, 7, model)
            except MunimentError:
                continue  # `resolve` refuses it
            self._check_answer(generator, request, "prompt", prompt)
        if self.subject.uses_model:
            missing = Model("missing", "tree1-sha256:0", str(tmp_path / "missing"))
            try:
                self.made().load(missing)
            except ModelError:
                return
            except Exception as error:
                broken(f"loading a missing model raised {describe(error)}; raise ModelError")
            broken("a missing model was loaded without an error; raise ModelError")

    # ---- defaults that depend on the model -------------------------------------------------------

    @without_traceback
    def test_its_resolved_requests_do_not_change_again(self, model: Model | None) -> None:
        """Check that `resolve` works before `load`, and always returns the same valid values.

        A resolved request is resolved again when it is repeated with `--like`.
        """
        for prompt in self.prompts:
            first = self._request(prompt, 7, model)
            self._check_alike(first, self._request(prompt, 7, model))
            self._check_alike(first, self._resolved(first))

    # ---- inputs ----------------------------------------------------------------------------------

    @without_traceback
    def test_its_inputs_affect_their_own_request_only(self, model: Model | None) -> None:
        """Check that requests with declared inputs get replies that depend on nothing else.

        Unusual texts must get a reply, a refusal or a MunimentError.
        """
        samples = self._samples()
        if not samples:
            return  # it declares no inputs
        generator = self._ready(model)
        limits = {spec.name: spec.max_bytes for spec in self.registered.inputs}
        for name, sample in samples.items():
            for content in _UNUSUAL_PROMPTS[1:] if sample.text is not None else ():
                if len(content.encode()) <= limits[name]:
                    unusual = {name: replace(sample, data=content.encode())}
                    request = replace(self._request("go", 7, model), inputs=unusual)
                    self._check_answer(generator, request, f"input {name}", content)
        given = [replace(item, inputs=samples) for item in self._requests(model)]
        replies = self._all(generator, given)
        if self.subject.determinism != "exact":
            return
        plain = self._all(self._ready(model), self._requests(model))
        mixed = self._all(generator, [*self._requests(model), *given])
        self._same(plain, mixed[: len(plain)], "beside and after requests with inputs")
        self._same(replies, mixed[len(plain) :], "with the same inputs in another batch")
        try:
            remote = isolated.answer_requests(self.subject, given)
        except RuntimeError as error:
            broken(f"{self.registered.name} does not reply in another process: {error}")
        local = [isolated.fingerprint(reply) for reply in replies]
        self._same(local, remote, "with the same inputs in another process")

    def _samples(self) -> dict[str, Input]:
        """Return a sample of each declared input by name."""
        samples: dict[str, Input] = {}
        for spec in self.registered.inputs:
            if spec.name in self.inputs:
                content = self.inputs[spec.name]
            elif any(item.startswith("text/") for item in spec.media_types):
                content = "to be or not to be\n天地玄黄"
            else:
                broken(
                    f"{self.registered.name} declares the input {spec.name}; add a sample of it to "
                    f"`inputs` of the suite, as bytes of {' or '.join(spec.media_types)}"
                )
            data = content.encode() if isinstance(content, str) else content
            try:
                (sample,) = read_inputs({spec.name: data}, self.registered, _no_record).inputs
            except InputError as error:
                broken(f"the suite's sample cannot be used: {error}")
            samples[spec.name] = sample
        return samples

    # ---- models ----------------------------------------------------------------------------------

    @without_traceback
    def test_its_packaged_models_are_listed_without_a_network(self) -> None:
        """Check that `packaged_models` returns the same valid models each time, without a network.

        The first generation adds the first of them.
        """
        name = self.registered.name
        methods = ("packaged_models", "add_model", "find_model")
        missing = [method for method in methods if not hasattr(self.subject, method)]
        if len(missing) == len(methods):
            return  # the generator does not support adding models
        assert not missing, (
            f"{name} lacks {' and '.join(missing)}; define all of {', '.join(methods)}"
        )
        assert self.subject.uses_model, (
            f"{name} defines add_model, but does not set uses_model = True"
        )
        generator = self.made()
        with _network_refused() as connections:
            try:
                packaged, again = (list(generator.packaged_models()) for _ in range(2))
            except Exception as error:
                broken(f"packaged_models of {name} raised {describe(error)}; return a sequence")
        assert not connections, (
            f"packaged_models of {name} used the network; search installed packages only"
        )
        assert packaged == again, (
            f"packaged_models of {name} changes from call to call; the first is the default"
        )
        for model in packaged:
            _check_packaged(name, model)
        names = [model.name for model in packaged]
        duplicates = [item for item in names if names.count(item) > 1]
        assert not duplicates, (
            f"packaged_models of {name} has two models named {duplicates[0]!r}; rename one"
        )

    # ---- sending requests ------------------------------------------------------------------------

    def _ready(self, model: Model | None) -> Generator:
        generator: Generator = self.made()
        assert not generator.uses_model or model is not None, (
            "the generator uses a model; override the suite's fixture `model`"
        )
        if model is not None:
            generator.load(model)
        return generator

    def _exact(self, model: Model | None) -> Generator:
        """Return the generator if it claims to be exact, or skip the test."""
        if self.subject.determinism != "exact":
            pytest.skip("it does not claim to be exact")
        return self._ready(model)

    def _requests(self, model: Model | None) -> list[Request]:
        """Return one request for each prompt. Ids are new, because outputs must not depend on them.

        The seeds are 7, 8, and so on.
        """
        return [
            self._request(prompt, 7 + index, model) for index, prompt in enumerate(self.prompts)
        ]

    def _request(self, prompt: str, seed: int, model: Model | None) -> Request:
        """Return a resolved request. Raise as `resolve` does to refuse one."""
        models = self.parameter_models
        new = request(prompt, seed=seed, parameters=self.given(), model=model, models=models)
        return self._resolved(new)

    def _check_alike(self, first: Request, second: Request) -> None:
        """Fail the test unless a request was resolved to the same values twice."""
        one, other = ({**dict(item.parameters), **item.inputs} for item in (first, second))
        assert one == other, (
            f"resolve of {self.registered.name} returned {one!r} and then {other!r} for the "
            f"prompt {first.prompt[:40]!r}; return the same values for the same request, and none "
            "for values that are set"
        )

    def _resolved(self, request: Request) -> Request:
        if self.subject.resolve is Generator.resolve:
            return request
        try:
            return resolve_request(self.made(), self.registered, request)
        except PluginError as error:
            broken(f"{error}; return muniment.Resolution(...) with values that can be recorded")

    def _check_answer(
        self, generator: Generator, request: Request, what: str, content: str
    ) -> None:
        """Fail the test unless the request gets a reply, a refusal or a MunimentError.

        `what` and its `content` name the unusual part of the request in messages.
        """
        part = f"the {what} {content[:40]!r}"
        try:
            (reply,) = isolated.collect_replies(generator, self.subject, [request])
        except RuntimeError as error:
            raised = _exception_of(generator, request)
            if isinstance(raised, MunimentError):
                return
            reason = str(error) if raised is None else f"it raised {describe(raised)}"
            broken(
                f"{self.registered.name} has no reply to {part}: {reason}; return "
                "request.fail('reason') or raise a muniment.MunimentError"
            )
        assert not isinstance(reply, str) or (reply.strip() and "\n" not in reply), (
            f"{self.registered.name} refused {part} with {reply[:80]!r}; pass one sentence with "
            "the next step to request.fail(...)"
        )

    def _one(self, generator: Generator, request: Request) -> tuple[Output, ...] | str:
        return self._all(generator, [request])[0]

    def _all(
        self, generator: Generator, requests: Sequence[Request]
    ) -> list[tuple[Output, ...] | str]:
        """Return the outputs, or the reason of a refusal, for each request."""
        try:
            return isolated.collect_replies(generator, self.subject, requests)
        except RuntimeError as error:
            broken(
                f"{error}; answer each request with request.reply(...) or request.fail('reason')"
            )

    def _same(self, first: Sequence[object], second: Sequence[object], when: str) -> None:
        """Fail the test unless both sequences have equal outputs for each prompt."""
        for prompt, one, other in zip(self.prompts, first, second, strict=True):
            assert one == other, (
                f"{self.registered.name} claims to be exact, but replied to {prompt[:40]!r} "
                f"differently {when}; {_RANDOMNESS}"
            )


@contextlib.contextmanager
def _network_refused() -> Iterator[list[str]]:
    """Refuse network connections in the context, and yield the list of attempts."""
    attempts: list[str] = []

    def refuse(*arguments: object, **options: object) -> NoReturn:
        attempts.append(repr(arguments))
        raise OSError("the network must not be used here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket.socket, "connect_ex", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        yield attempts


def _check_packaged(generator: str, model: Any) -> None:
    assert isinstance(model, PackagedModel), (
        f"packaged_models of {generator} has {model!r}; return muniment.PackagedModel only"
    )
    name, source, terms = (getattr(model, field) for field in ("name", "source", "terms"))
    if not (isinstance(name, str) and is_name(name)):
        broken(f"the packaged model {name!r} needs a name of {RULE}")
    if not (isinstance(source, str) and source.strip()):
        broken(f"the packaged model {name} needs a source, the text that add_model takes")
    if not isinstance(terms, str) or "\n" in terms:
        broken(f"the terms of the packaged model {name} must be one line of text")


def _no_record(reference: str) -> Generation:
    raise InputError("", f"a sample cannot be the output of generation {reference}; use bytes")


def _exception_of(generator: Generator, request: Request) -> Exception | None:
    """Return the exception that a generator raises for a request, or None."""
    try:
        list(generator.generate([request]))
    except Exception as error:
        return error
    return None
