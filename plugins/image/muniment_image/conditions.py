"""Conditions of a model: no condition, a class label, or a caption in English and Chinese.

A condition turns the text of a request into a fixed number of ids, which a network embeds. Id 0
stands for an absent word, so a row of zeros is the unconditional case of every model.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, ClassVar, Literal

import muniment

ConditionKind = Literal["label", "caption", "none"]

# Words without content. A caption may contain them, and they have no ids.
FUNCTION_WORDS = frozenset(
    "a an the of and or with in on at to for by from is are this that its it "
    "image picture icon emoji drawing photo draw show make please "
    "的 了 和 与 及 或 是 在 有 着 一个 一只 一颗 一张 一幅 一朵 一 个 只 颗 张 幅 这 那 这个 那个 "
    "图 图片 图像 图标 表情 表情符号 画 请 画一个 请画".split()
)
_HAN = r"\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CHINESE = re.compile(f"[{_HAN}]+")
# A word is a run of letters and digits in one script, or a symbol such as an emoji. Every other
# character separates words.
_RUN = re.compile(rf"[{_HAN}]+|[^\W_{_HAN}]+|[^\w\s]")
# Characters that end a part of a prompt in a message, and those left out at both of its ends.
_BREAK = re.compile(r"[\s,.;:!?，。、；：！？…]+")
_MARKS = "\"'`“”‘’«»()（）[]【】《》〈〉「」『』-—"
_SYMBOLS = ("So", "Cn", "Co")  # categories: emoji that are newer than Python's table are in Cn
_MOST_SUGGESTIONS = 3
_LONGEST_QUOTE = 40  # characters of a prompt in a message
_USUAL_LENGTH = 12  # of captions in words
_MOST_WORDS = 64  # of a caption that a model is trained on


def normalise(text: str) -> str:
    """Return a text as labels and words are compared: without case, width and repeated spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class ConditionError(muniment.UsageError):
    """A label or a caption that the model cannot use, with similar known words."""

    def __init__(self, text: str, message: str, suggestions: Sequence[str] = ()) -> None:
        hint = f"; did you mean {', '.join(suggestions)}?" if suggestions else ""
        super().__init__(f"{message}{hint}")
        self.text, self.suggestions = text, tuple(suggestions)


class UnknownWordError(ConditionError):
    """A label, or a word of a caption, that the model does not know."""


@dataclass(frozen=True)
class NoCondition:
    """The condition of a model that draws without being told a subject."""

    kind: ClassVar[ConditionKind] = "none"
    size: ClassVar[int] = 1
    """Number of ids, 0 included."""
    length: ClassVar[int] = 0
    """Number of ids that `encode` returns."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Return no ids. Raise ConditionError unless the text is empty."""
        if text.strip():
            raise ConditionError(text, "the model takes no label or caption; remove the prompt")
        return ()

    def to_json(self) -> dict[str, Any]:
        """Return the fields that `condition_from_json` reads."""
        return {"kind": self.kind}


@dataclass(frozen=True)
class LabelCondition:
    """The class labels of a model. Case, width and repeated spaces of a label are ignored."""

    labels: tuple[str, ...]
    kind: ClassVar[ConditionKind] = "label"
    length: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if not self.labels:
            raise ValueError("there are no labels")
        first: dict[str, str] = {}
        for label in self.labels:
            name = normalise(label)
            if not name:
                raise ValueError(f"the label {label!r} has no characters but spaces")
            if name in first:
                raise ValueError(
                    f"the labels {first[name]!r} and {label!r} differ only in case or spaces"
                )
            first[name] = label

    @property
    def size(self) -> int:
        """Number of ids, 0 included."""
        return len(self.labels) + 1

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the id of a label. Raise ConditionError for an unknown one."""
        name = normalise(text)
        if name in self._ids:
            return (self._ids[name],)
        if not name:
            raise ConditionError(
                text, f"the model needs a label; use one of {', '.join(self.labels)}"
            )
        similar = difflib.get_close_matches(name, self._ids, _MOST_SUGGESTIONS, 0.5)
        similar += [known for known in self._ids if name in re.split(r"\W+", known)]
        suggestions = [self.labels[self._ids[known] - 1] for known in dict.fromkeys(similar)]
        message = f"the model has no label {_quoted(text.strip())}"
        if not suggestions:
            message += f"; use one of {', '.join(self.labels)}"
        raise UnknownWordError(text, message, suggestions[:_MOST_SUGGESTIONS])

    def to_json(self) -> dict[str, Any]:
        """Return the fields that `condition_from_json` reads."""
        return {"kind": self.kind, "labels": list(self.labels)}

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {normalise(label): number for number, label in enumerate(self.labels, start=1)}


@dataclass(frozen=True)
class CaptionCondition:
    """The vocabulary of a model with captions.

    Row k of `words` lists the synonyms of id k + 1 in all languages, such as `red` and `红色`.
    A caption is a set of words: their order and repetitions have no effect.
    """

    words: tuple[tuple[str, ...], ...]
    length: int
    function_words: frozenset[str] = field(default=FUNCTION_WORDS)
    kind: ClassVar[ConditionKind] = "caption"

    def __post_init__(self) -> None:
        if not self._ids or not 1 <= self.length <= _MOST_WORDS:
            raise ValueError(
                f"a caption condition needs words, and 1 to {_MOST_WORDS} of a caption"
            )

    @property
    def size(self) -> int:
        """Number of ids, 0 included."""
        return len(self.words) + 1

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the ids of a caption's content words, in ascending order, padded with 0.

        Raises ConditionError for an unknown content word, for a caption of function words alone,
        and for more content words than `length`.
        """
        ids: set[int] = set()
        for written in _BREAK.split(text):
            for word, run, start in self._words(written):
                number = self._number(word)
                if number is not None:
                    ids.add(number)
                elif word not in self.function_words:
                    message = f"the model does not know the word {_in_context(word, written)}"
                    raise UnknownWordError(text, message, self._similar(word, run, start))
        if not ids:
            raise ConditionError(
                text, "the caption has no content words; name a subject, for example 'red heart'"
            )
        if len(ids) > self.length:
            raise ConditionError(
                text,
                f"the caption has {len(ids)} content words and the model takes {self.length}; "
                "shorten the caption",
            )
        return tuple(sorted(ids)) + (0,) * (self.length - len(ids))

    def split(self, text: str) -> Iterator[str]:
        """Yield the normalised words of a caption, with unknown ones unchanged.

        A run of Chinese characters is divided so that the fewest characters are in no word of the
        vocabulary, and then into the fewest words.
        """
        for word, _, _ in self._words(text):
            yield word

    def to_json(self) -> dict[str, Any]:
        """Return the fields that `condition_from_json` reads."""
        return {
            "kind": self.kind,
            "words": [list(words) for words in self.words],
            "length": self.length,
            "function_words": sorted(self.function_words),
        }

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {
            normalise(word): number
            for number, words in enumerate(self.words, start=1)
            for word in words
        }

    @cached_property
    def _longest(self) -> int:
        return max(len(word) for word in self._ids.keys() | self.function_words)

    def _number(self, word: str) -> int | None:
        """Return the id of a word, or of the singular of an English plural, or None."""
        forms = [word]
        if word not in self.function_words:
            forms += [word.removesuffix("s"), word.removesuffix("es")]
        return next((self._ids[form] for form in forms if form in self._ids), None)

    def _words(self, text: str) -> Iterator[tuple[str, str, int]]:
        """Yield the words of a caption, each with the run that contains it and its start there."""
        for run in _runs(text):
            start = 0
            for word in self._segment(run) if _CHINESE.fullmatch(run) else (run,):
                yield word, run, start
                start += len(word)

    def _segment(self, run: str) -> Iterator[str]:
        # best[k] = (unknown characters, words, start of the last word) of the first k characters
        best: list[tuple[int, int, int]] = [(0, 0, 0)]
        for end in range(1, len(run) + 1):
            candidates = []
            for start in range(max(0, end - self._longest), end):
                is_known = run[start:end] in self._ids or run[start:end] in self.function_words
                if is_known or start == end - 1:
                    unknown, words, _ = best[start]
                    candidates.append((unknown + (not is_known), words + 1, start))
            best.append(min(candidates))
        parts: list[str] = []
        end = len(run)
        while end:
            parts.append(run[best[end][2] : end])
            end = best[end][2]
        # Adjacent unknown characters are reported as one word.
        unknown_word = ""
        for part in reversed(parts):
            if part in self._ids or part in self.function_words:
                if unknown_word:
                    yield unknown_word
                    unknown_word = ""
                yield part
            else:
                unknown_word += part
        if unknown_word:
            yield unknown_word

    def _similar(self, word: str, run: str, start: int) -> list[str]:
        """Return known words that are similar to an unknown one at a place in a run."""
        similar = difflib.get_close_matches(word, self._ids, _MOST_SUGGESTIONS, 0.6)
        if _CHINESE.fullmatch(word):
            similar = self._differing_in_one(word, run, start) + similar
            if not similar:
                shared = {known: len(set(known) & set(word)) for known in self._ids}
                similar = sorted(
                    (known for known in shared if shared[known]),
                    key=lambda known: (-shared[known], len(known), known),
                )
        return list(dict.fromkeys(similar))[:_MOST_SUGGESTIONS]

    def _differing_in_one(self, word: str, run: str, start: int) -> list[str]:
        """Return the known words that differ in one character from the text at a place in a run.

        The text contains a part of an unknown word, and may contain known words beside it: in
        心行, for 心形, 心 is known. A difference within the unknown word is more likely than one
        outside. The result is empty for more than a few words, of which none is likely.
        """
        if len(word) > self._longest:
            return []
        end = start + len(word)
        ends = {*range(start, end + 1), *accumulate(map(len, self._segment(run)), initial=0)}
        within: list[str] = []
        outside: list[str] = []
        for known in self._ids:
            size = len(known)
            for first in range(max(0, start - size + 1), min(end, len(run) - size + 1)):
                pairs = enumerate(zip(known, run[first : first + size], strict=True), first)
                differing = [place for place, (character, other) in pairs if character != other]
                if size > 1 and len(differing) == 1 and {first, first + size} <= ends:
                    (within if start <= differing[0] < end else outside).append(known)
        found = within or outside
        return found if len(found) <= _MOST_SUGGESTIONS else []


def condition_of_words(text: str, captions: Sequence[str]) -> CaptionCondition:
    """Return the condition whose vocabulary is a text: words with one meaning in each line.

    Raises ValueError for a word that is listed twice, and ConditionError for a caption with other
    words or with more than `_MOST_WORDS`.
    """
    rows = tuple(tuple(line.split()) for line in text.splitlines() if line.strip())
    counts = Counter(normalise(word) for words in rows for word in words)
    if repeated := [word for word, count in counts.items() if count > 1]:
        raise ValueError(f"{repeated[0]!r} is in the list of words twice; remove one of them")
    condition = CaptionCondition(rows, _MOST_WORDS)
    lengths = [sum(map(bool, condition.encode(caption))) for caption in set(captions)]
    return CaptionCondition(rows, max(_USUAL_LENGTH, *lengths))


Condition = NoCondition | LabelCondition | CaptionCondition


def condition_from_json(value: Mapping[str, Any]) -> Condition:
    """Return the condition that `to_json` described. Raise ValueError if the fields are invalid."""
    kind = value.get("kind")
    try:
        if kind == NoCondition.kind:
            return NoCondition()
        if kind == LabelCondition.kind:
            return LabelCondition(_strings(value["labels"]))
        if kind == CaptionCondition.kind:
            return CaptionCondition(
                words=tuple(_strings(words) for words in value["words"]),
                length=_integer(value["length"]),
                function_words=frozenset(_strings(value["function_words"])),
            )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the condition {kind!r} lacks a field or has an invalid one") from error
    raise ValueError(f"the condition is {kind!r}, not none, label or caption")


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError("a whole number is expected")
    return value


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, str) and entry for entry in value):
        raise TypeError("a list of names is expected")
    return tuple(value)


def _runs(text: str) -> list[str]:
    """Return the words of a text, of which runs of Chinese characters are not divided."""
    return [
        run
        for run in _RUN.findall(normalise(text))
        if run[0].isalnum() or unicodedata.category(run[0]) in _SYMBOLS
    ]


def condition_of_captions(captions: Sequence[str]) -> CaptionCondition:
    """Return the condition whose vocabulary is that of captions, for pictures without a word list.

    A Chinese character is a word of its own. Raises ValueError for captions without content words,
    and ConditionError for one with more than `_MOST_WORDS` words.
    """
    words: set[str] = set()
    longest = 0
    for caption in captions:
        caption_words = {
            word for run in _runs(caption) for word in (run if _CHINESE.fullmatch(run) else (run,))
        }
        if len(caption_words) > _MOST_WORDS:
            raise ConditionError(
                caption,
                f"the caption {caption!r:.80} has more than {_MOST_WORDS} words; shorten it",
            )
        words |= caption_words - FUNCTION_WORDS
        longest = max(longest, len(caption_words))
    return CaptionCondition(tuple((word,) for word in sorted(words)), longest)


def _in_context(word: str, written: str) -> str:
    """Return a normalised word for a message, in the part of a prompt that contains it."""
    part = written.strip(_MARKS) or written
    if normalise(part) == word:
        return _quoted(part)
    return f"{_quoted(word)} in {_quoted(part)}"


def _quoted(text: str) -> str:
    """Return the beginning of a text between quotes, with control characters escaped."""
    return repr(text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…")
