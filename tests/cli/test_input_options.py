"""Inputs on the command line: options, bad files, `audit` commands and erasing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.commands import Here
from support.plugins import PluginFolder

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


@pytest.fixture
def plugin_folder(plugin_folder: PluginFolder) -> PluginFolder:
    """The plugins of these tests, and a generator with inputs."""
    plugin_folder.generator(
        "join",
        """
        for request in requests:
            given = sorted(request.inputs.items())
            parts = [f"{name}={item.text or len(item.data)}" for name, item in given]
            yield request.reply(Text(" ".join([*parts, request.prompt])))
        """,
        attributes="""
        inputs = (
            muniment.InputSpec("user", ("text/plain",), 100, "a person", "--user TEXT"),
            muniment.InputSpec("only", ("text/plain",), 100, "names", "--only FILE"),
            muniment.InputSpec("init", ("image/png",), 1_000),
        )
        """,
        distribution="test-join",
    )
    return plugin_folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a picture and a text."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.png").write_bytes(PNG)
    (folder / "names.txt").write_text("anna", encoding="utf-8")
    return folder


def test_inputs_are_given_by_name_or_by_an_option_of_their_own(muniment: Here, files: Path) -> None:
    done = muniment(
        *("generate", "join", "go", "--user", "小明", "--only", files / "names.txt"),
        *("--input", f"init={files}/a.png"),
    )
    assert (done.code, done.out) == (0, "init=48 only=anna user=小明 go\n")
    done = muniment("generate", "join", "go", "--input", f"user={files}/names.txt", "--json")
    (value,) = done.json("generation")
    assert value["inputs"][0] == {
        "name": "user",
        "media_type": "text/plain",
        "text": "anna",
        "sha256": "55579b557896d0ce1764c47fed644f9b35f58bad620674af23f356d80ed0c503",
        "bytes": 4,
    }
    assert str(files) not in done.out


def test_help_lists_the_inputs(muniment: Here) -> None:
    help_ = " ".join(muniment("generate", "join", "--help").out.split())
    assert "--input NAME=FILE" in help_
    assert "Input init: (image/png, at most 1,000 bytes)." in help_
    assert "--user TEXT Input user: a person (text/plain, at most 100 bytes)." in help_
    assert "--only FILE Input only: names" in help_
    assert "Input init" not in muniment("generate", "echo", "--help").out


def test_a_recorded_output_is_named_by_an_id(muniment: Here) -> None:
    assert muniment("generate", "dots", "x", "--bare").code == 0
    (value,) = muniment("generate", "join", "go", "--input", "init=last", "--json").json(
        "generation"
    )
    (parent,) = value["parents"]
    assert value["inputs"][0]["bytes"] == 5
    assert parent in muniment("audit", "lineage", "last", "--json").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--input", "init"), "not of the form name=file"),
        (("--input", "init="), "not of the form name=file"),
        (("--input", "mask={}/a.png"), "available: user, only, init"),
        (("--input", "init={}/b.png"), "/b.png' of the input 'init' does not exist"),
        (("--input", "init={}"), "is a folder"),
        (("--input", "init=/dev/null"), "not a regular file"),
        (("--input", "init={}/names.txt"), "has the media type text/plain"),
        (("--user", ""), "is empty"),
        (("--user", "x" * 101), "at most 100"),
        (("--input", "init={}/a.png", "--input", "init={}/a.png"), "given twice"),
        (("--only", "{}/names.txt", "--input", "only={}/names.txt"), "given twice"),
        (("--user", "a", "--user", "b"), "given twice"),
    ],
)
def test_a_bad_input_is_a_usage_error_and_nothing_is_recorded(
    muniment: Here, files: Path, home: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = muniment("generate", "join", "go", *(item.format(files) for item in arguments))
    assert done.code == 2
    assert words in done.err
    assert done.err.count("\n") == 1
    assert not list(home.glob("*.db"))


def test_an_output_file_replaces_no_input(muniment: Here, files: Path) -> None:
    done = muniment(
        *("generate", "join", "go", "--input", f"init={files}/a.png"),
        *("-o", files / "a.png", "--overwrite"),
    )
    assert done.code == 2
    assert (files / "a.png").read_bytes() == PNG


def test_show_get_and_diff_have_the_inputs(muniment: Here, files: Path) -> None:
    muniment("generate", "join", "go", "--user", "first\nline", "--input", f"init={files}/a.png")
    muniment("generate", "join", "go", "--user", "first\nword")
    (value,) = [json.loads(line) for line in muniment("audit", "list", "--json").lines][1:]
    shown = muniment("audit", "show", value["id"]).out
    assert "init (image/png, 48 bytes)" in shown
    assert "user (text/plain, 10 bytes)" in shown
    assert shown.index("prompt") < shown.index("init (image/png")
    assert muniment("audit", "get", value["id"], "--input", "user").out == "first\nline"
    target = files / "copy.png"
    done = muniment("audit", "get", value["id"], "--input", "init", "-o", target)
    assert (done.code, target.read_bytes()) == (0, PNG)
    done = muniment("audit", "get", value["id"], "--input", "mask")
    assert done.code == 2
    assert "available: init, user" in done.err
    done = muniment("audit", "diff", value["id"], "last", "--json")
    (found,) = done.json("differences")
    assert [item["name"] for item in found["inputs"]] == ["input init"]
    assert [item["name"] for item in found["texts"]] == ["input user", "output"]
    assert "input init  [-image/png, 48 bytes" in muniment("audit", "diff", value["id"], "last").out


def test_search_names_the_source_input(muniment: Here) -> None:
    muniment("generate", "join", "go", "--user", "xylophone")
    (hit,) = muniment("audit", "search", "xylophone", "--json").json("hit")
    assert "input" in {snippet["source"] for snippet in hit["snippets"]}


def test_a_batch_reads_files_next_to_it(muniment: Here, files: Path) -> None:
    lines = [
        {"prompt": "a", "inputs": {"init": "a.png"}},
        {"prompt": "b", "inputs": {"init": "missing.png"}},
        {"prompt": "c"},
    ]
    batch = files / "lines.jsonl"
    batch.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ("batch", batch, "--generator", "join", "--input", f"only={files}/names.txt")
    done = muniment(*arguments, "--json")
    values = done.json("generation")
    assert done.code == 1
    assert [value["status"] for value in values] == ["completed", "failed", "completed"]
    assert values[0]["outputs"][0]["text"] == "init=48 only=anna a"
    assert values[2]["outputs"][0]["text"] == "only=anna c"
    assert "line 2" in done.err


def test_results_of_a_batch_replace_no_input_of_a_line(muniment: Here, files: Path) -> None:
    batch = files / "lines.jsonl"
    lines: list[dict[str, object]] = [{"prompt": "a"}] * 20
    lines.append({"prompt": "b", "inputs": {"init": "a.png"}})
    batch.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = ("batch", batch, "--generator", "join", "-o", files / "a.png", "--overwrite")
    done = muniment(*arguments)
    assert done.code == 2
    assert "a.png" in done.err
    assert (files / "a.png").read_bytes() == PNG
    assert muniment("audit", "list").out == ""


@pytest.mark.parametrize("option", ["--bare", "--combine", "--candidates"])
def test_an_input_is_got_without_the_options_of_outputs(muniment: Here, option: str) -> None:
    muniment("generate", "join", "go", "--user", "first")
    done = muniment("audit", "get", "last", "--input", "user", option)
    assert (done.code, done.out) == (2, "")
    assert option in done.err


def test_erasing_lists_the_generations_that_keep_an_output_as_an_input(muniment: Here) -> None:
    (source,) = muniment("generate", "join", "canary", "--json").json("generation")
    one = ("generate", "join", "go", "--input", f"user={source['id']}")
    done = muniment(*one, "-n", "12", "--json")
    users = sorted(value["id"] for value in done.json("generation"))
    (other,) = muniment("generate", "join", "go", "--user", "first", "--json").json("generation")
    done = muniment("audit", "erase", source["id"], "--yes")
    assert done.code == 0
    assert [id for id in users if id in done.err] == users[:10]
    assert other["id"] not in done.err
    assert "and 2 more" in done.err
    assert "outputs that 12 other generations will keep as inputs" in done.err
    assert muniment("audit", "get", users[0], "--input", "user").out == "canary"


def test_erasing_lists_the_generations_that_share_an_input(muniment: Here) -> None:
    done = muniment("generate", "join", "go", "--user", "canary", "-n", "3", "--json")
    first, *others = [value["id"] for value in done.json("generation")]
    done = muniment("audit", "erase", first, "--yes")
    assert done.code == 0
    assert all(id in done.err for id in others)
    assert "inputs that 2 other generations will lose" in done.err
    assert "user (text/plain, erased)" in muniment("audit", "show", others[0]).out
    done = muniment("audit", "get", others[0], "--input", "user")
    assert done.code == 1
    assert "input user" in done.err
    assert muniment("audit", "verify", "--all").code == 0
    (replayed,) = muniment("audit", "replay", others[0], "--json").json("replay")
    assert (replayed["result"], replayed["detail"]) == ("impossible", "its input was erased")


def test_an_input_on_hold_is_reported(muniment: Here) -> None:
    done = muniment("generate", "join", "go", "--user", "canary", "-n", "2", "--json")
    first, second = [value["id"] for value in done.json("generation")]
    muniment("hold", "add", second, "--reason", "a court")
    done = muniment("audit", "erase", first, "--yes", "--json")
    assert done.code == 1
    (value,) = done.json("erasure")
    assert (value["erased"], value["shared"]) == (1, 1)


def test_retention_knows_the_kind_input(muniment: Here) -> None:
    muniment("generate", "join", "go", "--user", "canary")
    assert muniment("retention", "set", "--payload", "input", "--min-days", "3").code == 0
    done = muniment("audit", "erase", "last", "--yes")
    assert (done.code, "under retention" in done.err) == (1, True)
    assert "user (text/plain, 6 bytes)" in muniment("audit", "show", "last").out


def test_a_proof_discloses_inputs(muniment: Here, tmp_path: Path) -> None:
    muniment("keys", "generate")
    muniment("generate", "join", "go", "--user", "canary")
    done = muniment("audit", "prove", "last", "-o", tmp_path / "a.json")
    assert "canary" not in (tmp_path / "a.json").read_text()
    done = muniment("audit", "prove", "last", "--disclose", "input", "-o", tmp_path / "b.json")
    assert (done.code, "1 payload disclosed" in done.err) == (0, True)
    assert "canary" in (tmp_path / "b.json").read_text()


def test_a_filters_verdict_on_an_input_names_it(
    muniment: Here, policy_file: Path, files: Path
) -> None:
    done = muniment("generate", "join", "go", "--user", "a bomb", "--policy", policy_file)
    assert done.code == 3
    assert "blocked the input user" in done.err
    assert "input user: blocked by filter words" in muniment("audit", "show", "last").out


def test_worker_processes_get_the_inputs(muniment: Here, files: Path) -> None:
    arguments = ("generate", "join", "go", "--user", "a", "--input", f"init={files}/a.png")
    done = muniment(*arguments, "--isolate")
    assert (done.code, done.out) == (0, "init=48 user=a go\n")
    done = muniment("audit", "replay", "last", "--isolate", "--json")
    assert done.json("replay")[0]["result"] == "exact"
