"""Plugins that each break one point of the contract, and good ones beside them."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
from typing import Any

import muniment
from muniment import Measure, Reason, Text, param

# ---- generators --------------------------------------------------------------------------------


class Shuffle(muniment.Generator):
    name, media_type, determinism = "shuffle", "text/plain", "exact"

    class Parameters(muniment.Parameters):
        times: int = param(1, ge=1, le=10)
        mood: str | None = param(None)
        words: list[str] = param(["a"])

    def generate(self, requests):
        for request in requests:
            yield request.reply(Text(self.said(request)))

    def said(self, request) -> str:
        words = request.prompt.split()
        request.random().shuffle(words)
        return " ".join(words * request.parameters.times)


class Reading(Shuffle):
    """Says its inputs before the prompt."""

    inputs = (
        muniment.InputSpec("context", ("text/plain",)),
        muniment.InputSpec("init", ("image/png",), 100),
    )

    def said(self, request) -> str:
        given = request.inputs.values()
        return " ".join([*(item.text or str(len(item.data)) for item in given), request.prompt])


class Sticky(Reading):
    """Keeps the inputs of an earlier request."""

    def __init__(self) -> None:
        self.kept: Any = {}

    def said(self, request) -> str:
        self.kept = request.inputs or self.kept
        return f"{sorted(self.kept)} {request.prompt}"


class Unread(Reading):
    """Raises for an input that it cannot count."""

    def said(self, request) -> str:
        return str([1 / len(item.data.split()) for item in request.inputs.values()])


class Resolving(Shuffle):
    """Sets a default that the caller did not set."""

    def resolve(self, request, model):
        mood = request.parameters.mood or "calm"
        return muniment.Resolution({"mood": mood})

    def said(self, request) -> str:
        assert request.parameters.mood
        return super().said(request)


class Wavering(Shuffle):
    """Resolves each request to another value."""

    def resolve(self, request, model):
        return muniment.Resolution({"mood": str(random.random())})


class Overreaching(Shuffle):
    """Resolves a request to a value that it does not accept."""

    def resolve(self, request, model):
        return muniment.Resolution({"times": 11})


class Moody(Shuffle):
    """Draws from Python's own source of randomness."""

    def said(self, request) -> str:
        return request.prompt + str(random.random())


class Remembering(Shuffle):
    """Says how often this object was asked."""

    def __init__(self) -> None:
        self.count = itertools.count()

    def said(self, request) -> str:
        return f"{request.prompt}{next(self.count)}"


class Neighbourly(Shuffle):
    """Says how many were asked at once."""

    def generate(self, requests):
        for request in requests:
            yield request.reply(Text(f"{request.prompt}{len(requests)}"))


class Ordered(Shuffle):
    """Draws all answers of a batch from the first request's seed."""

    def generate(self, requests):
        source = random.Random(sum(r.seed for r in requests) if len(requests) > 1 else 1)
        for request in requests:
            yield request.reply(Text(f"{request.prompt}{source.random()}"))


class Hashing(Shuffle):
    """Differs with the process's hash seed."""

    def said(self, request) -> str:
        return str(hash(request.prompt))


class ByPosition(Shuffle):
    """Answers the first request with what it would say to the last."""

    def generate(self, requests):
        for request, other in zip(requests, requests[::-1], strict=True):
            yield muniment.Reply(request.id, (Text(self.said(other)),))


class ById(Shuffle):
    """Makes its randomness from the request's id, which is another one on each day."""

    def said(self, request) -> str:
        return request.prompt + str(random.Random(request.id).random())


class Seedless(Shuffle):
    def said(self, request) -> str:
        return request.prompt


class BestEffort(Moody):
    determinism = "best-effort"


class Clinging(Shuffle):
    """Answers on whatever is thrown at it."""

    def generate(self, requests):
        for request in requests:
            try:
                yield request.reply(Text(self.said(request)))
            except BaseException:
                yield request.fail("never mind")


class Deaf(Shuffle):
    """Ends when it is closed, but makes something else of Ctrl-C."""

    def generate(self, requests):
        for request in requests:
            try:
                yield request.reply(Text(self.said(request)))
            except KeyboardInterrupt:
                raise RuntimeError("who is there?") from None


class Busy(Shuffle):
    """Does all the work that nobody wants any more before it ends."""

    def generate(self, requests):
        try:
            for request in requests:
                yield request.reply(Text(self.said(request)))
        finally:
            sum(range(3_000_000))


class Spoilt(Shuffle):
    """Is another generator once it was cancelled."""

    def __init__(self) -> None:
        self.spoilt = ""

    def generate(self, requests):
        try:
            for request in requests:
                yield request.reply(Text(self.said(request) + self.spoilt))
        except GeneratorExit:
            self.spoilt = "!"
            raise


class Fragile(Shuffle):
    """Raises for an empty prompt."""

    def said(self, request) -> str:
        return request.prompt.split()[0]


class Verbose(Shuffle):
    """Fails by a page of text."""

    def generate(self, requests):
        for request in requests:
            if request.prompt.strip():
                yield request.reply(Text(self.said(request)))
            else:
                yield request.fail("Traceback:\n  line 1")


class Silent(Shuffle):
    """Leaves a prompt that it does not like without an answer."""

    def generate(self, requests):
        for request in requests:
            if request.prompt.strip():
                yield request.reply(Text(self.said(request)))


class Polite(Shuffle):
    """Refuses an empty prompt as it should."""

    def generate(self, requests):
        for request in requests:
            if request.prompt.strip():
                yield request.reply(Text(self.said(request)))
            else:
                yield request.fail("there is nothing to shuffle; give a prompt of some words")


class Gullible(Shuffle):
    """Loads a model that is not there."""

    uses_model = True


class Careless(Shuffle):
    """Raises Python's own error for a model that is not there."""

    uses_model = True

    def load(self, model) -> None:
        if not model.path.endswith("there"):
            open(model.path)  # noqa: SIM115


class Careful(Shuffle):
    uses_model = True

    def load(self, model) -> None:
        if not model.path.endswith("there"):
            raise muniment.ModelError(model.name, "there is no such folder; add the model again")


class Packaging(Careful):
    """A good provider of models: each of those below returns one odd list."""

    packaged = (muniment.PackagedModel("tiny", "package:tiny", "Terms apply."),)

    def packaged_models(self):
        return self.packaged

    def add_model(self, source, into, progress):
        return {}

    def find_model(self, source):
        raise muniment.ModelError(source, f"there is no model {source}")


class Unlisted(Careful):
    """Adds models, but cannot list those that are packaged."""

    add_model, find_model = Packaging.add_model, Packaging.find_model


class Fetching(Packaging):
    """Asks the network, and hides that it failed."""

    def packaged_models(self):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", 9))
        return self.packaged


class Shifting(Packaging):
    """Lists another default each time."""

    def packaged_models(self):
        self.turn = getattr(self, "turn", 0) + 1
        return [muniment.PackagedModel(f"tiny-{self.turn}", "x")]


class Failing(Packaging):
    def packaged_models(self):
        raise KeyError("no package")


class Twice(Packaging):
    packaged = (muniment.PackagedModel("tiny", "a"), muniment.PackagedModel("tiny", "b"))


class Sourceless(Packaging):
    packaged = (muniment.PackagedModel("tiny", " "),)


class Spaced(Packaging):
    packaged = (muniment.PackagedModel("my model", "a"),)


class Termed(Packaging):
    packaged = (muniment.PackagedModel("tiny", "a", "one\ntwo"),)


class Tupled(Packaging):
    packaged = (("tiny", "a", ""),)


class Nameless(muniment.Generator):
    media_type = "text/plain"

    def generate(self, requests):
        return []


# ---- parameters --------------------------------------------------------------------------------


class _Clamped(muniment.Parameters):
    times: int = param(1, ge=1, le=10)

    def __init__(self, **values: Any) -> None:
        values["times"] = min(10, max(1, int(values.get("times") or 1)))
        super().__init__(**values)


class Clamping(Shuffle):
    Parameters = _Clamped


class _Growing(muniment.Parameters):
    times: int = param(1, ge=1)

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        object.__setattr__(self, "times", self.times + 1)


class Growing(Shuffle):
    Parameters = _Growing


class _Unrecordable(muniment.Parameters):
    times: int = param(1)

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        object.__setattr__(self, "times", {1})


class Unrecordable(Shuffle):
    Parameters = _Unrecordable


class _Untyped(muniment.Parameters):
    times: int = param(1)

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.times < 0:
            raise ArithmeticError("below zero")


class Untyped(Shuffle):
    Parameters = _Untyped


class _Schemeless(muniment.Parameters):
    times: int = param(1)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        return {"type": "object", "properties": {"times": {"type": "whole"}}}


class Schemeless(Shuffle):
    Parameters = _Schemeless


# ---- filters -----------------------------------------------------------------------------------


class Bombs(muniment.Filter):
    name, categories = "bombs", ("weapons",)

    def check(self, content):
        at = content.text.find("bomb")
        return content.allow() if at < 0 else content.block(Reason("weapons", "", at, at + 4))


class Raising(Bombs):
    """Cannot judge an empty text."""

    def check(self, content):
        return content.allow(rude=float(content.text[0] == "!"))


class Wordless(Bombs):
    """Answers with True or False."""

    def check(self, content):
        return "bomb" not in content.text


class InBytes(Bombs):
    """Counts in bytes where characters are meant."""

    def check(self, content):
        at = content.data.find(b"bomb")
        return content.allow() if at < 0 else content.block(Reason("weapons", "", at, at + 4))


class Sure(Bombs):
    """Is surer than sure."""

    def check(self, content):
        return content.flag(weapons=2.0)


class Insatiable(Bombs):
    """Finds the beginning of every text, whatever stands there."""

    def check(self, content):
        end = min(3, len(content.text))
        return content.flag(Reason("long", "", 0, end)) if end else content.allow()


class Images(muniment.Filter):
    name, media_types = "images", ("image/png",)

    def check(self, content):
        return content.allow() if content.data[:4] == b"\x89PNG" else content.block("broken")


class Trusting(Images):
    """Reads the header of an image without looking whether there is one."""

    def check(self, content):
        return content.allow(large=float(content.data[19] > 100))


class Demanding(Bombs):
    """Refuses to be made without a word."""

    class Parameters(muniment.Parameters):
        word: str = param("")

    def __init__(self, parameters) -> None:
        super().__init__(parameters)
        if not parameters.word:
            raise muniment.ParameterError("word", "word must not be empty")


# ---- evaluators --------------------------------------------------------------------------------


class Length(muniment.Evaluator):
    name = "length"
    measures = (Measure("characters"), Measure("variety", higher_is_better=True))

    def evaluate(self, generation):
        text = generation.text
        found = {"characters": len(text)}
        return found | ({"variety": len(set(text)) / len(text)} if text else {})


class Shared(muniment.GroupEvaluator):
    """Measures the share of equal texts among siblings and references."""

    name = "shared"
    measures = (Measure("shared", higher_is_better=False),)

    def evaluate_group(self, generations, references):
        values = {}
        for one in generations:
            others = [item.text for item in generations if item is not one]
            others += references.get(one.id, ())
            if others:
                values[one.id] = {"shared": others.count(one.text) / len(others)}
        return values


class Ranking(Shared):
    """Measures the position in the group."""

    def evaluate_group(self, generations, references):
        return {item.id: {"shared": place} for place, item in enumerate(generations)}


class Pairing(Shared):
    """Needs a second generation."""

    def evaluate_group(self, generations, references):
        first, second = generations[:2]
        return {first.id: {"shared": float(first.text == second.text)}}


class Inventing(Shared):
    """Returns a value for a generation that is not in the group."""

    def evaluate_group(self, generations, references):
        return {"another": {"shared": 1.0}}


class FixedPowers:
    """Powers whose results are the lengths of texts."""

    def score(self, parameter, texts, prompts=None):
        return [muniment.TokenScores([1], [-float(len(text))], [(0, len(text))]) for text in texts]

    def embed(self, parameter, outputs):
        return [[float(len(output.data))] for output in outputs]


class Judging(muniment.Evaluator):
    """Measures with the model of a parameter."""

    name = "judging"
    measures = (Measure("surprise", higher_is_better=False),)

    def evaluate(self, generation):
        [scores] = self.powers.score("judge", [generation.text])
        return {"surprise": -sum(scores.logprobs)}


class Dividing(Length):
    """Divides by the length of an empty text."""

    def evaluate(self, generation):
        return {"variety": len(set(generation.text)) / len(generation.text)}


class NotANumber(Length):
    def evaluate(self, generation):
        return {"variety": float("nan") if not generation.text else 1.0}


class Undeclared(Length):
    def evaluate(self, generation):
        return {"width": 1}


class Counting(Length):
    """Says how often it was asked."""

    def __init__(self, parameters, models) -> None:
        super().__init__(parameters, models)
        self.count = itertools.count()

    def evaluate(self, generation):
        return {"characters": next(self.count)}


class Dice(Length):
    def evaluate(self, generation):
        return {"characters": random.random()}
