"""A generator of lists, with their media type and a filter, for tests."""

from __future__ import annotations

import json
from typing import Any

from muniment import Output
from support.plugins import PluginFolder
from support.workspace import Workspace

LIST = "application/x-ranking+json"
TITLES = ["red", "green", "blue", "black", "white"]

_MEDIA_TYPE = """
import json
from muniment import Item, MediaType, hookimpl

class Ranking(MediaType):
    name, media_types, suffixes = "ranking", ("application/x-ranking+json",), (".json",)

    def items(self, data):
        return tuple(Item("id-" + title, title) for title in json.loads(data))

    def select(self, data, positions):
        titles = json.loads(data)
        return json.dumps([titles[position] for position in positions]).encode()

    def export(self, data, provenance, suffix, options):
        return data + b" "

    EXTRA

@hookimpl
def muniment_media_types(register):
    register(Ranking)
"""


def add_lists(plugin_folder: PluginFolder, wanted: str = "None", extra: str = "pass") -> None:
    """Add the generator `rank`, which returns its prompt as a list of titles, and the filter.

    The filter `colour` blocks or flags a text that contains its parameter `word`. `extra` are
    methods of the media type.
    """
    plugin_folder.add(_MEDIA_TYPE.replace("EXTRA", extra), distribution="ranking-type")
    plugin_folder.generator(
        "rank",
        f"""
        for request in requests:
            yield request.reply(Output({LIST!r}, request.prompt.encode()), wanted={wanted})
        """,
        media_type=LIST,
        distribution="ranking",
    )
    plugin_folder.filter(
        "colour",
        """
        if self.parameters.word not in content.text:
            return content.allow()
        verdict = content.flag if self.parameters.flags else content.block
        return verdict(Reason("colour", f"it is {content.text}"))
        """,
        attributes="media_types = ('text/plain',)\ncategories = ('colour',)",
        parameters="word: str = param('red')\nflags: bool = param(False)",
        distribution="colours",
    )


def titles(output: Output) -> list[str]:
    """Return the titles of a list."""
    return list(json.loads(output.data))


def run(workspace: Workspace, *rules: str, prompt: Any = TITLES) -> Any:
    """Return the generation of a list under a policy with these rules."""
    [done] = workspace.run(
        prompt if isinstance(prompt, str) else json.dumps(prompt),
        generator="rank",
        policy=workspace.policy(*rules),
    )
    return done
