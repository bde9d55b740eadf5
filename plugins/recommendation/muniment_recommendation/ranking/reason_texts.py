"""The reasons for the items of a ranked list as texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import muniment

from .document import RankedItem, Ranking, reasons

_MOST_REASONS = 3

# The least part of the prompt in a score that is a match, relative to the largest one of the list.
# A wish for climbing gear, 登山用品, had 17.5 for a rope, and 0.06 for items with the character 山.
_LEAST_MATCH = 0.05


def reason_texts(
    ranking: Ranking, shorten: Callable[[str], str] = lambda title: title
) -> list[str]:
    """Return the main reasons for each item, as in `the prompt, Walden 62 %, Emma 21 %`.

    Popularity is a reason without a history, and `new item` stands for items without interactions.
    The rank without the main reason follows where it is known. `shorten` is applied to the title
    of each item of the history.
    """
    titles = {known.item: shorten(muniment.escaped(known.title)) for known in ranking.history}
    matches = prompt_matches(ranking)
    return [
        _reason_text(ranking, item, is_match, titles, shorten)
        for item, is_match in zip(ranking.items, matches, strict=True)
    ]


def prompt_matches(ranking: Ranking) -> list[bool]:
    """Return whether each item matches the prompt.

    An item that shares only a frequent word or character with the prompt does not match it.
    """
    values = [
        sum(part.value for part in item.contributions if part.source == "prompt")
        for item in ranking.items
    ]
    least = max([_LEAST_MATCH * value for value in values], default=0.0)
    return [value > 0 and value >= least for value in values]


def _reason_text(
    ranking: Ranking,
    item: RankedItem,
    is_match: bool,
    titles: Mapping[str, str],
    shorten: Callable[[str], str],
) -> str:
    mark = "" if ranking.explained == "exact" else "about "
    texts = ["the prompt"] if is_match else []
    shares = [reason for reason in reasons(ranking, item) if reason.title][:_MOST_REASONS]
    texts += [
        f"{shorten(muniment.escaped(reason.title))} {mark}{100 * reason.share:.0f} %"
        for reason in shares
    ]
    if any(part.source == "popularity" and part.value > 0 for part in item.contributions):
        texts.append("popularity")
    if item.components.get("cold"):
        texts.append("new item")
    text = ", ".join(texts)
    if item.without is None:
        return text
    missing = titles.get(item.without.item, item.without.item)
    return f"{text}; rank {item.without.rank} without {missing}"
