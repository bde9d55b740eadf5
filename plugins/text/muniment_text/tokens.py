"""Convert text to token ids and back, with chat templates, streaming and stop strings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import EmptyPrompt, ModelUnusable, SystemPromptRefused

TOKENIZER = "tokenizer.json"
_CONTEXT = 8  # preceding token ids that are decoded with a new one


class Codec:
    """A model's tokenizer and chat template.

    `special` maps names such as `eos_token` to tokens. `bos` and `eos` are token ids or None.
    """

    # Only the `tokenizers` library is used: importing transformers' tokenizer classes and building
    # their tables takes seconds.

    def __init__(
        self, tokenizer: Any, *, special: dict[str, Any] | None = None, template: str | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.special = special or {}
        self.bos = self._id("bos_token")
        self.eos = self._id("eos_token")

    @classmethod
    def load(cls, folder: Path) -> Codec:
        """Return the tokenizer of a model folder. Raise ModelUnusable if it cannot be read."""
        from tokenizers import Tokenizer

        path = folder / TOKENIZER
        try:
            if not path.is_file():
                return cls.convert(folder)
            tokenizer = Tokenizer.from_file(str(path))
        except ModelUnusable:
            raise
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelUnusable(
                str(folder), f"{path} cannot be read as a tokenizer: {error}"
            ) from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        config_file = folder / "tokenizer_config.json"
        config = json.loads(config_file.read_text("utf-8")) if config_file.is_file() else {}
        template_file = folder / "chat_template.jinja"
        template = config.get("chat_template")
        if template_file.is_file():
            template = template_file.read_text("utf-8")
        if isinstance(template, list):
            named = {entry.get("name"): entry.get("template") for entry in template}
            template = named.get("default")
        return cls(tokenizer, special=config, template=template)

    @classmethod
    def convert(cls, folder: Path) -> Codec:
        """Return a tokenizer in an older format, which transformers converts to the fast format."""
        from transformers import AutoTokenizer

        wrapped = AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
        backend = getattr(wrapped, "backend_tokenizer", None)
        if backend is None:
            raise ModelUnusable(str(folder), f"{folder} has no tokenizer that has a fast form")
        special = {key: str(value) for key, value in wrapped.special_tokens_map.items()}
        return cls(backend, special=special, template=wrapped.chat_template)

    def _id(self, name: str) -> int | None:
        """Return the id of a special token, or None."""
        token = self.special.get(name)
        if isinstance(token, dict):
            token = token.get("content")
        return None if token is None else self.tokenizer.token_to_id(token)

    def prompt(self, text: str, system: str | None = None) -> list[int]:
        """Return the token ids of a prompt, formatted by the model's chat template if it has one.

        Raises EmptyPrompt or SystemPromptRefused.
        """
        if self.template is not None:
            rendered = self._render(text, system)
            ids: list[int] = self.tokenizer.encode(rendered, add_special_tokens=False).ids
            return ids
        if system:
            raise SystemPromptRefused()
        ids = self.tokenizer.encode(text).ids
        if not ids and self.bos is not None:
            ids = [self.bos]
        if not ids:
            raise EmptyPrompt()
        return ids

    def _render(self, text: str, system: str | None) -> str:
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": text})
        special = {
            name: value.get("content") if isinstance(value, dict) else value
            for name, value in self.special.items()
            if name.endswith("_token")
        }
        try:
            options: dict[str, Any] = {"add_generation_prompt": True, **special}
            rendered: Any = render_jinja_template(
                conversations=[messages], chat_template=self.template, **options
            )
        except TemplateError as error:
            if system:
                raise SystemPromptRefused(f"takes none in its chat template ({error})") from error
            raise
        return str(rendered[0][0])

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def stream(self, prompt: Sequence[int]) -> TextStream:
        """Return a decoder for the tokens of an answer to this prompt."""
        return TextStream(self, prompt)


class TextStream:
    """Decodes the tokens of an answer one by one. The returned texts join to the whole answer."""

    def __init__(self, codec: Codec, prompt: Sequence[int]) -> None:
        self._codec = codec
        # The first token is decoded after the prompt's last ids, so that its leading space is kept.
        self._ids = list(prompt[-_CONTEXT:])
        self._returned = self._codec.decode(self._ids)

    def push(self, token: int) -> str:
        """Return the text that this token completes, or "" if a character is incomplete."""
        self._ids.append(token)
        text = self._codec.decode(self._ids)
        if text.endswith("\ufffd"):  # a Chinese character can consist of several tokens
            return ""
        return self._take(text)

    def flush(self) -> str:
        """Return the remaining text after the last token, with U+FFFD for incomplete characters."""
        return self._take(self._codec.decode(self._ids))

    def _take(self, text: str) -> str:
        new_text = text[len(self._returned) :]
        self._ids = self._ids[-_CONTEXT:]
        self._returned = self._codec.decode(self._ids)
        return new_text


class StopFinder:
    """Finds stop strings in a stream, and delays text that may be the start of a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._delayed = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Add text. Return the text before a stop string, and whether one was found.

        Without a stop string, return the text that cannot be the start of one.
        """
        self._delayed += text
        positions = [i for stop in self._stops if (i := self._delayed.find(stop)) >= 0]
        if positions:
            safe, self._delayed = self._delayed[: min(positions)], ""
            return safe, True
        overlap = max((_overlap(self._delayed, stop) for stop in self._stops), default=0)
        end = len(self._delayed) - overlap
        safe, self._delayed = self._delayed[:end], self._delayed[end:]
        return safe, False

    def flush(self) -> str:
        """Return the delayed text after the end of the stream."""
        text, self._delayed = self._delayed, ""
        return text


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest suffix of `text` that is a proper prefix of `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[-length:]):
            return length
    return 0
