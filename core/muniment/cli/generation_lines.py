"""Generations in one line, as columns of a list or on a line with the id at its end."""

from __future__ import annotations

from muniment.cli.output import on_terminal, one_line, write_styled
from muniment.cli.values import (
    ERASED,
    coloured_status,
    content_marks,
    excerpt,
    model_name,
    moment,
    short_id,
)
from muniment.cli.verdicts import status_text
from muniment.types.generations import Generation


def id_of(generation: Generation) -> str:
    """Return the id, or its end on a terminal."""
    return short_id(generation.id)


def model_of(generation: Generation) -> str:
    """Return the name of the model, empty without one."""
    return model_name(generation.model, generation) if generation.model else ""


def prompt_excerpt(generation: Generation, length: int = 200) -> str:
    """Return the beginning of the prompt, after marks if texts were erased or altered.

    On a terminal an erased prompt is `[erased]`. The kinds of the other erased texts would be cut.
    """
    if on_terminal() and "prompt" in generation.erased and not generation.altered:
        return ERASED
    marks = content_marks(generation)
    return " ".join(filter(None, (marks, excerpt(generation.prompt, length))))


_LEAST_EXCERPT = 16  # cells of a prompt on the line of its generation


def print_line(item: Generation, text: str) -> None:
    """Print a generation and the beginning of a text, with the id last.

    On a narrow terminal the model and the generator are left out, and the text follows below. If
    the line is still too long, the seconds are left out, then the time.
    """
    from rich.cells import cell_len

    from muniment.cli.wrapping import shortened, terminal_width

    started, status, identifier = moment(item.started_at), status_text(item), id_of(item)
    names = [one_line(name) for name in (item.generator, model_of(item)) if name]
    whole = [started, status, *names]
    heads = [whole[:length] for length in range(len(whole), 1, -1)]
    heads += [[started.rpartition(":")[0], status], [status]]

    def room(head: list[str]) -> int:
        """Return the cells that are left between the parts of a line and the id."""
        parts = [*head, identifier]
        return terminal_width() - sum(map(cell_len, parts)) - 2 * len(parts)

    least = min(cell_len(text), _LEAST_EXCERPT)
    head = next((head for head in heads[: len(whole) - 1] if room(head) >= least), None)
    below = head is None
    if head is None:
        head = next((head for head in heads if room(head) >= -2), [status])
    parts = [coloured_status(part) if part == status else part for part in head]
    if text and not below:
        parts.append(shortened(text, room(head)))
    write_styled("  ".join([*parts, identifier]))
    if text and below:
        write_styled(f"    {shortened(text, terminal_width() - 4)}")
