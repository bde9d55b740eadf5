"""The text generator plugin, on top of the decoding engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import muniment

from .environment import facts
from .errors import ModelUnusable, RowError
from .folders import check_folder
from .importing import import_libraries
from .loading import load, resolve
from .memory import SelfTests
from .parameters import INPUTS, TextParameters
from .preparing import DEFAULT_NAME, DEFAULT_PACKAGE, DEFAULT_SOURCE, is_installed, prepare

if TYPE_CHECKING:
    from .engine import Engine, Finish, Row

TERMS_FILE = "GEMMA_TERMS.html"
TERMS = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at "
    f"ai.google.dev/gemma/terms; a copy is in the model's folder ({TERMS_FILE})."
)


class TextGenerator(muniment.Generator):
    """A generator that continues or answers prompts with a causal language model.

    The input `context` is a text that is put before the prompt, with an empty line between them. A
    byte order mark at its beginning and line ends at its end are left out. Special tokens in it are
    encoded as text, whatever the parameter `special_tokens` is.
    """

    name = "text"
    media_type = "text/plain"
    determinism = "exact"
    uses_model = True
    model_files = ("config.json", "tokenizer.json")
    inputs = INPUTS
    Parameters = TextParameters

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._cache: Path | None = None
        self._model: muniment.Model | None = None

    def use_cache(self, folder: Path) -> None:
        """Store the results of self-tests in the folder, and use stored results."""
        self._cache = folder

    def load(self, model: muniment.Model) -> None:
        """Load the model's folder. Raise ModelError if it cannot be used."""
        import_libraries()
        from .engine import Engine

        self._model = model
        try:
            self._engine = Engine(load(model.path, tests=SelfTests(self._cache, model.digest)))
        except ModelUnusable as error:
            raise muniment.ModelError(model.name, str(error)) from error

    def retest(self) -> None:
        """Repeat a self-test that `load` skipped. Use another decoder if it fails now."""
        if self._model is not None and self.engine.model.tests.repeat() is not None:
            self.load(self._model)

    def generate(
        self, requests: Sequence[muniment.Request]
    ) -> Iterable[muniment.Reply | muniment.Chunk | muniment.Output]:
        """Decode all requests together. A row that cannot be decoded fails only its request."""
        from .engine import Failure, TextEvent

        engine = self.engine
        by_id = {request.id: request for request in requests}
        rows: list[Row] = []
        for request in requests:
            try:
                rows.append(_row(engine, request))
            except RowError as error:
                yield request.fail(str(error))
        for event in engine.decode(rows):
            request = by_id[str(event.key)]
            if isinstance(event, TextEvent):
                if request.stream:
                    yield request.chunk(event.text, tokens=event.tokens)
            elif isinstance(event, Failure):
                yield request.fail(str(event.error))
            else:
                yield _reply(request, event)

    def score(
        self, requests: Sequence[muniment.Request], texts: Sequence[str]
    ) -> Sequence[muniment.TokenScores]:
        """Return the probabilities of texts as answers to requests, one text at a time.

        A text is encoded as a whole, so its tokens can differ from those that a model chose.
        """
        return [self._score(*pair) for pair in zip(requests, texts, strict=True)]

    def _score(self, request: muniment.Request, text: str) -> muniment.TokenScores:
        try:
            prompt = _row(self.engine, request).prompt
            ids, offsets = self.engine.model.codec.answer(text)
            logprobs = self.engine.score([*prompt, *ids])[len(prompt) - 1 :]
        except RowError as error:
            raise muniment.UsageError(str(error)) from error
        return muniment.TokenScores(ids, logprobs, offsets)

    def embed(self, outputs: Sequence[muniment.Output]) -> Sequence[Sequence[float]]:
        """Return the mean of the last hidden states of each text, one text at a time."""
        vectors = []
        for output in outputs:
            if output.text is None:
                raise muniment.UsageError(
                    f"an output of {output.media_type} is no text, so that the generator text "
                    "cannot embed it; use a generator of its media type"
                )
            try:
                vectors.append(self.engine.embed(output.text))
            except RowError as error:
                raise muniment.UsageError(str(error)) from error
        return vectors

    @property
    def engine(self) -> Engine:
        """The engine of the loaded model. Raises RuntimeError before `load`."""
        if self._engine is None:
            raise RuntimeError("the text generator was asked before its model was loaded")
        return self._engine

    def environment(self) -> Mapping[str, str | int]:
        """Return the kernels, threads, versions and processor, on which the bytes depend."""
        return facts(self.engine) if self._engine is not None else {}

    def packaged_models(self) -> Sequence[muniment.PackagedModel]:
        """Return Gemma 3 270M when its package is installed."""
        if not is_installed(DEFAULT_PACKAGE):
            return ()
        return (muniment.PackagedModel(DEFAULT_NAME, DEFAULT_SOURCE, TERMS),)

    def add_model(
        self, source: str, into: Path, progress: Callable[[str, float], None]
    ) -> Mapping[str, Any]:
        """Convert a folder, hub id, .gguf file or the default model into `into`."""
        default = source in (DEFAULT_NAME, DEFAULT_SOURCE)
        if default and Path(source).exists():
            default = False
        try:
            prepare(DEFAULT_SOURCE if default else source, into, progress)
        except ModelUnusable as error:
            raise muniment.ModelError(source, str(error)) from error
        roles = {
            "weights": "model.safetensors",
            "configuration": "config.json",
            "tokenizer": "tokenizer.json",
            "chat template": "chat_template.jinja",
        }
        return {
            "name": DEFAULT_NAME if default else Path(source).name.removesuffix(".gguf"),
            "roles": {role: file for role, file in roles.items() if (into / file).is_file()},
            "terms": TERMS if (into / TERMS_FILE).is_file() else "",
        }

    def find_model(self, source: str) -> Path:
        """Return the folder of a hub id, from the local cache or the hub. Raise ModelError."""
        try:
            folder = resolve(source)
            check_folder(folder)
        except ModelUnusable as error:
            raise muniment.ModelError(source, str(error)) from error
        return folder

    def close(self) -> None:
        """Release the model."""
        self._engine = None


def _row(engine: Engine, request: muniment.Request) -> Row:
    from .sampling import Sampling

    values = request.parameters
    return engine.row(
        request.id,
        request.prompt,
        system=request.system,
        context=_context(request),
        seed=request.seed,
        max_tokens=values.max_tokens,
        stop=values.stop,
        special_tokens=values.special_tokens,
        at=request.started_at,
        sampling=Sampling(
            temperature=values.temperature,
            top_k=values.top_k,
            top_p=values.top_p,
            min_p=values.min_p,
            repetition_penalty=values.repetition_penalty,
        ),
    )


def _context(request: muniment.Request) -> str | None:
    """Return the text of the input `context`, or None without one."""
    given = request.inputs.get("context")
    text = "" if given is None else given.text or ""
    return text.removeprefix("\ufeff").rstrip("\r\n") or None


def _reply(request: muniment.Request, finish: Finish) -> muniment.Reply:
    return request.reply(
        muniment.Text(finish.text, "stop" if finish.finish_reason == "stop" else "length"),
        usage=muniment.Usage(finish.prompt_tokens, len(finish.token_ids)),
        trace=muniment.Trace(finish.token_ids, finish.logprobs, finish.margins),
    )
