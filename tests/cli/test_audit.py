"""`muniment audit`: finding, showing, getting, replaying and verifying what was recorded."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from pathlib import Path

import pytest

from muniment.store import Store
from muniment.store.recording.scores import Evaluation
from muniment.types.plugins import PluginRef
from muniment.types.scores import Score
from support.commands import Here, Processes
from support.plugins import PluginFolder


@pytest.fixture
def recorded(muniment: Here, policy_file: Path) -> Here:
    """Four generations: completed with tag, flagged, blocked, failed; the last is newest."""
    policy = ("--policy", policy_file)
    muniment("generate", "echo", "one two", "--seed", "7", "--tag", "nice", *policy)
    muniment("generate", "echo", "darn", "--actor", "Ada", *policy)
    muniment("generate", "echo", "a bomb", *policy)
    muniment("generate", "echo", "fail")
    return muniment


def prompts(muniment: Here, *filters: str) -> list[str]:
    return [
        value["prompt"]
        for value in muniment("audit", "list", "--json", *filters).json("generation")
    ]


FILTERS: list[tuple[list[str], list[str]]] = [
    ([], ["fail", "a bomb", "darn", "one two"]),
    (["-n", "2"], ["fail", "a bomb"]),
    (["--limit", "0"], ["fail", "a bomb", "darn", "one two"]),
    (["--status", "completed"], ["darn", "one two"]),
    (["--status", "blocked"], ["a bomb"]),
    (["--decision", "flag"], ["darn"]),
    (["--decision", "block"], ["a bomb"]),
    (["--decision", "undecided"], ["fail"]),
    (["--filter", "words"], ["a bomb", "darn", "one two"]),
    (["--filter", "words", "--decision", "allow"], ["one two"]),
    (["--actor", "Ada"], ["darn"]),
    (["--actor", "小明"], ["fail", "a bomb", "one two"]),
    (["--tag", "nice"], ["one two"]),
    (["--seed", "7"], ["one two"]),
    (["--generator", "echo", "--status", "failed"], ["fail"]),
    (["--generator", "dots"], []),
    (["--model", "gemma"], []),
    (["--since", "1h"], ["fail", "a bomb", "darn", "one two"]),
    (["--until", "1h"], []),
    (["--since", "2001-01-01", "--until", "2001-01-02"], []),
    (["--since", "2001-01-01T00:00:00+08:00"], ["fail", "a bomb", "darn", "one two"]),
    (["--run", "last"], ["fail"]),
]


def test_list_filters(recorded: Here, subtests: pytest.Subtests) -> None:
    for filters, expected in FILTERS:
        with subtests.test(filters=filters):
            assert prompts(recorded, *filters) == expected


def test_until_a_date_counts_the_whole_day(recorded: Here) -> None:
    started = recorded("audit", "list", "--json", "-n", "1").json("generation")[0]["started_at"]

    day = datetime.fromisoformat(started).astimezone().date().isoformat()
    assert len(prompts(recorded, "--until", day)) == 4
    assert prompts(recorded, "--until", f"{day}T00:00:00") == []


def test_generations_are_found_by_plugin_policy_category_and_review(
    recorded: Here, plugin_folder: PluginFolder
) -> None:
    everything = prompts(recorded)
    refused = recorded("audit", "list", "--made-with", "plugin")  # the name of all of these plugins
    assert (refused.code, "test-echo" in refused.err) == (2, True)
    plugin_folder.all[:] = [replace(one, name=one.distribution[5:]) for one in plugin_folder.all]
    (version,) = (one.version for one in plugin_folder.all if one.name == "echo")
    for name in ("test-echo", "Test_Echo", "echo", f"echo == {version}"):
        assert prompts(recorded, "--made-with", name) == everything
    for name in ("echo==99", "echo==", "nothing"):
        assert prompts(recorded, "--made-with", name) == []
    assert prompts(recorded, "--policy", "team") == prompts(recorded, "--policy", "team@3") != []
    found = prompts(recorded, "--category", "weapons")
    assert found == prompts(recorded, "--decision", "block") != []
    assert prompts(recorded, "--reviewed") == []
    (blocked,) = recorded("audit", "list", "--category", "weapons", "-n", "1", "--json").json(
        "generation"
    )
    assert recorded("review", "approve", str(blocked["id"])).code == 0
    assert prompts(recorded, "--reviewed") == found[:1]
    assert prompts(recorded, "--unreviewed", "--category", "weapons") == found[1:]


def test_days_are_local_on_a_terminal_and_utc_in_a_pipe(
    recorded: Here, processes: Processes
) -> None:
    now = datetime.now(UTC)
    ahead = now.hour >= 10  # 14 hours ahead it is tomorrow, else 12 hours behind it is yesterday
    processes.environment["TZ"] = "Etc/GMT-14" if ahead else "Etc/GMT+12"
    local = now.astimezone(timezone(timedelta(hours=14 if ahead else -12))).date().isoformat()
    utc = now.date().isoformat()
    for options in ((), ("--by", "day,filter"), ("--since", "today", "--by", "day")):
        shown = processes.on_terminal("audit", "stats", *options).out
        assert (local in shown, utc in shown) == (True, False)
    assert utc in recorded("audit", "stats").out
    groups = {
        row[0] for row in recorded("audit", "stats", "--by", "day\N{FULLWIDTH COMMA}filter").rows
    }
    assert groups == {"total", "day", "filter"}
    refused = recorded("audit", "stats", "--by", "filter,colour")
    assert (refused.code, "'colour'" in refused.err) == (2, True)


def test_list_off_a_terminal_is_tab_separated(muniment: Here) -> None:
    muniment("generate", "echo", "tab\there\nline", "--seed", "7", "--tag", "a", "--tag", "b")
    (row,) = muniment("audit", "list").rows
    assert len(row[0]) == 26
    assert row[1].endswith("Z")
    assert row[2:] == [
        *("completed", "allow", "echo", "", "7", "小明", "a, b", "tab\\there\\nline"),
    ]


MISTAKES = [
    (["--since", "soon"], "'soon' is not a time; use 2026-01-31"),
    (["--since", "99999999w"], "is too far back"),
    (["--since", "99999999999d"], "is too far back"),
    *(
        ([f"--{name}", empty], f"the {name} is empty")
        for name in ("generator", "model", "filter", "category", "policy", "actor", "tag")
        for empty in ("", " ")
    ),
    *(([f"--{name}", ""], "''") for name in ("run", "since", "until", "score", "sort")),
    (["--status", "done"], "'done' is not one of"),
    (["--seed", "-1"], "seed -1 is not a whole number"),
    (["--run", "ZZZZZ"], "no run named 'ZZZZZ'"),
    (["-n", "-1"], "-1 is not at least 0"),
]


def test_filters_that_cannot_be_meant(recorded: Here, subtests: pytest.Subtests) -> None:
    for arguments, sentence in MISTAKES:
        with subtests.test(arguments=arguments):
            result = recorded("audit", "list", *arguments)
            assert result.code == 2
            assert sentence in result.err
            assert result.err.count("\n") == 1


def test_an_empty_filter_selects_nothing_to_erase_or_to_hold(recorded: Here) -> None:
    for arguments in (["audit", "erase", "--yes"], ["hold", "add", "--reason", "x"]):
        result = recorded(*arguments, "--model", "")
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert "the model is empty" in result.err
    assert recorded("audit", "erase", "--status").out == ""
    assert recorded("hold", "list").out == ""


def test_show_says_everything(recorded: Here) -> None:
    result = recorded("audit", "show", prompts_id(recorded, "one two"))
    assert result.code == 0
    assert result.fields["status"] == ["completed"]
    assert result.fields["seed"] == ["7"]
    assert result.fields["tags"] == ["nice"]
    assert result.fields["policy"] == ["team@3"]
    assert result.fields["decision"] == ["allowed · 1 rule passed"]
    assert result.out.startswith("prompt  one two\n\noutput (text/plain, 7 bytes)\none two\n\n")
    assert not {"verdict", "plugin", "environment"} & result.fields.keys()
    full = recorded("audit", "show", "--full", prompts_id(recorded, "one two"))
    assert full.fields["verdict"] == [
        "prompt: words 1.0 allow · rule words",
        "output: words 1.0 allow · rule words",
    ]
    assert len(full.fields["plugin"]) == len(set(full.fields["plugin"])) >= 2
    assert full.fields["environment"]


def test_show_leaves_parameters_without_a_value_out(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    parameters = (
        'depth: float | None = param(None, help="depth")\nsize: int = param(3, help="size")'
    )
    plugin_folder.generator(
        "optional",
        "for r in requests: yield r.reply(Text(r.prompt))",
        parameters=parameters,
        distribution="test-optional",
    )
    assert muniment("generate", "optional", "x").code == 0
    shown = muniment("audit", "show", "last")
    assert "size = 3" in shown.out
    assert "depth" not in shown.out
    (recorded,) = muniment("audit", "show", "last", "--json").json("generation")
    assert recorded["parameters"] == {"depth": None, "size": 3}


def test_show_of_a_blocked_output_shows_it_as_blocked(muniment: Here, policy_file: Path) -> None:
    muniment("generate", "echo", "a leak", "--policy", policy_file)
    result = muniment("audit", "show", "last")
    assert "\noutput (text/plain, 13 bytes, blocked)\na leak secret\n" in result.out
    assert result.fields["status"] == ["blocked"]
    assert "output: blocked by filter words: weapons 1.00, says secret" in result.out
    (value,) = muniment("audit", "show", "last", "--json").json("generation")
    assert value["outputs"][0]["text"] == "a leak secret"
    assert value["verdicts"][1]["reasons"][0]["message"] == "says secret"


def test_show_of_a_failed_one_says_why(recorded: Here) -> None:
    shown = recorded("audit", "show", "last")
    assert shown.fields["failure"] == ["it cannot be met (refused)"]
    assert shown.fields["decision"] == ["undecided · no filter checked it"]


def prompts_id(muniment: Here, prompt: str) -> str:
    values = muniment("audit", "list", "--json").json("generation")
    return next(value["id"] for value in values if value["prompt"] == prompt)


def test_ids_can_be_cut_at_either_end(recorded: Here) -> None:
    whole = prompts_id(recorded, "one two")
    for reference in (whole, whole[-8:], whole[-8:].lower(), whole[:22]):
        result = recorded("audit", "show", reference, "--json")
        assert result.json("generation")[0]["id"] == whole
    unknown = recorded("audit", "show", "ZZZZZZ")
    assert (unknown.code, unknown.err.count("\n")) == (2, 1)
    assert "no generation named 'ZZZZZZ'; `muniment audit list`" in unknown.err
    ambiguous = recorded("audit", "show", whole[:4])
    assert ambiguous.code == 2
    assert " could be " in ambiguous.err


def test_get_writes_the_bytes_that_were_recorded(muniment: Here, tmp_path: Path) -> None:
    muniment("generate", "dots", "x", "--seed", "65", "--bare")
    target = tmp_path / "dot.png"
    assert muniment("audit", "get", "last", "-o", target, "--bare").code == 0
    assert target.read_bytes() == b"\x89PNGA"
    assert muniment("audit", "get", "last", "-o", target, "--bare").code == 2
    muniment("generate", "echo", "no line end")
    assert muniment("audit", "get", "last").out == "no line end"


def test_get_of_several_outputs_numbers_the_files(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.generator("twice", "for r in requests: yield r.reply(Text('a'), Text('b'))")
    muniment("generate", "twice", "x")
    refused = muniment("audit", "get", "last")
    assert refused.code == 2
    assert "has 2 outputs; use -o FILE" in refused.err
    assert muniment("audit", "get", "last", "-o", tmp_path / "o.txt").code == 0
    assert (tmp_path / "o-1.txt").read_text() + (tmp_path / "o-2.txt").read_text() == "ab"


def test_get_without_an_output_says_why(recorded: Here) -> None:
    result = recorded("audit", "get", "last")
    assert result.code == 1
    assert "status is failed" in result.err


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (
            "raise KeyboardInterrupt",
            "this output is incomplete because the generation was interrupted; ",
        ),
        ("raise RuntimeError", "this output is incomplete because the generation failed; "),
    ],
)
def test_get_of_an_output_that_was_cut_short_says_so(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path, end: str, sentence: str
) -> None:
    plugin_folder.generator("parts", f"yield requests[0].chunk('最近')\n{end}")
    muniment("generate", "parts", "x", "--stream")
    result = muniment("audit", "get", "last")
    assert (result.code, result.out) == (0, "最近")
    assert result.err.startswith(sentence)
    assert muniment(*result.err.split("`")[1].split()[1:]).code == 0  # what it says to look at
    assert sentence in muniment("audit", "get", "last", "-o", tmp_path / "text").err


def test_get_of_a_blocked_output_says_so(muniment: Here, policy_file: Path) -> None:
    muniment("generate", "echo", "leak", "--policy", policy_file)
    result = muniment("audit", "get", "last")
    assert (result.code, result.out) == (0, "leak secret")
    assert result.err.startswith("this output was blocked; ")


def test_get_of_a_whole_output_says_nothing_else(muniment: Here) -> None:
    muniment("generate", "echo", "hi")
    assert muniment("audit", "get", "last").err == ""


def test_an_output_that_was_erased_is_not_given_as_an_empty_one(muniment: Here, home: Path) -> None:
    muniment("generate", "echo", "hi")
    with sqlite3.connect(home / "muniment.db") as database:
        database.execute("DELETE FROM payload WHERE kind = 'output'")
    database.close()
    result = muniment("audit", "get", "last")
    assert (result.code, result.out) == (1, "")
    assert "no entry records its erasure" in result.err
    assert "the output was erased" in muniment("audit", "show", "last").out
    (value,) = muniment("audit", "replay", "last", "--json").json("replay")
    assert value["result"] == "impossible"
    assert value["detail"] == "its output was erased"
    muniment("generate", "echo", "hi")
    muniment("audit", "erase", "last", "--yes")
    result = muniment("audit", "get", "last")
    assert result.code == 1
    assert "was erased; " in result.err


def test_runs_count_what_became_of_their_generations(
    muniment: Here, tmp_path: Path, policy_file: Path
) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_text('{"prompt": "a"}\n{"prompt": "bomb"}\n{"prompt": "fail"}\n')
    muniment("batch", file, "--policy", policy_file)
    muniment("generate", "echo", "x", "-n", "2")
    second, first = muniment("audit", "runs", "--json").json("run")
    assert (second["counts"], second["lines"]) == ({"completed": 2}, 0)
    assert first["counts"] == {"completed": 1, "blocked": 1, "failed": 1}
    assert (first["lines"], first["generators"], first["actor"]) == (3, ["echo"], "小明")
    assert muniment("audit", "runs").rows[1][3] == "1 completed · 1 blocked · 1 failed"
    assert len(muniment("audit", "runs", "-n", "1").lines) == 1


def test_escape_sequences_of_an_output_are_data_off_a_terminal(muniment: Here) -> None:
    text = "a\x1b[31mred\x1b[0m \x1b]0;title\x07b"
    assert muniment("generate", "echo", text).out == f"{text}\n"
    assert f"\n{text}\n" in muniment("audit", "show", "last").out
    (value,) = muniment("audit", "list", "--json").json("generation")
    assert value["prompt"] == text


def test_each_rule_of_a_policy_is_shown_by_its_name(muniment: Here, tmp_path: Path) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text(
        "policy: p\nversion: 010\nfilters:\n- {filter: words, name: 粗话}\n- {filter: words}\n"
        "- {filter: words}\n"
    )
    muniment("generate", "echo", "x", "--policy", policy)
    shown = muniment("audit", "show", "last", "--full").fields
    assert shown["policy"] == ["p@010"]
    rules = [verdict.rpartition(" · rule ")[2] for verdict in shown["verdict"]]
    assert rules == ["粗话", "words", "words-2"] * 2


def test_texts_of_one_policy_are_told_apart(muniment: Here, tmp_path: Path) -> None:
    policy, digests = tmp_path / "p.yaml", []
    for rules in ("[]", "[{filter: words, stages: [prompt, input, output, item]}]"):
        policy.write_text(f"policy: p\nversion: 1\nfilters: {rules}\n")
        digests.append(f"sha256:{sha256(policy.read_bytes()).hexdigest()}")
        done = muniment("generate", "echo", "x", "--policy", policy, "--json").json("generation")
        assert [generation["policy_digest"] for generation in done] == digests[-1:]
    (shown,) = muniment("policy", "show", policy, "--json").json("policy")
    assert shown["policy_digest"] == digests[-1]
    assert digests[-1] in muniment("audit", "show", "last", "--full").out
    (whole,) = muniment("audit", "show", "last", "--json").json("generation")
    listed = muniment("audit", "list", "--json").json("generation")
    assert [g["policy_digest"] for g in (whole, *listed)] == [digests[1], *digests[::-1]]
    labels = {f"p@1 ({digest[7:19]}…)" for digest in digests}
    counted = muniment("audit", "stats", "--by", "policy")
    assert {row[1] for row in counted.rows if row[0] == "policy"} == labels
    (stats,) = muniment("audit", "stats", "--by", "policy", "--json").json("stats")
    assert stats["groups"]["policy"].keys() == labels
    for label in labels:
        assert len(muniment("audit", "list", "--policy", label).rows) == 1


def test_show_has_the_scores_that_were_added(recorded: Here, home: Path) -> None:
    whole = prompts_id(recorded, "one two")
    values = (0.5, 0.25)
    with Store.open(f"sqlite:///{home}/muniment.db", create=False) as store:
        for value in values:
            score = Score("chrf(order=2)", "1", "chrf", value, "points")
            core = PluginRef("muniment", "1", "x")
            store.scores.add("eve", [Evaluation(whole, [score], [core], references="words")])
    lines = recorded("audit", "show", whole).lines
    scored = [line.split(maxsplit=1)[1] for line in lines if line.startswith("scored")]
    assert [line.rpartition(" · ")[0] for line in scored] == [
        f"chrf(order=2) chrf: {value} points · eve" for value in values
    ]
    (shown,) = recorded("audit", "show", whole, "--json").json("generation")
    assert [[one["value"] for one in event["scores"]] for event in shown["scored"]] == [
        [value] for value in values
    ]
    assert [one["value"] for one in shown["scores"] if one["name"] == "chrf"] == [0.25]
    (listed,) = recorded("audit", "list", "--score", "chrf<0.5", "--json").json("generation")
    assert listed["id"] == whole


def test_replay_of_the_same_is_exact(recorded: Here) -> None:
    whole = prompts_id(recorded, "one two")
    assert recorded("audit", "replay", whole, "--strict", "--no-record").code == 0
    result = recorded("audit", "replay", whole)
    assert (result.code, result.err) == (0, "")
    assert result.rows == [["exact", whole, "2 of 2 tokens", ""]]
    (value,) = recorded("audit", "replay", whole, whole[-8:], "--json").json("replay")
    assert value["result"] == "exact"


def test_replay_that_diverges_exits_with_4_and_names_the_place(muniment: Here) -> None:
    muniment("generate", "echo", "drift")
    result = muniment("audit", "replay", "last", "--json")
    assert result.code == 4
    (value,) = result.json("replay")
    assert value["result"] == "diverged"
    assert value["detail"]


def test_replay_of_an_altered_record_is_impossible_and_exits_with_4(
    muniment: Here, altered: str
) -> None:
    result = muniment("audit", "replay", altered, "--json")
    (value,) = result.json("replay")
    assert (result.code, value["result"]) == (4, "impossible")
    assert "changed after it was recorded" in value["detail"]


def test_replay_lists_what_is_different_now(muniment: Here, plugin_folder: PluginFolder) -> None:
    changed = plugin_folder.generator(
        "changing",
        "for r in requests: yield r.reply(Text('same'))",
        attributes="def environment(self): return {'wind': 1}",
    )
    muniment("generate", "changing", "x")
    module = plugin_folder.folder / changed.module / "__init__.py"
    module.write_text(module.read_text().replace("'wind': 1", "'wind': 2"))
    from muniment.plugins.discovery import _code_digest

    _code_digest.cache_clear()
    plugin_folder.forget()
    result = muniment("audit", "replay", "last", "--json")
    (value,) = result.json("replay")
    assert value["result"] == "uncertified"
    assert {"name": "wind", "recorded": "1", "now": "2"} in value["differences"]
    assert result.code == 0
    assert muniment("audit", "replay", "last", "--strict", "--no-record").code == 4
    assert "wind: 1 → 2" in muniment("audit", "replay", "last").rows[0][3]
    (whole,) = muniment("audit", "show", "last", "--json").json("generation")
    assert [replay["result"] for replay in whole["replays"]] == ["uncertified", "uncertified"]
    for replay in whole["replays"]:
        assert (replay["actor"], replay["detail"]) == (whole["actor"], value["detail"])
        assert replay["differences"] == value["differences"]
    assert whole["replays"][0]["at"] <= whole["replays"][1]["at"]
    shown = muniment("audit", "show", "last").out
    number = len(value["differences"])
    assert f"{number} difference{'s' * (number > 1)} of environment · {whole['actor']}" in shown


def test_show_lists_no_replays_of_others(recorded: Here) -> None:
    recorded("audit", "replay", prompts_id(recorded, "one two"))
    (last,) = recorded("audit", "show", "last", "--json").json("generation")
    assert last["replays"] == []
    assert "\nreplay " not in recorded("audit", "show", "last").out


def test_replay_of_what_has_no_output_is_impossible(recorded: Here) -> None:
    result = recorded("audit", "replay", "last", "--json")
    assert result.code == 1
    assert result.json("replay")[0]["result"] == "impossible"
    both = recorded("audit", "replay", "last", prompts_id(recorded, "one two"))
    assert both.code == 1
    assert len(both.lines) == 2


def test_what_was_streamed_before_a_failure_is_shown_and_not_replayed(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    body = "yield requests[0].chunk('最近')\nraise RuntimeError('no more')"
    plugin_folder.generator("parts", body)
    assert muniment("generate", "parts", "x", "--stream").out.strip() == "最近"
    shown = muniment("audit", "show", "last")
    assert "output (text/plain, 6 bytes, incomplete)\n最近" in shown.out
    assert muniment("audit", "get", "last").out == "最近"
    result = muniment("audit", "replay", "--run", "last", "--json")
    assert result.out == ""
    assert "skipped 1 failed: " in result.err


def test_replay_without_the_plugin_is_impossible(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    muniment("generate", "dots", "x", "--bare")
    plugin_folder.all[:] = [
        plugin for plugin in plugin_folder.all if plugin.distribution != "test-dots"
    ]
    result = muniment("audit", "replay", "last", "--json")
    assert result.code == 1
    assert "no generator named 'dots'" in result.json("replay")[0]["detail"]


def test_replay_of_a_run_leaves_out_what_has_no_output(
    muniment: Here, tmp_path: Path, policy_file: Path
) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_text("".join(f'{{"prompt": "{p}"}}\n' for p in ("a", "bomb", "fail", "b", "a leak")))
    muniment("batch", file, "--policy", policy_file)
    result = muniment("audit", "replay", "--run", "last", "--json")
    assert result.code == 0
    assert [value["result"] for value in result.json("replay")] == ["exact"] * 3
    assert "skipped " in result.err
    assert "1 blocked" in result.err
    assert "1 failed" in result.err


@pytest.mark.parametrize("arguments", [[], ["last", "--run", "last"]])
def test_replay_wants_ids_or_a_run(recorded: Here, arguments: list[str]) -> None:
    result = recorded("audit", "replay", *arguments)
    assert result.code == 2
    assert "use either ids, --run or --sample" in result.err


def test_each_replay_is_recorded_unless_that_is_not_wanted(recorded: Here) -> None:
    def entries() -> int:
        (found,) = recorded("audit", "verify", "--all", "--json").json("verification")
        assert found["ok"], found
        return int(found["entries"])

    ids = ("last", prompts_id(recorded, "one two"))
    recorded("audit", "replay", *ids)  # with the environment and plugins that this one names
    before = entries()
    recorded("audit", "replay", *ids)
    assert entries() == before + 2
    recorded("audit", "replay", "--no-record", *ids)
    assert entries() == before + 2


def test_a_sample_is_drawn_by_a_word_that_is_said(recorded: Here) -> None:
    completed = recorded("audit", "list", "--status", "completed", "--json").json("generation")
    ids = {value["id"] for value in completed}
    drawn = recorded("audit", "replay", "--sample", "1", "--json")
    (found,) = drawn.json("replay")
    assert found["id"] in ids
    assert found["result"] == "exact"
    word = drawn.err.partition("--sample-key ")[2].split()[0]
    (again,) = recorded("audit", "replay", "--sample", "1", "--sample-key", word, "--json").json(
        "replay"
    )
    assert again["id"] == found["id"]
    every = recorded("audit", "replay", "--sample", "9", "--sample-key", "字", "--json").json(
        "replay"
    )
    assert {value["id"] for value in every} == ids


def test_a_word_without_a_sample_draws_nothing(recorded: Here) -> None:
    result = recorded("audit", "replay", "last", "--sample-key", "x")
    assert result.code == 2
    assert "--sample-key needs --sample" in result.err


@pytest.mark.parametrize(
    ("options", "checked"),
    [
        ([], ["schema", "tree", "entries"]),
        (["--projections"], ["schema", "tree", "entries", "integrity", "projections"]),
        (["--payloads"], ["schema", "tree", "entries", "integrity", "payloads"]),
        (
            ["--all"],
            ["schema", "tree", "entries", "integrity", "projections", "payloads", "search"],
        ),
    ],
)
def test_verify_says_what_it_checked(
    recorded: Here, options: list[str], checked: list[str]
) -> None:
    result = recorded("audit", "verify", *options)
    assert result.code == 0
    assert result.out.startswith("ok  ")
    assert " entries · root " in result.out
    left_out = [name for name in ("projections", "payloads", "search") if name not in checked]
    parts = [f"checked: {', '.join(checked)}"]
    parts += [f"not checked: {', '.join(left_out)} (--all)"] if left_out else []
    parts += ["signatures not checked without a key (--key PUB)"]
    assert result.err == "; ".join(parts) + "\n"
    (value,) = recorded("audit", "verify", *options, "--json").json("verification")
    assert value["ok"] is True
    assert value["checked"] == checked


def test_nothing_is_recorded_in_a_store_with_a_trigger(recorded: Here, home: Path) -> None:
    before = prompts(recorded)
    with sqlite3.connect(home / "muniment.db") as database:
        database.execute("CREATE TRIGGER other AFTER INSERT ON payload BEGIN SELECT 1; END")
    database.close()
    for command in (["generate", "echo", "x"], ["feedback", "last", "--rating", "up"]):
        result = recorded(*command)
        assert result.code == 1
        assert "trigger other" in result.err
        assert "muniment audit verify" in result.err
        assert result.err.count("\n") == 1
    assert prompts(recorded) == before


def test_verify_of_a_store_with_an_altered_schema_exits_with_4(recorded: Here, home: Path) -> None:
    with sqlite3.connect(home / "muniment.db") as database:
        database.execute("CREATE INDEX other ON payload (kind)")
    result = recorded("audit", "verify")
    assert result.code == 4
    assert result.lines[0].startswith("schema  index other  ")
    with sqlite3.connect(home / "muniment.db") as database:
        database.execute("DROP TABLE verdict")
    database.close()
    result = recorded("audit", "verify", "--all")
    assert result.code == 4
    assert "index other: " in result.err
    assert "table verdict: " in result.err


@pytest.mark.parametrize("revision", ["1001", "9999", "zzz"])
def test_verify_of_a_store_with_an_altered_revision_exits_with_4(
    recorded: Here, home: Path, revision: str
) -> None:
    with sqlite3.connect(home / "muniment.db") as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    database.close()
    commands = {"audit verify": 4, "audit list": 1, "db upgrade": 1, "db status": 1}
    sentences = set()
    for command, code in commands.items():
        result = recorded(*command.split())
        assert result.code == code
        sentences.add(result.err)
    [sentence] = sentences
    assert f"{home / 'muniment.db'}" in sentence
    assert revision in sentence
    assert "alembic_version" in sentence


def test_verify_of_an_altered_store_exits_with_4_and_names_each_problem(
    recorded: Here, home: Path
) -> None:
    with sqlite3.connect(home / "muniment.db") as database:
        database.execute("UPDATE payload SET content = 'other' WHERE kind = 'prompt'")
    database.close()
    assert recorded("audit", "verify").code == 0  # payloads were not asked about
    result = recorded("audit", "verify", "--payloads")
    assert result.code == 4
    assert result.lines[0].startswith("payload  ")
    assert result.lines[-1].startswith("failed  4 problems · ")
    (value,) = recorded("audit", "verify", "--all", "--json").json("verification")
    assert value["ok"] is False
    assert len(value["problems"]) >= 4


@pytest.fixture
def altered(muniment: Here, home: Path) -> str:
    """Record three generations, alter the prompt of the second, and return its id."""
    for word in ("first", "second", "third"):
        muniment("generate", "echo", word)
    (generation,) = muniment("audit", "search", "second", "--json").json("hit")
    identifier = str(generation["generation"]["id"])
    with sqlite3.connect(home / "muniment.db") as database:
        database.execute("UPDATE payload SET content = 'x' WHERE content = CAST('second' AS BLOB)")
    database.close()
    return identifier


def test_lists_mark_an_altered_generation(muniment: Here, altered: str) -> None:
    for command in (["list"], ["tail"]):
        lines = muniment("audit", *command).lines
        assert [line.split("\t")[0] for line in lines if "altered" in line] == [altered]
        (record,) = [
            record
            for record in muniment("audit", *command, "--json").json("generation")
            if record["altered"]
        ]
        assert record["id"] == altered
    result = muniment("audit", "search", "second")
    assert "altered" in result.out
    assert altered in result.out


def test_an_altered_name_is_not_shown_as_an_erased_one(muniment: Here, home: Path) -> None:
    muniment("generate", "echo", "one")
    with sqlite3.connect(home / "muniment.db") as database:
        database.execute("UPDATE payload SET content = x'7b7d' WHERE kind = 'actor'")
    database.close()
    (row,) = muniment("audit", "list").rows
    assert row[7] == "[altered]"
    shown = muniment("audit", "show", "last").out
    assert "[altered]" in shown
    assert "[erased]" not in shown


def test_an_export_of_an_altered_generation_warns_and_exits_with_4(
    muniment: Here, altered: str, tmp_path: Path
) -> None:
    file = str(tmp_path / "all.jsonl")
    for arguments in ([], ["-o", file]):
        result = muniment("audit", "export", *arguments)
        assert result.code == 4
        assert altered in result.err
        assert "1 exported generation " in result.err
    assert muniment("audit", "show", altered).code == 4
    assert muniment("audit", "show", "last").code == 0
    assert muniment("audit", "export", "--since", "1d", "-n", "1").code == 0


def test_show_of_altered_feedback_and_reviews_exits_with_4(muniment: Here, home: Path) -> None:
    muniment("generate", "echo", "first")
    muniment("feedback", "last", "--comment", "very good")
    assert muniment("audit", "show", "last").code == 0
    with sqlite3.connect(home / "muniment.db") as database:
        database.execute("UPDATE payload SET content = 'x' WHERE kind = 'comment'")
    database.close()
    result = muniment("audit", "show", "last")
    assert result.code == 4
    (line,) = [line for line in result.lines if line.startswith("feedback")]
    assert "altered after it was recorded: comment" in line
    result = muniment("audit", "show", "last", "--json")
    assert result.code == 4
    (feedback,) = result.json("generation")[0]["feedback"]
    assert (feedback["altered"], feedback["comment"]) == (["comment"], None)


def test_erasing_an_altered_generation_reports_it(muniment: Here, altered: str) -> None:
    result = muniment("audit", "erase", altered, "--yes")
    assert result.code == 0
    assert "1 erased generation had texts that were altered" in result.err
    assert muniment("audit", "verify", "--all").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        *(["audit", *one] for one in (["list"], ["show", "last"], ["get", "last"], ["runs"])),
        *(["audit", *one] for one in (["replay", "last"], ["verify"], ["find", __file__])),
        *(["audit", *one] for one in (["stats"], ["diff", "last", "last"])),
        ["review", "queue"],
        ["audit", "erase", "last", "--yes"],
    ],
)
def test_where_nothing_is_recorded_each_command_says_so_and_makes_no_store(
    muniment: Here, home: Path, arguments: list[str]
) -> None:
    result = muniment(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert "nothing is recorded yet: there is no store at" in result.err
    assert not (home / "muniment.db").exists()


def test_control_characters_of_a_model_cannot_reach_a_sentence(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator(
        "evil", "for r in requests: yield r.fail('\\x1b[2J gone\\nsecond line')"
    )
    result = muniment("generate", "evil", "x")
    assert result.err.splitlines()[0] == "Error: \\x1b[2J gone\\nsecond line"
    assert json.loads(muniment("generate", "evil", "x", "--json").out)
