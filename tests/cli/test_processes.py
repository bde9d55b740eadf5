"""The command line as a program: signals, kills, terminals, pipes, locales, several at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support.commands import Here, Processes
from support.media import DOTS
from support.plugins import PluginFolder

HEAVY = ("torch", "numpy", "alembic", "transformers", "rich", "yaml", "pluggy", "test_")


def modules_after(processes: Processes, *arguments: str) -> set[str]:
    """The modules that a command has imported by its end."""
    code = (
        "import sys; from muniment.cli import main; code = main(sys.argv[1:]); "
        "print(*sys.modules, sep='\\n', file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=processes.environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def tops(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_help_imports_click_and_next_to_nothing(
    processes: Processes, plugin_folder: PluginFolder
) -> None:
    modules = modules_after(processes, "--help")
    ours = {module for module in modules if module.startswith("muniment")}
    parts = ("", ".context", ".exit_codes", ".lazy", ".plugin_commands", ".root", ".signals")
    parts += (".groups", ".help_language", ".help_width", ".translation")
    light = {"muniment", "muniment._lazy", "muniment._version", "muniment.config"}
    light |= {"muniment.language", "muniment.names", "muniment.representation"}
    light |= {"muniment.errors", "muniment.plugins", "muniment.plugins.discovery"}
    light |= {"muniment.store"}  # its names are imported on first use
    # A plugin adds the group `image`, so the settings are read for disabled plugins.
    light |= {"muniment.ids", "muniment.validation"}
    assert ours == light | {f"muniment.cli{part}" for part in parts}
    assert not tops(modules) & {*HEAVY, "sqlalchemy", "asyncio", "importlib_metadata"}
    assert not tops(modules) & {plugin.module for plugin in plugin_folder.all}


@pytest.mark.parametrize(("arguments", "frozen"), [("", True), ("['--version']", False)])
def test_the_program_exempts_its_objects_from_the_collection_at_exit(
    processes: Processes, arguments: str, frozen: bool
) -> None:
    code = (
        "import atexit, gc, sys; from muniment.cli import main\n"
        "atexit.register(lambda: print(gc.get_freeze_count() >= 5000 + before, file=sys.stderr))\n"
        f"main({arguments}); gc.collect()\n"
        "before = gc.get_freeze_count(); lists = [[] for _ in range(5000)]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"],
        env=processes.environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, f"{frozen}\n")


def test_audit_list_imports_no_plugin_and_nothing_heavy(
    processes: Processes, muniment: Here, plugin_folder: PluginFolder
) -> None:
    assert muniment("generate", "echo", "hi").code == 0
    for command in (["list"], ["list", "--json"], ["show", "last"], ["runs"], ["verify", "--all"]):
        found = tops(modules_after(processes, "audit", *command))
        assert "sqlalchemy" in found
        assert not found & set(HEAVY)
        assert not found & {plugin.module for plugin in plugin_folder.all}
        assert not {name for name in found if name.startswith("muniment_")}


@pytest.mark.parametrize("command", [["plugins", "list"], ["db", "status"], ["config", "list"]])
def test_managing_the_workspace_imports_no_plugin(
    processes: Processes, muniment: Here, plugin_folder: PluginFolder, command: list[str]
) -> None:
    assert muniment("generate", "echo", "hi").code == 0
    found = tops(modules_after(processes, *command))
    assert not found & {
        "torch",
        "numpy",
        "transformers",
        *(item.module for item in plugin_folder.all),
    }
    assert not {name for name in found if name.startswith("muniment_")}


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)


def stalling(path: Path, flag: Path, count: int = 12, at: int = 6) -> Path:
    """Write a batch of which one line stalls until the process is ended, and then no more."""
    lines = [{"prompt": f"line {number}", "generator": "once"} for number in range(1, count + 1)]
    lines[at - 1]["prompt"] = f"stall {flag}"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def once(plugin_folder: PluginFolder) -> None:
    """A generator that stalls at a prompt `stall FILE` as long as the file is not there."""
    plugin_folder.generator(
        "once",
        """
        import os, time
        for request in requests:
            word, _, path = request.prompt.partition(" ")
            if word == "stall" and not os.path.exists(path):
                open(path, "w").close()
                time.sleep(60)
            yield request.reply(Text(request.prompt))
        """,
    )


def listed(muniment: Processes, *filters: str) -> list[dict[str, Any]]:
    return muniment("audit", "list", "-n", "0", "--json", *filters).json("generation")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_leaves_an_interrupted_record_at_once(
    processes: Processes, muniment: Here, once: None, tmp_path: Path, number: int, code: int
) -> None:
    flag = tmp_path / "flag"
    with processes.started("generate", "once", f"stall {flag}", "--seed", "7") as process:
        wait_for(flag)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code
    (value,) = listed(muniment)
    assert out == ""
    assert err.startswith("Interrupted: ")
    assert f"`muniment audit show {value['id']}`" in err
    assert err.count("\n") == 1
    assert (value["status"], value["seed"]) == ("interrupted", "7")
    assert value["finished_at"] is not None
    assert muniment("audit", "verify", "--all").code == 0


def test_several_interrupted_generations_are_listed_by_their_run(
    processes: Processes, muniment: Here, once: None, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    with processes.started("generate", "once", f"stall {flag}", "-n", "3") as process:
        wait_for(flag)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    run = listed(muniment)[0]["run_id"]
    assert f"`muniment audit list --run {run} --status interrupted`" in err
    assert len(listed(muniment, "--run", run, "--status", "interrupted")) == 3


def onto_a_full_disk(processes: Processes, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard output cannot be written."""
    with open("/dev/full", "w") as full:
        return subprocess.run(
            [processes.program, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**processes.environment, "PYTHONUNBUFFERED": ""},  # so that a flush can fail too
            encoding="utf-8",
        )


has_full_device = pytest.mark.skipif(
    not os.path.exists("/dev/full"), reason="only Linux has this device"
)


@has_full_device
@pytest.mark.parametrize("option", ["--no-stream", "--json", "--stream"])
def test_a_full_disk_behind_standard_output_names_the_recorded_generation(
    processes: Processes, muniment: Here, plugin_folder: PluginFolder, option: str
) -> None:
    plugin_folder.generator(
        "pieces",
        """
        for request in requests:
            if request.stream:
                yield request.chunk("hi ")
            yield request.reply(Text("hi there"))
        """,
    )
    done = onto_a_full_disk(processes, "generate", "pieces", "x", option)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "standard output" in done.stderr
    (value,) = listed(muniment)
    assert f"`muniment audit get {value['id']}`" in done.stderr
    assert muniment("audit", "get", value["id"]).out.startswith("hi")


@has_full_device
def test_a_list_on_a_full_disk_is_one_sentence(
    processes: Processes, muniment: Here, once: None
) -> None:
    assert processes("generate", "once", "x").code == 0
    done = onto_a_full_disk(processes, "audit", "list")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_text_that_was_shown_before_a_signal_is_recorded(
    processes: Processes, muniment: Here, plugin_folder: PluginFolder, number: int
) -> None:
    plugin_folder.generator(
        "counter",
        """
        import time
        for request in requests:
            for number in range(600):
                yield request.chunk(f"{number} ")
                time.sleep(0.1)
        """,
    )
    with processes.started("generate", "counter", "x", "--stream") as process:
        assert process.stdout is not None
        shown = process.stdout.read(4)
        process.send_signal(number)
        rest, _ = process.communicate(timeout=30)
    (value,) = listed(muniment)
    assert value["status"] == "interrupted"
    (output,) = value["outputs"]
    assert shown == "0 1 "
    assert output["text"].startswith((shown + rest).rstrip("\n"))


@pytest.mark.parametrize("count", [1, 2])
def test_ctrl_c_while_a_file_is_written_names_the_recorded_generation(
    processes: Processes, muniment: Here, plugin_folder: PluginFolder, tmp_path: Path, count: int
) -> None:
    flag = tmp_path / "flag"
    export = "def export(self, data, provenance, suffix, options):\n"
    stall = f"        open({str(flag)!r}, 'w').close()\n        time.sleep(60)\n"
    plugin_folder.add(DOTS.replace(export, export + stall))
    arguments = ("generate", "dotter", "a", "-n", str(count), "-o", str(tmp_path / "a.dots"))
    with processes.started(*arguments) as process:
        wait_for(flag)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    recorded = listed(muniment)
    assert [value["status"] for value in recorded] == ["completed"] * count
    command = f"audit get {recorded[0]['id']}" if count == 1 else "audit list --run "
    assert err.startswith("Interrupted: ")
    assert f"`muniment {command}" in err


def test_ctrl_c_ends_the_process_without_the_exit_handlers_of_libraries(
    processes: Processes, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    plugin_folder.generator(
        "native",
        f"import atexit, os, time; atexit.register(os.abort)\n"
        f"open({str(flag)!r}, 'w').close(); time.sleep(60)",
    )
    with processes.started("generate", "native", "a") as process:
        wait_for(flag)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Interrupted" in err


@pytest.mark.parametrize("options", [[], ["--json"], ["-o", "results.jsonl"]])
def test_ctrl_c_in_a_batch_says_how_to_go_on_and_going_on_works(
    processes: Processes,
    muniment: Here,
    once: None,
    tmp_path: Path,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    flag = tmp_path / "flag"
    file = stalling(tmp_path / "lines.jsonl", flag)

    def numbers(out: str) -> list[int]:
        """Return the lines of all results, of which none is shown twice."""
        if options[:1] == ["-o"]:
            out = (tmp_path / "results.jsonl").read_text()
        if not options:
            return [int(line.split()[2]) for line in out.splitlines() if line.startswith("--- ")]
        return [json.loads(line)["line"] for line in out.splitlines()]

    with processes.started("batch", file, "--batch-size", "2", *options) as process:
        wait_for(flag)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    first, last = err.splitlines()
    run = first.split()[1]
    assert last.startswith(f"Interrupted: 5 of 12 lines done (5 completed); add --resume {run} ")
    (value,) = listed(muniment, "--status", "interrupted")
    assert f"`muniment audit show {value['id']}`" in last
    # Line 5 was answered beside the one that stalled: it was recorded, and is shown, as it is.
    assert numbers(out) == list(range(1, 6))
    resumed = processes("batch", file, "--resume", run, *options)
    assert resumed.code == 0
    again = list(range(6, 13))
    assert numbers(resumed.out) == ([*numbers(out)[:5], *again] if "-o" in options else again)
    assert_whole(muniment, run, 12)


def test_ctrl_c_in_a_resumed_batch_shows_no_earlier_result(
    processes: Processes, once: None, tmp_path: Path
) -> None:
    flags = [tmp_path / "first", tmp_path / "second"]
    file = stalling(tmp_path / "lines.jsonl", flags[0], 4, at=2)
    lines = file.read_text().splitlines()
    lines[3] = json.dumps({"prompt": f"stall {flags[1]}", "generator": "once"})
    file.write_text("\n".join(lines))
    run, shown = "", []
    for flag in flags:
        options = ["--resume", run] if run else []
        with processes.started("batch", file, "--json", *options) as process:
            wait_for(flag)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        run = err.split()[1]
        shown.append([json.loads(line)["line"] for line in out.splitlines()])
    assert shown == [[1], [2, 3]]
    assert "Interrupted: 3 of 4 lines done (3 completed); " in err


def test_ctrl_c_before_anything_is_recorded_in_a_batch_says_to_run_it_again(
    muniment: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    file = tmp_path / "lines.jsonl"
    file.write_text('{"prompt": "a"}\n' * 5)
    monkeypatch.setattr("muniment.cli.batch.counting", interrupted)
    result = muniment("batch", file)
    assert result.code == 130
    last = result.err.splitlines()[-1]
    assert last == "Interrupted: 0 of 5 lines done; run the command again"


def test_ctrl_c_among_several_samples_shows_the_finished_ones(
    processes: Processes, muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    plugin_folder.generator(
        "slow",
        f"""
        import time
        for number, request in enumerate(requests):
            if number == 2:
                open({str(flag)!r}, "w").close()
                time.sleep(60)
            yield request.reply(Text(f"text {{number}}"))
        """,
    )
    with processes.started("generate", "slow", "a", "-n", "4") as process:
        wait_for(flag)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert [line for line in out.splitlines() if not line.startswith("---")] == ["text 0", "text 1"]
    assert err.splitlines()[-1].startswith("Interrupted: ")
    statuses = Counter(value["status"] for value in listed(muniment))
    assert statuses == {"completed": 2, "interrupted": 2}


def test_a_killed_batch_resumes_and_nothing_is_recorded_twice(
    processes: Processes, muniment: Here, once: None, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    file = stalling(tmp_path / "lines.jsonl", flag)
    results = tmp_path / "results.jsonl"
    command = ("batch", file, "--batch-size", "3", "-o", results)
    with processes.started(*command) as process:
        wait_for(flag)
        process.kill()
        run = process.communicate(timeout=30)[1].split()[1]
    assert Counter(value["status"] for value in listed(muniment)) == {
        "completed": 3,
        "interrupted": 3,
    }
    seeds = {value["line"]: value["seed"] for value in listed(muniment)}
    assert muniment("audit", "verify", "--all").code == 0
    resumed = processes(*command, "--resume", run)
    assert resumed.code == 0, resumed.err
    assert resumed.err.splitlines()[-1] == f"run {run}  9 completed"
    assert_whole(muniment, run, 12)
    completed = listed(muniment, "--status", "completed")
    assert {
        line: seed
        for value in completed
        if (line := value["line"]) in seeds and (seed := value["seed"])
    } == seeds
    lines = [json.loads(line)["line"] for line in results.read_text().splitlines()]
    assert lines == list(range(1, 13))


KILLED = """
import os, sys
from muniment.cli import batch, main
add, left = batch.Results.add, [3]
def killed(self, item):
    left[0] -= 1
    if left[0]:
        return add(self, item)
    self._file.write(batch._line(item)[:40])
    self._file.flush()
    os.kill(os.getpid(), int(sys.argv[1]))
batch.Results.add = killed
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("again", [[], ["--overwrite"]])
def test_what_was_recorded_and_not_written_is_in_the_file_of_a_resumed_batch(
    processes: Processes,
    muniment: Here,
    policy_file: Path,
    tmp_path: Path,
    number: int,
    again: list[str],
) -> None:
    file, results = tmp_path / "lines.jsonl", tmp_path / "results.jsonl"
    prompts = ["one", "fail", "three", "a leak", "five", "six", "seven", "eight"]
    file.write_text("".join(f'{{"prompt": "{prompt}"}}\n' for prompt in prompts))
    command = ["batch", str(file), "-o", str(results), "--batch-size", "6"]
    command += ["--policy", str(policy_file), "--generator", "echo"]
    cut = subprocess.run(
        [sys.executable, "-c", KILLED, str(int(number)), *command],
        env=processes.environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert cut.returncode == (130 if number == signal.SIGINT else -number)
    assert len(results.read_bytes().splitlines()) == 3
    assert not results.read_bytes().endswith(b"\n")
    run = cut.stderr.split()[1]
    resumed = muniment(*command, "--resume", run, *again)
    assert resumed.code == 0, resumed.err
    values = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    assert [(value["line"], value["status"]) for value in values] == [
        (line, {2: "failed", 4: "blocked"}.get(line, "completed")) for line in range(1, 9)
    ]
    assert "secret" not in results.read_text(encoding="utf-8")
    kept = {value["id"]: value for value in listed(muniment)}
    assert all(value == kept[value["id"]] for value in values if value["status"] == "completed")
    assert not list(tmp_path.glob(".*"))


def test_the_file_of_a_resumed_batch_is_in_the_order_of_the_lines(
    processes: Processes, muniment: Here, once: None, tmp_path: Path
) -> None:
    flag, file, results = (tmp_path / name for name in ("flag", "lines.jsonl", "results.jsonl"))
    lines = [{"prompt": "a", "generator": "once"}, {"prompt": "b"}, {"prompt": "c"}]
    lines[1:1] = [{"prompt": f"stall {flag}", "generator": "once"}]
    lines[:0] = [{"prompt": "first", "generator": "echo"}]
    file.write_text("".join(json.dumps({"generator": "echo", **line}) + "\n" for line in lines))
    with processes.started("batch", file, "-o", results) as process:
        wait_for(flag)
        process.send_signal(signal.SIGTERM)
        run = process.communicate(timeout=30)[1].split()[1]
    done = [value["line"] for value in listed(muniment, "--status", "completed")]
    assert done == [1, 4, 5] or set(done) >= {1, 4, 5}
    assert muniment("batch", file, "-o", results, "--resume", run).code == 0
    written = [json.loads(line)["line"] for line in results.read_text().splitlines()]
    assert written == [1, 2, 3, 4, 5]
    assert_whole(muniment, run, 5)


def assert_whole(muniment: Here, run: str, count: int) -> None:
    """Every line of the run has exactly one completed generation, and the store verifies."""
    completed = listed(muniment, "--run", run, "--status", "completed")
    assert sorted(value["line"] for value in completed) == list(range(1, count + 1))
    assert muniment("audit", "verify", "--all").code == 0


def test_a_batch_under_way_cannot_be_resumed(
    processes: Processes, muniment: Here, once: None, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    file = stalling(tmp_path / "lines.jsonl", flag)
    with processes.started("batch", file, "--batch-size", "3") as process:
        wait_for(flag)
        (started, *_) = [value for value in listed(muniment) if value["status"] == "started"]
        refused = processes("batch", file, "--resume", started["run_id"])
        process.kill()
        process.communicate(timeout=30)
    assert refused.code == 2
    assert "is still running" in refused.err


def test_several_processes_write_at_the_same_time(
    processes: Processes, muniment: Here, tmp_path: Path
) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_text("".join(f'{{"prompt": "line {number}"}}\n' for number in range(20)))
    command = [processes.program, "batch", str(file), "--batch-size", "2", "--generator", "echo"]
    together = [
        subprocess.Popen(command, env=processes.environment, stdout=-3, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in together:
        err = process.communicate(timeout=120)[1].decode()
        assert process.returncode == 0, err
    assert Counter(value["status"] for value in listed(muniment)) == {"completed": 80}
    assert len({value["run_id"] for value in listed(muniment)}) == 4
    assert muniment("audit", "verify", "--all").code == 0


def test_a_reader_that_goes_away_is_no_error(processes: Processes, muniment: Here) -> None:
    assert muniment("generate", "echo", "hi " * 2000, "-n", "30").code == 0  # beyond a pipe
    with processes.started("audit", "list", "-n", "0", "--json") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(timeout=30) == 1


@pytest.mark.parametrize(
    ("environment", "written_in"),
    [
        ({"PYTHONIOENCODING": "ascii"}, "utf-8"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "utf-8"),
        ({"PYTHONIOENCODING": "gbk"}, "gbk"),
    ],
)
def test_a_locale_without_chinese_or_emoji_is_no_crash(
    processes: Processes, muniment: Here, environment: dict[str, str], written_in: str
) -> None:
    assert muniment("generate", "echo", "卫星🛰", "--tag", "标签").code == 0
    shown = subprocess.run(
        [processes.program, "audit", "show", "last"],
        env={**processes.environment, **environment},
        capture_output=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert "卫星".encode(
        environment.get("PYTHONIOENCODING", "utf-8").replace("ascii", "utf-8")
    ) in (shown.stdout)
    assert not shown.stderr
    (value,) = processes("audit", "show", "last", "--json", **environment).json("generation")
    assert value["prompt"] == "卫星🛰"


def test_closed_standard_streams_are_no_crash(processes: Processes) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{processes.program} db path <&- >&- 2>&-"], env=processes.environment
    )
    assert done.returncode == 0


def test_arguments_that_are_not_utf8_are_a_sentence(processes: Processes) -> None:
    result = processes("generate", "echo", b"caf\xe9")
    assert result.code == 2
    assert result.err.startswith("Error: argument 3 is not valid UTF-8")


def test_the_module_runs_as_the_script_does(processes: Processes) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "muniment", "--version"], capture_output=True, text=True
    )
    assert done.stdout == processes("--version").out
    assert done.stdout.startswith("muniment 0.")


class TestOnATerminal:
    def test_a_table_cuts_prompts_and_shows_the_ends_of_ids(
        self, processes: Processes, muniment: Here
    ) -> None:
        muniment("generate", "echo", "最近我国成功发射了新的卫星 " * 20, "--seed", "7")
        muniment("generate", "echo", "short", "--seed", "8")
        ids = [value["id"] for value in listed(muniment)]
        narrow = processes.on_terminal("audit", "list", width=40).lines
        assert [line.split() for line in narrow[:2]] == [["started", "status", "id"], ["prompt"]]
        assert [line[-9:] for line in narrow[2:6:2]] == [f"…{id[-8:]}" for id in ids]
        assert narrow[3] == "  short"
        heading, first, second = processes.on_terminal("audit", "list", width=110).lines
        assert heading.split() == "started status model actor prompt id".split()
        assert first.endswith(f"…{ids[0][-8:]}")
        assert second.endswith(f"…{ids[1][-8:]}")
        assert second[:-9].rstrip().endswith("…")
        assert cells(second.rstrip()) <= 110
        # Chinese characters take two cells each, so both prompts begin in the same cell.
        assert cells(first.partition("short")[0]) == cells(second.partition("最近")[0])

    def test_the_status_shows_the_end_of_the_id(self, processes: Processes, muniment: Here) -> None:
        result = processes.on_terminal("generate", "echo", "hi there", "--no-stream")
        (value,) = listed(muniment)
        assert "hi there\n" in result.out
        assert f"…{value['id'][-8:]}  completed · seed " in result.out

    def test_an_id_is_accepted_as_it_is_printed(self, processes: Processes, muniment: Here) -> None:
        muniment("generate", "echo", "one", "-n", "2")
        muniment("generate", "echo", "one two")
        shown = processes.on_terminal("audit", "list", "-n", "1").lines[1].split()[-1]
        assert shown.startswith("…")
        assert "one two" in muniment("audit", "show", shown).out
        run = processes.on_terminal("audit", "runs", "-n", "1").lines[1].split()[-1]
        assert len(muniment("audit", "list", "--run", run).lines) == 1

    def test_a_list_that_a_limit_cut_says_so(self, processes: Processes, muniment: Here) -> None:
        muniment("generate", "echo", "one", "-n", "2")
        muniment("generate", "echo", "one")
        assert processes.on_terminal("audit", "list", "-n", "2").lines[-1].startswith("2 of 3")
        assert len(processes.on_terminal("audit", "list", "-n", "3").lines) == 4
        for command, note in ((["runs"], "1 of 2"), (["search", "one"], "1 of 3")):
            last = processes.on_terminal("audit", *command, "-n", "1").lines[-1]
            assert last.startswith(note)
        assert muniment("audit", "list", "-n", "2").err == ""

    def test_text_is_shown_as_it_comes(
        self, processes: Processes, plugin_folder: PluginFolder
    ) -> None:
        plugin_folder.generator(
            "slow",
            """
            for r in requests:
                assert r.stream
                yield r.chunk("one ")
                yield r.chunk("more")
                yield r.reply(Text("one more"))
            """,
        )
        result = processes.on_terminal("generate", "slow", "x")
        assert result.code == 0
        assert "one more\n" in result.out

    def test_a_model_cannot_move_the_cursor(
        self, processes: Processes, muniment: Here, plugin_folder: PluginFolder
    ) -> None:
        plugin_folder.generator(
            "evil", "for r in requests: yield r.reply(Text('a\\x1b[2Jb\\x9bc\\td'))"
        )
        shown = processes.on_terminal("generate", "evil", "x\x1b[1A").err
        assert "a\\x1b[2Jb\\x9bc" in shown
        for command in (["list"], ["list", "--json"], ["show", "last"], ["get", "last"]):
            shown = processes.on_terminal("audit", *command).err
            for control in ("\x9b", "\x1b[2J", "\x1b[1A"):
                assert control not in shown
        assert muniment("audit", "get", "last").out == "a\x1b[2Jb\x9bc\td"

    def test_bytes_that_are_no_text_are_not_shown(
        self, processes: Processes, plugin_folder: PluginFolder
    ) -> None:
        plugin_folder.generator(
            "raw",
            "for r in requests: yield r.reply(Output('image/x-raw', b'\\xffRAW\\x07'))",
            media_type="image/x-raw",
        )
        result = processes.on_terminal("generate", "raw", "x")
        assert "RAW" not in result.out
        assert "image/x-raw, 5 bytes; run `muniment audit get …" in result.out

    def test_a_batch_has_a_bar_and_its_results_stay_whole(
        self, processes: Processes, tmp_path: Path
    ) -> None:
        file = tmp_path / "lines.jsonl"
        line = "很长的一行 " * 30
        file.write_text(
            "".join(json.dumps({"prompt": line, "generator": "echo"}) + "\n" for _ in range(3))
        )
        result = processes.on_terminal("batch", file, "--batch-size", "1")
        assert result.code == 0
        assert "3/3" in result.out
        assert result.out.replace("\n", "").count(line.strip()) == 3

    def test_removing_a_model_asks(self, processes: Processes, home: Path) -> None:
        (home / "models" / "tiny").mkdir(parents=True)
        (home / "models" / "tiny" / "weights").write_bytes(b"123")
        (home / "models" / "tiny.json").write_text(
            json.dumps(
                {"name": "tiny", "digest": "d", "generator": "g", "source": "s", "added_at": "t"}
            )
        )
        asked = processes.on_terminal("models", "remove", "tiny", types="n\n")
        assert asked.code == 1
        assert "nothing was removed" in asked.out
        assert "model tiny (1 file, 3 bytes)" in asked.out
        assert "[y/N]:" in asked.out
        assert (home / "models" / "tiny").exists()
        done = processes.on_terminal("models", "remove", "tiny", types="y\n")
        assert done.code == 0
        assert "removed tiny" in done.out
        assert not (home / "models" / "tiny").exists()


def cells(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def test_the_home_of_the_settings_is_that_of_the_option(
    processes: Processes, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    assert processes("config", "set", "actor", "Ada", "--home", other).code == 0
    assert processes("--home", other, "config", "get", "actor").out == "Ada\n"
    assert processes("config", "get", "actor").out == "小明\n"
    assert processes("db", "path", "--home", other).out == f"{other / 'muniment.db'}\n"
    assert processes("db", "path", MUNIMENT_STORE=str(tmp_path / "s.db")).out.endswith("s.db\n")
    assert os.environ["MUNIMENT_HOME"] != str(other)


def test_tail_follows_what_others_record_until_ctrl_c(processes: Processes, muniment: Here) -> None:
    muniment("generate", "echo", "before")
    with processes.started("audit", "tail", "-f", "-n", "1", "--json") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["prompt"] == "before"
        muniment("generate", "echo", "after")
        assert json.loads(process.stdout.readline())["prompt"] == "after"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (0, "", "")


def test_stats_and_hits_are_drawn_on_a_terminal(processes: Processes, muniment: Here) -> None:
    muniment("generate", "echo", "a new moon")
    shown = processes.on_terminal("audit", "stats").out
    assert "1 generation\n" in shown
    assert "█ 1" in shown
    assert "prompt: a new moon" in processes.on_terminal("audit", "search", "moon").out
