"""A plugin that offers the generator `text`, answers at once and reads no weights.

Pages whose commands need some text generator run with it in place of muniment-text, whose
parameters it takes: `install` writes it as a distribution of that name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import muniment
from muniment_text.parameters import INPUTS, TextParameters


class StubText(muniment.Generator):
    """Repeats the prompt's characters in an order that the seed decides."""

    name, media_type, determinism = "text", "text/plain", "exact"
    uses_model = True
    inputs = INPUTS
    Parameters = TextParameters

    def load(self, model: muniment.Model) -> None:
        if not (Path(model.path) / "weights").is_file():
            raise muniment.ModelError(model.name, "it has no weights; add the model again")

    def generate(self, requests: Sequence[muniment.Request]) -> Iterable[muniment.Reply]:
        for request in requests:
            context = request.inputs.get("context")
            text = f"{context.text}{request.prompt}" if context else request.prompt
            drawn = request.random().choices(text, k=request.parameters.max_tokens)
            numbers = [ord(character) for character in drawn]
            yield request.reply(
                muniment.Text("".join(drawn), "length"),
                usage=muniment.Usage(len(request.prompt), len(drawn)),
                trace=muniment.Trace(numbers, [-1.0] * len(drawn), [0.5] * len(drawn)),
            )

    def score(
        self, requests: Sequence[muniment.Request], texts: Sequence[str]
    ) -> Sequence[muniment.TokenScores]:
        return [
            muniment.TokenScores(
                [ord(character) for character in text],
                [-1.0] * len(text),
                [(place, place + 1) for place in range(len(text))],
            )
            for text in texts
        ]

    def embed(self, outputs: Sequence[muniment.Output]) -> Sequence[Sequence[float]]:
        return [[output.data.count(byte) for byte in range(256)] for output in outputs]

    def packaged_models(self) -> Sequence[muniment.PackagedModel]:
        return [muniment.PackagedModel("gemma-3-270m", "gemma-3-270m", "Terms apply.")]

    def add_model(
        self, source: str, into: Path, progress: Callable[[str, float], None]
    ) -> Mapping[str, Any]:
        (into / "weights").write_text("none", encoding="utf-8")
        return {"name": source, "roles": {"weights": "weights"}, "terms": ""}

    def find_model(self, source: str) -> Path:
        raise muniment.ModelError(source, f"there is no model {source}")


@muniment.hookimpl
def muniment_generators(register: muniment.Register) -> None:
    register(StubText)


def install(folder: Path) -> None:
    """Write this plugin into a folder, which must come before the real one on Python's path."""
    (folder / "stub_text.py").write_bytes(Path(__file__).read_bytes())
    info = folder / "muniment_text-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: muniment-text\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[muniment.v1]\ntext = stub_text\n")
