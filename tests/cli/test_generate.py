"""`muniment generate`: what it prints where, its options, files, samples and exit codes."""

from __future__ import annotations

import os
import re
import shlex
from hashlib import sha256
from pathlib import Path

import pytest

from muniment.plugins import discovery
from support.commands import Here
from support.plugins import PluginFolder


def test_text_goes_to_stdout_and_what_became_of_it_to_stderr(muniment: Here) -> None:
    result = muniment("generate", "echo", "最近我国 成功发射了", "--seed", "7")
    assert result.code == 0
    assert result.out == "最近我国 成功发射了\n"
    assert re.fullmatch(r"[0-9A-Z]{26}  completed · seed 7 · 2 tokens in \d\.\d s\n", result.err)


def test_the_status_on_a_narrow_terminal_is_divided_between_its_parts(muniment: Here) -> None:
    shown = muniment.on_terminal("generate", "echo", "hi there", "--seed", str(2**64 - 1), width=44)
    [first, *others] = shown.lines[-3:]
    assert re.fullmatch(r"….{8}  completed", first.rstrip())
    assert [re.sub(r"\d\.\d", "1.5", line) for line in others] == [
        " " * 11 + "· seed 18446744073709551615",
        " " * 11 + "· 2 tokens in 1.5 s",
    ]


def test_json_is_the_documented_object(muniment: Here) -> None:
    result = muniment(
        *("generate", "echo", "hi there", "--seed", "18446744073709551615", "--times", "2"),
        *("--tag", "a", "--tag", "b", "--system", "be kind", "--json"),
    )
    (value,) = result.json("generation")
    assert result.code == 0
    assert result.err == ""
    assert value["seed"] == "18446744073709551615"
    assert value["parameters"]["times"] == 2
    assert value["tags"] == ["a", "b"]
    assert value["system"] == "be kind"
    assert value["actor"] == "小明"
    assert value["outputs"][0]["text"] == "hi there hi there"
    assert value["outputs"][0]["finish_reason"] == "stop"
    assert [plugin["distribution"] for plugin in value["plugins"]] == ["muniment", "test-echo"]


def test_json_shows_chinese_as_it_is(muniment: Here) -> None:
    assert "最近我国" in muniment("generate", "echo", "最近我国", "--json").out


def test_options_come_from_the_generators_parameters(muniment: Here) -> None:
    help_ = " ".join(muniment("generate", "echo", "--help").out.split())
    assert "--times N How often to say it [1 to 10, default: 1]" in help_
    assert "--warmth X How warm [at least 0, default: 0.5]" in help_
    assert "--loud / --no-loud Whether to shout [default: false]" in help_
    assert "--mood [happy|sad] The mood [default: happy]" in help_
    assert "--stop-words TEXT Words to stop at [may be repeated]" in help_


def test_parameters_of_every_type_arrive(muniment: Here) -> None:
    result = muniment(
        *("generate", "echo", "x", "--times", "3", "--warmth", "0.25", "--loud", "--mood", "sad"),
        *("--stop-words", "a", "--stop-words", "b", "--json"),
    )
    assert result.json("generation")[0]["parameters"] == {
        "times": 3,
        "warmth": 0.25,
        "loud": True,
        "mood": "sad",
        "stop_words": ["a", "b"],
    }


@pytest.mark.parametrize("arguments", [["--warmth", "-0.0"], ["-p", "warmth=-0"]], ids=str)
def test_minus_zero_is_zero(muniment: Here, arguments: list[str]) -> None:
    result = muniment("generate", "echo", "x", *arguments, "--json")
    assert str(result.json("generation")[0]["parameters"]["warmth"]) in ("0", "0.0")


def test_p_sets_parameters_as_the_options_do(muniment: Here) -> None:
    result = muniment(
        *("generate", "echo", "x", "-p", "times=3", "-p", "stop-words=a", "-p", "stop-words=b=c"),
        *("-p", "loud=true", "--json"),
    )
    given = result.json("generation")[0]["parameters"]
    assert (given["times"], given["loud"], given["stop_words"]) == (3, True, ["a", "b=c"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--times", "11"], "times must be a whole number from 1 to 10, not '11'"),
        (["-p", "times=0"], "times must be a whole number from 1 to 10, not '0'"),
        (["-p", "warmth=nan"], "warmth must be a number of at least 0, not 'nan'"),
        (["-p", "tims=1"], "no parameter named 'tims' (did you mean times?)"),
        (["-p", "times"], "'times' is not of the form key=value"),
        (["-p", "times=2", "--times", "2"], "times is set twice, by --times and by -p"),
        (["-p", "times=2", "-p", "times=3"], "-p times is given twice; remove one"),
        (["-p", "times=2", "-p", "times=2"], "-p times is given twice; remove one"),
        (["--mood", "angry"], "'angry' is not one of 'happy', 'sad'"),
        (["--seed", "-1"], "seed -1 is not a whole number from 0 to 18446744073709551615"),
        (["--seed", "18446744073709551616"], "seed 18446744073709551616 is not a whole number"),
        (["--seed", "1.5"], "seed 1.5 is not a whole number"),
        (["-n", "0"], "0 is not in the range from 1 to 10000"),
        (["-m", "gemma"], "generator echo does not use a model"),
        (["--tims", "2"], "Did you mean '--times'?"),
        (["--policy", "nowhere.yaml"], "no policy named 'nowhere.yaml'; available: default, none"),
        (["--policy", "nowhere"], "no policy named 'nowhere'"),
        (["--tag", ""], "the tag is empty"),
        (["--tag", "a\nb"], r"the tag contains the control character '\n'"),
        (["--actor", "a\x1b[1m"], r"the actor's name contains the control character '\x1b'"),
        (["-m", ""], "the model's name is empty"),
        (["--tag", "a\0"], "the tag contains a NUL character"),
        (["--system", "a\0"], "the system prompt contains a NUL character"),
        (["--actor", "a\0"], "the actor's name contains a NUL character"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence_and_exit_code_2_and_makes_nothing(
    muniment: Here, home: Path, arguments: list[str], sentence: str
) -> None:
    result = muniment("generate", "echo", "x", *arguments)
    assert result.code == 2
    assert result.out == ""
    assert result.err.startswith("Error: ")
    assert sentence in result.err
    assert result.err.count("\n") == 1
    assert [path.name for path in home.iterdir()] == ["config.toml"]


def test_an_unknown_generator_is_answered_with_those_there_are(muniment: Here) -> None:
    result = muniment("generate", "ecko", "x")
    assert result.code == 2
    assert "no generator named 'ecko' (did you mean echo?)" in result.err


def test_without_any_generator_the_sentence_says_so(
    muniment: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.plugins.discovery.installed_plugins", lambda: iter(()))
    result = muniment("generate", "poem", "x")
    assert result.code == 2
    assert "no plugin with a generator is installed" in result.err
    for shown in (result.err, muniment("generate", "--help").out):
        assert "install muniment-text`" in " ".join(shown.split())


@pytest.fixture
def installed(muniment: Here, plugin_folder: PluginFolder) -> PluginFolder:
    """The folder of the only installed plugins, still empty."""
    plugin_folder.all.clear()
    return plugin_folder


@pytest.mark.parametrize(
    ("name", "distribution"),
    [
        ("text", "muniment-text"),
        ("image", "muniment-image"),
        ("diffusers", "muniment-image"),
        ("recommendation", "muniment-recommendation"),
        ("list", "muniment-recommendation"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_a_kind_whose_plugin_is_missing_is_answered_with_the_command_that_installs_it(
    muniment: Here, monkeypatch: pytest.MonkeyPatch, name: str, distribution: str
) -> None:
    result = muniment("generate", name, "x")
    assert (result.code, result.out) == (2, "")
    assert f"`pip install {distribution}`" in result.err
    install = discovery.PluginCommand("Muniment_Installer", "1", "plugins.install", "module")
    monkeypatch.setattr("muniment.plugins.discovery.installed_commands", lambda: [install])
    assert f"`muniment plugins install {distribution}`" in muniment("generate", name, "x").err


def test_errors_and_help_list_the_same_names_without_the_kind_application(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator(
        "rows",
        "for r in requests: yield r.reply(Output('application/vnd.rows+json', b'[]'))",
        media_type="application/vnd.rows+json",
        distribution="test-rows",
    )
    names = "image, text, dots, echo, rows"
    for command in (
        ("generate", "application", "x"),
        ("generate", "zzz", "x"),
        ("models", "add", "x", "--generator", "zzz"),
        ("models", "add", "x", "--generator", "application"),
    ):
        refused = muniment(*command)
        listed = re.search(r"available: ([^;\n]*)", refused.err)
        assert listed is not None, refused.err
        assert sorted(listed[1].split(", ")) == sorted(names.split(", "))
    rows = muniment("generate", "--help").out.partition("media kinds:")[2].split("\n")
    assert [row.split()[0] for row in rows if row.strip()] == names.split(", ")
    assert muniment("generate", "rows", "x").code == 0


@pytest.mark.parametrize("kind", ["audio", "Speech", "video", "3d", "json"])
def test_a_kind_that_no_plugin_makes_is_answered_with_the_command_for_a_new_plugin(
    muniment: Here, tmp_path: Path, kind: str
) -> None:
    result = muniment("generate", kind, "x")
    assert (result.code, f"no generator named '{kind}'" in result.err) == (2, True)
    assert "docs/" not in result.err
    (command,) = re.findall("`muniment (plugins new [^`]*)`", result.err)
    made = muniment(*command.replace("NAME", "muniment-new").split(), "--into", str(tmp_path))
    assert made.code == 0


def test_a_kind_of_a_disabled_plugin_is_answered_with_the_command_that_enables_it(
    muniment: Here, installed: PluginFolder
) -> None:
    for distribution in ("muniment-image", "muniment-analysis"):
        installed.add("", distribution=distribution)
        assert muniment("plugins", "disable", distribution).code == 0
    result = muniment("generate", "image", "x")
    assert result.code == 2
    assert "`muniment plugins enable muniment-image`" in result.err
    assert "muniment-analysis" not in result.err


def test_a_kind_of_a_broken_plugin_is_answered_with_the_reason_and_the_check(
    muniment: Here, installed: PluginFolder
) -> None:
    installed.add("raise OSError('no disk')", distribution="muniment-image")
    result = muniment("generate", "image", "x")
    assert result.code == 2
    assert "OSError: no disk" in result.err
    assert "`muniment plugins doctor`" in result.err


def test_another_word_for_a_kind_is_answered_with_its_generator(
    muniment: Here, installed: PluginFolder
) -> None:
    installed.filter("harmless", "return Verdict('allow')", distribution="muniment-recommendation")
    result = muniment("generate", "list", "x")
    assert (result.code, "`muniment generate recommendation`" in result.err) == (2, True)
    result = muniment("generate", "recommendation", "x")
    assert (result.code, "upgrade muniment-recommendation" in result.err) == (2, True)


def test_help_lists_what_can_be_generated(muniment: Here) -> None:
    result = muniment("generate", "--help")
    assert result.code == 0
    assert "image  the generator dots" in result.out
    assert "echo   text/plain, by test-echo" in result.out


def test_a_kind_of_media_stands_for_its_only_generator(muniment: Here) -> None:
    assert muniment("generate", "text", "hi", "--json").json("generation")[0]["generator"] == "echo"


def test_of_two_generators_the_settings_choose(muniment: Here, plugin_folder: PluginFolder) -> None:
    plugin_folder.generator("other", "for r in requests: yield r.reply(Text('other'))")
    result = muniment("generate", "text", "hi")
    assert result.code == 2
    assert "could be echo or other" in result.err
    assert "2 generators; `muniment config set" in " ".join(
        muniment("generate", "--help").out.split()
    )
    assert muniment("config", "set", "generator.text", "other").code == 0
    assert muniment("generate", "text", "hi").out == "other\n"


def test_a_broken_plugin_is_one_line_and_the_rest_works(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.add("raise RuntimeError('first line\\nsecond line')", distribution="test-broken")
    result = muniment("generate", "echo", "hi")
    assert result.code == 0
    warning, status = result.err.splitlines()
    told, _, place = warning.partition(" (")
    assert told == "Warning: plugin test-broken cannot be loaded: RuntimeError: first line"
    assert "__init__.py:" in place
    assert "completed" in status
    assert "test-broken" not in muniment("audit", "list").err
    assert "test-broken" not in muniment("--help").err


def test_a_generator_whose_plugin_is_broken_is_an_error_that_says_so(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.add("raise RuntimeError('no luck')", distribution="test-broken")
    result = muniment("generate", "lucky", "hi")
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert "no luck" in line


def test_another_text_of_a_recorded_policy_version_is_named(muniment: Here, tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text('policy: team\nversion: "1"\nfilters: []\n')
    second.write_text('policy: team\nversion: "1"\nfilters: []\n# changed\n')
    warning = "Warning: policy team@1 is recorded with another text"
    for policy, warned in [(first, False), (first, False), (second, True), (second, False)]:
        result = muniment("generate", "echo", "hi", "--policy", policy)
        assert (result.code, warning in result.err) == (0, warned)
    digest = sha256(second.read_bytes()).hexdigest()
    assert digest in muniment("audit", "show", "last", "--full").out
    assert digest not in muniment("audit", "show", "last").out
    assert len(muniment("audit", "list", "--policy", digest).rows) == 2


def test_the_prompt_can_come_from_standard_input(muniment: Here) -> None:
    result = muniment(
        "generate",
        "echo",
        "-",
        stdin="\ufeff卫星 发射\r\n".encode(),
    )
    assert result.out == "卫星 发射\n"


@pytest.mark.parametrize(
    ("stdin", "sentence"),
    [
        (b"abc\xff", "standard input is not valid UTF-8 (at byte 4)"),
        (b"abc\0", "the prompt contains a NUL character (at character 4)"),
    ],
)
def test_a_prompt_that_is_no_text_is_refused(muniment: Here, stdin: bytes, sentence: str) -> None:
    result = muniment("generate", "echo", "-", stdin=stdin)
    assert result.code == 2
    assert sentence in result.err
    assert result.err.count("\n") == 1


def test_an_argument_that_is_not_utf8_is_refused(muniment: Here) -> None:
    result = muniment("generate", "echo", "caf\udce9")
    assert result.code == 2
    assert "argument 3 is not valid UTF-8" in result.err


def test_a_prompt_without_a_text_is_a_usage_error(muniment: Here) -> None:
    for prompt, stdin in (("", b""), (" \t", b""), ("-", b""), ("-", b"\n \n")):
        result = muniment("generate", "echo", prompt, "--json", stdin=stdin)
        assert (result.code, result.out) == (2, "")
        assert "echo needs a prompt" in result.err


def test_an_unknown_option_that_may_be_a_prompt_has_a_hint(muniment: Here) -> None:
    refused = muniment("generate", "echo", "-2+3")
    assert refused.code == 2
    assert "'-2'; write a prompt that begins with a hyphen last, after --. Try" in refused.err
    similar = muniment("generate", "echo", "--sed", "7", "x")
    assert "--seed" in similar.err
    assert "hyphen" not in similar.err
    other = muniment("audit", "list", "-2")
    assert other.code == 2
    assert "hyphen" not in other.err


@pytest.mark.parametrize(
    ("arguments", "problem", "remedy"),
    [
        (["--", "-负数", "--times", "2"], "--times stands after --", "--times 2 -- '-负数'"),
        (["--seed", "5", "--", "-x", "--times=2"], "--times=2 stands", "--seed 5 --times=2 -- -x"),
        (["--", "-a", "-b"], "2 arguments", "-- '-a -b'"),
        (["a", "b", "--", "--seed"], "3 arguments", "'a b --seed'"),
        (["one", "two", "--seed", "3"], "2 arguments", "'one two'"),
    ],
)
def test_generate_several_prompts_name_a_command_that_works(
    muniment: Here, arguments: list[str], problem: str, remedy: str
) -> None:
    refused = muniment("generate", "echo", *arguments)
    assert refused.code == 2
    assert problem in refused.err
    command = f"muniment generate echo {remedy}"
    assert f"`{command}`" in refused.err
    assert muniment(*shlex.split(command)[1:]).code == 0


def test_a_prompt_may_begin_with_a_hyphen_after_two(muniment: Here) -> None:
    assert muniment("generate", "echo", "--", "--home").out == "--home\n"


def test_a_blocked_prompt_exits_with_3_and_says_why(muniment: Here, policy_file: Path) -> None:
    result = muniment("generate", "echo", "a bomb", "--policy", policy_file)
    assert result.code == 3
    assert result.out == ""
    sentence, status = result.err.splitlines()
    assert sentence == (
        "Blocked: filter words blocked the prompt for weapons (says bomb) (policy team@3)"
    )
    assert "  blocked · seed " in status
    assert " · 1 rule blocked · " in status


def test_nothing_of_a_blocked_output_is_shown(muniment: Here, policy_file: Path) -> None:
    for extra in ([], ["--json"], ["--stream"]):
        result = muniment("generate", "echo", "a leak", "--policy", policy_file, *extra)
        assert result.code == 3
        assert "secret" not in result.out + result.err
        assert "blocked the output for weapons (policy team@3)" in result.err
    (value,) = muniment("generate", "echo", "a leak", "--policy", policy_file, "--json").json(
        "generation"
    )
    assert value["outputs"] == []


def test_what_was_flagged_passes_and_the_status_says_so(muniment: Here, policy_file: Path) -> None:
    result = muniment("generate", "echo", "darn it", "--policy", policy_file)
    assert result.code == 0
    assert "1 rule flagged" in result.err
    assert "1 rule passed" in muniment("generate", "echo", "hi", "--policy", policy_file).err


def test_the_status_counts_the_rules_of_the_policy_not_the_names_of_filters(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.filter("kind", "return content.allow()")
    policy = tmp_path / "p.yaml"
    policy.write_text(
        """
        policy: p
        version: "1"
        filters:
          - {filter: words, parameters: {}}
          - {filter: kind}
          - {filter: words, mode: observe, parameters: {}}
          - {filter: words, stages: [prompt], mode: observe, parameters: {}}
        """
    )
    for prompt, system, counted in [
        ("hi", [], "4 rules passed"),
        ("hi", ["--system", "be good"], "4 rules passed"),
        ("darn", [], "1 rule passed · 2 rules would flag · 1 rule flagged"),
        ("a leak", [], "2 rules passed · 1 rule would block · 1 rule blocked"),
    ]:
        result = muniment("generate", "echo", prompt, *system, "--policy", policy)
        assert f" · {counted} · " in result.err


@pytest.mark.parametrize(("prompt", "verb"), [("darn", "flag"), ("a bomb", "block")])
def test_a_rule_that_only_observes_is_counted_by_what_it_would_have_done(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path, prompt: str, verb: str
) -> None:
    plugin_folder.filter("kind", "return content.allow()")
    policy = tmp_path / "p.yaml"
    policy.write_text(
        """
        policy: p
        version: "1"
        filters: [{filter: words, mode: observe, parameters: {}}, {filter: kind}]
        """
    )
    counted = f"1 rule passed · 1 rule would {verb}"
    result = muniment("generate", "echo", prompt, "--policy", policy)
    assert (result.code, f" · {counted} · " in result.err) == (0, True)
    shown = muniment("audit", "show", "last").fields["decision"]
    assert shown[0].splitlines()[0] == f"allowed · {counted}"


def test_a_filter_that_fails_blocks_and_says_so(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.filter("shaky", "raise ValueError('ouch')")
    (tmp_path / "p.yaml").write_text('policy: p\nversion: "1"\nfilters: [{filter: shaky}]\n')
    result = muniment("generate", "echo", "hi", "--policy", tmp_path / "p.yaml")
    assert result.code == 3
    assert "the prompt could not be checked: filter shaky failed: ValueError: ouch" in result.err


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("fail", "Error: it cannot be met"),
        ("raise", "Error: generator echo failed: RuntimeError: the echo broke"),
    ],
)
def test_a_failed_generation_exits_with_1_and_is_on_record(
    muniment: Here, prompt: str, sentence: str
) -> None:
    result = muniment("generate", "echo", prompt)
    assert result.code == 1
    assert result.err.splitlines()[0].partition(" (")[0] == sentence
    assert muniment("audit", "list", "--status", "failed").rows[0][-1] == prompt


def test_samples_are_told_apart_and_have_seeds_of_their_own(muniment: Here) -> None:
    result = muniment("generate", "echo", "hi", "-n", "3", "--seed", "5")
    assert result.out == "--- 1 of 3 ---\nhi\n--- 2 of 3 ---\nhi\n--- 3 of 3 ---\nhi\n"
    values = muniment("generate", "echo", "hi", "-n", "3", "--seed", "5", "--json").json(
        "generation"
    )
    assert values[0]["seed"] == "5"
    assert len({value["seed"] for value in values}) == 3
    assert len({value["run_id"] for value in values}) == 1


def test_o_writes_the_bytes_and_never_over_a_file(muniment: Here, tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    result = muniment("generate", "dots", "x", "--seed", "65", "-o", target, "--bare")
    assert (result.code, result.out) == (0, "")
    assert target.read_bytes() == b"\x89PNGA"
    assert f"wrote {target} (image/png, 5 bytes)" in result.err
    refused = muniment("generate", "dots", "x", "-o", target, "--bare")
    assert refused.code == 2
    assert "already exists" in refused.err
    again = ("--seed", "66", "-o", target, "--bare", "--overwrite")
    assert muniment("generate", "dots", "x", *again).code == 0
    assert target.read_bytes() == b"\x89PNGB"
    assert len(muniment("audit", "list").lines) == 2


def test_o_numbers_the_files_of_several_samples(muniment: Here, tmp_path: Path) -> None:
    (tmp_path / "out-2.txt").touch()
    target = tmp_path / "out.txt"
    assert muniment("generate", "echo", "hi", "-n", "2", "-o", target).code == 2
    (tmp_path / "out-2.txt").unlink()
    assert muniment("generate", "echo", "hi", "-n", "2", "-o", target).code == 0
    assert (tmp_path / "out-1.txt").read_bytes() == b"hi"
    assert (tmp_path / "out-2.txt").read_bytes() == b"hi"
    assert not target.exists()


def test_o_with_a_hyphen_is_standard_output_to_the_byte(muniment: Here) -> None:
    assert muniment("generate", "echo", "hi", "-o", "-").out == "hi"


def test_a_device_or_pipe_is_written_to_and_never_replaced(muniment: Here, tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        for options in ([], ["--overwrite"], ["-n", "2"]):
            for target in (pipe, link):
                result = muniment("generate", "echo", "hi", "-o", target, *options)
                assert result.code == 0, result.err
                assert os.read(reader, 99) == b"hi" * (2 if "-n" in options else 1)
        assert pipe.is_fifo()
        assert link.is_symlink()
        assert sorted(tmp_path.glob("*")) == sorted([link, pipe, *tmp_path.glob("[hs]*")])
    finally:
        os.close(reader)
    assert muniment("generate", "echo", "hi", "-o", "/dev/null", "--overwrite").code == 0
    assert Path("/dev/null").is_char_device()


def test_a_link_is_followed_not_replaced(muniment: Here, tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    assert muniment("generate", "echo", "hi", "-o", tmp_path / "link.txt").code == 2
    assert muniment("generate", "echo", "hi", "-o", tmp_path / "link.txt", "--overwrite").code == 0
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "hi"


def test_o_where_no_file_can_be_is_said_before_anything_is_generated(
    muniment: Here, tmp_path: Path
) -> None:
    for target, sentence in {
        tmp_path / "no" / "out.txt": "does not exist",
        tmp_path: "it is a folder",
    }.items():
        result = muniment("generate", "echo", "hi", "-o", target)
        assert result.code == 2
        assert sentence in result.err
    assert not muniment("audit", "list").out


def test_an_option_of_the_generator_that_is_taken_is_reached_by_p_alone(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator(
        "clash",
        "for r in requests: yield r.reply(Text(str(r.parameters.no_stream)))",
        parameters="no_stream: int = param(1)",
    )
    assert muniment("generate", "clash", "x", "-p", "no_stream=2").out == "2\n"


def test_a_parameter_of_one_letter_has_a_short_option_unless_it_is_taken(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator(
        "short",
        "for r in requests: yield r.reply(Text(f'{r.parameters.k} {r.parameters.p}'))",
        parameters="k: int = param(1)\np: int = param(1)",
    )
    assert muniment("generate", "short", "x", "-k", 2, "--p", 3).out == "2 3\n"
    assert muniment("generate", "short", "x", "--k", 2, "-p", "p=4").out == "2 4\n"


def test_pieces_are_shown_as_they_come(muniment: Here, plugin_folder: PluginFolder) -> None:
    plugin_folder.generator(
        "slow",
        """
        for r in requests:
            yield r.chunk("o")
            assert r.stream
            yield r.chunk("ne")
            yield r.reply(Text("one more"))
        """,
    )
    assert muniment("generate", "slow", "x", "--stream").out == "one more\n"
    assert muniment("generate", "slow", "x").code == 1  # not streamed off a terminal


def test_pieces_that_are_not_what_the_answer_became_are_all_that_is_shown_and_recorded(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    body = "for r in requests: yield r.chunk('wro'); yield r.reply(Text('right'))"
    plugin_folder.generator("fickle", body)
    result = muniment("generate", "fickle", "x", "--stream")
    assert (result.code, result.out) == (1, "wro\n")
    assert "does not begin with its chunks" in result.err
    assert muniment("audit", "get", "last").out == "wro"
    assert muniment("generate", "fickle", "x").out == "right\n"


def test_a_failure_after_pieces_starts_a_line_of_its_own(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    body = "for r in requests: yield r.chunk('wro'); yield r.fail('stuck')"
    plugin_folder.generator("stuck", body)
    result = muniment("generate", "stuck", "x", "--stream")
    assert (result.code, result.out) == (1, "wro\n")
    assert result.err.startswith("Error: stuck")
