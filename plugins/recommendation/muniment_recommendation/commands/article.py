"""The command `muniment recommendation article`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import muniment
from muniment.command import json_option, pass_session, progress, write_data, write_json, write_note

if TYPE_CHECKING:
    from muniment_recommendation.articles.article import Language
    from muniment_recommendation.ranking.document import Ranking

_EXIT_CODES = {"completed": 0, "blocked": 3}
_MOST_NAMED = 3


@click.command
@click.option("--user", metavar="USER", help="Id of a user of the model.")
@click.option(
    "--history", metavar="A,B", help="Ids of items that the reader took, the oldest first."
)
@click.option(
    "-m", "--model", metavar="MODEL", help="Recommendation model, the default one if omitted."
)
@click.option(
    "--text-model", metavar="MODEL", help="Model of the text generator, the default if omitted."
)
@click.option(
    "--prompt", metavar="TEXT", default="", help="Wish of the reader, for the list and the text."
)
@click.option(
    "--language",
    type=click.Choice(["en", "zh"]),
    help="Language of the text. That of the prompt, else of the titles, by default.",
)
@click.option(
    "--seed", metavar="N", type=click.IntRange(0, 2**64 - 1), help="Seed, random if omitted."
)
@click.option("--policy", metavar="FILE", help="Policy file, or name of an installed policy.")
@json_option
@pass_session
def article(
    session: muniment.Session,
    user: str | None,
    history: str | None,
    model: str | None,
    text_model: str | None,
    prompt: str,
    language: Language | None,
    seed: int | None,
    policy: str | None,
    as_json: bool,
) -> int:
    """Write a text about the recommended items for one reader.

    The items are recommended, a text generator writes about them, and its text is checked. It must
    name an item, and its titles, numbers and names must be those of the items. Otherwise a plain
    text, composed from the titles and texts of the items, replaces it. Other statements are not
    checked.

    The list, the attempt and the text are three recorded generations, of which each has the ones
    before it as its parents.
    """
    from muniment_recommendation.articles.article import language_of, task, unsupported_by, works
    from muniment_recommendation.ranking.document import read_ranking

    if user is None and history is None and not prompt.strip():
        raise muniment.UsageError("the reader is unknown; use --user, --history or --prompt")
    common: dict[str, Any] = {"seed": seed, "policy": policy}
    given = {"user": user, "history": history}
    with progress("recommending"):
        listed = session.generate(
            prompt,
            generator="recommendation",
            model=model,
            inputs={name: text.encode() for name, text in given.items() if text is not None},
            **common,
        )
    if listed.status != "completed":
        return _without_text(listed, "list")
    ranking = read_ranking(listed.outputs[0].data)
    used = language or language_of(ranking, prompt)
    with progress("writing"):
        attempt = session.generate(
            task(prompt, used),
            generator="text",
            model=text_model,
            inputs={"context": works(ranking, used).encode()},
            parents=[listed.id],
            **common,
        )
    usable = attempt.status == "completed" and bool(attempt.text.strip())
    final = session.generate(
        generator="recommendation-article",
        parameters={"language": used},
        inputs={"list": listed.id, **({"attempt": attempt.id} if usable else {})},
        parents=[listed.id, attempt.id],
        **common,
    )
    if final.status != "completed":
        return _without_text(final, "text")
    missing = unsupported_by(ranking, attempt.text) if usable else ()
    is_plain = final.text.strip() != attempt.text.strip()
    if is_plain:
        write_note(_reason(attempt, missing))
    if as_json:
        write_json(
            {
                "id": final.id,
                "list": listed.id,
                "attempt": attempt.id,
                "language": used,
                "plain": is_plain,
                "unsupported": missing,
                "items": _titles(ranking),
                "text": final.text,
            }
        )
    else:
        write_data(final.text)
    return 0


def _titles(ranking: Ranking) -> list[dict[str, str]]:
    from muniment_recommendation.articles.article import MOST_ITEMS

    return [{"item": item.item, "title": item.title} for item in ranking.items[:MOST_ITEMS]]


def _reason(attempt: muniment.Generation, missing: tuple[str, ...]) -> str:
    """Return why the text is a plain one."""
    if attempt.status != "completed":
        return f"the attempt {attempt.id} is {attempt.status}, so the text is a plain one"
    if not missing:
        return f"the attempt {attempt.id} names no item of the list, so the text is a plain one"
    named = ", ".join(map(repr, missing[:_MOST_NAMED]))
    more = ", …" if len(missing) > _MOST_NAMED else ""
    return (
        f"the attempt {attempt.id} names what the items do not have ({named}{more}), so the text "
        "is a plain one"
    )


def _without_text(generation: muniment.Generation, noun: str) -> int:
    """Print why there is no text, and return the exit code."""
    reason = generation.failure.message if generation.failure else generation.status
    write_note(f"no {noun} was made: {reason} (generation {generation.id})")
    return _EXIT_CODES.get(generation.status, 1)
