"""Convert text to token ids and back, with chat templates, streaming and stop strings."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import (
    EmptyPrompt,
    ModelUnusable,
    SpecialTokensInPrompt,
    StopUnreachable,
    SystemPromptRefused,
    TemplateFailed,
)
from .folders import CHAT_TEMPLATE, FETCH_AGAIN, read_json, read_text

if TYPE_CHECKING:
    from .templates import ChatTemplate

TOKENIZER = "tokenizer.json"
SPECIAL_TOKENS = "special_tokens_map.json"  # in a prepared folder: names of tokens and the tokens
# Characters for private use, which stand for the texts of a person in a rendered chat template.
_USER, _SYSTEM = "\ue0f0", "\ue0f1"
_PRIVATE = range(0xE000, 0xF900)  # of all characters for private use
_CONTEXT = 8  # preceding token ids that are decoded with a new one


class Codec:
    """A model's tokenizer and chat template.

    `special` maps names such as `eos_token` to tokens. `bos` and `eos` are token ids or None.
    Raises ModelUnusable for a template that is not valid.
    """

    # Only the `tokenizers` library is used: importing transformers' tokenizer classes and building
    # their tables takes seconds.

    def __init__(
        self,
        tokenizer: Any,
        *,
        special: Mapping[str, str] | None = None,
        template: str | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.special = dict(special or {})
        self.template: ChatTemplate | None = None
        if template is not None:
            from .templates import ChatTemplate  # imports jinja2

            self.template = ChatTemplate(template)
        self._special_tokens = {
            token.content: number
            for number, token in tokenizer.get_added_tokens_decoder().items()
            if token.special
        }
        # Any text may be encoded as the token for unknown characters.
        self._special_ids = {*self._special_tokens.values()} - {self._id("unk_token")}
        self.bos = self._id("bos_token")
        self.eos = self._id("eos_token")

    @classmethod
    def load(cls, folder: Path) -> Codec:
        """Return the tokenizer of a prepared folder. Raise ModelUnusable if it cannot be read."""
        from tokenizers import Tokenizer

        path = folder / TOKENIZER
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelUnusable(
                str(folder), f"{path} cannot be read as a tokenizer ({error}); {FETCH_AGAIN}"
            ) from error
        template = folder / CHAT_TEMPLATE
        return cls(
            tokenizer,
            special=read_json(folder / SPECIAL_TOKENS),
            template=read_text(template) if template.is_file() else None,
        )

    @classmethod
    def convert(cls, folder: Path, source: str) -> Codec:
        """Return the tokenizer that transformers reads from a folder, so that its ids are the same.

        `source` is the name of the folder in errors. Raises ModelUnusable if transformers cannot
        read the tokenizer, or has no chat template that it would use by default.
        """
        from transformers import AutoTokenizer

        try:
            wrapped = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
        except Exception as error:  # each tokenizer's code raises errors of its own
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelUnusable(
                source,
                f"{source} has a tokenizer ({TOKENIZER}) that cannot be read ({first}); "
                f"{FETCH_AGAIN}",
            ) from error
        backend = getattr(wrapped, "backend_tokenizer", None)
        if backend is None:
            raise ModelUnusable(source, f"{source} has no {TOKENIZER}; use a model with one")
        template = wrapped.chat_template
        if isinstance(template, dict):
            if "default" not in template:
                raise ModelUnusable(
                    source,
                    f"{source} has several chat templates ({', '.join(sorted(template))}) and none "
                    "named default; rename one in its tokenizer_config.json",
                )
            template = template["default"]
        special = {key: str(value) for key, value in wrapped.special_tokens_map.items()}
        return cls(backend, special=special, template=template)

    def largest_id(self) -> int:
        """Return the largest token id that a prompt or an answer can need, or -1.

        Special tokens other than the first and the last one of a text are left out.
        """
        ids = self.tokenizer.get_vocab(with_added_tokens=True)
        needed = [
            number
            for token, number in ids.items()
            if number in (self.bos, self.eos) or token not in self._special_tokens
        ]
        return max(needed, default=-1)

    def _id(self, name: str) -> int | None:
        """Return the id of a special token, or None."""
        token = self.special.get(name)
        return None if token is None else self.tokenizer.token_to_id(token)

    def prompt(
        self,
        text: str,
        system: str | None = None,
        *,
        context: str | None = None,
        at: datetime | None = None,
        special_tokens: bool = False,
    ) -> list[int]:
        """Return the token ids of a prompt, formatted by the model's chat template if it has one.

        `context` is put before `text`, with an empty line between them. `at` is the time that the
        template sees. Special tokens that are written in `context` are encoded like any other text.
        So are those in `text` and `system`, unless `special_tokens` is true. Raises RowError.
        """
        before = context or ""
        if before and text:
            before += "\n\n"
        rendered = self._render(before + text, system, at)
        ids = self._encode([rendered])
        if before or not special_tokens:
            # The same prompt with other texts has only the special tokens to be read as such.
            other = (_USER + text, system) if special_tokens else (_USER, system and _SYSTEM)
            expected = self._special_of(self._encode([self._render(*other, at)]))
            if self._special_of(ids) != expected:
                # The template renders marked texts, because it may change them, for example trim.
                mark = _unused_character(rendered + before + text + (system or ""))
                before = self._marked(before, mark)
                if not special_tokens:
                    text, system = self._marked(text, mark), system and self._marked(system, mark)
                marked = self._render(before + text, system, at)
                ids = self._encode(_cut(marked, mark, rendered))
            if self._special_of(ids) != expected:
                raise SpecialTokensInPrompt()
        if not ids and self.bos is not None:
            ids = [self.bos]
        if not ids:
            raise EmptyPrompt()
        return ids

    def answer(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the token ids of an answer, and the first and last character of each.

        Special tokens in it are encoded like any other text.
        """
        mark = _unused_character(text)
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        place = 0
        for piece in self._marked(text, mark).split(mark):
            # A tokenizer may put a space before its whole input, so the piece follows a token.
            before = next(iter(self._special_tokens), "")
            encoding = self.tokenizer.encode(before + piece, add_special_tokens=False)
            first = 1 if before else 0
            ids += encoding.ids[first:]
            shift = place - len(before)
            offsets += [
                (max(place, start + shift), max(place, end + shift))
                for start, end in encoding.offsets[first:]
            ]
            place += len(piece)
        return ids, offsets

    def _encode(self, pieces: Sequence[str]) -> list[int]:
        """Return the token ids of a prompt that is cut into pieces, each encoded on its own."""
        encoding = self.tokenizer.encode(pieces[0], add_special_tokens=False)
        later: list[int] = []
        for piece in pieces[1:]:
            # A tokenizer may put a space before its whole input, so the piece follows a token.
            token = next(iter(self._special_tokens))
            following = self.tokenizer.encode(token + piece, add_special_tokens=False)
            later += following.ids[1:]
        if self.template is not None:
            return [*encoding.ids, *later]
        # `Encoding.merge` would be simpler, but takes time that doubles with each piece.
        encoding = self.tokenizer.post_process(encoding, add_special_tokens=True)
        mask = encoding.special_tokens_mask  # 1 for a token that the post-processor added
        added = next((number for number, bit in enumerate(reversed(mask)) if not bit), 0)
        end = len(mask) - added
        return [*encoding.ids[:end], *later, *encoding.ids[end:]]

    def _marked(self, text: str, mark: str) -> str:
        """Return a text with a mark after the first character of each special token."""
        cuts = {
            match.start() + 1
            for token in self._special_tokens
            for match in re.finditer(re.escape(token), text)
        }
        pieces = itertools.pairwise([0, *sorted(cuts), len(text)])
        return mark.join(text[first:last] for first, last in pieces)

    def stop_ids(self, stops: Sequence[str]) -> frozenset[int]:
        """Return the ids of the stop strings that are special tokens of the model.

        Raises RowError for a stop string that only contains one, because texts never do.
        """
        ids = {self._special_tokens[stop] for stop in stops if stop in self._special_tokens}
        for stop in stops:
            inside = next((token for token in self._special_tokens if token in stop), None)
            if inside is not None and stop not in self._special_tokens:
                raise StopUnreachable(stop, inside)
        return frozenset(ids)

    def _special_of(self, ids: Sequence[int]) -> list[int]:
        return [token for token in ids if token in self._special_ids]

    def _render(self, text: str, system: str | None, at: datetime | None) -> str:
        if self.template is None:
            if system:
                raise SystemPromptRefused()
            return text
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": text})
        try:
            return self.template.render(messages, self.special, at)
        except TemplateFailed as error:
            if system:
                raise SystemPromptRefused(
                    f"takes none in its chat template ({error.reason})"
                ) from error
            raise

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def stream(self, prompt: Sequence[int]) -> TextStream:
        """Return a decoder for the tokens of an answer to this prompt."""
        return TextStream(self, prompt)


def _unused_character(text: str) -> str:
    """Return a character for private use that is not in a text. Raise RowError if all are."""
    mark = next((char for char in map(chr, _PRIVATE) if char not in text), None)
    if mark is None:
        raise SpecialTokensInPrompt()
    return mark


def _cut(marked: str, mark: str, rendered: str) -> list[str]:
    """Return a rendered prompt, cut at the marks of the same prompt with marks.

    Raises RowError if the prompt depends on the marks.
    """
    if marked.replace(mark, "") != rendered:
        raise SpecialTokensInPrompt()
    return marked.split(mark)


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
