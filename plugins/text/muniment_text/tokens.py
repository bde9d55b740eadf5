"""Text to token ids and back: prompts, chat templates, and pieces of an answer as they come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import EmptyPrompt, ModelUnusable, SystemPromptRefused

TOKENIZER = "tokenizer.json"
_TAIL = 8


class Codec:
    """A model's tokenizer and chat template.

    Uses the `tokenizers` library alone: importing transformers' tokenizer classes and rebuilding
    their tables takes seconds that a prepared folder does not need.
    """

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
        """Read the tokenizer of a model folder; raises ModelUnusable."""
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
        """Read an old-style tokenizer through transformers, which makes the fast form of it."""
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
        token = self.special.get(name)
        if isinstance(token, dict):
            token = token.get("content")
        return None if token is None else self.tokenizer.token_to_id(token)

    def prompt(self, text: str, system: str | None = None) -> list[int]:
        """The token ids of a prompt, through the chat template when the model has one.

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
        """The text of token ids, special tokens left out."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def stream(self, prompt: Sequence[int]) -> Pieces:
        """What turns an answer's ids, one by one, into text that continues this prompt."""
        return Pieces(self, prompt)


class Pieces:
    """Token ids to pieces of text that add up to the answer.

    A Chinese character can take several tokens: a piece comes only when it is whole. The prompt's
    last ids stand before the answer, since the first token's leading space belongs to the text.
    """

    def __init__(self, codec: Codec, prompt: Sequence[int]) -> None:
        self._codec = codec
        self._ids = list(prompt[-_TAIL:])
        self._said = self._codec.decode(self._ids)

    def push(self, token: int) -> str:
        """The new text this token completes; empty while a character is unfinished."""
        self._ids.append(token)
        text = self._codec.decode(self._ids)
        if text.endswith("\ufffd"):
            return ""
        return self._take(text)

    def flush(self) -> str:
        """What is left when no more tokens come: an unfinished character as U+FFFD."""
        return self._take(self._codec.decode(self._ids))

    def _take(self, text: str) -> str:
        piece = text[len(self._said) :]
        self._ids = self._ids[-_TAIL:]
        self._said = self._codec.decode(self._ids)
        return piece


class Stops:
    """Finds stop strings in a stream and holds back what could still become one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""

    def push(self, piece: str) -> tuple[str, bool]:
        """The text that is safe to show, and whether a stop string was met (it is left out)."""
        self._held += piece
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            text, self._held = self._held[: min(found)], ""
            return text, True
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return text, False

    def flush(self) -> str:
        """What was held back, once nothing more comes."""
        text, self._held = self._held, ""
        return text


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that begins `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if stop.startswith(text[-length:]):
            return length
    return 0
