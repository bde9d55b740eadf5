"""The size of a sample that an analysis needs, and the items that it may leave out."""

from __future__ import annotations

from muniment.command import pluralize
from muniment_analysis.errors import SampleError

LEAST_ITEMS = 10
FEW_ITEMS = 20
MAX_LOST = 0.1


def check_sample(
    complete: int, left_out: int, *, allow_incomplete: bool = False, example: str = ""
) -> list[str]:
    """Return a warning if items are left out, or raise SampleError.

    Fewer than 10 complete items are refused. If more than 10 % of all items are left out,
    `allow_incomplete` is needed. `example` names missing outputs for the message.
    """
    items = complete + left_out
    missing = f" ({example})" if example else ""
    if complete < LEAST_ITEMS:
        problem = (
            f"{_part(complete, items)} complete{missing}" if left_out else pluralize(items, "item")
        )
        remedy = "add items or the missing outputs" if left_out else "add items"
        raise SampleError(
            f"{problem}, and {LEAST_ITEMS} are needed; {remedy}",
            complete=complete,
            needed=LEAST_ITEMS,
        )
    if left_out > MAX_LOST * items and not allow_incomplete:
        raise SampleError(
            f"{_part(left_out, items)} incomplete{missing}; "
            "add the missing outputs, or use --allow-incomplete",
            complete=complete,
            needed=items - int(MAX_LOST * items),
        )
    return [f"{_part(left_out, items)} incomplete and left out{missing}"] if left_out else []


def size_warnings(complete: int) -> list[str]:
    """Return a warning if a number of items from 10 is under 20."""
    if complete >= FEW_ITEMS:
        return []
    return [f"{complete} items give wide intervals; use {FEW_ITEMS} or more"]


def _part(number: int, items: int) -> str:
    """Return the subject and verb of a sentence on some of the items."""
    return f"{number} of {pluralize(items, 'item')} {'is' if number == 1 else 'are'}"
