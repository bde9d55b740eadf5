"""The command `muniment image words`, which lists the words or labels that a model accepts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import click

import muniment
from muniment.command import emit, headers_option, json_option, pass_session
from muniment_image.conditions import CaptionCondition, Condition, LabelCondition, normalise


class _Row(NamedTuple):
    """Words of one meaning. `kind` is word or label, or ignored for words without a meaning."""

    kind: str
    words: tuple[str, ...]


@click.command
@click.argument("text", required=False)
@click.option(
    "-m",
    "--model",
    metavar="MODEL",
    help="Name of an added or packaged model, or path. The default is that of generate.",
)
@headers_option
@json_option
@pass_session
def words(session: muniment.Session, text: str | None, model: str | None, as_json: bool) -> None:
    """List the words or labels that a model accepts.

    Of a model with captions, each line has the words of one meaning, such as `heart 心 心形 爱心`.
    They have the same effect. The last line has the words that are ignored. Of a model with labels,
    each line has one label.

    With TEXT, only the lines are listed of which a word contains it.
    """
    from muniment_image.generator import model_folder
    from muniment_image.model_folder import read_config

    condition = read_config(model_folder(session, model)).condition
    rows = list(_rows(condition))
    none = "the model takes no label or caption"
    if rows and text is not None:
        none = f"no word of the model contains {text!r}; `muniment image words` lists all"
        part = normalise(text)
        rows = [row for row in rows if any(part in normalise(word) for word in row.words)]
    emit(
        rows,
        [("kind", "kind"), ("words", lambda row: " ".join(row.words))],
        as_json,
        to_json=_Row._asdict,
        empty=none,
    )


def _rows(condition: Condition) -> Iterator[_Row]:
    match condition:
        case LabelCondition(labels):
            yield from (_Row("label", (label,)) for label in labels)
        case CaptionCondition(words):
            yield from (_Row("word", synonyms) for synonyms in words)
            yield _Row("ignored", tuple(sorted(condition.function_words)))
