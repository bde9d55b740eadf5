"""`muniment shell`: prompts on a terminal and from a pipe."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.commands import Here, Processes
from support.plugins import PluginFolder
from support.terminals import terminal
from support.workers import wait_for

SLOW = """
import time
for request in requests:
    if request.stream:
        yield request.chunk("begun")
    time.sleep(60 if "wait" in request.prompt else 0)
    yield request.reply(Text("begun and done", "stop"))
"""


def importing(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the environment with a folder of modules to import."""
    folders = [str(folder), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(folders)}


def prompts(processes: Processes) -> list[tuple[str, str]]:
    """The recorded prompts and their statuses, oldest first."""
    listed = processes("audit", "list", "-n", "0", "--json").json("generation")
    return [(item["prompt"], item["status"]) for item in reversed(listed)]


def test_a_pipe_has_a_prompt_a_line_and_one_run(muniment: Here) -> None:
    result = muniment("shell", "echo", stdin="一 two\n\nthree\r\n".encode())
    assert (result.code, result.out) == (0, "一 two\nthree\n")
    assert "echo>" not in result.err
    (run,) = muniment("audit", "runs", "--json").json("run")
    assert run["counts"]["completed"] == 2


def test_a_pipe_exits_with_the_most_severe_code(muniment: Here, policy_file: Path) -> None:
    def code(*lines: str) -> int:
        stdin = "".join(f"{line}\n" for line in lines).encode()
        return muniment("shell", "echo", "--policy", policy_file, stdin=stdin).code

    assert code("fine") == 0
    assert code("bomb", "fine") == 3
    assert code("fail", "bomb") == 1
    assert code("fine", "/nothing", "fine") == 2


def test_an_unknown_generator_is_not_taken_for_a_prompt(muniment: Here) -> None:
    result = muniment("shell", "nothing")
    assert (result.code, "muniment generate" in result.err) == (2, False)
    assert "echo" in result.err


def test_json_lines_are_generations(muniment: Here) -> None:
    result = muniment("shell", "echo", "--json", "--seed", "7", stdin=b"a\nb\n")
    assert [item["seed"] for item in result.json("generation")] == ["7", "7"]


def test_commands_change_the_following_prompts(muniment: Here) -> None:
    lines = ["/seed 7", "/set times 2", "hello", "/seed random", "/set mood=sad", "//set", "/again"]
    result = muniment("shell", "echo", "--json", stdin="\n".join(lines).encode())
    first, second, third = result.json("generation")
    assert (first["seed"], first["parameters"]["times"]) == ("7", 2)
    assert (second["prompt"], second["parameters"]["mood"]) == ("/set", "sad")
    assert second["seed"] != "7"
    assert (third["prompt"], third["seed"]) == (second["prompt"], second["seed"])
    assert third["parents"] == [second["id"]]


def test_set_alone_lists_parameters_in_columns_as_the_record_shows_them(muniment: Here) -> None:
    result = muniment("shell", "echo", stdin=b"/set times=2\n/set\nhello\n")
    *lines, _ = result.out.splitlines()
    columns = dict(line.split() for line in lines if len(line.split()) == 2)
    assert columns["times"] == "2"
    assert len({line.rindex(" ") for line in lines if len(line.split()) == 2}) == 1
    recorded = muniment("audit", "show", "last").out
    assert all(f"{name} = {value}" in recorded for name, value in columns.items())


@pytest.mark.parametrize(("language", "expected"), [("en", "settings."), ("zh", "移除它。")])
def test_help_of_the_shell_is_in_the_language_of_the_user(
    muniment: Here, monkeypatch: pytest.MonkeyPatch, language: str, expected: str
) -> None:
    monkeypatch.setenv("MUNIMENT_LANG", language)
    lines = muniment("shell", "echo", stdin=b"/help\n").err.splitlines()
    assert any(line.endswith(expected) for line in lines)
    assert [line.split()[0] for line in lines if line.startswith(("/", "Ctrl"))] == [
        "/set",
        "/seed",
        "/system",
        "/again",
        "/help",
        "/quit",
        "Ctrl-C",
        "//TEXT",
    ]


def test_mistakes_are_one_sentence_and_the_shell_goes_on(
    muniment: Here, subtests: pytest.Subtests
) -> None:
    for line, named in [
        ("/set times", "times"),
        ("/set times 99", "times"),
        ("/set size 3", "size"),
        ("/seed x", "seed"),
        ("/again", "prompt"),
        ("/nothing", "/nothing"),
        ("/quit now", "/quit now"),
        ("/agian", "did you mean /again?"),
        ("/sys be brief", "did you mean /system?"),
    ]:
        with subtests.test(line=line):
            result = muniment("shell", "echo", stdin=f"{line}\nafter\n".encode())
            assert (result.code, result.out) == (2, "after\n")
            error, _ = result.err.splitlines()
            assert error.startswith("Error: ")
            assert named in error


def test_bytes_that_are_not_utf8_are_refused_by_the_line(muniment: Here) -> None:
    result = muniment("shell", "echo", stdin=b"\xff\xfe\nafter\n")
    assert (result.code, result.out) == (2, "after\n")


def test_pictures_need_a_terminal_or_json(muniment: Here) -> None:
    assert muniment("shell", "dots", stdin=b"a\n").code == 2
    result = muniment("shell", "dots", "--json", stdin=b"a\n")
    assert json.loads(result.out)["outputs"][0]["media_type"] == "image/png"


def test_an_option_that_cannot_be_used_is_refused_before_the_first_prompt(muniment: Here) -> None:
    assert muniment("shell", "echo", "-p", "times=99", stdin=b"a\n").code == 2
    assert muniment("shell", "echo", "--policy", "nowhere.yaml", stdin=b"a\n").code != 0
    assert muniment("shell", "nothing", stdin=b"a\n").code == 2


def test_a_terminal_edits_wide_characters_and_pastes_lines(processes: Processes) -> None:
    with processes.terminal("shell", "echo") as shell:
        shell.expect("Ctrl-D")
        shell.expect("echo> ")
        shell.type("最近我国错\x7f\r")
        shell.expect("completed")
        shell.expect("echo> ")
        shell.type("\x1b[A\x01新 \r")  # the line before, and text at its beginning
        shell.expect("completed")
        shell.expect("echo> ")
        shell.type("\x1b[200~one\ntwo\x1b[201~\r")
        shell.expect("completed")
        shell.expect("echo> ")
        shell.type("\x04")
        assert shell.end() == 0
    wanted = ["最近我国", "新 最近我国", "one\ntwo"]
    assert prompts(processes) == [(prompt, "completed") for prompt in wanted]


def test_a_system_prompt_is_set_with_the_way_to_remove_it(processes: Processes) -> None:
    with processes.terminal("shell", "echo") as shell:
        shell.expect("echo> ")
        shell.type("/system Be kind.\r")
        shell.expect("/system alone removes")
        shell.expect("echo> ")
        shell.type("\x04")
        assert shell.end() == 0


@pytest.mark.parametrize("options", [[], ["--isolate"]])
def test_ctrl_c_ends_an_answer_and_not_the_shell(
    plugin_folder: PluginFolder, processes: Processes, options: list[str]
) -> None:
    plugin_folder.generator("slow", SLOW, distribution="test-slow")
    with processes.terminal("shell", "slow", *options) as shell:
        shell.expect("slow> ")
        shell.type("half a line")
        shell.expect("half a line")
        shell.press("\x03", "slow> ")
        shell.type("wait\r")
        shell.expect("begun")
        shell.type("\x03")
        shell.expect("interrupted")
        shell.expect("slow> ")
        shell.type("next\r")
        shell.expect("begun and done")
        shell.expect("completed")
        shell.expect("slow> ")
        shell.type("/quit\r")
        assert shell.end() == 0
    assert prompts(processes) == [("wait", "interrupted"), ("next", "completed")]


def test_ctrl_c_is_shown_at_once_and_takes_effect_after_an_import(
    plugin_folder: PluginFolder, processes: Processes, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    library = tmp_path / "slow_library.py"
    library.write_text(
        f"""
import time
with open({str(flag)!r}, "w") as flag: flag.write("importing")
for _ in range(100):
    time.sleep(0.02)
whole = True
"""
    )
    code = "import slow_library\nfor r in requests: yield r.reply(Text(str(slow_library.whole)))"
    plugin_folder.generator("heavy", code)
    environment = importing(processes.environment, tmp_path)
    with terminal([processes.program, "shell", "heavy"], environment) as shell:
        shell.expect("heavy> ")
        shell.type("one\r")
        shell.expect("heavy: generating")
        wait_for(flag)
        shell.type("\x03")
        shell.expect("stopping")
        shell.expect("interrupted")
        shell.expect("heavy> ")
        before = len(shell.seen)
        shell.type("two\r")
        shell.expect("True")
        shell.expect("completed")
        shell.expect("heavy> ")
        shell.type("\x04")
        assert shell.end() == 0
        assert "stopping" not in shell.seen[before:]
    assert prompts(processes) == [("one", "interrupted"), ("two", "completed")]


def test_ctrl_c_twice_ends_an_import(
    plugin_folder: PluginFolder, processes: Processes, tmp_path: Path
) -> None:
    (tmp_path / "endless.py").write_text("import time\nwhile True: time.sleep(0.02)\n")
    plugin_folder.generator("heavy", "import endless\nyield")
    environment = importing(processes.environment, tmp_path)
    with terminal([processes.program, "shell", "heavy"], environment) as shell:
        shell.expect("heavy> ")
        shell.type("one\r")
        shell.expect("heavy: generating")
        shell.type("\x03")
        shell.expect("stopping")
        shell.type("\x03")
        shell.expect("interrupted")
        shell.expect("heavy> ")
        shell.type("/quit\r")
        assert shell.end() == 0


def test_keys_typed_during_an_answer_are_read_after_it(
    plugin_folder: PluginFolder, processes: Processes
) -> None:
    plugin_folder.generator("slow", SLOW.replace("60", "1.5"))
    with terminal([processes.program, "shell", "slow"], processes.environment) as shell:
        shell.expect("slow> ")
        shell.type("wait\r")
        shell.expect("begun")
        shell.type("次错\x7f\r\x04")
        assert shell.end() == 0
    assert prompts(processes) == [("wait", "completed"), ("次", "completed")]


def test_a_word_that_is_meant_to_end_the_shell_is_no_prompt(processes: Processes) -> None:
    with terminal([processes.program, "shell", "echo"], processes.environment) as shell:
        for word, command in [
            ("exit", "/quit"),
            ("quit ", "/quit"),
            (":q", "/quit"),
            ("?", "/help"),
            ("退出", "/quit"),
            ("结束", "/quit"),
            ("帮助", "/help"),
        ]:
            shell.expect("echo> ")
            shell.type(f"{word}\r")
            shell.expect("Error: ")
            shell.expect(command)
        shell.expect("echo> ")
        shell.type(" exit\r")
        shell.expect("completed")
        shell.expect("echo> ")
        shell.type("\x04")
        assert shell.end() == 0
    assert prompts(processes) == [(" exit", "completed")]


def test_a_pipe_takes_every_word_as_a_prompt(muniment: Here) -> None:
    assert muniment("shell", "echo", stdin=b"exit\n:q\n").out == "exit\n:q\n"


def test_no_file_has_the_history_of_prompts(processes: Processes, tmp_path: Path) -> None:
    user = tmp_path / "user"
    user.mkdir()
    environment = {**processes.environment, "HOME": str(user)}
    with terminal([processes.program, "shell", "echo"], environment) as shell:
        shell.expect("echo> ")
        shell.type("Rumpelstiltskin\r")
        shell.expect("completed")
        shell.expect("echo> ")
        shell.type("\x04")
        assert shell.end() == 0
    assert [path for path in user.rglob("*") if path.is_file()] == []
    processes("audit", "erase", "last", "--yes")
    home = Path(processes.environment["MUNIMENT_HOME"])
    content = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"Rumpelstiltskin" not in content


def test_sigterm_ends_the_shell(plugin_folder: PluginFolder, processes: Processes) -> None:
    plugin_folder.generator("slow", SLOW, distribution="test-slow")
    with processes.terminal("shell", "slow") as shell:
        shell.expect("slow> ")
        shell.type("wait\r")
        shell.expect("begun")
        shell.terminate()
        assert shell.end() == 143
    assert prompts(processes) == [("wait", "interrupted")]


def test_a_redirected_output_gets_only_answers(processes: Processes, tmp_path: Path) -> None:
    target = tmp_path / "answers.txt"
    command = ["sh", "-c", f'"{processes.program}" shell echo > "{target}"']
    with terminal(command, processes.environment) as shell:
        shell.expect("echo> ")
        shell.type("hello\r")
        shell.expect("completed")
        shell.expect("echo> ")
        shell.type("\x04")
        assert shell.end() == 0
    assert target.read_text() == "hello\n"
