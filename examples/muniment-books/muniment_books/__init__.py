"""A generator of ranked lists: `muniment generate books "a whale at sea"`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import muniment

BOOKS = {
    "moby-dick": "Moby-Dick, a hunt for a white whale at sea",
    "sea-wolf": "The Sea-Wolf, a hard captain at sea",
    "treasure-island": "Treasure Island, pirates and a map of an island",
    "robinson": "Robinson Crusoe, alone on an island",
    "nautilus": "Twenty Thousand Leagues under the Sea, a submarine",
    "time-machine": "The Time Machine, a journey to the far future",
    "war-of-worlds": "The War of the Worlds, an attack from Mars",
    "frankenstein": "Frankenstein, a scientist and his creature",
    "dracula": "Dracula, a vampire and his hunters",
    "jekyll": "Dr Jekyll and Mr Hyde, two men in one",
    "alice": "Alice in Wonderland, a girl and a rabbit",
    "peter-pan": "Peter Pan, a boy who flies to an island",
    "jungle-book": "The Jungle Book, a boy among wolves",
    "white-fang": "White Fang, a wolf in the far north",
    "walden": "Walden, alone in the woods",
    "emma": "Emma, a matchmaker in the country",
    "jane-eyre": "Jane Eyre, a governess and a secret",
    "middlemarch": "Middlemarch, a doctor in the country",
    "monte-cristo": "The Count of Monte Cristo, a prisoner and his revenge",
    "sherlock": "The Adventures of Sherlock Holmes, a detective and his doctor",
}


class Books(muniment.Generator):
    """Ranks all books by the number of words that they share with the prompt."""

    name, media_type, determinism = "books", "application/vnd.muniment.books+json", "exact"

    class Parameters(muniment.Parameters):
        """Parameters of the list."""

        count: int = muniment.param(5, ge=1, le=20, help="number of books")

    def generate(self, requests: Sequence[muniment.Request]) -> Iterable[muniment.Reply]:
        """Yield all books as candidates for each request. The seed orders those of equal rank."""
        for request in requests:
            words = set(request.prompt.lower().split())
            candidates = list(BOOKS.items())
            request.random().shuffle(candidates)
            candidates.sort(key=lambda book: -len(words & set(book[1].lower().split())))
            output = muniment.Output(self.media_type, json.dumps(candidates).encode())
            yield request.reply(output, wanted=request.parameters.count)


class BookList(muniment.MediaType):
    """A list of books, which filters judge one by one by their titles."""

    name, media_types = "books", (Books.media_type,)

    def items(self, data: bytes) -> tuple[muniment.Item, ...]:
        """Return the books."""
        return tuple(muniment.Item(id, title) for id, title in json.loads(data))

    def select(self, data: bytes, positions: Sequence[int]) -> bytes:
        """Return the books at these positions."""
        books = json.loads(data)
        return json.dumps([books[position] for position in positions]).encode()


@muniment.hookimpl
def muniment_generators(register: muniment.Register) -> None:
    """Register the generator."""
    register(Books)


@muniment.hookimpl
def muniment_media_types(register: muniment.Register) -> None:
    """Register the media type."""
    register(BookList)
