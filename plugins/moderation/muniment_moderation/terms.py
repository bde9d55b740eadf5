"""Find many terms in one pass over each view of a text (Aho and Corasick, 1975)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import ahocorasick

from muniment_moderation import views
from muniment_moderation.hits import MAX_HITS, Hit, quoted
from muniment_moderation.normalise import Folded, fold

# Spelled-out terms with at least this many letters are also found inside longer runs of letters.
_SPELLED_ANYWHERE = 6


class Terms:
    """A set of terms, compiled into one automaton for each view.

    The term determines the view. Terms that begin or end with a symbol (`c++`, an emoji) are found
    in the literal view. Other terms with Chinese characters are found in the compact view, and all
    other terms in the views of words and of spelled-out words.
    """

    def __init__(self, terms: Iterable[str], *, whole_words: bool, skip_separators: bool) -> None:
        """Compile the terms. Raise ValueError for a term that cannot be found.

        `whole_words` finds terms of alphabetic scripts as whole words only. `skip_separators`
        also finds terms with spaces or punctuation between their characters.
        """
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
        """Yield the matches, at most `MAX_HITS` for each view, in no particular order."""
        for make_view, automaton in self._automata.items():
            view = make_view(folded.text)
            # `iter` reports every match. The leftmost-longest search `iter_long` missed terms.
            for last, (length, term) in islice(automaton.iter(view.text), MAX_HITS):
                first = view.positions[last - length + 1]
                yield Hit(*folded.span(first, view.positions[last] + 1), f"the term {quoted(term)}")

    def _keys(self, term: str) -> Iterator[tuple[Callable[[str], views.View], str]]:
        """Yield the views in which a term is found, with the string to find in each."""
        if len(term.splitlines()) > 1:
            raise ValueError(f"the term {quoted(term)} has several lines; make each of them a term")
        text = fold(term).text.strip()
        kinds = views.kinds(text)
        if not text:
            raise ValueError(
                f"the term {term!r} has no visible character, so it would match any text"
            )
        if not self._skip_separators or kinds[0] == " " or kinds[-1] == " ":
            yield views.literal, self._with_edges(views.literal(text).text)
        elif "c" in kinds:
            yield views.compact, views.compact(text).text
        else:
            yield views.words, self._with_edges(views.words(text).text)
            yield from ((views.spelled, key) for key in self._spelled_keys(text))

    def _with_edges(self, key: str) -> str:
        return key if self._whole_words else key.strip(views.EDGE)

    def _spelled_keys(self, text: str) -> Iterator[str]:
        """Yield the strings that find a spelled-out term of at least three letters."""
        letters = views.compact(text).text
        if len(letters) < 3:
            return
        if not self._whole_words or len(letters) >= _SPELLED_ANYWHERE:
            yield letters
        if self._whole_words:
            yield f"{views.EDGE}{letters}{views.EDGE}"
            yield views.words(text).text
