"""Chat templates, rendered as transformers does, but with nothing that changes between two runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .errors import ModelUnusable, TemplateFailed
from .folders import CHAT_TEMPLATE

Message = Mapping[str, str]


class ChatTemplate:
    """A chat template of a model. Raises ModelUnusable for a template that is not valid."""

    def __init__(self, source: str) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        # The filter chooses an element at random, which no record could repeat.
        del environment.filters["random"]
        environment.globals["raise_exception"] = _raise_exception
        self.source = source
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise ModelUnusable(
                CHAT_TEMPLATE,
                f"the model's chat template cannot be used ({error}); correct {CHAT_TEMPLATE}",
            ) from error

    def render(
        self, messages: Sequence[Message], special: Mapping[str, str], at: datetime | None = None
    ) -> str:
        """Return the prompt of a conversation, up to the beginning of the answer.

        `special` are the tokens by names such as `bos_token`. `at` is the time that the template
        sees, by default the present. A replay passes the time of the generation. Raises
        TemplateFailed if the template refuses the messages.
        """
        moment = at or datetime.now(UTC)
        try:
            return self._template.render(
                **special,
                messages=[dict(message) for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=True,
                strftime_now=moment.strftime,
            )
        except TemplateError as error:
            raise TemplateFailed(str(error)) from error


class _GenerationBlock(Extension):
    """The block `{% generation %}`, which marks answers for training. Its contents are rendered."""

    tags = {"generation"}  # noqa: RUF012 (an attribute of jinja2's class)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Return the JSON text of a value. jinja2's own filter also escapes HTML."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise_exception(message: str) -> None:
    raise TemplateError(message)
