"""Generators whose outputs depend on wording, setting and seed in a known way, and designs."""

from __future__ import annotations

from collections.abc import Sequence

from support.plugins import PluginFolder

DIAL = """
import random
from muniment import Generator, Parameters, Text, hookimpl, param

class Dial(Generator):
    name = "dial"
    media_type = "text/plain"
    determinism = "exact"

    class Parameters(Parameters):
        level: float = param(0.0, ge=0, le=100)
        mode: str = param("plain")

    def generate(self, requests):
        for request in requests:
            drawn = request.random()
            wording, control, noise = {weights}
            word = int(request.prompt.rpartition("#")[2] or 0)
            number = wording * word + control * request.parameters.level + noise * drawn.random()
            if {refuses}:
                yield request.fail("refused")
            else:
                yield request.reply(Text("word " * round(number)))

@hookimpl
def muniment_generators(register):
    register(Dial)
"""


def add_dial(
    folder: PluginFolder,
    *,
    wording: float = 0,
    control: float = 0,
    noise: float = 0,
    refuses: str = "False",
) -> None:
    """Add the generator `dial`, whose number of words is a sum with these weights.

    The sum is of the number after `#` in the prompt, the parameter `level`, and a random number.
    """
    source = DIAL.replace("{weights}", repr((wording, control, noise)))
    folder.add(source.replace("{refuses}", refuses), distribution="dial-plugin")


def design(
    *,
    items: int = 10,
    paraphrases: int = 3,
    settings: str = "{level: [0, 10]}",
    replicates: int = 2,
    measures: Sequence[str] = ("text-statistics.words",),
    extra: str = "",
) -> str:
    """Return a design of the generator `dial`."""
    lines = ["version: 1", "generator: dial", "items:"]
    for item in range(items):
        prompts = ", ".join(f'"题 {item} #{number}"' for number in range(paraphrases))
        lines.append(f"  - {{id: item-{item}, paraphrases: [{prompts}]}}")
    named = ", ".join(measures)
    lines += [f"settings: {settings}", f"replicates: {replicates}", "seed: 7"]
    return "\n".join([*lines, f"measures: [{named}]", extra])
