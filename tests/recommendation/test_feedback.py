"""`muniment recommendation fit --feedback`, and the loop from a list to the next one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import muniment
from muniment.testing import run_command
from muniment_recommendation.commands.evaluate import evaluate
from muniment_recommendation.commands.fit import fit
from muniment_recommendation.data.reading import read_data
from muniment_recommendation.data.tables import read_tables
from muniment_recommendation.home.feedback import with_feedback
from muniment_recommendation.model_folder.reading import load
from muniment_recommendation.ranking.document import read_ranking
from support.catalogue import program
from support.plugins import PluginFolder

USER, OTHER = "u002", "u003"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The example's folder of data."""
    folder = tmp_path / "data"
    program().write(folder, users=60)
    return folder


@pytest.fixture
def session(home: Path) -> Iterator[muniment.Session]:
    with muniment.Session(home, actor="reader") as session:
        yield session


@pytest.fixture
def stories(home: Path, plugin_folder: PluginFolder) -> Iterator[muniment.Session]:
    """A session with a generator of texts, and a filter that blocks its outputs."""
    plugin_folder.generator("stories", "for r in requests: yield r.reply(Text('A long night.'))")
    plugin_folder.filter("strict", "return content.block('night')")
    with muniment.Session(home, actor="reader", plugins=plugin_folder.plugins()) as session:
        yield session


def fitted(session: muniment.Session, data: Path, out: Path, *options: str) -> dict[str, Any]:
    """Fit a model into a new folder, and return the record that the command prints."""
    arguments = ("--data", str(data), "--out", str(out), *options, "--json")
    result = run_command(fit, *arguments, session=session)
    assert result.code == 0, result.stderr
    [record] = result.json
    return dict(record)


def listed(session: muniment.Session, model: Path, user: str = USER) -> muniment.Generation:
    return session.generate(
        "", generator="recommendation", model=str(model), inputs={"user": user.encode()}, seed=1
    )


def ids(generation: muniment.Generation) -> list[str]:
    return [item.item for item in read_ranking(generation.outputs[0].data).items]


def test_a_disliked_item_is_gone_after_the_next_fit(
    session: muniment.Session, data: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    fitted(session, data, first)
    before, others = listed(session, first), ids(listed(session, first, OTHER))
    disliked = ids(before)[0]
    session.feedback(before.id, action="dislike", item=disliked)
    assert ids(listed(session, first)) == ids(before)
    assert fitted(session, data, second, "--feedback")["feedback"] == 1
    after = listed(session, second)
    assert disliked not in ids(after)
    assert len(ids(after)) == 10
    everything = session.generate(
        "",
        generator="recommendation",
        model=str(second),
        inputs={"user": USER.encode()},
        parameters={"k": 1000},
    )
    assert disliked not in ids(everything)
    assert ids(listed(session, second, OTHER)) == others
    results = {item.result for item in session.replay([before, after])}
    assert results == {"exact"}


def test_no_cache_hides_a_refit_at_the_same_path(
    session: muniment.Session, data: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    fitted(session, data, model, "--model", "item-knn")
    before = listed(session, model)
    disliked, liked = ids(before)[:2]
    session.feedback(before.id, action="dislike", item=disliked)
    session.feedback(before.id, action="like", item=liked)
    shutil.rmtree(model)
    fitted(session, data, model, "--model", "item-knn", "--feedback")
    after = listed(session, model)
    assert not {disliked, liked} & set(ids(after))
    assert before.model is not None
    assert after.model is not None
    assert before.model.digest != after.model.digest
    assert [item.result for item in session.replay([before, after])] == ["impossible", "exact"]


def test_a_model_with_feedback_can_be_evaluated(
    session: muniment.Session, data: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    fitted(session, data, model, "--model", "popularity", "--feedback")
    arguments = ("--model", str(model), "--data", str(data), "--json")
    result = run_command(evaluate, *arguments, session=session)
    assert result.code == 0, result.stderr


@pytest.mark.parametrize(
    "feedback",
    [
        {"action": "like"},
        {"action": "click"},
        {"action": "buy"},
        {"rating": "up"},
        {"rating": 5},
    ],
)
def test_a_liked_item_becomes_the_newest_of_the_history(
    session: muniment.Session, data: Path, tmp_path: Path, feedback: dict[str, Any]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    fitted(session, data, first, "--model", "item-knn")
    before = listed(session, first)
    liked = ids(before)[2]
    session.feedback(before.id, item=liked, **feedback)
    fitted(session, data, second, "--model", "item-knn", "--feedback")
    after = listed(session, second)
    assert liked not in ids(after)
    assert ids(after) != ids(before)
    assert read_ranking(after.outputs[0].data).history[-1].item == liked
    recorded = {item.name: item.text for item in session.generation(after.id).inputs}
    assert recorded["history"].splitlines()[-1] == liked  # type: ignore[union-attr]


def test_the_use_of_feedback_is_recorded(
    session: muniment.Session, data: Path, tmp_path: Path
) -> None:
    plain, second = tmp_path / "plain", tmp_path / "second"
    assert "feedback" not in fitted(session, data, plain, "--model", "popularity")
    made = listed(session, plain)
    session.feedback(made.id, action="like", item=ids(made)[0])
    session.feedback(made.id, action="dislike", item=ids(made)[1])
    result = run_command(
        fit,
        *("--model", "popularity", "--data", str(data), "--out", str(second), "--feedback"),
        session=session,
    )
    assert "1 positive, 1 disliked" in result.stderr
    claim = json.loads((second / "training.json").read_bytes())
    assert claim["counts"]["feedback"] == 2
    assert claim["parameters"]["feedback"] is True
    assert load(second).options.options == {"feedback": True}
    assert load(second).data_digest != load(plain).data_digest
    assert "feedback" not in json.loads((plain / "training.json").read_bytes())["counts"]


def test_impressions_and_middling_ratings_change_nothing(
    session: muniment.Session, data: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    fitted(session, data, model, "--model", "popularity")
    made = listed(session, model)
    session.feedback(made.id, action="impression", item=ids(made)[0])
    session.feedback(made.id, rating=3, item=ids(made)[1])
    session.feedback(made.id, comment="nice", item=ids(made)[1])
    tables = read_tables(data)
    assert with_feedback(tables, session.feedback_events()) == (tables, 0)


def test_the_user_is_that_of_the_list_or_the_actor(
    session: muniment.Session, data: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    fitted(session, data, model, "--model", "popularity")
    mine = session.generate("", generator="recommendation", model=str(model))
    theirs = listed(session, model)
    item = ids(theirs)[0]
    session.feedback(mine.id, action="like", item=ids(mine)[0])
    session.feedback(theirs.id, action="like", item=item)
    tables, count = with_feedback(read_tables(data), session.feedback_events())
    rows = list(zip(tables.rows.users.texts(), tables.rows.items.texts(), strict=True))
    assert count == 2
    assert rows[-2:] == [("reader", ids(mine)[0]), (USER, item)]
    assert len(tables.items) == len(read_tables(data).items)


def test_a_liked_generation_becomes_an_item_with_its_prompt_and_text(
    stories: muniment.Session, data: Path
) -> None:
    told, erased = (
        stories.generate(f"Tell of {thing}\n", generator="stories", policy="none")
        for thing in ("owls", "bees")
    )
    for made in (told, erased):
        stories.feedback(made.id, action="like")
    stories.erase(muniment.Query(ids=[erased.id]))
    tables, count = with_feedback(read_tables(data), stories.feedback_events())
    assert count == 1
    item = tables.catalogue.items[tables.catalogue.numbers[told.id]]
    assert (item.title, item.text) == ("Tell of owls", "A long night.")
    assert tables.rows.users.texts()[-1] == "reader"


def test_feedback_on_blocked_generations_is_omitted(
    stories: muniment.Session, data: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("policy: p\nversion: 1\nfilters:\n- {filter: strict, stages: [output]}\n")
    blocked = stories.generate("Tell", generator="stories", policy=policy)
    assert blocked.status == "blocked"
    stories.feedback(blocked.id, action="like")
    tables = read_tables(data)
    assert with_feedback(tables, stories.feedback_events()) == (tables, 0)


def test_feedback_counts_whatever_the_lowest_rating_is(
    session: muniment.Session, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    lines = [f"u{n % 6},i{n % 7},{n},5" for n in range(40)] + ["u0,bad,50,1"]
    (data / "interactions.csv").write_text("\n".join(["user,item,timestamp,rating", *lines]))
    model, again = tmp_path / "model", tmp_path / "again"
    options = ("--model", "popularity", "--min-rating", "4")
    fitted(session, data, model, *options)
    made = session.generate(
        "", generator="recommendation", model=str(model), inputs={"history": b"i1"}
    )
    session.feedback(made.id, action="like", item=ids(made)[0])
    fitted(session, data, again, *options, "--feedback")
    histories = load(again).interactions
    assert "reader" in histories.users
    assert len(histories.items) == len(read_data(data, min_rating=4).interactions.items) + 1


def test_a_later_like_ends_a_dislike(session: muniment.Session, data: Path, tmp_path: Path) -> None:
    model, again = tmp_path / "model", tmp_path / "again"
    fitted(session, data, model, "--model", "popularity")
    made = listed(session, model)
    item = ids(made)[0]
    session.feedback(made.id, action="dislike", item=item)
    session.feedback(made.id, action="like", item=item)
    fitted(session, data, again, "--model", "popularity", "--feedback")
    model_again = load(again)
    number = model_again.interactions.user_numbers[USER]
    assert model_again.interactions.disliked == {}
    assert model_again.interactions.history(number)[-1] == model_again.catalogue.numbers[item]


def test_feedback_on_items_of_other_data_is_not_added(
    session: muniment.Session, data: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    fitted(session, data, model, "--model", "popularity")
    made = listed(session, model)
    session.feedback(made.id, action="like", item=ids(made)[0])
    other = tmp_path / "other"
    other.mkdir()
    rows = "user,item,timestamp\nann,tent,1700000000\nann,rope,1700000001\n"
    (other / "interactions.csv").write_text(rows)
    tables = read_tables(other)
    assert with_feedback(tables, session.feedback_events()) == (tables, 0)
