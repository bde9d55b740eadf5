"""Finding any of many terms in one pass over each view of a text (Aho and Corasick, 1975)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import ahocorasick

from muniment_moderation import views
from muniment_moderation.hits import MOST, Hit, quoted
from muniment_moderation.normalise import Folded, fold

_SPELLED_ANYWHERE = 6  # letters from which a spelled-out term is sought inside a longer run


class Terms:
    """Terms made ready for matching.

    Which view a term is sought in follows from the term: one with Chinese characters in the
    compact view, words between their edges, and what begins or ends with a sign (`c++`, an emoji)
    literally. Every term is reported at every place (pyahocorasick's `iter`): its
    leftmost-longest search, `iter_long`, was seen to miss terms altogether.
    """

    def __init__(self, terms: Iterable[str], *, whole_words: bool, skip_separators: bool) -> None:
        """Take terms as people write them; raises ValueError naming one that has no content."""
        self._whole_words = whole_words
        self._skip_separators = skip_separators
        self._automata: dict[Callable[[str], views.View], ahocorasick.Automaton] = {}
        for term in terms:
            for view, key in self._keys(term):
                automaton = self._automata.setdefault(view, ahocorasick.Automaton())
                if key not in automaton:
                    automaton.add_word(key, (len(key), term))
        for automaton in self._automata.values():
            automaton.make_automaton()

    def find(self, folded: Folded) -> Iterator[Hit]:
        """Yield where terms stand, at most `MOST` times a view, in no particular order."""
        for view, automaton in self._automata.items():
            seen = view(folded.text)
            for last, (length, term) in islice(automaton.iter(seen.text), MOST):
                first = seen.positions[last - length + 1]
                yield Hit(*folded.span(first, seen.positions[last] + 1), f"the term {quoted(term)}")

    def _keys(self, term: str) -> Iterator[tuple[Callable[[str], views.View], str]]:
        text = fold(term).text.strip()
        shape = views.kinds(text)
        if not text:
            raise ValueError(f"the term {term!r} has no visible character: it would match any text")
        if not self._skip_separators or shape[0] == " " or shape[-1] == " ":
            yield views.literal, self._edged(views.literal(text).text)
        elif "c" in shape:
            yield views.compact, views.compact(text).text
        else:
            yield views.words, self._edged(views.words(text).text)
            yield from ((views.spelled, key) for key in self._spelled(text))

    def _edged(self, key: str) -> str:
        return key if self._whole_words else key.strip(views.EDGE)

    def _spelled(self, text: str) -> Iterator[str]:
        letters = views.compact(text).text
        if len(letters) < 3:
            return
        if not self._whole_words or len(letters) >= _SPELLED_ANYWHERE:
            yield letters
        if self._whole_words:
            yield f"{views.EDGE}{letters}{views.EDGE}"
            yield views.words(text).text
