"""Things that one types: help, versions, shell completion, and names of commands and plugins."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from muniment.cli.root import root
from muniment.plugins import discovery, providers
from support.commands import ROOT, Here, Processes
from support.plugins import PluginFolder


@pytest.mark.parametrize(
    "words", [(), ("audit",), ("audit", "list"), ("generate", "echo"), ("completion", "install")]
)
def test_help_and_h_print_what_the_option_help_prints(
    muniment: Here, words: tuple[str, ...]
) -> None:
    expected = muniment(*words, "--help").out
    assert expected.startswith(" ".join(("Usage: muniment", *words)))
    assert muniment(*words, "-h").out == expected
    assert muniment("help", *words).out == expected


@pytest.mark.parametrize(
    "words",
    [
        *(("audit",), ("audit", "list"), ("audit", "show"), ("audit", "diff"), ("config",)),
        *(("completion", "install"), ("shell",), ("shell", "echo"), ("generate",), ("batch",)),
        *(("config", "set"), ("models", "add"), ("plugins", "new"), ("policy", "show")),
    ],
)
def test_help_as_the_only_argument_prints_the_help(muniment: Here, words: tuple[str, ...]) -> None:
    result = muniment(*words, "help")
    assert (result.code, result.out) == (0, muniment(*words, "--help").out)


def test_help_is_a_prompt_and_a_query_and_a_name_after_dashes(muniment: Here) -> None:
    assert muniment("generate", "echo", "help").out == "help\n"
    assert "help" in muniment("audit", "search", "help").out
    assert "Usage" not in muniment("audit", "search", "help").out
    assert "'help'" in muniment("audit", "show", "--", "help").err
    assert muniment("audit", "list", "--json", "help").code == 2


@pytest.mark.parametrize("words", [(), ("audit", "show"), ("generate",), ("generate", "echo")])
def test_help_fits_a_narrow_terminal(
    muniment: Here, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    narrow = muniment(*words, "--help").out
    assert narrow.startswith(" ".join(("Usage: muniment", *words)))
    assert "\nOptions:\n" in narrow
    assert max(map(len, narrow.splitlines())) <= 40
    monkeypatch.setenv("COLUMNS", "80")
    assert narrow.split() == muniment(*words, "--help").out.split()


def test_help_of_an_unknown_command_is_an_error(muniment: Here) -> None:
    result = muniment("help", "audit", "lst")
    assert (result.code, result.out) == (2, "")
    assert "Did you mean list?" in result.err
    assert muniment("help", "audit", "list", "more").code == 2


def test_the_version_has_a_short_option(muniment: Here) -> None:
    assert muniment("-V").out == muniment("--version").out != ""


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("keys", "make"), "generate"),
        (("keys", "info"), "show"),
        (("models", "rm"), "remove"),
        (("models", "ls"), "list"),
        (("models", "new"), "add"),
        (("review", "list"), "queue"),
        (("review", "reject"), "overturn"),
        (("review", "accept"), "approve"),
        (("audit", "ver"), "verify"),
        (("plugins", "delete"), "uninstall"),
        (("audit", "lst"), "list"),
        (("audti",), "audit"),
        (("list",), "`muniment audit list`"),
        (("replay",), "`muniment audit replay`"),
        (("install",), "`muniment plugins install`"),
        (("verfy",), "`muniment audit verify`"),
        (("version",), "`muniment --version`"),
        (("echo",), "`muniment generate echo`"),
        (("audit", "install"), "`muniment plugins install`"),
        (("policy", "list"), "show"),
    ],
)
def test_an_unknown_command_names_the_one_that_is_meant(
    muniment: Here, words: tuple[str, ...], meant: str
) -> None:
    result = muniment(*words)
    assert (result.code, result.out) == (2, "")
    assert f"no command named {words[-1]!r}. Did you mean {meant}" in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "plugin"),
    [
        (("analyze", "plan"), "muniment-analysis"),
        (("audit", "report", "--since", "7d"), "muniment-analysis"),
        (("image", "train"), "muniment-image"),
        (("recommendation", "fit"), "muniment-recommendation"),
        (("plugins", "install", "x"), "muniment-installer"),
    ],
)
def test_a_command_of_a_missing_plugin_names_the_plugin_and_how_to_install_it(
    muniment: Here, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], plugin: str
) -> None:
    monkeypatch.setattr(discovery, "installed_commands", list)
    monkeypatch.setattr(discovery, "installed_plugins", lambda: iter(()))
    result = muniment(*words)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert f"needs the plugin {plugin}; run `pip install {plugin}`" in result.err


def test_a_misspelt_command_of_a_missing_plugin_is_suggested(
    muniment: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "installed_commands", list)
    assert "Did you mean recommendation" in muniment("recomendation", "fit").err


def test_commands_of_first_party_plugins_are_those_of_their_metadata() -> None:
    declared: dict[str, str] = {}
    for file in ROOT.glob("plugins/*/pyproject.toml"):
        project = tomllib.loads(file.read_text("utf-8"))["project"]
        commands = project.get("entry-points", {}).get(discovery.COMMAND_GROUP, {})
        declared |= dict.fromkeys(commands, project["name"])
    assert declared == providers.COMMANDS


def test_every_group_suggests_a_command_for_a_synonym() -> None:
    from muniment.cli.suggestions import unknown_command

    context = click.Context(root, info_name="muniment", **root.context_settings)
    for name in root.own_names:  # type: ignore[attr-defined]
        command = root.own_command(name)  # type: ignore[attr-defined]
        if isinstance(command, click.Group) and name != "generate":
            nested = click.Context(command, info_name=name, parent=context)
            for word in command.list_commands(nested):
                assert word in unknown_command(nested, f"{word}x"), (name, word)


def test_a_prompt_without_a_generator_is_answered_with_the_whole_command(muniment: Here) -> None:
    result = muniment("generate", "a poem")
    assert result.code == 2
    assert "`muniment generate text 'a poem'`" in result.err


def test_a_prompt_of_several_arguments_is_answered_with_the_quoted_prompt(muniment: Here) -> None:
    result = muniment("generate", "echo", "one", "two")
    assert result.code == 2
    assert "`muniment generate echo 'one two'`" in result.err


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", "data/bash-completion/completions/muniment"),
        ("zsh", ".zfunc/_muniment"),
        ("fish", "config/fish/completions/muniment.fish"),
    ],
)
def test_completion_is_installed_in_one_file_that_it_names(
    muniment: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str, file: str
) -> None:
    user = tmp_path / "user"
    user.mkdir()
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.setenv("XDG_DATA_HOME", str(user / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(user / "config"))
    monkeypatch.delenv("BASH_COMPLETION_USER_DIR", raising=False)
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    result = muniment("completion", "install")
    assert (result.code, result.out) == (0, f"{user / file}\n"), result.err
    assert f"remove {user / file} to undo it" in result.err
    script = (user / file).read_text()
    assert script == muniment("completion", "show", shell).out
    assert "_MUNIMENT_COMPLETE" in script
    assert muniment("completion", "install", shell).out == result.out
    assert [path for path in user.rglob("*") if path.is_file()] == [user / file]
    (user / file).write_text("mine")
    refused = muniment("completion", "install")
    assert (refused.code, (user / file).read_text()) == (2, "mine")


@pytest.mark.parametrize(("shell", "named"), [("", "SHELL"), ("/bin/tcsh", "tcsh")])
def test_completion_for_an_unknown_shell_names_the_known_ones(
    muniment: Here, monkeypatch: pytest.MonkeyPatch, shell: str, named: str
) -> None:
    monkeypatch.setenv("SHELL", shell)
    result = muniment("completion", "show")
    assert result.code == 2
    assert named in result.err
    assert "; use bash, zsh or fish" in result.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_variable_of_click_prints_the_script_of_a_shell(
    processes: Processes, shell: str
) -> None:
    script = processes(_MUNIMENT_COMPLETE=f"{shell}_source")
    assert script.code == 0
    assert script.out.strip() == processes("completion", "show", shell).out.strip()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_options_and_generators(
    processes: Processes, plugin_folder: PluginFolder, shell: str
) -> None:
    plugin_folder.generator("诗", "pass")

    def completed(*words: str) -> list[str]:
        """Return the completions of the last word, which the script of the shell would read."""
        variables = {
            "_MUNIMENT_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": " ".join(("muniment", *words)),
            "COMP_CWORD": words[-1] if shell == "fish" else str(len(words)),
        }
        result = processes(**variables)
        assert (result.code, result.err) == (0, "")
        if shell == "zsh":  # three lines for each: its type, its value and its help
            assert set(result.lines[::3]) == {"plain"}
            return result.lines[1::3]
        values = [line.removeprefix("plain,") for line in result.lines]
        return [value.partition("\t")[0] for value in values] if shell == "fish" else values

    assert completed("hel") == ["help"]
    assert completed("help", "aud") == ["audit"]
    assert completed("help", "audit", "tai") == ["tail"]
    assert completed("audit", "list", "--unt") == ["--until"]
    assert completed("generate", "诗") == ["诗"]


class TestPlugins:
    """`plugins list` and `plugins show`, with the names of what plugins offer."""

    @pytest.fixture
    def many(self, plugin_folder: PluginFolder) -> PluginFolder:
        plugin_folder.evaluator("句长", "return {'value': 1.0}", distribution="Poem_Tools")
        policy = "policy: strict\nversion: '1'\nfilters: []\n"
        plugin_folder.add(
            "x = 1",
            distribution="rules",
            files={"strict.yaml": policy},
            policies={"strict": "strict.yaml"},
        )
        return plugin_folder

    @pytest.mark.parametrize(
        "name", ["Poem_Tools", "poem-tools", "POEM.TOOLS", "句长", "module of it"]
    )
    def test_a_plugin_is_found_by_any_name(
        self, processes: Processes, many: PluginFolder, name: str
    ) -> None:
        if name == "module of it":
            name = many.all[-2].module
        (shown,) = processes("plugins", "show", name, "--json").json("plugin_details")
        assert shown["distribution"] == "Poem_Tools"
        assert shown["offers"] == [{"kind": "evaluator", "name": "句长", "media_type": ""}]
        listed = processes("plugins", "list", name, "--offers", "--json").json("plugin")
        assert [row["offers"] for row in listed] == [shown["offers"]]
        assert "evaluators: 句长" in processes("plugins", "list", name, "--offers").out

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ("def (", "SyntaxError"),
            ("import no_such_module", "ModuleNotFoundError"),
            ("x = 1", "registers nothing"),
            ("import os; os._exit(7)", "exit code 7"),
        ],
    )
    def test_plugins_list_broken_plugin_has_the_state_and_the_reason(
        self, processes: Processes, plugin_folder: PluginFolder, source: str, reason: str
    ) -> None:
        plugin_folder.add(source, distribution="test-broken")
        listed = processes("plugins", "list", "--offers")
        states = {row[0]: row[3] for row in listed.rows}
        assert (listed.code, states["test-broken"], states["test-echo"]) == (0, "broken", "enabled")
        (warning,) = [line for line in listed.err.splitlines() if line.startswith("Warning: ")]
        assert "plugin test-broken " in warning
        assert reason in warning
        (row,) = processes("plugins", "list", "test-broken", "--offers", "--json").json("plugin")
        assert (row["enabled"], row["state"]) == (True, "broken")
        assert reason in row["message"]
        (shown,) = processes("plugins", "show", "test-broken", "--json").json("plugin_details")
        assert (shown["state"], shown["message"]) == ("broken", row["message"])
        # The process that a plugin ends is not that of another one.
        health = processes("plugins", "doctor", "--json").json("plugin_health")
        (broken,) = [row for row in health if row["state"] == "broken"]
        assert broken["distribution"] == "test-broken"
        hint = "`muniment plugins doctor test-broken`" in listed.err
        assert hint is bool(broken["traceback"])

    def test_plugins_list_two_plugins_of_one_name_are_broken(
        self, processes: Processes, plugin_folder: PluginFolder
    ) -> None:
        offers = ("--offers", "--json")
        plugin_folder.generator("echo", "pass", distribution="another")
        rows = processes("plugins", "list", "another", "test-echo", *offers).json("plugin")
        assert [row["state"] for row in rows] == ["broken", "broken"]
        assert "test-echo has a generator named echo" in rows[0]["message"]
        assert processes("plugins", "disable", "another").code == 0
        rows = processes("plugins", "list", "another", "test-echo", *offers).json("plugin")
        assert [row["state"] for row in rows] == ["disabled", "enabled"]

    @pytest.mark.parametrize("name", ["another", "Another", "module of it", "of it alone"])
    def test_plugins_list_selected_plugin_is_compared_with_all(
        self, processes: Processes, plugin_folder: PluginFolder, name: str
    ) -> None:
        rival = plugin_folder.filter("same", "return content.allow()", distribution="another")
        plugin_folder.filter("same", "return content.allow()", distribution="rival")
        if name == "module of it":
            name = rival.module
        elif name == "of it alone":
            code = plugin_folder.folder / rival.module / "__init__.py"
            own = "\n    register(type('Alone', (Made,), {'name': 'alone'}))\n"
            code.write_text(code.read_text(encoding="utf-8").rstrip() + own, encoding="utf-8")
            name = "alone"
        listed = processes("plugins", "list", name, "--offers")
        assert [row[:1] + row[3:4] for row in listed.rows] == [["another", "broken"]]
        assert "rival has a filter named same" in listed.err
        assert "plugins doctor" not in listed.err  # it has no traceback
        (shown,) = processes("plugins", "show", name, "--json").json("plugin_details")
        assert shown["state"] == "broken"
        assert processes("plugins", "doctor", "another").rows[0][2] == "broken"
        assert processes("plugins", "disable", "rival").code == 0
        assert processes("plugins", "list", name, "--offers").rows[0][3] == "enabled"

    def test_plugins_enable_loads_other_plugins_once(
        self, processes: Processes, plugin_folder: PluginFolder, tmp_path: Path
    ) -> None:
        for name in ("one", "two"):
            plugin_folder.generator(name, "pass", distribution=name)
            assert processes("plugins", "disable", name).code == 0
        plugin_folder.generator("two", "pass", distribution="rival")
        plugin_folder.add(
            f"with open({str(tmp_path / 'loads')!r}, 'a') as log: print('loaded', file=log)",
            distribution="noted",
        )
        enabled = processes("plugins", "enable", "one", "two")
        assert enabled.code == 0
        assert (tmp_path / "loads").read_text() == "loaded\n"
        (warning,) = enabled.err.splitlines()
        assert "plugin two " in warning
        assert "rival has a generator named two" in warning

    def test_plugins_disable_several_names_switches_all_or_none(
        self, processes: Processes, many: PluginFolder
    ) -> None:
        refused = processes("plugins", "disable", "poem-tools", "missing", "rules")
        assert (refused.code, refused.out) == (2, "")
        assert "'missing'" in refused.err
        assert "plugin." not in processes("config", "list").out
        done = processes("plugins", "disable", "poem_tools", "strict", "Poem_Tools")
        assert (done.code, done.lines) == (0, ["disabled Poem_Tools 1.0", "disabled rules 1.0"])
        (enabled,) = processes("plugins", "enable", "rules", "test-echo", "--json").json(
            "plugin_change"
        )
        assert (enabled["act"], enabled["distribution"]) == ("enabled", "rules")
        assert processes("plugins", "enable").code == 2

    def test_a_plugin_is_found_by_its_policy(
        self, processes: Processes, many: PluginFolder
    ) -> None:
        (shown,) = processes("plugins", "show", "strict", "--json").json("plugin_details")
        assert (shown["distribution"], shown["policies"]) == ("rules", ["strict"])
        assert processes("plugins", "list", "strict").rows[0][-1] == "strict"

    def test_a_name_of_several_plugins_names_them(
        self, processes: Processes, many: PluginFolder
    ) -> None:
        refused = processes("plugins", "show", "plugin")  # the name of each entry point
        assert refused.code == 2
        assert "Poem_Tools" in refused.err
        assert "test-echo" in refused.err


def test_a_shown_policy_is_a_policy_file(
    muniment: Here, policy_file: Path, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    document = "# A comment.\npolicy: strict\nversion: '2'\nfilters: [{filter: words}]\n"
    plugin_folder.add("x = 1", files={"p.yaml": document}, policies={"strict": "p.yaml"})
    for reference in ((), (policy_file,), ("strict",), ("none",)):
        shown = muniment("policy", "show", *reference)
        (expected,) = muniment("policy", "show", *reference, "--json").json("policy")
        assert shown.code == 0, shown.err
        assert expected["policy"] in shown.err
        saved = tmp_path / "mine.yaml"
        saved.write_text(shown.out, encoding="utf-8")
        (loaded,) = muniment("policy", "show", saved, "--json").json("policy")
        assert loaded == {**expected, "source": str(saved)}
        assert muniment("generate", "echo", "x", "--policy", saved).code == 0


@pytest.mark.parametrize(
    ("content", "named"),
    [(None, "no such file"), (b"junk", "public key"), (b"", "public key"), (b"\xff", "UTF-8")],
)
def test_the_verifier_reports_a_missing_or_wrong_key_file_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, named: str
) -> None:
    from muniment import verifier

    key = tmp_path / "signer.pub"
    if content is not None:
        key.write_bytes(content)
    assert verifier.main(["proof.json", "--key", str(key)]) == verifier.USAGE
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert str(key) in printed.err
    assert named in printed.err


def test_the_verifier_without_a_key_prints_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    from muniment import verifier

    with pytest.raises(SystemExit) as caught:
        verifier.main(["proof.json"])
    assert caught.value.code == verifier.USAGE
    printed = capsys.readouterr().err
    assert (printed.count("\n"), "--key" in printed) == (1, True)


def test_the_program_verifier_has_a_version(processes: Processes) -> None:
    program = Path(processes.program).with_name("muniment-verify")
    done = subprocess.run([program, "-V"], capture_output=True, check=True)
    assert done.stdout.startswith(b"muniment-verify ")
