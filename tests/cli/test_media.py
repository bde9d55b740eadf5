"""Files, descriptions and comparisons of outputs that are not text, through media types."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from muniment.provenance import from_json
from support.commands import Here, Processes, Result
from support.media import DOTS, media_type, with_id
from support.plugins import PluginFolder


@pytest.fixture
def plugin_folder(plugin_folder: PluginFolder) -> PluginFolder:
    plugin_folder.add(DOTS, distribution="test-media")
    return plugin_folder


@pytest.fixture
def generated(muniment: Here) -> str:
    """The id of a recorded generation of dots."""
    result = muniment("generate", "dotter", "a b", "--seed", "7", "--json")
    [value] = result.json("generation")
    return str(value["id"])


def refused(result: Result, *words: str) -> None:
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Error: ")
    assert result.err.count("\n") == 1
    for word in words:
        assert word in result.err


# ---- files -------------------------------------------------------------------------------------


def test_generate_o_writes_the_format_of_the_suffix_with_the_id(
    muniment: Here, tmp_path: Path
) -> None:
    target = tmp_path / "a.json"
    result = muniment("generate", "dotter", "a b", "--seed", "7", "-o", target, "--scale", "3")
    assert result.code == 0
    [recorded] = muniment("audit", "show", "last", "--json").json("generation")
    file = json.loads(target.read_text())
    assert (file["dots"], file["scale"]) == ([7, 2, 50], 3)
    assert [item.id for item in from_json(file["from"])] == [recorded["id"]]
    assert f"wrote {target} (application/json, " in result.err
    assert (recorded["parameters"], recorded["outputs"][0]["bytes"]) == ({}, 7)


@pytest.mark.parametrize("name", ["a.DOTS", "b.dots"])
def test_get_stamps_the_file_and_stdout_and_bare_does_not(
    muniment: Here, generated: str, tmp_path: Path, name: str
) -> None:
    target = tmp_path / name
    assert muniment("audit", "get", "last", "-o", target).code == 0
    content, _, text = target.read_bytes().partition(b"|")
    assert (content, from_json(text.decode())[0].id) == (b"DOTS\x07\x02\x32", generated)
    assert muniment("audit", "get", "last").out.encode() == target.read_bytes()
    assert muniment("audit", "get", "last", "-o", target, "--overwrite", "--bare").code == 0
    assert target.read_bytes() == b"DOTS\x07\x02\x32"
    assert muniment("audit", "get", "last", "--bare").out == "DOTS\x07\x02\x32"


def test_generate_writes_a_stamped_file_to_stdout(muniment: Here) -> None:
    result = muniment("generate", "dotter", "a", "--seed", "7")
    assert result.out.startswith('DOTS\x07\x01\x32|{"format": ')
    assert muniment("generate", "dotter", "a", "--seed", "7", "--bare").out == "DOTS\x07\x01\x32"


JSON_EXPORT = """
class Export(muniment.Parameters):
    indent: int = muniment.param(0, ge=0, le=9)

def matches(self, data):
    return data.startswith(b"[")

def export(self, data, provenance, suffix, options):
    return data + b" " * options.indent + provenance.id.encode()
"""


def test_registered_json_is_exported_to_stdout_by_both_commands(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.add(media_type(JSON_EXPORT, "('application/json',)"))
    plugin_folder.generator(
        "lists",
        "for r in requests: yield r.reply(Output('application/json', b'[1]'))",
        media_type="application/json",
    )
    written = muniment("generate", "lists", "a", "--indent", "3").out
    assert written.startswith("[1]   01")
    assert muniment("audit", "get", "last", "--indent", "3").out == written
    assert muniment("generate", "lists", "a", "--bare").out.strip() == "[1]"


def test_a_suffix_that_nobody_writes_is_refused_before_anything_is_generated(
    muniment: Here, tmp_path: Path
) -> None:
    result = muniment("generate", "dotter", "a", "-o", tmp_path / "a.gif")
    refused(result, "a.gif", ".dots or .json")
    refused(muniment("generate", "dotter", "a", "-o", tmp_path / "a"), ".dots")
    refused(muniment("generate", "dotter", "a", "-o", tmp_path / "a.png", "--bare"), "image/png")
    refused(muniment("generate", "echo", "a", "-o", tmp_path / "a.png"), "image/png")
    assert muniment("audit", "list").code == 2
    assert list(tmp_path.glob("a*")) == []


def test_options_of_files_are_checked_before_anything_is_generated(
    muniment: Here, generated: str, tmp_path: Path
) -> None:
    target = tmp_path / "a.json"
    for command in (["generate", "dotter", "a"], ["audit", "get", "last"]):
        refused(muniment(*command, "-o", target, "--scale", "10"), "scale", "1 to 9")
        refused(muniment(*command, "-o", target, "--bare", "--scale", "2"), "--scale")
        refused(muniment(*command, "-o", target, "--scala", "2"), "--scala")
        refused(muniment(*command, "-o", target, "--scale", "2", "--scale", "3"), "twice")
    assert len(muniment("audit", "list").lines) == 1
    assert muniment("audit", "get", "last", "-o", target, "--scale", "2").code == 0
    assert json.loads(target.read_text())["scale"] == 2


def test_an_input_has_no_options_of_files(muniment: Here, generated: str) -> None:
    refused(muniment("audit", "get", "last", "--input", "x", "--scale", "2"), "--scale")


def test_an_option_of_files_needs_a_file(muniment: Here) -> None:
    for option in (["--scale", "2"], ["--combine"]):
        refused(muniment("generate", "dotter", "a", "--json", *option), option[0], "-o FILE")
    assert muniment("audit", "list").code == 2


def test_the_help_of_both_commands_has_the_options_of_files(muniment: Here) -> None:
    for command in (["generate", "dotter"], ["audit", "get"]):
        assert "Size of a dot  [1 to 9, default: 1]" in muniment(*command, "--help").out


def test_several_outputs_get_numbered_files_or_one(muniment: Here, tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    assert muniment("generate", "dotter", "twice", "-n", "2", "-o", target).code == 0
    names = sorted(path.name for path in tmp_path.glob("a*"))
    assert names == ["a-1-1.json", "a-1-2.json", "a-2-1.json", "a-2-2.json"]
    assert muniment("generate", "dotter", "x", "-n", "3", "-o", target, "--combine").code == 0
    assert len({item.id for item in from_json(json.loads(target.read_text())["from"])}) == 3
    muniment("generate", "dotter", "twice", "--json")
    got = muniment("audit", "get", "last", "-o", tmp_path / "b.json", "--combine", "--scale", "2")
    assert got.code == 0
    file = json.loads((tmp_path / "b.json").read_text())
    assert (len(file["dots"]), file["scale"]) == (2, 2)


def test_combine_needs_a_file_and_a_media_type_that_can(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    refused(muniment("generate", "dotter", "x", "--combine"), "-o FILE")
    for command in (["generate", "echo"], ["generate", "dots", "--bare"]):
        refused(muniment(*command, "x", "-o", tmp_path / "x", "--combine"), "--combine")
    assert muniment("audit", "list").code == 2


def test_a_type_without_a_plugin_has_no_file_without_bare(muniment: Here, tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    refused(muniment("generate", "dots", "x", "-o", target), "image/png", "--bare")
    refused(muniment("generate", "dots", "x"), "--bare")
    assert muniment("generate", "dots", "x", "--seed", "65", "--json").code == 0
    refused(muniment("audit", "get", "last", "-o", target), "image/png", "--bare")
    refused(muniment("audit", "get", "last", "-o", tmp_path / "a.jpg", "--bare"), "image/jpeg")
    assert muniment("audit", "get", "last", "-o", target, "--bare").code == 0
    assert target.read_bytes() == b"\x89PNGA"


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('no')",
        "return 'text'",
        "return None",
    ],
)
def test_an_export_that_fails_writes_no_file_and_loses_nothing(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path, body: str
) -> None:
    source = media_type(
        f"def export(self, data, provenance, suffix, options): {body}", "('image/png',)", "png"
    )
    plugin_folder.add(source.replace('".dots"', '".png"'), distribution="bad-png")
    result = muniment("generate", "dots", "x", "--seed", "65", "-o", tmp_path / "a.png")
    assert result.code == 1
    assert "export() of media type 'png' of bad-png failed" in result.err
    assert "--bare" in result.err
    assert not (tmp_path / "a.png").exists()
    got = muniment("audit", "get", "last", "-o", tmp_path / "a.png")
    assert got.code == 1
    assert muniment("audit", "get", "last", "-o", tmp_path / "a.png", "--bare").code == 0


@pytest.mark.parametrize(
    ("method", "body", "words"),
    [
        ("export", "b''", "empty"),
        ("export", "data", "recorded bytes"),
        ("export", "data + b'|other'", "read_provenance()"),
        (
            "export",
            "b'DOTSother|' + to_json([provenance]).encode()",
            ".dots file with another fingerprint",
        ),
        ("combine", "b''", "empty"),
        ("combine", "data[0]", "recorded bytes"),
        ("combine", "b'DOTS|' + to_json([]).encode()", "read_provenance()"),
    ],
)
def test_a_file_without_the_stamp_or_with_other_content_is_not_written(
    muniment: Here,
    plugin_folder: PluginFolder,
    tmp_path: Path,
    method: str,
    body: str,
    words: str,
) -> None:
    plugin_folder.all.clear()
    # The class gets the broken method in place of its own.
    broken = f"DotsType.{method} = lambda self, data, provenance, suffix, options: {body}\n"
    plugin_folder.add(
        DOTS.replace("class Dotter(", f"{broken}\n\nclass Dotter("), distribution="bad-dots"
    )
    combine = ("--combine",) if method == "combine" else ()
    target = tmp_path / "a.dots"
    result = muniment("generate", "dotter", "twice" if combine else "x", *combine, "-o", target)
    assert result.code == 1
    assert f"{method}() of media type 'dots' of bad-dots" in result.err
    assert words in result.err
    assert list(tmp_path.glob("*.dots")) == []


def test_a_file_of_a_lossy_format_may_have_another_fingerprint(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.all.clear()
    source = DOTS.replace('{"dots": list(data[4:]), ', '{"dots": [1], ')
    plugin_folder.add(source)
    target = tmp_path / "a.json"
    assert muniment("generate", "dotter", "x", "-o", target).code == 1
    assert not target.exists()
    plugin_folder.all.clear()
    lossy = "    lossy_suffixes = ('.json',)\n\n    class Export("
    plugin_folder.add(source.replace("    class Export(", lossy))
    assert muniment("audit", "get", "last", "-o", target).code == 0
    assert json.loads(target.read_bytes())["dots"] == [1]


def test_a_media_type_without_export_has_no_file_without_bare(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.add(media_type("pass", "('image/png',)", "png"), distribution="no-export")
    refused(muniment("generate", "dots", "x", "-o", tmp_path / "a.png"), "no-export", "--bare")


@pytest.mark.parametrize("name", ["a.json", "a.txt", "a"])
def test_json_that_nobody_registered_is_written_as_recorded(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path, name: str
) -> None:
    plugin_folder.generator(
        "lists",
        "for r in requests: yield r.reply(Output('application/json', b'[1]\\n'))",
        media_type="application/json",
    )
    assert muniment("generate", "lists", "x", "-o", tmp_path / name).code == 0
    assert (tmp_path / name).read_bytes() == b"[1]\n"
    for other in ("a.csv", "a.html"):
        refused(muniment("generate", "lists", "x", "-o", tmp_path / other), other)
    assert muniment("generate", "lists", "x").out == "[1]\n"
    assert "bytes)\n[1]\n" in muniment("audit", "show", "last").out


def test_an_option_of_a_generator_and_of_its_files_is_an_error_that_names_both(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator(
        "scaled",
        "yield",
        media_type="application/x-dots",
        parameters="scale: int = param(1)",
        distribution="test-scaled",
    )
    refused(muniment("generate", "scaled", "x"), "scale", "test-scaled", "test-media")


def test_two_plugins_for_one_type_are_an_error_that_names_both(
    muniment: Here, plugin_folder: PluginFolder, generated: str, tmp_path: Path
) -> None:
    plugin_folder.add(media_type("pass", name="other"), distribution="second-media")
    for command in (["generate", "dotter", "x"], ["audit", "get", "last"]):
        refused(muniment(*command, "-o", tmp_path / "a.dots"), "second-media", "test-media")
    assert muniment("audit", "get", "last", "--bare").code == 0


def test_a_text_on_the_command_line_imports_nothing_of_media_types(processes: Processes) -> None:
    code = (
        "import sys; from muniment.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 'muniment.plugins.media' in sys.modules)"
    )
    for command in (["generate", "echo", "x"], ["audit", "show", "last"], ["audit", "get", "last"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *command],
            env=processes.environment,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr


def test_a_file_of_text_loads_no_plugin(processes: Processes, tmp_path: Path) -> None:
    assert processes("generate", "echo", "x").code == 0
    for plugin in Path(processes.environment["PYTHONPATH"]).glob("shelved_*/__init__.py"):
        plugin.write_text("raise ValueError('it was imported')")
    result = processes("audit", "get", "last", "-o", tmp_path / "a.txt")
    assert (result.code, "imported" in result.err) == (0, False)
    assert "imported" in processes("audit", "get", "last", "--scale", "2").err


# ---- descriptions and comparisons --------------------------------------------------------------


def test_show_prints_the_description_and_on_a_terminal_the_preview(
    muniment: Here, generated: str, processes: Processes
) -> None:
    shown = muniment("audit", "show", "last")
    assert "\noutput (application/x-dots, 7 bytes)\n3 dots\n" in shown.out
    assert "•" not in shown.out
    on_terminal = processes.on_terminal("audit", "show", "last", colour=True)
    assert "\x1b[31m•••\x1b[0m\\x1b]0;title\\x07\x1b[0m\n" in on_terminal.err
    on_terminal = processes.on_terminal("generate", "dotter", "a b", colour=True)
    assert "\x1b[31m•••" in on_terminal.err


def test_a_media_type_that_fails_is_one_note_and_everything_else_is_shown(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    plugin = plugin_folder.add(
        media_type("def describe(self, data): raise ValueError('\\x1b[2J')", "('image/png',)"),
        distribution="bad-png",
    )
    muniment("generate", "dots", "x", "--bare")
    shown = muniment("audit", "show", "last")
    assert shown.code == 0
    [warning] = [line for line in shown.err.splitlines() if line.startswith("Warning: ")]
    assert "bad-png" in warning
    assert f"{plugin.module}/__init__.py:11" in warning
    assert "\x1b" not in shown.err
    assert "output (image/png, 5 bytes)" in shown.out


def test_diff_measures_the_distance_of_outputs(muniment: Here) -> None:
    for seed in "5", "8":
        muniment("generate", "dotter", "a", "--seed", seed, "--json")
    ids = [row[0] for row in muniment("audit", "list").rows]
    result = muniment("audit", "diff", *ids)
    assert "\noutput  largest difference of a dot 3, first at dot 1\n" in result.out
    [value] = muniment("audit", "diff", *ids, "--json").json("differences")
    [output] = value["outputs"]
    assert (output["distance"], output["unit"]) == (3.0, "largest difference of a dot")
    assert output["position"] == "dot 1"


def test_diff_of_json_is_a_diff_of_texts(muniment: Here, plugin_folder: PluginFolder) -> None:
    plugin_folder.generator(
        "lists",
        "for r in requests: yield r.reply(Output('application/json', f'[{r.seed}]'.encode()))",
        media_type="application/json",
    )
    for seed in "1", "2":
        muniment("generate", "lists", "x", "--seed", seed)
    ids = [row[0] for row in muniment("audit", "list").rows]
    assert "[[-2-]{+1+}]" in muniment("audit", "diff", *ids).out


def test_a_replay_that_diverged_has_the_distance_and_stays_diverged(muniment: Here) -> None:
    muniment("generate", "dotter", "drift", "--seed", "5", "--bare")
    result = muniment("audit", "replay", "last")
    assert result.code == 4
    assert "output 1 differs from byte 7 on; largest difference of a dot" in result.out
    [value] = muniment("audit", "replay", "last", "--json").json("replay")
    assert (value["result"], value["position"]) == ("diverged", "dot 3")
    assert value["distance"] > 0
    muniment("generate", "dotter", "a", "--bare")
    [value] = muniment("audit", "replay", "last", "--json").json("replay")
    assert (value["result"], value["distance"], value["unit"]) == ("exact", None, None)
    assert (
        "largest difference" in muniment("audit", "show", muniment("audit", "list").rows[1][0]).out
    )


def test_a_comparison_that_fails_leaves_the_bytes(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.add(
        media_type("def compare(self, recorded, again): return 'far'", "('image/png',)"),
        distribution="bad-png",
    )
    for seed in "5", "8":
        muniment("generate", "dots", "x", "--seed", seed, "--bare")
    ids = [row[0] for row in muniment("audit", "list").rows]
    result = muniment("audit", "diff", *ids, "--json")
    [value] = result.json("differences")
    assert (value["same"], value["outputs"][0]["distance"]) == (False, None)
    assert "bad-png" in result.err


UNKNOWN = "01M8JAX4EZFQ9APBTYN78F8QCV"

READER = """
import muniment

class Reader(muniment.Generator):
    name, media_type, determinism = "reader", "text/plain", "exact"
    inputs = (muniment.InputSpec("note", ("text/plain",)),)

    def generate(self, requests):
        for request in requests:
            yield request.reply(muniment.Text("read"))

@muniment.hookimpl
def muniment_generators(register):
    register(Reader)
"""

UNHANDLED = """
import muniment

class Blob(muniment.Generator):
    name, media_type, determinism = "blob", "application/x-blob", "exact"

    def generate(self, requests):
        for request in requests:
            yield request.reply(muniment.Output("application/x-blob", b"\\xff\\x00blob"))

@muniment.hookimpl
def muniment_generators(register):
    register(Blob)
"""


# ---- finding -----------------------------------------------------------------------------------


@pytest.fixture
def file(muniment: Here, generated: str, tmp_path: Path) -> Path:
    """An exported file of the recorded generation."""
    path = tmp_path / "exported.dots"
    assert muniment("audit", "get", "last", "-o", path).code == 0
    return path


def test_find_shows_the_generation_of_a_file(muniment: Here, generated: str, file: Path) -> None:
    muniment("generate", "dotter", "another", "--seed", "9", "--json")
    found = muniment("audit", "find", file)
    shown = muniment("audit", "show", generated)
    assert (found.code, found.err) == (0, shown.err)
    role = "file       an output of the generation, with the same content by its fingerprint\n"
    assert (found.out.replace(role, ""), found.out.count(role)) == (shown.out, 1)
    assert found.fields["id"] == [generated]
    [value] = muniment("audit", "find", file, "--json").json("generation")
    assert value["id"] == generated
    expected = {"input": None, "same_content": True, "stamp": generated, "others": []}
    assert value["file"] == expected


@pytest.mark.parametrize("content", [b"DOTS\x07\x02\x32", b"DOTS\x07\x02\x32|", b"json"])
def test_find_recognises_the_content_without_the_id(
    muniment: Here, generated: str, file: Path, content: bytes
) -> None:
    again = b'{"dots": [7, 2, 50], "from": null}'
    file.write_bytes(again if content == b"json" else content)
    found = muniment("audit", "find", file, "--json")
    assert [value["id"] for value in found.json("generation")] == [generated]
    assert found.err == ""
    identical = content == b"DOTS\x07\x02\x32"
    assert ("with identical bytes" in muniment("audit", "find", file).out) == identical


def test_a_long_description_and_a_long_id_are_cut(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.generator(
        "pictures",
        "for r in requests: yield r.reply(Output('image/png', b'\\x89PNG\\xff'))",
        media_type="image/png",
    )
    methods = """
def matches(self, data): return data.startswith(b'\\x89PNG')
def describe(self, data): return 'd' * 100_000
def read_provenance(self, data): return '{"format": "' + 's' * 100_000 + '"}'
"""
    plugin_folder.add(media_type(methods, "('image/png',)", "png"), distribution="long-media")
    file = tmp_path / "a.png"
    assert muniment("generate", "pictures", "x", "--bare", "-o", file).code == 0
    assert len(muniment("audit", "show", "last").out) < 10_000
    found = muniment("audit", "find", file)
    assert found.code == 0
    assert "the provenance has the format 'sss" in found.err
    assert len(found.out + found.err) < 10_000


def test_find_tells_an_id_from_the_content(muniment: Here, generated: str, file: Path) -> None:
    file.write_bytes(with_id(b"DOTS\x07\x02\x33", generated))
    found = muniment("audit", "find", file, "--json")
    assert found.json("generation")[0]["id"] == generated
    assert found.json("generation")[0]["file"]["same_content"] is False
    assert "but another content" in muniment("audit", "find", file).out
    assert "its content is not the recorded output" in found.err
    assert found.code == 4
    repeated = muniment("generate", "dotter", "--like", file)
    assert (repeated.code, repeated.out) == (2, "")
    assert generated in repeated.err
    muniment("generate", "dotter", "another", "--seed", "9", "--json")
    other = muniment("audit", "list").rows[0][0]
    file.write_bytes(with_id(b"DOTS\x07\x02\x32", other))
    found = muniment("audit", "find", file, "--json")
    assert found.json("generation")[0]["id"] == generated
    assert f"contains the id {other}" in found.err


def test_generate_like_takes_an_exported_file(muniment: Here, generated: str, file: Path) -> None:
    for arguments in (["--like", file], ["dotter", "--like", file]):
        result = muniment("generate", *arguments, "--seed", "8", "--json")
        [value] = result.json("generation")
        assert (value["prompt"], value["seed"], value["parents"]) == ("a b", "8", [generated])
    file.write_text("no dots")
    unknown = muniment("generate", "--like", file)
    assert (unknown.code, unknown.out) == (1, "")
    assert "is text" in unknown.err


def test_find_names_other_generations_with_the_same_content(
    muniment: Here, generated: str, file: Path
) -> None:
    muniment("generate", "dotter", "a b", "--seed", "7", "--json")
    newest = muniment("audit", "list").rows[0][0]
    found = muniment("audit", "find", file, "--json")
    assert found.json("generation")[0]["id"] == generated
    assert f"1 other generation with the same content, the newest {newest}" in found.err
    file.write_bytes(b"DOTS\x07\x02\x32")
    assert muniment("audit", "find", file, "--json").json("generation")[0]["id"] == newest


def test_find_says_that_a_file_was_an_input(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.add(READER)
    file = tmp_path / "note.txt"
    file.write_text("notes of a meeting")
    ids = []
    for _ in range(2):
        done = muniment("generate", "reader", "a", "--input", f"note={file}", "--json")
        ids.append(done.json("generation")[0]["id"])
    found = muniment("audit", "find", file, "--json")
    [value] = found.json("generation")
    assert (found.code, value["id"]) == (0, ids[1])
    expected = {"input": "note", "same_content": True, "stamp": None, "others": [ids[0]]}
    assert value["file"] == expected
    found = muniment("audit", "find", file)
    assert found.fields["file"] == ["an input of the generation, note"]
    refused(muniment("generate", "--like", file), "as the input note", ids[1])
    assert muniment("audit", "erase", ids[0], ids[1], "--yes").code == 0
    assert muniment("audit", "find", file).code == 1


def test_find_knows_an_output_whose_media_type_no_plugin_handled(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.add(UNHANDLED)
    done = muniment("generate", "blob", "a", "--json").json("generation")[0]
    file = tmp_path / "file"
    assert muniment("audit", "get", "last", "--bare", "-o", file).code == 0
    [value] = muniment("audit", "find", file, "--json").json("generation")
    assert (value["id"], value["file"]["input"]) == (done["id"], None)


def test_find_of_an_erased_generation_needs_the_id(
    muniment: Here, generated: str, file: Path
) -> None:
    assert muniment("audit", "erase", generated, "--yes").code == 0
    found = muniment("audit", "find", file)
    assert "cannot be compared" in found.err
    assert "a content that cannot be compared" in found.out
    assert found.code == 4
    file.write_bytes(b"DOTS\x07\x02\x32")
    assert muniment("audit", "find", file).code == 1
    assert muniment("audit", "verify", "--all").code == 0


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"DOTS\x08\x08", 1, "no output in this store has the fingerprint of"),
        (with_id(b"DOTS\x08", UNKNOWN), 1, f"contains the id {UNKNOWN}"),
        ("最近".encode(), 1, "no output or input in this store has the bytes of"),
        ("最近".encode(), 1, "is text; `muniment audit search` finds"),
        (b"\xff\xfe", 1, "no installed plugin recognises the content of"),
        (b"a\0b", 1, "no installed plugin recognises the content of"),
        (b"", 2, "is empty"),
        (None, 2, "cannot read"),
    ],
)
def test_find_of_an_unknown_file_is_one_sentence(
    muniment: Here, generated: str, tmp_path: Path, content: bytes | None, code: int, words: str
) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    for target in [path, *([tmp_path] if content is None else [])]:
        found = muniment("audit", "find", target)
        assert (found.code, found.out, found.err.count("\n")) == (code, "", 1)
        assert words in found.err


def test_find_does_not_read_a_file_that_is_larger_than_any_content(
    muniment: Here, generated: str, tmp_path: Path
) -> None:
    file = tmp_path / "large"
    with file.open("wb") as sparse:
        sparse.truncate(2**40)
    for command in (("audit", "find"), ("generate", "--like")):
        result = muniment(*command, file)
        assert (result.code, result.out) == (1, "")
        assert "no output or input in this store has the bytes of" in result.err


def test_find_needs_no_plugin_to_verify_and_rebuild(
    muniment: Here, generated: str, file: Path, plugin_folder: PluginFolder
) -> None:
    plugins, plugin_folder.all[:] = list(plugin_folder.all), []
    assert muniment("audit", "find", file).code == 1
    assert muniment("audit", "verify", "--all").code == 0
    assert muniment("db", "rebuild").code == 0
    plugin_folder.all[:] = plugins
    assert muniment("audit", "find", file).code == 0


def test_doctor_and_show_know_media_types(
    processes: Processes, plugin_folder: PluginFolder
) -> None:
    shown = processes("plugins", "show", "test-media")
    assert "media_type dots application/x-dots" in shown.out
    assert processes("plugins", "doctor", "test-media").code == 0
    plugin_folder.add(media_type("pass", name="other"), distribution="second-media")
    sick = processes("plugins", "doctor", "second-media")
    assert (sick.code, "test-media handles outputs of application/x-dots, too" in sick.out) == (
        *(1, True),
    )


def test_the_commands_that_read_can_isolate_media_types(
    processes: Processes, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    for seed in "5", "8":
        assert processes("generate", "dotter", "a", "--seed", seed, "--json").code == 0
    module = plugin_folder.all[-1].module
    target = tmp_path / "a.json"
    ids = [row[0] for row in processes("audit", "list").rows]
    code = (
        "import sys; from muniment.cli import main; code = main(sys.argv[1:]); "
        f"sys.exit(code or {module!r} in sys.modules)"
    )
    for command in (
        ["show", "last"],
        ["get", "last", "-o", target, "--scale", "2"],
        ["find", target],
        ["diff", *ids],
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, "audit", *command, "--isolate"],
            env=processes.environment,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
    assert json.loads(target.read_text())["scale"] == 2


def test_an_output_that_no_filter_read_is_noted_and_shown(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.filter("polite", "return content.allow()")
    policy = tmp_path / "team.yaml"
    policy.write_text('policy: team\nversion: "1"\nfilters: [{filter: polite}]\n')
    sentence = "no filter read the output: application/x-dots"
    plugin_folder.generator(
        "binary",
        "for r in requests: yield r.reply(Output('application/x-dots', b'DOTS\\xff'))",
        media_type="application/x-dots",
    )
    made = muniment(
        *"generate binary x -n 3".split(), "--policy", policy, "-o", tmp_path / "a.dots"
    )
    assert made.err.count(sentence) == 1
    assert sentence in muniment("audit", "show", "last").out
    (record,) = muniment("audit", "show", "last", "--json").json("generation")
    assert record["unread"] == ["output: application/x-dots"]
    assert "no filter" not in muniment("generate", "binary", "x", "-o", tmp_path / "b.dots").err
    prompts = tmp_path / "prompts.yaml"
    rules = "[{filter: polite, stages: [prompt]}]"
    prompts.write_text(f'policy: prompts\nversion: "1"\nfilters: {rules}\n')
    made = muniment("generate", "binary", "x", "--policy", prompts, "-o", tmp_path / "d.dots")
    assert (made.code, "no filter" in made.err) == (0, False)
    assert "no filter" not in muniment("audit", "show", "last").out
    policy.write_text(policy.read_text() + "unread: block\n")
    refused = muniment("generate", "binary", "x", "--policy", policy, "-o", tmp_path / "c.dots")
    assert refused.code == 3
    assert "reads application/x-dots" in refused.err
    assert not (tmp_path / "c.dots").exists()
