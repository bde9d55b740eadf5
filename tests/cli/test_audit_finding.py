"""`muniment audit search`, `stats`, `tail`, `diff` and `lineage`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from muniment.ids import new_id
from muniment.store import Store
from muniment.types.generations import Generation
from support.commands import Here
from support.plugins import PluginFolder

NEWS = "最近我国成功发射了新的卫星"


@pytest.fixture
def recorded(muniment: Here) -> Here:
    """Three generations: a new moon, the same in another order, and news in Chinese."""
    muniment("generate", "echo", "a new moon", "--seed", "7", "--tag", "nice")
    muniment("generate", "echo", "the moon is new", "-p", "times=2", "--seed", "7")
    muniment("generate", "echo", NEWS, "--seed", "9")
    return muniment


@pytest.mark.parametrize(
    ("query", "prompts"),
    [
        (["moon"], ["the moon is new", "a new moon"]),
        (['"new moon"'], ["a new moon"]),
        (["卫星"], [NEWS]),
        (["国"], [NEWS]),
        (["moon", "--tag", "nice"], ["a new moon"]),
        (["moon", "--seed", "7", "-n", "1"], ["the moon is new"]),
        (["--", "-moon"], ["the moon is new", "a new moon"]),
        (["'; DROP TABLE generation; --"], []),
    ],
    ids=str,
)
def test_search(recorded: Here, query: list[str], prompts: list[str]) -> None:
    result = recorded("audit", "search", "--json", *query)
    assert (result.code, result.err) == (0, "" if prompts else "no generation matches\n")
    hits = result.json("hit")
    assert [hit["generation"]["prompt"] for hit in hits] == prompts


NOUNS = {"--made-with": "plugin"}
NEAR = [
    ("--category", "weapon", "weapons"),
    ("--filter", "word", "words"),
    ("--generator", "ecko", "echo"),
    ("--actor", "Adda", "Ada"),
    ("--tag", "nise", "nice"),
    ("--policy", "teem", "team"),
    ("--made-with", "test-ecko", "test-echo"),
]


@pytest.mark.parametrize(("option", "name", "recorded_name"), NEAR)
def test_a_name_that_was_never_recorded_is_told(
    muniment: Here,
    policy_file: Path,
    tmp_path: Path,
    option: str,
    name: str,
    recorded_name: str,
) -> None:
    muniment("generate", "echo", "a bomb", "--tag", "nice", "--policy", policy_file)
    muniment("generate", "echo", "a moon", "--actor", "Ada", "--policy", policy_file)
    for command in (
        ("list",),
        ("search", "moon"),
        ("tail",),
        ("stats",),
        ("erase",),
        ("export",),
        ("export", "-o", str(tmp_path / "all.jsonl"), "--overwrite"),
    ):
        result = muniment("audit", *command, option, name)
        assert f"no {NOUNS.get(option, option[2:])} {name!r} is recorded" in result.err, command
        assert f"did you mean {recorded_name}" in result.err, command
    held = muniment("hold", "add", option, name, "--reason", "x")
    assert (held.code, f"did you mean {recorded_name}" in held.err) == (2, True)
    both = muniment("audit", "list", option, recorded_name, "--seed", "1")
    assert both.err == "no generation matches\n"


def test_a_period_that_ends_before_it_begins_is_told(recorded: Here) -> None:
    for command in ("list", "stats", "search moon", "export"):
        result = recorded("audit", *command.split(), "--since", "today", "--until", "yesterday")
        assert "no generation matches; the period is empty" in result.err, command


@pytest.mark.parametrize(
    ("option", "value", "meant"),
    [
        ("--status", "blockd", "'blocked'"),
        ("--decision", "Allowed", "'allow'"),
        ("--since", "yesturday", "yesterday"),
        ("--until", "lst-week", "last week"),
        ("--since", "上上周", "上周"),
    ],
)
def test_a_misspelt_value_names_the_similar_ones(
    recorded: Here, option: str, value: str, meant: str
) -> None:
    result = recorded("audit", "list", option, value)
    assert (result.code, value in result.err) == (2, True)
    assert f"did you mean {meant}" in result.err.lower()


def test_a_misspelt_group_of_stats_names_the_similar_ones(recorded: Here) -> None:
    result = recorded("audit", "stats", "--by", "categry")
    assert (result.code, "did you mean category" in result.err) == (2, True)


def test_a_value_unlike_any_other_has_no_suggestion(recorded: Here) -> None:
    for option, value in (("--status", ""), ("--status", "'x' is not"), ("--since", "2026-99-01")):
        result = recorded("audit", "list", option, value)
        assert (result.code, "did you mean" in result.err.lower()) == (2, False), value


def test_a_name_without_similar_ones_has_no_suggestion(recorded: Here) -> None:
    result = recorded("audit", "list", "--model", "gemma", "--tag", "zzzzz")
    assert "no model 'gemma' is recorded; no tag 'zzzzz' is recorded\n" in result.err


def test_a_rule_given_as_a_filter_names_its_filter(
    recorded: Here, policy_file: Path, tmp_path: Path
) -> None:
    named = tmp_path / "named.yaml"
    text = policy_file.read_text("utf-8")
    named.write_text(text.replace("filter: words", "filter: words\n    name: secrets"), "utf-8")
    recorded("generate", "echo", "a bomb", "--policy", named)
    for command in ("list", "stats", "tail"):
        result = recorded("audit", command, "--filter", "secrets")
        assert (
            "; secrets is a rule of filter words; use --filter words, or --category" in result.err
        ), command
    assert "is a rule" not in recorded("audit", "list", "--filter", "words", "--seed", "1").err
    assert "is a rule" not in recorded("audit", "list", "--filter", "nothing").err


@pytest.mark.parametrize(
    ("word", "option"),
    [
        ("flagged", "--decision flag"),
        ("block", "--decision block"),
        ("allowed", "--decision allow"),
        ("undecided", "--decision undecided"),
    ],
)
def test_a_decision_given_as_a_status_names_the_option(
    muniment: Here, word: str, option: str
) -> None:
    result = muniment("audit", "list", "--status", word)
    assert (result.code, result.out) == (2, "")
    assert f"{word} is a decision" in result.err
    assert option in result.err
    assert "is a decision" not in muniment("audit", "list", "--status", "done").err


def test_search_off_a_terminal_tells_where_it_was_found(recorded: Here) -> None:
    result = recorded("audit", "search", "卫星")
    assert [row[2:] for row in result.rows] == [["completed", "prompt", NEWS]]


def test_a_query_without_letters_finds_nothing_and_says_so(recorded: Here) -> None:
    result = recorded("audit", "search", "--json", "\"'*()-")
    assert (result.code, result.out) == (0, "")
    assert "no letter or digit" in result.err


def test_ranking_says_among_how_many(recorded: Here) -> None:
    result = recorded("audit", "search", "moon", "--rank", "--json")
    assert result.json("hit")[0]["generation"]["prompt"] == "a new moon"
    assert "the newest 10,000" in result.err


def test_stats_count(recorded: Here) -> None:
    (stats,) = recorded("audit", "stats", "--json").json("stats")
    assert stats["total"] == 3
    assert stats["status"] == [{"value": "completed", "count": 3}]
    assert stats["generator"] == [{"value": "echo", "count": 3}]
    assert stats["latency_ms"]["count"] == 3
    (stats,) = recorded("audit", "stats", "--seed", "7", "--json").json("stats")
    assert stats["total"] == 2
    (stats,) = recorded("audit", "stats", "--tag", "none", "--json").json("stats")
    assert (stats["total"], stats["latency_ms"]) == (0, None)


def test_stats_count_the_erased_generations(muniment: Here, policy_file: Path) -> None:
    for prompt in ("a bomb", "a bomb", "a moon"):
        muniment("generate", "echo", prompt, "--tag", prompt[-4:], "--policy", policy_file)
    by = ("audit", "stats", "--by", "category,model")
    assert "erased" not in muniment(*by).err
    muniment("audit", "erase", "last", "--yes")
    muniment("audit", "erase", "--tag", "bomb", "--yes")
    (stats,) = muniment(*by, "--json").json("stats")
    assert (stats["erased"], stats["groups"]["category"]) == (3, {})
    (stats,) = muniment(*by, "--decision", "block", "--json").json("stats")
    assert stats["erased"] == 2
    for shown in (muniment(*by), muniment("audit", "stats"), muniment.on_terminal(*by)):
        assert "texts of 3 generations were erased" in shown.err + shown.out


@pytest.mark.parametrize("width", [24, 40, 100])
def test_stats_fit_the_terminal(recorded: Here, width: int) -> None:
    recorded("generate", "echo", "a moon", "--actor", "a person with a long name")
    lines = recorded.on_terminal("audit", "stats", width=width).out.splitlines()
    assert max(map(len, lines)) <= width
    assert any("█" in line for line in lines)
    assert re.findall(r"p50 \d", "\n".join(lines))


def test_stats_off_a_terminal_is_tab_separated(recorded: Here) -> None:
    rows = recorded("audit", "stats").rows
    assert ["total", "", "3"] in rows
    assert ["status", "completed", "3"] in rows


def test_lists_show_an_item_of_an_experiment(recorded: Here) -> None:
    assert recorded("audit", "list", "--run", "last", "--item", "0").rows == []
    assert recorded("audit", "list", "--item", "0").code == 2
    assert recorded("audit", "list", "--run", "last", "--item", "x").code == 2


def test_stats_count_groups(recorded: Here) -> None:
    (stats,) = recorded("audit", "stats", "--by", "generator", "--json").json("stats")
    assert stats["groups"] == {"generator": {"echo": {"allow": 3}}}
    rows = recorded("audit", "stats", "--by", "generator", "--by", "category").rows
    assert rows == [["total", "", "", "3"], ["generator", "echo", "allow", "3"]]
    assert recorded("audit", "stats", "--by", "colour").code == 2


def test_tail_shows_the_newest_last(recorded: Here) -> None:
    result = recorded("audit", "tail", "-n", "2", "--json")
    assert [g["prompt"] for g in result.json("generation")] == ["the moon is new", NEWS]
    assert recorded("audit", "tail", "-n", "0").out == ""
    assert [row[5] for row in recorded("audit", "tail", "--seed", "9").rows] == [NEWS]


def test_diff_tells_words_and_parameters(recorded: Here) -> None:
    ids = [g["id"] for g in recorded("audit", "tail", "--json").json("generation")]
    result = recorded("audit", "diff", ids[0], ids[1])
    assert "parameters: times  [-1-] {+2+}" in result.lines
    assert "[-a new moon-]{+the moon is new+}" in result.lines
    (found,) = recorded("audit", "diff", ids[0], ids[1], "--json").json("differences")
    assert not found["same"]
    assert [text["name"] for text in found["texts"]] == ["prompt", "output"]
    (found,) = recorded("audit", "diff", ids[0], ids[0], "--json").json("differences")
    assert found["same"]
    assert recorded("audit", "diff", ids[0], ids[0]).out.endswith("no difference\n")


def test_diff_does_not_compare_erased_contents(recorded: Here) -> None:
    ids = [g["id"] for g in recorded("audit", "tail", "--json").json("generation")]
    assert recorded("audit", "erase", ids[0], "--yes").code == 0
    (value,) = recorded("audit", "diff", ids[0], ids[1], "--json").json("differences")
    lost = {item["name"]: (item["a"], item["b"]) for item in value["unavailable"]}
    assert lost["prompt"] == lost["output"] == ("erased", "recorded")
    assert value["texts"] == []
    assert recorded("audit", "erase", ids[1], "--yes").code == 0
    (value,) = recorded("audit", "diff", ids[0], ids[1], "--json").json("differences")
    assert not value["same"]
    assert "no difference" not in recorded("audit", "diff", ids[0], ids[1]).out


def test_lineage_draws_a_tree(recorded: Here) -> None:
    (first,) = recorded("audit", "list", "--json", "-n", "1").json("generation")
    children = [_child(first["id"]), _child(first["id"])]
    grandchild = _child(children[0].id, children[1].id)
    path = recorded("db", "path").out.strip()
    with Store.open(f"sqlite:///{path}", create=False) as store:
        for generation in (*children, grandchild):
            store.record_started([generation], policy_document="")
    lines = recorded("audit", "lineage", grandchild.id).lines
    expected = [
        first["id"],
        f"├─ {children[0].id}  ",
        f"│  └─ {grandchild.id} *",
        f"└─ {children[1].id}  ",
        f"   └─ {grandchild.id} *",
    ]
    assert [line[: len(begin)] for line, begin in zip(lines, expected, strict=True)] == expected
    assert lines[-1].endswith("(see above)")
    (found,) = recorded("audit", "lineage", first["id"], "--json").json("lineage")
    assert [g["parents"] for g in found["generations"]] == [
        *([], [first["id"]], [first["id"]]),
        [children[0].id, children[1].id],
    ]
    assert found["whole"]


def _child(*parents: str) -> Generation:
    from muniment.validation import now

    return Generation(
        new_id(), new_id(), "Ada", "started", "echo", "again", 1, now(), parents=parents
    )


@pytest.fixture
def scored(muniment: Here, plugin_folder: PluginFolder, home: Path) -> Here:
    """Generations of one, three and two words, scored by their length, and a failed score."""
    plugin_folder.evaluator(
        "words-counted",
        """
        words = generation.outputs[0].text.split()
        if "broken" in words:
            raise ValueError("no words")
        return {"length": len(words)}
        """,
        measures="Measure('length', 'words')",
    )
    config = home / "config.toml"
    config.write_text(config.read_text().replace('evaluators = ""\n', ""))
    for prompt in ("a", "a b c", "broken", "a b"):
        muniment("generate", "echo", prompt)
    return muniment


@pytest.mark.parametrize(
    ("arguments", "prompts"),
    [
        (["--score", "length<3"], ["a b", "a"]),
        (["--score", "length>1", "--score", "length<3"], ["a b"]),
        (["--score", "words-counted.length >= 3"], ["a b c"]),
        (["--score", "length != 2"], ["a b c", "a"]),
        (["--sort", "score:length"], ["a", "a b", "a b c", "broken"]),
        (["--sort", "-score:length"], ["a b c", "a b", "a", "broken"]),
        (["--sort", "score:words-counted.length", "-n", "1"], ["a"]),
    ],
    ids=str,
)
def test_list_by_score(scored: Here, arguments: list[str], prompts: list[str]) -> None:
    result = scored("audit", "list", "--json", *arguments)
    assert (result.code, result.err) == (0, "")
    assert [g["prompt"] for g in result.json("generation")] == prompts


@pytest.mark.parametrize(
    "arguments",
    [["--score", "length"], ["--score", "lngth<3"], ["--sort", "length"], ["--sort", "score:x"]],
    ids=str,
)
def test_a_wrong_score_or_order_is_a_usage_error(scored: Here, arguments: list[str]) -> None:
    result = scored("audit", "list", *arguments)
    assert (result.code, result.out, len(result.err.splitlines())) == (2, "", 1)


def test_other_commands_take_conditions_on_scores(scored: Here) -> None:
    (stats,) = scored("audit", "stats", "--score", "length<3", "--json").json("stats")
    assert stats["total"] == 2
    assert len(scored("audit", "export", "--score", "length>=3").lines) == 1
