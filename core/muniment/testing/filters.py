"""The contract of a filter, as pytest runs it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muniment.hookspecs import Filter
from muniment.plugins.invocation import validate_verdict
from muniment.plugins.registry import describe
from muniment.testing.contract import Contract, broken
from muniment.types import Content, Stage, Verdict, reads


def _png(size: tuple[int, int], shade: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    rows = (b"\0" + bytes([shade]) * size[0]) * size[1]
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


_SIZES = st.tuples(st.integers(1, 8), st.integers(1, 8))
_WHOLE = st.builds(_png, _SIZES, st.integers(0, 255))
_BYTES = st.one_of(
    _WHOLE, st.binary(), st.builds(lambda data, end: data[:end], _WHOLE, st.integers(0, 60))
)
_STAGES: st.SearchStrategy[Stage] = st.sampled_from(("system", "prompt", "output"))


class FilterContract(Contract):
    """Subclass it, name the class, and pytest checks that nothing passes it unjudged.

    The filter is made with `parameters`. `samples` are texts that it finds something in: they
    are woven into the texts it is asked about. What its reasons point at is blanked with `mask`,
    and must then not be found again; None for a filter that judges a text as a whole.
    """

    kind = "filter"
    filter: ClassVar[type[Filter]]
    samples: ClassVar[Sequence[str]] = ()
    mask: ClassVar[str | None] = "█"

    def test_it_judges_everything_it_says_it_can_read(self) -> None:
        """Any string, any bytes of an image: a filter that raises blocks a whole generation."""
        judge = self._made()

        def total(content: Content) -> None:
            verdict = self._verdict(judge, content)
            if not isinstance(verdict, Verdict):
                broken(
                    f"check() of {_shown(content)} returned {type(verdict).__name__}; return "
                    "content.allow(), content.flag(...) or content.block(...)"
                )

        self._for_all(self._contents(), total)

    def test_its_verdicts_are_sound_and_their_spans_lie_within_the_text(self) -> None:
        """Scores from 0 to 1, and reasons that point into what was judged."""
        judge = self._made()

        def within(content: Content) -> None:
            try:
                validate_verdict(self._verdict(judge, content), content)
            except (TypeError, ValueError) as error:
                broken(
                    f"the verdict on {_shown(content)} cannot be used: {error}; give spans in "
                    "characters of content.text, and scores from 0 to 1"
                )

        self._for_all(self._contents(), within)

    def test_what_it_points_at_is_not_found_again_once_it_is_blanked(self) -> None:
        """Redacting a text twice has to come to the same as redacting it once."""
        mask = self.mask
        if mask is None:
            pytest.skip("the suite says that it judges a text as a whole (mask = None)")
        if not reads(self.subject.media_types, "text/plain"):
            pytest.skip("it does not read text")
        judge = self._made()
        pointed = 0

        def idempotent(content: Content) -> None:
            nonlocal pointed
            spans = _spans(self._verdict(judge, content))
            pointed += len(spans)
            text = content.text
            for start, end in spans:
                text = text[:start] + mask * (end - start) + text[end:]
            blanked = Content(content.stage, content.media_type, text.encode())
            for start, end in _spans(self._verdict(judge, blanked)):
                if set(text[start:end]) == {mask}:
                    broken(
                        f"it found something in {text[:60]!r} at {start}-{end}, where its own "
                        "finding was blanked already; point at what it found and at no more, or "
                        "say `mask = None` in the suite if it judges a text as a whole"
                    )

        self._for_all(self._texts(), idempotent)
        if not pointed:
            pytest.skip("no reason pointed anywhere; give the suite `samples` that it objects to")

    def _made(self) -> Filter:
        made: Filter = self.made(self.given())
        return made

    def _verdict(self, judge: Filter, content: Content) -> Any:
        try:
            return judge.check(content)
        except (Exception, SystemExit) as error:
            broken(
                f"check() of {_shown(content)} raised {describe(error)}; answer with a verdict, "
                "whatever the content is: what raises blocks"
            )

    def _for_all(
        self, contents: st.SearchStrategy[Content], check: Callable[[Content], None]
    ) -> None:
        everything = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
        everything(given(contents)(check))()

    def _texts(self) -> st.SearchStrategy[Content]:
        words = st.text() if not self.samples else st.text() | st.sampled_from(self.samples)
        texts = st.lists(words, max_size=6).map("".join) | st.lists(words, max_size=6).map(" ".join)
        return st.builds(
            lambda stage, text: Content(stage, "text/plain", text.encode()), _STAGES, texts
        )

    def _contents(self) -> st.SearchStrategy[Content]:
        kinds: list[st.SearchStrategy[Content]] = []
        if reads(self.subject.media_types, "text/plain"):
            kinds.append(self._texts())
        kinds += [
            st.builds(Content, st.just("output"), st.just(media_type), _BYTES)
            for media_type in self.subject.media_types
            if not media_type.startswith("text/")
        ]
        return st.one_of(kinds)


def _spans(verdict: Verdict) -> list[tuple[int, int]]:
    return [
        (reason.start, reason.end)
        for reason in verdict.reasons
        if reason.start is not None and reason.end is not None and reason.start < reason.end
    ]


def _shown(content: Content) -> str:
    if content.media_type.startswith("text/"):
        return f"the text {content.text[:60]!r}"
    return f"{len(content.data)} bytes of {content.media_type}"
