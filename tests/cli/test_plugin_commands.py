"""Commands that plugins add through the entry-point group `muniment.commands`."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from muniment.plugins.state import JOURNAL, InstallRecords
from support.commands import Here, Processes
from support.plugins import PluginFolder

WORDS = """
    import click
    from muniment import command

    @click.command
    @command.generation_filters(limit=10)
    @command.json_option
    @command.pass_session
    def words(session, query, as_json):
        '''Count the words of generations.'''
        columns = [("id", "id"), ("words", "words"), ("tags", "tags")]
        records = (
            {"id": g.id, "words": len(g.text.split()), "tags": list(g.tags)}
            for g in session.generations(query)
        )
        empty = lambda: command.no_match(session, query)
        command.emit(records, columns, as_json, empty=empty)
"""

Add = Callable[..., str]
_numbers = itertools.count()  # a module's name is taken once in a process


@pytest.fixture
def add(plugin_folder: PluginFolder, muniment: Here) -> Add:
    """Writes a distribution that adds commands; returns its module's name."""

    def write(source: str, distribution: str = "test-words", **commands: str) -> str:
        module = f"commanding_{next(_numbers)}"
        (plugin_folder.folder / f"{module}.py").write_text(
            textwrap.dedent(source), encoding="utf-8"
        )
        info = plugin_folder.folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\nSummary: Of {module}.\n\n"
        )
        lines = [f"{path} = {module}:{name}" for path, name in commands.items()]
        (info / "entry_points.txt").write_text("[muniment.commands]\n" + "\n".join(lines) + "\n")
        importlib.invalidate_caches()
        return module

    return write


def test_a_command_is_listed_by_its_summary_and_called(
    add: Add, muniment: Here, processes: Processes
) -> None:
    module = add(WORDS, "commanding-words", words="words")
    help_ = processes("--help")
    assert f"words Of {module}." in " ".join(help_.out.split())
    assert module not in sys.modules
    assert muniment("generate", "echo", "one two", "--tag", "a", "--tag", "b").code == 0
    assert muniment("generate", "echo", "one", "--actor", "王").code == 0
    assert [row[1:] for row in muniment("words").rows] == [["1", ""], ["2", "a, b"]]
    assert [row[1] for row in muniment("words", "--actor", "王").rows] == ["1"]
    assert [row[1] for row in muniment("words", "-n", "1").rows] == ["1"]
    first = json.loads(muniment("words", "--json", "--tag", "a").out)
    assert (first["words"], first["tags"]) == (2, ["a", "b"])
    none = muniment("words", "--tag", "missing")
    assert (none.code, none.out) == (0, "")
    assert none.err == "no generation matches; no tag 'missing' is recorded\n"
    assert "Count the words of generations." in muniment("words", "--help").out
    assert processes.on_terminal("words").out.split()[:3] == ["words", "tags", "id"]


def test_emit_on_a_terminal_colours_states_and_counts_what_a_limit_cut(
    add: Add, processes: Processes
) -> None:
    source = """
        import click
        from muniment import command

        @click.command
        @command.limit_option(2)
        @command.json_option
        def states(limit, as_json):
            '''List states.'''
            records = [{"state": "ok", "items": 7}, {"state": "broken", "items": 1200}]
            columns = [("state", "state"), ("items", "items"), ("note", lambda _: "ok")]
            command.emit(records, columns, as_json, limit=limit, total=lambda: 53)
    """
    add(source, "commanding-states", states="states")
    shown = processes.on_terminal("states", colour=True)
    assert [line.split() for line in shown.lines[1:3]] == [
        ["ok", "7", "ok"],
        ["broken", "1200", "ok"],
    ]
    assert shown.lines[1].index("7 ") == shown.lines[2].index("0  ")  # numbers are right-aligned
    assert shown.lines[3].startswith("2 of 53")
    assert (shown.err.count("\x1b[32mok"), shown.err.count("\x1b[31mbroken")) == (1, 1)
    plain = processes.on_terminal("states", "-n", "3")
    assert "\x1b[3" not in plain.err
    assert len(plain.lines) == 3
    piped = processes("states")
    assert (piped.rows, piped.err) == ([["ok", "7", "ok"], ["broken", "1200", "ok"]], "")


def test_the_actor_filters_generations_in_a_group_of_the_core_too(add: Add, muniment: Here) -> None:
    add(WORDS, words="words", **{"retention.words": "words"})
    assert muniment("generate", "echo", "one").code == 0
    for path in (["words"], ["retention", "words"]):
        none = muniment(*path, "--actor", "nobody")
        assert (none.code, none.out) == (0, "")
        assert none.err == "no generation matches; no actor 'nobody' is recorded\n"


def test_the_actor_filters_generations_where_another_home_disables_the_command(
    add: Add, muniment: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(WORDS, words="words")
    assert muniment("generate", "echo", "one").code == 0
    home = os.environ["MUNIMENT_HOME"]
    monkeypatch.setenv("MUNIMENT_HOME", str(tmp_path / "other"))
    assert muniment("plugins", "disable", "test-words").code == 0
    none = muniment("words", "--actor", "nobody", "--home", home)
    assert (none.code, none.out) == (0, "")
    assert none.err == "no generation matches; no actor 'nobody' is recorded\n"


OPTIONS = """
    import click

    @click.command(context_settings={"ignore_unknown_options": True})
    @click.option("--tag")
    @click.argument("rest", nargs=-1)
    def wrap(tag, rest):
        click.echo(f"{tag} {rest}")

    @click.group
    @click.option("--depth")
    def lab(depth):
        pass

    @lab.command("deep")
    @click.option("--tag", "-t")
    @click.option("--many", multiple=True)
    @click.option("-v", count=True)
    def deep(tag, many, v):
        click.echo(f"{tag} {many} {v}")
"""


@pytest.mark.parametrize(
    ("command", "option", "path"),
    [
        (["wrap", "--other", "x", "--tag", "a", "--tag", "b"], "--tag", "wrap"),
        (["lab", "--depth", "1", "--depth", "1", "deep"], "--depth", "lab"),
        (["lab", "deep", "--tag", "a", "-ta"], "-t", "lab deep"),
    ],
)
def test_an_option_of_a_plugin_command_with_one_value_given_twice_is_refused(
    add: Add, muniment: Here, command: list[str], option: str, path: str
) -> None:
    add(OPTIONS, wrap="wrap", lab="lab")
    result = muniment(*command)
    assert (result.code, result.out) == (2, "")
    assert f"{option} is given twice" in result.err
    assert f"Try 'muniment {path} --help'" in result.err


def test_an_option_of_a_plugin_command_that_may_be_repeated_is_accepted(
    add: Add, muniment: Here
) -> None:
    add(OPTIONS, wrap="wrap", lab="lab")
    assert muniment("wrap", "--x", "--x", "--tag", "a").out == "a ('--x', '--x')\n"
    deep = ["lab", "deep", "--many", "a", "--many", "b", "-vv", "-t", "c"]
    assert muniment(*deep).out == "c ('a', 'b') 2\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("foo", None),
        ("generate foo", None),
        ("generate nothing --seed 1", None),
        ("audit foo", None),
        ("lab foo", None),
        ("lab broken", None),
        ("--home", None),
        ("audit list --tag a --tag b", None),
        ("lab", "deep"),
        ("audit", "list"),
        ("generate", "echo"),
    ],
)
def test_completing_a_line_prints_no_error(
    add: Add, processes: Processes, line: str, expected: str | None
) -> None:
    add(OPTIONS, lab="lab")
    add("raise ValueError", "test-broken", **{"lab.broken": "broken"})
    result = processes(
        _MUNIMENT_COMPLETE="bash_complete",
        COMP_WORDS=f"muniment {line} ",
        COMP_CWORD=str(len(line.split()) + 1),
    )
    assert (result.code, result.err) == (0, "")
    assert "Error" not in result.out
    assert expected is None or f"plain,{expected}" in result.lines


@pytest.mark.parametrize("target", ["missing_package.cli:words", "sys:exit", ".:words"])
def test_a_plugin_whose_module_is_missing_can_be_shown_and_disabled(
    add: Add, muniment: Here, processes: Processes, plugin_folder: PluginFolder, target: str
) -> None:
    add("", "lost-words", words="words")
    points = plugin_folder.folder / "lost_words-1.0.dist-info" / "entry_points.txt"
    points.write_text(f"[muniment.commands]\nwords = {target}\n")
    shown = muniment("plugins", "show", "lost-words", "--json").json("plugin_details")
    assert shown[0]["digest"] == "unknown"
    checked = processes("plugins", "doctor", "lost-words", "--json").json("plugin_health")
    assert checked[0]["state"] == "broken"
    assert "`muniment words`" in checked[0]["message"]
    disabled = muniment("plugins", "disable", "lost-words")
    assert (disabled.code, disabled.err) == (0, "")


def test_what_an_interrupted_pip_leaves_is_no_plugin(
    add: Add, muniment: Here, plugin_folder: PluginFolder
) -> None:
    names = ("nameless-1.0.dist-info", "~enamed-1.0.dist-info")
    for name in names:
        (plugin_folder.folder / name).mkdir()
        points = "[muniment.v1]\nlost = lost_module\n[muniment.commands]\nlost = lost_module:lost\n"
        (plugin_folder.folder / name / "entry_points.txt").write_text(points)
    (plugin_folder.folder / names[1] / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: renamed\nVersion: 1.0\n\n"
    )
    assert muniment("generate", "echo", "one").code == 0
    listed = muniment("plugins", "list")
    assert (listed.code, listed.err) == (0, "")
    assert not any("lost" in row for row in listed.rows)
    assert muniment("lost").code == 2


def test_an_installed_plugin_with_commands_only_is_not_reported_as_lost(
    add: Add, muniment: Here
) -> None:
    add(WORDS, "only-words", words="words")
    records = InstallRecords(Path(os.environ["MUNIMENT_HOME"]))
    records.folder.mkdir(parents=True)
    record = {"name": "only-words", "version": "1.0", "digest": "unknown"}
    lost = {**record, "name": "lost-words"}
    state = {"environment": sys.prefix, "plugins": {"only-words": record, "lost-words": lost}}
    (records.folder / "state.json").write_text(json.dumps(state))
    failed = muniment("generate", "nosuch", "x")
    assert failed.code == 2
    assert "lost-words" in failed.err
    assert "only-words" not in failed.err


def test_a_repair_that_cannot_be_imported_is_an_error_of_one_line(
    add: Add, muniment: Here, plugin_folder: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("", "lost-repair", words="words")
    points = plugin_folder.folder / "lost_repair-1.0.dist-info" / "entry_points.txt"
    points.write_text("[muniment.repair_of_test]\nlost = missing_module:repair\n")
    monkeypatch.setattr("muniment.cli.plugins.REPAIR_GROUP", "muniment.repair_of_test")
    records = InstallRecords(Path(os.environ["MUNIMENT_HOME"]))
    records.folder.mkdir(parents=True)
    (records.folder / JOURNAL).write_text('{"what": "installing muniment-two 1.0"}')
    failed = muniment("plugins", "doctor")
    assert (failed.code, failed.out) == (1, "")
    (line,) = failed.err.splitlines()
    assert line.startswith("Error: the repair of lost-repair cannot be imported: ModuleNotFound")


def test_a_core_command_reads_no_metadata(add: Add, processes: Processes) -> None:
    add("raise RuntimeError('imported')", "commanding-broken", config="config")
    code = (
        "import sys; from muniment.cli import main; code = main(['config', 'list']); "
        "names = {'importlib.metadata', 'muniment.plugins', 'muniment.cli.plugin_commands'}; "
        "sys.exit(code or repr(names & {*sys.modules}) if names & {*sys.modules} else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=processes.environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_help_does_not_import_importlib_metadata(add: Add, processes: Processes) -> None:
    add(WORDS, words="words")
    code = (
        "import sys; from muniment.cli import main; main(['--help']); "
        "sys.exit('importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=processes.environment)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("x = 1\nraise ValueError('broken')", "ValueError: broken ({file}:2)"),
        ("import missing_module", "missing_module"),
        ("raise SystemExit(3)", "SystemExit: 3 ({file}:1)"),
        ("words = print", "is builtin_function_or_method, not click.Command"),
        ("def f(:", "SyntaxError"),
        ("", "has no attribute 'words'"),
    ],
)
def test_a_broken_command_is_one_line_and_harms_no_other(
    add: Add, muniment: Here, source: str, part: str
) -> None:
    module = add(source, "commanding-broken", words="words", **{"config.words": "words"})
    failed = muniment("words")
    assert (failed.code, failed.out) == (1, "")
    (line,) = failed.err.splitlines()
    assert "commanding-broken" in line
    assert part.format(file=f"{module}.py") in line
    assert "Traceback" not in failed.err
    assert muniment("config", "list").err == ""
    listed = muniment("config", "--help")
    assert listed.code == 0
    assert "(cannot be imported)" in listed.out
    (line,) = listed.err.splitlines()
    assert line.startswith("Warning: ")


def test_the_variable_shows_the_traceback(
    add: Add, muniment: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("raise ValueError('broken')", words="words")
    monkeypatch.setenv("MUNIMENT_TRACEBACK", "1")
    assert "Traceback" in muniment("words").err


def test_what_a_command_prints_while_it_is_imported_is_no_data(add: Add, muniment: Here) -> None:
    add("print('hello')\n" + textwrap.dedent(WORDS), words="words")
    assert muniment("words", "--help").out.startswith("Usage:")


def test_a_bug_in_a_command_names_the_plugin_and_the_line(
    add: Add, muniment: Here, plugin_folder: PluginFolder
) -> None:
    source = """
        import click

        @click.command
        def words():
            1 / 0
    """
    module = add(source, "commanding-buggy", words="words")
    failed = muniment("words")
    assert failed.code == 1
    assert "commanding-buggy failed: ZeroDivisionError" in failed.err
    assert f"({module}.py:6)" in failed.err


def test_an_interrupted_run_of_a_command_is_no_bug(add: Add, muniment: Here) -> None:
    source = """
    import click
    from muniment.command import new_run, pass_session

    @click.command
    @pass_session
    def words(session):
        with new_run(session):
            raise KeyboardInterrupt
    """
    add(source, "commanding-slow", words="words")
    stopped = muniment("words")
    assert (stopped.code, stopped.out, stopped.err) == (130, "", "Interrupted\n")


def test_the_core_wins(add: Add, muniment: Here) -> None:
    add("raise ValueError('broken')", "commanding-thief", config="words", **{"keys.show": "words"})
    assert muniment("config", "list").code == 0
    assert "commanding-thief" not in muniment("keys", "--help").err


def test_two_plugins_with_one_command_are_both_named(add: Add, muniment: Here) -> None:
    add(WORDS, "commanding-one", words="words")
    add(WORDS, "commanding-two", words="words")
    failed = muniment("words")
    assert failed.code == 2
    assert "commanding-one and by commanding-two" in failed.err
    assert "`muniment plugins disable NAME`" in failed.err
    assert "commanding-one and by" in " ".join(muniment("--help").out.split())
    muniment("config", "set", "plugin.commanding-two.enabled", "false")
    assert muniment("words", "--help").code == 0


def test_a_command_of_the_installer_cannot_be_taken_over(
    add: Add, muniment: Here, processes: Processes
) -> None:
    add(WORDS, "commanding-thief", **{"plugins.install": "words"})
    missing = muniment("plugins", "install", "x")  # here only the plugins of the test are found
    assert missing.code == 2
    assert "needs the plugin muniment-installer" in missing.err
    called = processes("plugins", "install", "--help")
    assert (called.code, called.err) == (0, "")
    assert "PLUGIN" in called.out
    doctor = processes("plugins", "doctor", "commanding-thief", "muniment-installer", "--json")
    states = {row["distribution"]: row["state"] for row in doctor.json("plugin_health")}
    assert states == {"commanding-thief": "broken", "muniment-installer": "ok"}


def test_the_commands_of_a_disabled_plugin_are_absent(
    add: Add, muniment: Here, tmp_path: Path
) -> None:
    module = add(WORDS, "commanding-words", words="words")
    muniment("config", "set", "plugin.Commanding_Words.enabled", "false")
    failed = muniment("words")
    assert failed.code == 2
    assert "`muniment plugins enable commanding-words`" in failed.err
    assert module not in muniment("--help").out
    assert module in muniment("--help", "--home", tmp_path / "other").out


def test_a_malformed_configuration_stops_a_command_and_no_help(
    add: Add, muniment: Here, home: Path
) -> None:
    module = add(WORDS, words="words")
    (home / "config.toml").write_text("???")
    assert module in muniment("--help").out
    assert "config.toml" in muniment("words").err


def test_a_nested_command_is_called_by_its_path(add: Add, muniment: Here) -> None:
    add(WORDS, **{"audit.words": "words"})
    assert muniment("generate", "echo", "one two").code == 0
    assert [row[1] for row in muniment("audit", "words").rows] == ["2"]
    assert "words  Count the words of generations." in muniment("audit", "--help").out
    assert muniment("words").code == 2


def test_a_plugin_adds_a_command_to_the_group_of_another(add: Add, muniment: Here) -> None:
    group = """
        import click

        @click.group
        def stats():
            '''Count things.'''

        @stats.command
        def own():
            '''Count nothing.'''
    """
    add(group, "commanding-group", stats="stats")
    add(WORDS, "commanding-words", **{"stats.words": "words", "stats.own": "words"})
    add("raise ValueError('broken')", "commanding-broken", **{"stats.broken": "words"})
    result = muniment("stats", "--help")
    assert "Count the words of generations." in result.out
    assert "Count nothing." in result.out
    assert "(commanding-broken: cannot be used)" in result.out
    assert muniment("generate", "echo", "one two").code == 0
    assert [row[1] for row in muniment("stats", "words").rows] == ["2"]
    assert muniment("stats", "words").err == ""
    for words in (("stats",), ("stats", "own"), ("stats", "words")):
        assert muniment(*words, "help").out == muniment(*words, "--help").out != ""


BROKEN = "raise ValueError('broken')"


def test_a_command_that_cannot_be_imported_exits_with_1_wherever_it_is(
    add: Add, muniment: Here
) -> None:
    group = "import click\n@click.group\ndef stats():\n    'Count things.'"
    add(group, "commanding-group", stats="stats")
    paths = ("broken", "audit.broken", "stats.broken")
    add(BROKEN, "commanding-broken", **dict.fromkeys(paths, "words"))
    for path in paths:
        for arguments in ((), ("--help",), ("x", "--unknown", "1")):
            failed = muniment(*path.split("."), *arguments)
            assert (failed.code, failed.out, failed.err.count("\n")) == (1, "", 1), path
            assert "commanding-broken cannot be imported: ValueError" in failed.err


def test_a_command_of_two_plugins_exits_with_2_wherever_it_is(add: Add, muniment: Here) -> None:
    group = "import click\n@click.group\ndef stats():\n    'Count things.'"
    add(group, "commanding-group", stats="stats")
    paths = ("words", "audit.words", "stats.words")
    for name in ("commanding-one", "commanding-two"):
        add(WORDS, name, **dict.fromkeys(paths, "words"))
    for path in paths:
        failed = muniment(*path.split("."))
        assert (failed.code, failed.out, failed.err.count("\n")) == (2, "", 1), path
        assert "commanding-one and by commanding-two" in failed.err


def test_an_unknown_name_is_answered_with_similar_ones(add: Add, muniment: Here) -> None:
    add(WORDS, words="words")
    failed = muniment("word")
    assert failed.code == 2
    assert "Did you mean words?" in failed.err


def test_a_command_that_another_copy_of_its_distribution_lost_is_not_found(
    add: Add, muniment: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(WORDS, words="words")
    newer = tmp_path / "newer" / "test_words-2.0.dist-info"
    newer.mkdir(parents=True)
    (newer / "METADATA").write_text("Metadata-Version: 2.1\nName: test-words\nVersion: 2.0\n")
    monkeypatch.syspath_prepend(str(newer.parent))
    assert muniment("words").code == 2


def test_a_return_value_that_is_no_number_means_done(add: Add, muniment: Here) -> None:
    source = "import click\nwords = click.Command('words', callback=lambda: 'text')"
    add(source, words="words")
    assert muniment("words").code == 0


EVIL = "\x1b]0;evil\x07\x9b31m\u202eabc\u2066\u200f"
BIDI = "\u202eabc\u2066\u200f"  # a tag may contain these, and no control characters
RAW = ("\x1b]0;evil", "\x07", "\x9b", "\u202e", "\u2066", "\u200f")


def test_a_terminal_gets_no_control_character_of_a_plugin_or_an_argument(
    add: Add, muniment: Here, processes: Processes, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    """Names, summaries, paths, exceptions and arguments are written out."""
    add(f"raise ValueError({EVIL!r})", "commanding-evil", evil="words", **{"config.evil": "words"})
    (info,) = plugin_folder.folder.glob("commanding_evil-*.dist-info")
    metadata = (info / "METADATA").read_text().replace("Summary: Of", f"Summary: {EVIL}")
    (info / "METADATA").write_text(metadata + f"Requires-Dist: {EVIL}\n", encoding="utf-8")
    wheel = tmp_path / f"{EVIL}.whl"
    wheel.write_text("no wheel")
    folder = tmp_path / f"folder{EVIL}"
    folder.mkdir()
    commands: tuple[tuple[str | Path, ...], ...] = (
        ("--help",),
        ("config", "--help"),
        ("evil",),
        (EVIL,),
        ("plugins", EVIL),
        ("plugins", "list"),
        ("plugins", "list", "--json"),
        ("plugins", "show", "commanding-evil"),
        ("plugins", "show", "commanding-evil", "--json"),
        ("plugins", "show", EVIL),
        ("plugins", "doctor", "commanding-evil"),
        ("plugins", "doctor", "commanding-evil", "--json"),
        ("plugins", "disable", EVIL),
        ("plugins", "new", EVIL, "--kind", "filter"),
        ("plugins", "new", "mine", "--kind", "filter", "--into", folder),
        ("plugins", "install", wheel),
        ("plugins", "install", EVIL),
        ("plugins", "install", "./" + EVIL),
        ("plugins", "install", folder),
        ("plugins", "upgrade", EVIL),
        ("plugins", "uninstall", EVIL),
        ("plugins", "restore", wheel),
        ("plugins", "freeze", EVIL),
        ("plugins", "bundle", wheel, "-o", tmp_path / f"{EVIL}.bundle"),
        ("config", "set", EVIL, "x"),
        ("config", "set", "actor", EVIL),
        ("config", "list"),
        ("audit", "list", "--store", tmp_path / EVIL),
    )
    for command in commands:
        result = processes.on_terminal(*command)
        assert not [raw for raw in RAW if raw in result.err], command


def test_a_terminal_gets_no_control_character_of_a_text(
    muniment: Here, processes: Processes
) -> None:
    ids = [
        muniment("generate", "echo", f"{EVIL} {word}", "--tag", BIDI, "--json").json("generation")[
            0
        ]["id"]
        for word in ("one", "two")
    ]
    for command in (
        ("generate", "echo", EVIL),
        ("generate", "echo", EVIL, "--stream"),
        ("audit", "list"),
        ("audit", "show", ids[0]),
        ("audit", "show", ids[0], "--json"),
        ("audit", "get", ids[0]),
        ("audit", "diff", *ids),
        ("audit", "search", "abc"),
    ):
        result = processes.on_terminal(*command)
        assert not [raw for raw in RAW if raw in result.err], command
        assert result.code == 0
        assert "02eabc\\u2066" in result.err  # a table may wrap before it
