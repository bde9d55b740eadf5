"""Plugins that add commands are installed like any other; the installer is one of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from support.environments import Fresh, on_both, others

HELLO = """
    import click

    @click.command
    def hello():
        '''Print a greeting.'''
        click.echo("你好")

    number = 1
"""
COMMANDS_OF_INSTALLER = ("install", "upgrade", "uninstall", "freeze", "restore", "bundle")


def without_installer(fresh: Fresh) -> Path:
    """Remove the metadata of the installer, as `pip uninstall` does; return where it is."""
    (info,) = fresh.modules.glob("muniment_installer-*.dist-info")
    return Path(shutil.move(info, fresh.folder.parent / info.name))


@on_both
def test_a_plugin_that_only_adds_commands_is_installed_and_removed(
    fresh: Fresh, wheel_folder: Any
) -> None:
    hello = wheel_folder("muniment-hello", HELLO, group="", commands={"hello": "hello"})
    (change,) = fresh("plugins", "install", hello, "--json").json("plugin_change")
    assert change["digest"].startswith("file-sha256:")
    assert fresh("hello").out == "你好\n"
    (row,) = others(fresh("plugins", "list", "--json").json("plugin"))
    assert (row["distribution"], row["name"], row["commands"]) == ("muniment-hello", "", ["hello"])
    (shown,) = fresh("plugins", "show", "muniment-hello", "--json").json("plugin_details")
    assert (shown["commands"], shown["entry_points"]) == (["hello"], [])
    assert "muniment hello" in fresh("plugins", "show", "muniment-hello").out
    (health,) = fresh("plugins", "doctor", "muniment-hello", "--json").json("plugin_health")
    assert (health["state"], health["commands"]) == ("ok", ["hello"])

    assert fresh("plugins", "disable", "muniment-hello").code == 0
    refused = fresh("hello")
    assert (refused.code, "`muniment plugins enable muniment-hello`" in refused.err) == (2, True)
    assert "hello" not in fresh("--help").out
    assert fresh("plugins", "enable", "muniment-hello").code == 0
    assert fresh("plugins", "uninstall", "muniment-hello", "--yes").code == 0
    assert fresh("hello").code == 2
    acts = [entry["act"] for entry in fresh.entries("installation")]
    assert acts == ["installed", "disabled", "enabled", "removed"]


@pytest.mark.parametrize(
    ("source", "commands", "why"),
    [
        (HELLO, {"config": "hello"}, "`muniment config` is a command of Muniment itself"),
        (HELLO, {"config.list": "hello"}, "`muniment config list` is a command of Muniment itself"),
        (HELLO, {"plugins.install": "hello"}, "is a command of muniment-installer"),
        (HELLO, {"nowhere.hello": "hello"}, "is in no group that plugins can add commands to"),
        (HELLO, {"generate.hello": "hello"}, "is in no group that plugins can add commands to"),
        (HELLO, {"Hello": "hello"}, "'Hello' is not the name of a command"),
        (HELLO, {"hello": "number"}, "is int, not click.Command"),
        (HELLO, {"hello": "missing"}, "has no attribute 'missing'"),
        ("raise RuntimeError('broken')", {"hello": "hello"}, "RuntimeError: broken ("),
        ("raise SystemExit(3)", {"hello": "hello"}, "SystemExit: 3 ("),
    ],
)
def test_commands_that_cannot_be_used_are_refused(
    shared_environment: Fresh, wheel_folder: Any, source: str, commands: dict[str, str], why: str
) -> None:
    files = shared_environment.files()
    wheel = wheel_folder("muniment-bad", source, group="", commands=commands)
    refused = shared_environment("plugins", "install", wheel)
    assert (refused.code, refused.out) == (1, "")
    assert why in refused.err
    assert shared_environment.files() == files


def test_the_doctor_reports_commands_that_cannot_be_used(fresh: Fresh, wheel_folder: Any) -> None:
    thief = wheel_folder("muniment-thief", HELLO, group="", commands={"config": "hello"})
    fresh.pip("install", "--no-deps", thief)
    result = fresh("plugins", "doctor", "muniment-thief")
    assert (result.code, result.rows[0][2]) == (1, "broken")
    assert "is a command of Muniment itself" in result.rows[0][4]
    assert fresh("config", "list").code == 0


def test_a_second_plugin_with_a_command_is_refused(fresh: Fresh, wheel_folder: Any) -> None:
    one = wheel_folder("muniment-hello", HELLO, group="", commands={"hello": "hello"})
    two = wheel_folder("muniment-hello-too", HELLO, group="", commands={"hello": "hello"})
    assert fresh("plugins", "install", one).code == 0
    refused = fresh("plugins", "install", two)
    assert (refused.code, "muniment-hello adds the command" in refused.err) == (1, True)
    assert fresh("plugins", "disable", "muniment-hello").code == 0
    assert fresh("plugins", "install", two).code == 0


@pytest.mark.parametrize("name", ["muniment", "Muniment_Installer"])
@pytest.mark.parametrize(
    "command",
    [("uninstall", "--yes"), ("upgrade",), ("bundle", "-o", "one.bundle"), ("freeze",)],
    ids=lambda command: command[0],
)
def test_muniment_and_the_installer_are_left_to_pip(
    shared_environment: Fresh, name: str, command: tuple[str, ...]
) -> None:
    files = shared_environment.files()
    refused = shared_environment("plugins", *command, name)
    assert (refused.code, "use pip" in refused.err) == (2, True)
    assert shared_environment.files() == files


def test_a_wheel_of_the_installer_is_refused(shared_environment: Fresh, wheel_folder: Any) -> None:
    wheel = wheel_folder("muniment-installer", version="9.0")
    for command in ("install", "upgrade"):
        refused = shared_environment("plugins", command, wheel)
        assert (refused.code, "use pip" in refused.err) == (1, True)


def test_the_lock_of_everything_leaves_the_installer_out(shared_environment: Fresh) -> None:
    pins = shared_environment("plugins", "freeze", "--json").json("plugin_pin")
    assert [pin["name"] for pin in pins] == ["muniment-one"]


# ---- without the installer -----------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS_OF_INSTALLER)
def test_without_the_installer_its_commands_say_how_to_install_it(
    fresh: Fresh, command: str
) -> None:
    without_installer(fresh)
    refused = fresh("plugins", command)
    assert (refused.code, refused.out) == (2, "")
    assert "`pip install muniment-installer`" in refused.err
    assert command not in fresh("plugins", "--help").out.partition("Commands:")[2].split()


@pytest.mark.parametrize(
    ("marker", "command"),
    [
        ("pipx_metadata.json", "`pipx inject muniment muniment-installer`"),
        ("uv-receipt.toml", "`uv tool install muniment --with muniment-installer`"),
    ],
)
def test_the_command_that_installs_it_suits_the_environment(
    fresh: Fresh, marker: str, command: str
) -> None:
    without_installer(fresh)
    (fresh.folder / marker).touch()
    assert command in fresh("plugins", "install", "x").err


def test_without_the_installer_plugins_are_switched_and_checked(
    fresh: Fresh, wheel_folder: Any
) -> None:
    assert fresh("plugins", "install", wheel_folder("muniment-one", generator="one")).code == 0
    without_installer(fresh)
    assert fresh("plugins", "disable", "muniment-one").code == 0
    assert fresh("generate", "one", "x").code == 2
    assert fresh("plugins", "enable", "muniment-one").code == 0
    assert fresh("generate", "one", "x").code == 0
    assert fresh("plugins", "doctor").code == 0
    acts = [entry["act"] for entry in fresh.entries("installation")]
    assert acts == ["installed", "disabled", "enabled"]


def test_without_the_installer_a_gone_plugin_is_reported_with_the_way_back(
    fresh: Fresh, wheel_folder: Any
) -> None:
    assert fresh("plugins", "install", wheel_folder("muniment-one", generator="one")).code == 0
    fresh.renew()
    without_installer(fresh)
    listed = fresh("plugins", "list")
    assert "muniment-one was installed here" in listed.err
    assert "`pip install muniment-installer`, then `muniment plugins restore`" in listed.err
    assert fresh("plugins", "doctor").code == 1


@pytest.mark.parametrize("command", ["disable", "enable"])
def test_switching_a_plugin_repairs_an_interrupted_change(
    fresh: Fresh, wheel_folder: Any, command: str
) -> None:
    for name in ("one", "two"):
        wheel = wheel_folder(f"muniment-{name}", generator=name)
        assert fresh("plugins", "install", wheel).code == 0
    fresh("plugins", "disable", "muniment-two")
    (state,) = fresh.home.glob("plugins/*/state.json")
    journal = state.with_name("journal.json")
    journal.write_text('{"what": "installing muniment-three 1.0"}')
    name = {"disable": "muniment-one", "enable": "muniment-two"}[command]
    switched = fresh("plugins", command, name)
    assert (switched.code, switched.out) == (0, f"{command}d {name} 1.0\n")
    assert "it was rolled back" in switched.err
    assert not journal.is_file()


def test_enabling_the_installer_repairs_an_interrupted_change(
    fresh: Fresh, wheel_folder: Any
) -> None:
    assert fresh("plugins", "install", wheel_folder("muniment-one", generator="one")).code == 0
    assert fresh("plugins", "disable", "muniment-installer").code == 0
    (state,) = fresh.home.glob("plugins/*/state.json")
    journal = state.with_name("journal.json")
    journal.write_text('{"what": "installing muniment-two 1.0"}')
    waiting = fresh("plugins", "disable", "muniment-one")
    assert (waiting.code, "`pip install muniment-installer`" in waiting.err) == (0, True)
    assert journal.is_file()
    enabled = fresh("plugins", "enable", "muniment-installer")
    assert (enabled.code, "it was rolled back" in enabled.err) == (0, True)
    assert not journal.is_file()


def test_an_interrupted_change_waits_for_the_installer(fresh: Fresh, wheel_folder: Any) -> None:
    assert fresh("plugins", "install", wheel_folder("muniment-one", generator="one")).code == 0
    (state,) = fresh.home.glob("plugins/*/state.json")
    journal = state.with_name("journal.json")
    journal.write_text('{"what": "installing muniment-two 1.0"}')
    info = without_installer(fresh)
    result = fresh("plugins", "doctor")
    assert result.code == 1
    assert "installing muniment-two 1.0 was interrupted" in result.err
    assert "pip install muniment-installer" in result.err
    assert journal.is_file()
    shutil.move(info, fresh.modules)
    repaired = fresh("plugins", "doctor")
    assert (repaired.code, "it was rolled back" in repaired.err) == (0, True)
    assert not journal.is_file()


def test_enabling_a_broken_plugin_prints_a_warning(fresh: Fresh, wheel_folder: Any) -> None:
    assert fresh("plugins", "install", wheel_folder("muniment-one", generator="one")).code == 0
    assert fresh("plugins", "disable", "muniment-one").code == 0
    (code,) = fresh.modules.rglob("muniment_one.py")
    code.write_text("def broken(:\n", encoding="utf-8")
    enabled = fresh("plugins", "enable", "muniment-one")
    assert (enabled.code, enabled.out) == (0, "enabled muniment-one 1.0\n")
    (warning,) = enabled.err.splitlines()
    assert warning.startswith("Warning: plugin muniment-one ")
    assert "SyntaxError" in warning
