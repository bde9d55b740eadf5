"""Lists of ids as texts, and the ids nearest to an unknown one."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice

from muniment_recommendation.errors import QueryError

_COMMA = re.compile("([,，、])")
_MOST_PARTS = 8  # of an id with commas that stands in a line with others
_MOST_NAMED = 5
_MOST_COMPARED = 100_000  # comparing more takes seconds


def read_ids(text: str, known: Collection[str] = ()) -> tuple[str, ...]:
    """Return the ids of a text, each once: lines, or a line of ids separated by commas.

    Chinese commas separate ids, too. An id of `known` that contains commas is not divided. A JSON
    list of texts is read too. It is the only form for ids with line ends. An id that is repeated
    has its last place, because the last item of a history is the newest.
    """
    ids = _json_ids(text)
    ids = _plain_ids(text, known) if ids is None else ids
    return tuple(dict.fromkeys(reversed(ids)))[::-1]


def write_ids(ids: Sequence[str]) -> str:
    """Return ids as a text that `read_ids` reads."""
    lines = "".join(f"{id}\n" for id in ids)
    return lines if read_ids(lines) == tuple(ids) else json.dumps(list(ids), ensure_ascii=False)


def numbers_of(ids: Iterable[str], known: Mapping[str, int], source: str) -> list[int]:
    """Return the numbers of items by their ids.

    Raises QueryError that names the unknown ones and the nearest known ids. `source` is the
    input that has them.
    """
    ids = tuple(ids)
    unknown = [id for id in ids if id not in known]
    if unknown:
        raise QueryError(_unknown_items(unknown, known, source))
    return [known[id] for id in ids]


def nearest(id: str, known: Collection[str]) -> str:
    """Return the hint with the ids that resemble an unknown one."""
    folded = {other.casefold(): other for other in islice(known, _MOST_COMPARED)}
    near = [folded[match] for match in difflib.get_close_matches(id.casefold(), folded, n=3)]
    return f"the nearest {'is' if len(near) == 1 else 'are'} {_quoted(near)}" if near else ""


def _unknown_items(unknown: Sequence[str], known: Collection[str], source: str) -> str:
    count = f"{len(unknown):,} unknown items:" if len(unknown) > 1 else "the unknown item"
    rest = ", …" if len(unknown) > _MOST_NAMED else ""
    hint = nearest(unknown[0], known) or "use ids of the items of the model"
    if len(unknown) > 1 and hint.startswith("the nearest"):
        hint = hint.replace("the nearest", f"the nearest to {unknown[0]!r}", 1)
    return f"{source} has {count} {_quoted(unknown[:_MOST_NAMED])}{rest}; {hint}"


def _quoted(ids: Iterable[str]) -> str:
    return ", ".join(map(repr, ids))


def _json_ids(text: str) -> list[str] | None:
    """Return the texts of a JSON list, or None for another text."""
    if not text.lstrip().startswith("["):
        return None
    try:
        ids = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return ids if isinstance(ids, list) and all(isinstance(id, str) for id in ids) else None


def _plain_ids(text: str, known: Collection[str]) -> list[str]:
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    ids = lines if len(lines) > 1 else _divided(text.strip(), known)
    return [id.strip() for id in ids if id.strip()]


def _divided(line: str, known: Collection[str]) -> list[str]:
    """Return the ids of a line. At each place, the longest known id is taken."""
    if line in known:
        return [line]
    parts = _COMMA.split(line)  # every other one is a comma
    ids: list[str] = []
    start = 0
    while start < len(parts):
        ends = range(min(len(parts), start + 2 * _MOST_PARTS - 1), start, -2)
        joined = {end: "".join(parts[start:end]).strip() for end in ends}
        end = next((end for end in ends if joined[end] in known), start + 1)
        ids.append(joined[end])
        start = end + 1
    return ids
