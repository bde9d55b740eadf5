"""Lists on the command line: selections, candidates, feedback on items, and the record."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from support.commands import Here, Processes
from support.databases import by_hand
from support.lists import LIST, TITLES, add_lists
from support.plugins import PluginFolder

RULES = """
policy: colours
version: "1"
filters:
  - {filter: colour, name: no-red, stages: [item]}
"""
SELECTED = ["green", "blue", "black"]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A policy that blocks the item `red`."""
    path = tmp_path / "colours.yaml"
    path.write_text(RULES)
    return path


@pytest.fixture
def ranked(muniment: Here, plugin_folder: PluginFolder, policy: Path) -> Here:
    """The command line after one list, of which three items were wanted and `red` was blocked."""
    add_lists(plugin_folder, wanted="3")
    assert muniment("generate", "rank", json.dumps(TITLES), "--policy", policy).code == 0
    return muniment


def test_stdout_and_files_have_the_selection(ranked: Here, policy: Path, tmp_path: Path) -> None:
    generate = ("generate", "rank", json.dumps(TITLES), "--policy", policy)
    result = ranked(*generate)
    assert json.loads(result.out) == SELECTED
    assert "3 items passed · 1 item blocked" in result.err
    ranked(*generate, "-o", tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_bytes()) == SELECTED
    (made,) = ranked(*generate, "--json").json("generation")
    (output,) = made["outputs"]
    assert (output["kept"], output["wanted"]) == ([1, 2, 3], 3)
    assert output["bytes"] == len(json.dumps(SELECTED))
    assert [(v["item"], v["action"]) for v in made["verdicts"]][:2] == [(1, "block"), (2, "allow")]


def test_a_terminal_gets_the_preview_of_a_list_in_place_of_its_json(
    muniment: Here, plugin_folder: PluginFolder, processes: Processes
) -> None:
    preview = """def preview(self, data, columns):
        return "\\n".join(f"* {title}" for title in json.loads(data))"""
    add_lists(plugin_folder, wanted="2", extra=preview)
    generate = ("generate", "rank", json.dumps(TITLES))
    assert json.loads(muniment(*generate).out) == TITLES[:2]
    assert "* red\n* green\n" in processes.on_terminal(*generate).err
    shown = processes.on_terminal("audit", "show", "last").err
    assert "* red\n* green\n\nitems" in shown
    assert shown.count(json.dumps(TITLES)) == 1  # the prompt


_LINES = """def to_text(self, data):
        return "\\n".join(f"{n}\\t{title}" for n, title in enumerate(json.loads(data), 1))"""


def test_a_pipe_gets_the_lines_of_a_list_unless_the_bytes_are_wanted(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    add_lists(plugin_folder, wanted="2", extra=_LINES)
    generate = ("generate", "rank", json.dumps(TITLES))
    assert muniment(*generate).out == "1\tred\n2\tgreen\n"
    assert muniment(*generate, "-n", "2").out == "1\tred\n2\tgreen\n\n" * 2
    for command in (
        (*generate, "--bare"),
        (*generate, "--private"),
        (*generate, "-o", "-"),
        ("audit", "get", "last"),
    ):
        assert json.loads(muniment(*command).out) == TITLES[:2]
    assert "\n1\tred\n2\tgreen\n\nitems" in muniment("audit", "show", "last").out


@pytest.mark.parametrize("options", [(), ("--bare",), ("-o", "-")])
def test_several_json_outputs_are_one_a_line_in_a_pipe(
    muniment: Here, plugin_folder: PluginFolder, options: tuple[str, ...]
) -> None:
    add_lists(plugin_folder, wanted="2")
    printed = muniment("generate", "rank", json.dumps(TITLES), "-n", "3", *options)
    assert [json.loads(line) for line in printed.lines] == [TITLES[:2]] * 3


def test_a_file_of_a_plain_suffix_has_the_recorded_bytes(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    suffixes = 'suffixes, plain_suffixes = (".json", ".csv"), (".json",)'
    add_lists(plugin_folder, wanted="2", extra=suffixes)
    generate = ("generate", "rank", json.dumps(TITLES))
    recorded = json.dumps(TITLES[:2]).encode()
    for name, content in (("a.json", recorded), ("a.csv", recorded + b" ")):
        assert muniment(*generate, "-o", tmp_path / name).code == 0
        assert (tmp_path / name).read_bytes() == content
    assert muniment("audit", "get", "last").out == recorded.decode()
    refused = muniment(*generate, "-o", tmp_path / "a.txt")
    assert (refused.code, ".json or .csv" in refused.err) == (2, True)


def test_a_plain_suffix_must_be_among_the_suffixes(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    add_lists(plugin_folder, extra='plain_suffixes = (".txt",)')
    assert "plain_suffixes" in muniment("generate", "rank", json.dumps(TITLES)).err


def test_several_lists_on_a_terminal_have_headings(
    muniment: Here, plugin_folder: PluginFolder, processes: Processes
) -> None:
    add_lists(plugin_folder, wanted="2")
    shown = processes.on_terminal("generate", "rank", json.dumps(TITLES), "-n", "2").err
    assert "--- 1 of 2 ---" in shown
    assert "--- 2 of 2 ---" in shown


def test_find_knows_the_file_of_a_selection(ranked: Here, tmp_path: Path) -> None:
    (made,) = ranked("audit", "show", "last", "--json").json("generation")
    file = tmp_path / "selected.json"
    file.write_text(json.dumps(SELECTED))
    found = ranked("audit", "find", file)
    assert (found.code, found.fields["id"]) == (0, [made["id"]])
    assert "with only the selected items" in found.out
    file.write_text(json.dumps(SELECTED[:2]))
    assert ranked("audit", "find", file).code == 1
    file.write_text(json.dumps(SELECTED))
    ranked("audit", "erase", "last", "--yes")
    assert ranked("audit", "find", file).code == 1


def test_erasing_lists_a_generation_that_keeps_a_selection_as_an_input(
    ranked: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator(
        "reader",
        "for request in requests: yield request.reply(Text('read'))",
        attributes="inputs = (muniment.InputSpec('note', ('text/plain',)),)",
        distribution="test-reader",
    )
    (source,) = ranked("audit", "show", "last", "--json").json("generation")
    reading = ("generate", "reader", "a", "--input", f"note={source['id']}", "--json")
    (user,) = ranked(*reading).json("generation")
    done = ranked("audit", "erase", source["id"], "--yes")
    assert (done.code, user["id"] in done.err) == (0, True)
    assert json.loads(ranked("audit", "get", user["id"], "--input", "note").out) == SELECTED


def test_get_writes_the_selection_or_all_candidates(ranked: Here, tmp_path: Path) -> None:
    assert json.loads(ranked("audit", "get", "last").out) == SELECTED
    assert json.loads(ranked("audit", "get", "last", "--candidates").out) == TITLES
    ranked("audit", "get", "last", "--candidates", "-o", tmp_path / "all.json")
    assert json.loads((tmp_path / "all.json").read_bytes()) == TITLES


def test_get_refuses_candidates_of_an_output_that_is_no_list(
    ranked: Here, plugin_folder: PluginFolder, policy: Path
) -> None:
    assert ranked("generate", "rank", '["red"]', "--policy", policy).code == 3
    assert json.loads(ranked("audit", "get", "last", "--candidates").out) == ["red"]
    plugin_folder.generator("plain", "for r in requests: yield r.reply(Text(r.prompt))")
    assert ranked("generate", "plain", "x", "--policy", policy).code == 0
    refused = ranked("audit", "get", "last", "--candidates")
    assert (refused.code, refused.out) == (2, "")
    assert "--candidates" in refused.err


def test_get_of_a_blocked_list_writes_what_was_blocked(
    ranked: Here, policy: Path, tmp_path: Path
) -> None:
    blocked = ranked("generate", "rank", '["red", "dark red"]', "--policy", policy)
    assert (blocked.code, blocked.out) == (3, "")
    assert "red" not in blocked.err.replace("no-red", "")
    result = ranked("audit", "get", "last")
    assert json.loads(result.out) == ["red", "dark red"]
    assert "blocked" in result.err


def test_fewer_items_than_wanted_are_noted(ranked: Here, policy: Path) -> None:
    result = ranked("generate", "rank", '["red", "blue"]', "--policy", policy)
    assert (result.code, json.loads(result.out)) == (0, ["blue"])
    assert "1 of 3 wanted items; the policy blocked 1 other" in result.err
    result = ranked("generate", "rank", '["green", "blue"]', "--policy", policy)
    assert "2 of 3 wanted items; the list has no more" in result.err


def test_show_prints_the_items_with_the_rules_that_blocked_them(ranked: Here) -> None:
    shown = ranked("audit", "show", "last")
    assert [line.split("\t") for line in shown.lines if "\t" in line] == [
        ["1", "blocked by no-red", "id-red", "red"],
        ["2", "kept", "id-green", "green"],
        ["3", "kept", "id-blue", "blue"],
        ["4", "kept", "id-black", "black"],
    ]
    assert "1 more candidate not selected" in shown.out
    assert "item 1: blocked by filter colour (rule no-red)" in shown.out
    (whole,) = ranked("audit", "show", "last", "--json").json("generation")
    assert [item["id"] for item in whole["items"] if item["kept"]] == [
        f"id-{title}" for title in SELECTED
    ]
    assert whole["outputs"][0]["bytes"] == len(json.dumps(TITLES))


def test_feedback_on_an_item_is_shown_with_its_id(ranked: Here) -> None:
    assert ranked("feedback", "last", "--item", "id-blue", "--action", "click").code == 0
    (said,) = ranked("feedback", "last", "--item", "id-blue", "--rating", "up", "--json").json(
        "feedback"
    )
    assert (said["item"], said["action"], said["rating"]) == (3, None, "up")
    ranked("feedback", "last", "--action", "buy")
    said_of = ranked("audit", "show", "last").fields["feedback"]
    assert [" · ".join(line.split(" · ")[:-1]) for line in said_of] == [
        "item id-blue · click · 小明",
        "item id-blue · up · 小明",
        "buy · 小明",
    ]
    assert ranked("audit", "verify", "--all").code == 0


@pytest.mark.parametrize("item", ["id-red", "id-white", "gone"])
def test_feedback_on_an_item_that_was_not_shown_is_refused(ranked: Here, item: str) -> None:
    refused = ranked("feedback", "last", "--item", item, "--action", "like")
    assert refused.code == 2
    assert "id-green, id-blue, id-black" in refused.err
    (whole,) = ranked("audit", "show", "last", "--json").json("generation")
    assert whole["feedback"] == []


def test_show_and_get_without_the_plugin_name_the_media_type(
    ranked: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.all[:] = [
        item for item in plugin_folder.all if item.distribution != "ranking-type"
    ]
    shown = ranked("audit", "show", "last")
    assert (shown.code, LIST in shown.err) == (0, True)
    refused = ranked("audit", "get", "last")
    assert (refused.code, refused.out) == (1, "")
    assert LIST in refused.err
    assert json.loads(ranked("audit", "get", "last", "--candidates", "--bare").out) == TITLES


_SPACED = """
    def select(self, data, positions):
        titles = json.loads(data)
        return json.dumps([titles[position] for position in positions], indent=1).encode()
"""


def test_show_and_get_report_a_selection_that_differs_from_the_recorded_one(
    ranked: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.all.clear()
    add_lists(plugin_folder, wanted="3", extra=_SPACED)
    shown = ranked("audit", "show", "last")
    assert "selection differs" in shown.err
    assert "kept" not in shown.out
    (whole,) = ranked("audit", "show", "last", "--json").json("generation")
    assert "items" not in whole
    refused = ranked("audit", "get", "last")
    assert (refused.code, refused.out) == (1, "")
    assert "selection differs" in refused.err
    assert json.loads(ranked("audit", "get", "last", "--candidates").out) == TITLES
    assert ranked("audit", "replay", "last").code != 0
    assert ranked("audit", "verify", "--payloads", "--all").code == 0


@pytest.mark.parametrize("forged", [None, "00" * 32])
def test_an_altered_commitment_to_a_selection_is_found(
    ranked: Here, home: Path, forged: str | None
) -> None:
    url = f"sqlite:///{home / 'muniment.db'}"
    with by_hand(url) as connection:
        rows = connection.execute(text("SELECT seq, canonical_bytes FROM entry")).all()
        [(seq, body)] = [
            (seq, json.loads(data)) for seq, data in rows if json.loads(data)["kind"] == "outcome"
        ]
        assert len(body["outputs"][0].pop("selection")) == 64
        if forged is not None:
            body["outputs"][0]["selection"] = forged
        data = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        statement = text("UPDATE entry SET canonical_bytes = :data WHERE seq = :seq")
        connection.execute(statement, {"data": data.encode(), "seq": seq})
    assert ranked("audit", "verify", "--all").code == 4
    result = ranked("audit", "get", "last")
    assert (result.code, result.out) == (4, "")


def test_a_resumed_batch_writes_selections(ranked: Here, policy: Path, tmp_path: Path) -> None:
    lines = [{"prompt": json.dumps(TITLES), "generator": "rank", "seed": seed} for seed in (1, 2)]
    file, out = tmp_path / "lines.jsonl", tmp_path / "out.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ranked("batch", file, "--policy", policy, "-o", out)
    first = [json.loads(line) for line in out.read_text().splitlines()]
    run = str(first[0]["run_id"])
    out.unlink()
    ranked("batch", file, "--policy", policy, "-o", out, "--resume", run)
    again: list[Any] = [json.loads(line) for line in out.read_text().splitlines()]
    assert [item["outputs"] for item in again] == [item["outputs"] for item in first]
    assert again[0]["outputs"][0]["bytes"] == len(json.dumps(SELECTED))


def test_diff_compares_the_candidates(ranked: Here, tmp_path: Path) -> None:
    ranked("generate", "rank", json.dumps(TITLES), "--seed", "1")
    first, second = (g["id"] for g in ranked("audit", "list", "--json").json("generation"))
    (compared,) = ranked("audit", "diff", first, second, "--json").json("differences")
    assert compared["outputs"] == []


def test_replay_and_export_use_the_candidates(ranked: Here, tmp_path: Path) -> None:
    assert ranked("audit", "replay", "last").code == 0
    target = tmp_path / "all.jsonl"
    ranked("audit", "export", "--format", "jsonl", "-o", target)
    (line,) = [json.loads(line) for line in target.read_text().splitlines()]
    assert (line["outputs"][0]["kept"], line["outputs"][0]["wanted"]) == ([1, 2, 3], 3)
    assert line["outputs"][0]["bytes"] == len(json.dumps(TITLES))


def test_a_list_with_a_blocked_item_is_found_by_its_decision_and_queued_for_review(
    ranked: Here,
) -> None:
    found = ranked("audit", "list", "--decision", "block", "--status", "completed", "--json")
    (generation,) = found.json("generation")
    queued = ranked("review", "queue", "--json").json("generation")
    assert [item["id"] for item in queued] == [generation["id"]]
    ranked("review", "overturn", "last")
    assert ranked("review", "queue", "--json").json("generation") == []


def test_fewer_items_than_wanted_are_noted_with_the_line_of_a_batch(
    ranked: Here, policy: Path, tmp_path: Path
) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_text(json.dumps({"prompt": '["red", "blue"]', "generator": "rank"}) + "\n")
    assert "line 1: 1 of 3 wanted items" in ranked("batch", file, "--policy", policy).err


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_the_message_names_why_items_could_not_be_read(
    muniment: Here, plugin_folder: PluginFolder, policy: Path, mode: str
) -> None:
    add_lists(plugin_folder, extra="def items(self, data): raise RuntimeError('broken')")
    policy.write_text(RULES.replace("stages: [item]", f"stages: [item], mode: {mode}"))
    result = muniment("generate", "rank", json.dumps(TITLES), "--policy", policy)
    failure = r"filter colour cannot check the list: items\(\) of media type 'ranking' of "
    failure += r"ranking-type failed: RuntimeError \(shelved_\d+/__init__\.py:\d+\) \(policy"
    assert re.search(failure, result.err)
    assert "broken" not in result.err
