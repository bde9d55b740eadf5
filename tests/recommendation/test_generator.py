"""Tests of the generator with a fitted model: the contract suite, records, replays and policies."""

from __future__ import annotations

import dataclasses
import gc
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import muniment
import muniment.testing
from muniment_recommendation.errors import QueryError
from muniment_recommendation.fitting.fit import fit
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.generator import RecommendationGenerator
from muniment_recommendation.model_folder.histories import Histories
from muniment_recommendation.model_folder.writing import save
from muniment_recommendation.ranking.document import Ranking, read_ranking
from muniment_recommendation.requests.item_ids import read_ids
from support.recommendation import catalogue_of, interactions_of

SIZE = 120
DATA = interactions_of(SIZE)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small blend."""
    path = tmp_path_factory.mktemp("fitted") / "blend"
    path.mkdir()
    save(fit(DATA, catalogue_of(SIZE), FitOptions(options={"factors": 8})), path)
    return path


@pytest.fixture(scope="session")
def fitted(folder: Path) -> muniment.Model:
    return muniment.Model("blend", muniment.model_digest(folder), str(folder))


class TestRecommendationGenerator(muniment.testing.GeneratorContract):
    generator = RecommendationGenerator
    prompts = ("the sea and love", "关于科技和历史的书", "war", "science of nothing")
    parameters: ClassVar = {"temperature": 0.5, "k": 5}
    inputs: ClassVar = {"user": "u03", "history": "i3,i17", "only": "i5\ni6\ni7\n", "exclude": "i6"}

    @pytest.fixture
    def model(self, fitted: muniment.Model) -> muniment.Model:
        return fitted


@pytest.fixture
def session(home: Path, folder: Path) -> Iterator[muniment.Session]:
    with muniment.Session(home) as session:
        session.models.add(str(folder), "recommendation", RecommendationGenerator())
        yield session


def generate(session: muniment.Session, prompt: str = "", **fields: Any) -> muniment.Generation:
    inputs = {name: text.encode() for name, text in fields.pop("inputs", {}).items()}
    return session.generate(prompt, generator="recommendation", inputs=inputs, **fields)


def listed(generation: muniment.Generation) -> Ranking:
    (output,) = generation.outputs
    return read_ranking(output.data)


def ids(generation: muniment.Generation) -> list[str]:
    return [item.item for item in listed(generation).items]


def refusal(session: muniment.Session, **fields: Any) -> str:
    """Return the reason why a request got no list."""
    try:
        made = generate(session, **fields)
    except muniment.UsageError as error:
        return str(error)
    assert made.status == "failed"
    assert made.failure is not None
    return made.failure.message


def replayed(session: muniment.Session, generation: muniment.Generation) -> str:
    (result,) = session.replay([session.generation(generation.id)])
    return result.result


# ---- users and histories ------------------------------------------------------------------------


def test_the_history_of_a_user_becomes_an_input(session: muniment.Session) -> None:
    made = generate(session, inputs={"user": "u03"})
    history = [f"i{number}" for number in DATA.history(3)]
    recorded = {item.name: item.text for item in session.generation(made.id).inputs}
    assert recorded == {"user": "u03", "history": "".join(f"{item}\n" for item in history)}
    assert session.generation(made.id).resolved_inputs == ("history",)
    assert [item.item for item in listed(made).history] == history
    assert len(ids(made)) == 10
    assert not set(ids(made)) & set(history)


def test_the_error_without_a_model_names_the_command_that_fits_one(home: Path) -> None:
    with (
        muniment.Session(home) as session,
        pytest.raises(muniment.ModelError, match="`muniment recommendation fit"),
    ):
        generate(session, inputs={"history": "i3"})


def test_a_list_is_replayed_exactly(session: muniment.Session) -> None:
    for fields in (
        {"inputs": {"user": "u03"}},
        {"inputs": {"history": "i3,i17"}, "parameters": {"temperature": 1.0}, "seed": 5},
        {"prompt": "the sea"},
        {"inputs": {"user": "u05", "only": "i1,i2,i3,i4,i9", "exclude": "i2"}},
        {"parameters": {"k": 3, "diversity": 0.5, "calibrate": None}},
    ):
        assert replayed(session, generate(session, **fields)) == "exact"


def test_a_list_does_not_depend_on_its_batch(session: muniment.Session) -> None:
    specs = [
        muniment.GenerationSpec("", generator="recommendation", inputs={"user": user.encode()})
        for user in DATA.users[:8]
    ]
    together = [made.outputs[0].data for made in session.run(specs)]
    alone = [generate(session, inputs={"user": user}) for user in DATA.users[:8]]
    assert together == [made.outputs[0].data for made in alone]


def test_a_given_history_replaces_that_of_the_user(session: muniment.Session) -> None:
    given = generate(session, inputs={"user": "u04", "history": "i3,i17"})
    assert ids(given) == ids(generate(session, inputs={"history": "i3,i17"}))
    assert ids(given) != ids(generate(session, inputs={"user": "u04"}))


def test_a_user_of_another_system_may_have_a_history(session: muniment.Session) -> None:
    made = generate(session, inputs={"user": "nobody", "history": "i3,i17"})
    assert ids(made) == ids(generate(session, inputs={"history": "i3,i17"}))


def test_a_closed_generator_has_no_ids_of_users(fitted: muniment.Model) -> None:
    def count() -> int:
        gc.collect()
        return sum(isinstance(object, Histories) for object in gc.get_objects())

    before = count()
    generator = RecommendationGenerator()
    request = muniment.testing.request(
        "", parameters=generator.Parameters(), inputs={"user": "u03"}
    )
    assert generator.resolve(request, fitted).inputs["history"]
    assert count() == before + 1
    generator.close()
    assert count() == before


def test_users_whose_ids_differ_by_a_line_end_have_their_own_lists(
    home: Path, tmp_path: Path
) -> None:
    users = ("a", "a\r", *DATA.users[2:])
    path = tmp_path / "model"
    path.mkdir()
    data = dataclasses.replace(DATA, users=users)
    save(fit(data, catalogue_of(SIZE), FitOptions("popularity")), path)
    with muniment.Session(home) as session:
        session.models.add(str(path), "recommendation", RecommendationGenerator())
        for number, user in enumerate(users[:2]):
            made = generate(session, inputs={"user": user})
            texts = {item.name: item.text or "" for item in session.generation(made.id).inputs}
            assert list(read_ids(texts["history"])) == [f"i{item}" for item in DATA.history(number)]
        for inputs in ({"user": "a\n"}, {"user": "a\n", "history": "i2"}):
            with pytest.raises(muniment.UsageError, match=r"'a\\n'.*'a'"):
                generate(session, inputs=inputs)


def test_disliked_items_are_never_listed_for_their_user(session: muniment.Session) -> None:
    for inputs in ({"user": "u03"}, {"user": "u03", "history": "i2"}):
        everything = ids(generate(session, inputs=inputs, parameters={"k": 1000}))
        assert not {"i5", "i7"} & set(everything)
    assert {"i5", "i7"} <= set(
        ids(generate(session, inputs={"history": "i2"}, parameters={"k": 1000}))
    )


def test_without_user_history_and_prompt_popular_and_diverse_items_are_listed(
    session: muniment.Session,
) -> None:
    made = generate(session)
    assert session.generation(made.id).parameters["diversity"] == 0.3
    assert listed(made).notes
    plain = generate(session, parameters={"diversity": 0.0})
    counts = DATA.counts()
    popular = sorted(range(SIZE), key=lambda number: (-counts[number], number))
    assert ids(plain) == [f"i{number}" for number in popular[:10]]
    assert ids(made) != ids(plain)


def test_a_user_without_a_history_gets_popular_items(session: muniment.Session) -> None:
    made = generate(session, inputs={"user": "newcomer"})
    assert [item.name for item in session.generation(made.id).inputs] == ["user"]
    assert ids(made) == ids(generate(session))
    assert replayed(session, made) == "exact"


def test_a_repeated_request_has_the_recorded_history(session: muniment.Session) -> None:
    made = generate(session, inputs={"user": "u03"})
    (again,) = session.run([session.like(made.id, parameters={"k": 4})])
    assert ids(again) == ids(made)[:4]
    assert again.inputs == session.generation(made.id).inputs


def test_a_longer_list_begins_with_the_shorter_one(session: muniment.Session) -> None:
    for parameters in ({}, {"temperature": 1.0}, {"diversity": 0.5}):
        short, long = (
            ids(generate(session, inputs={"user": "u09"}, seed=4, parameters=parameters | {"k": k}))
            for k in (7, 30)
        )
        assert short == long[:7]


def test_two_lists_differ_by_their_overlap(session: muniment.Session) -> None:
    first = generate(session, inputs={"user": "u03"})
    other = generate(session, inputs={"user": "u04"})
    differences = session.diff(first.id, other.id)
    (output,) = differences.outputs
    assert output.comparison is not None
    assert output.comparison.distance > 0
    assert "output" not in {text.name for text in differences.texts}
    again = generate(session, inputs={"user": "u03"})
    assert session.diff(first.id, again.id).outputs == ()


@pytest.mark.parametrize("name", ["history", "only"])
def test_an_unknown_item_is_refused_and_not_recorded(session: muniment.Session, name: str) -> None:
    session.ensure_store()
    with pytest.raises(QueryError, match=f"the input '{name}' has the unknown item 'i3x'"):
        generate(session, inputs={name: "i3x,i4"})
    assert not list(session.store.generations())


def test_unknown_items_to_exclude_are_ignored(session: muniment.Session) -> None:
    inputs = {"history": "i3", "exclude": "i4\nsold-out\n"}
    made = generate(session, inputs=inputs, parameters={"k": 100})
    assert made.status == "completed"
    assert "i4" not in {item.item for item in read_ranking(made.outputs[0].data).items}


def test_a_list_has_no_long_numbers_that_filters_take_for_cards(session: muniment.Session) -> None:
    made = generate(session, inputs={"user": "u03"}, parameters={"k": 100})
    assert not re.search(r"[0-9][0-9.]{13,}", made.text)


# ---- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"inputs": {"user": "u3"}}, ("'u3'", "'u03'", "--history")),
        ({"inputs": {"user": "完全不同"}}, ("完全不同", "--history")),
        ({"inputs": {"history": "i3,i17x"}}, ("history", "'i17x'", "'i17'")),
        ({"inputs": {"history": "i3", "only": "i4\nzz\n"}}, ("only", "'zz'")),
        ({"inputs": {"history": "i3", "only": "i3"}}, ("--no-exclude-seen",)),
        ({"inputs": {"history": ",".join(f"i{n}" for n in range(SIZE))}}, ("--no-exclude-seen",)),
        ({"inputs": {"history": "i3", "only": "i4", "exclude": "i4"}}, ("only", "exclude")),
        ({"parameters": {"k": 0}}, ("k must be",)),
        ({"parameters": {"diversity": 1.5}}, ("diversity must be",)),
    ],
)
def test_a_request_that_cannot_be_answered_names_the_reason(
    session: muniment.Session, fields: dict[str, Any], named: tuple[str, ...]
) -> None:
    reason = refusal(session, **fields)
    assert all(part in reason for part in named), reason
    assert "\n" not in reason


def test_k_beyond_the_catalogue_gives_all_items(session: muniment.Session) -> None:
    made = generate(session, inputs={"history": "i3"}, parameters={"k": 1000})
    assert len(ids(made)) == SIZE - 1
    assert session.generation(made.id).outputs[0].wanted == 1000


def test_a_folder_that_is_no_model_is_refused(session: muniment.Session, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(muniment.ModelError):
        RecommendationGenerator().load(muniment.Model("m", "", str(tmp_path)))
    with pytest.raises(muniment.ModelError):
        generate(session, model=str(tmp_path), inputs={"user": "u03"})


# ---- policies, feedback and worker processes ----------------------------------------------------


@pytest.mark.parametrize("stages", ["", "stages: [item], "])
def test_a_blocked_title_is_replaced_by_the_next_item(
    session: muniment.Session, tmp_path: Path, stages: str
) -> None:
    plain = ids(generate(session, inputs={"user": "u09"}, parameters={"k": 11}))
    blocked = plain[2]
    policy = tmp_path / "policy.yaml"
    title = f"Title {blocked.removeprefix('i')}"
    policy.write_text(
        'policy: no-title\nversion: "1"\nfilters:\n'
        f"- {{filter: blocklist, {stages}parameters: {{category: titles, terms: ['{title}']}}}}\n"
    )
    made = generate(session, inputs={"user": "u09"}, policy=policy)
    assert made.status == "completed"
    assert ids(made) == [item for item in plain if item != blocked][:10]
    (output,) = made.outputs
    assert f'"{blocked}"'.encode() not in output.data
    recorded = session.generation(made.id)
    assert recorded.outputs[0].kept == (0, 1, 3, 4, 5, 6, 7, 8, 9, 10)
    candidates = session.candidates(recorded)
    assert next(item.id for item in candidates if not item.kept) == blocked
    verdicts = [verdict for verdict in recorded.verdicts if verdict.action == "block"]
    assert [verdict.item for verdict in verdicts] == [3]
    assert replayed(session, made) == "exact"


def test_a_rule_for_items_does_not_read_the_history(
    session: muniment.Session, tmp_path: Path
) -> None:
    statuses = []
    for stages in ("stages: [item], ", ""):
        policy = tmp_path / f"policy-{len(stages)}.yaml"
        policy.write_text(
            'policy: no-title\nversion: "1"\nfilters:\n'
            f"- {{filter: blocklist, {stages}parameters: {{category: titles, terms: [Title 3]}}}}\n"
        )
        statuses.append(generate(session, inputs={"history": "i3,i17"}, policy=policy).status)
    assert statuses == ["completed", "blocked"]


def test_feedback_names_an_item_of_the_list(session: muniment.Session) -> None:
    made = generate(session, inputs={"user": "u09"})
    assert session.feedback(made.id, action="like", item=ids(made)[3]).entry.item == 4
    with pytest.raises(muniment.UsageError):
        session.feedback(made.id, action="like", item="not-listed")


def test_a_worker_process_makes_the_same_list(
    session: muniment.Session, folder: Path, tmp_path: Path
) -> None:
    fields: dict[str, Any] = {"parameters": {"temperature": 1.0}, "seed": 3}
    local = generate(session, inputs={"user": "u09"}, **fields)
    with muniment.Session(tmp_path / "other", isolate=True) as other:
        isolated = generate(other, inputs={"user": "u09"}, model=str(folder), **fields)
    assert isolated.outputs[0].data == local.outputs[0].data


def test_the_json_of_an_output_is_the_documented_shape(session: muniment.Session) -> None:
    made = generate(session, "the sea", inputs={"user": "u09"}, parameters={"counterfactuals": 2})
    document = json.loads(made.outputs[0].data)
    item = document["items"][0]
    assert {"item", "title", "score", "components", "contributions"} <= set(item)
    assert set(item["without"]) == {"item", "rank", "was"}
    assert "prompt" in document["standardisation"]
