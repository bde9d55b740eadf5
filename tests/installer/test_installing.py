"""Plugins from wheels into a clean environment: side by side, or refused with nothing changed."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from muniment.plugins.smoke_test import IMPORT_LIMIT, PROCESS_LIMIT, load_alone
from muniment_installer.pip import _failure
from muniment_installer.wheels import sha256_of
from support.commands import ROOT
from support.environments import Fresh, on_both, only_real, others

LEFTPAD = {"source": "def pad(text): return ' ' + text", "group": ""}
BAD = "raise RuntimeError('broken at import')"

FILTER = """
    import muniment

    class NoShouting(muniment.Filter):
        name, categories = "no-shouting", ("shouting",)

        def check(self, content):
            return content.block("shouting") if content.text.isupper() else content.allow()

    @muniment.hookimpl
    def muniment_filters(register):
        register(NoShouting)
"""
EVALUATOR = """
    import leftpad
    import muniment

    class Length(muniment.Evaluator):
        name, default = "length", True
        measures = (muniment.Measure("length"),)

        def evaluate(self, generation):
            return {"length": len(leftpad.pad(generation.text))}

    @muniment.hookimpl
    def muniment_evaluators(register):
        register(Length)
"""
POLICY = "policy: team\nversion: '1'\nfilters: [{filter: no-shouting}]\n"


@pytest.mark.parametrize("pip_kind", ["real"])
def test_three_plugins_by_different_hands_work_side_by_side(
    fresh: Fresh, wheel_folder: Any, tmp_path: Path
) -> None:
    where = fresh.pip("show", "--files", "muniment")
    assert "Editable" not in where
    assert "muniment/__init__.py" in where
    leftpad = wheel_folder("leftpad", **LEFTPAD)
    fresh.environment["PIP_FIND_LINKS"] = str(leftpad.parent)
    result = fresh(
        *("plugins", "install", "--actor", "安娜", "--json"),
        wheel_folder("muniment-one", generator="one"),
        wheel_folder("acme-no-shouting", FILTER),
        wheel_folder("length-of-text", EVALUATOR, needs=["leftpad>=1"]),
    )
    assert result.code == 0, result.err
    changes = {change["distribution"]: change for change in result.json("plugin_change")}
    assert set(changes) == {"muniment-one", "acme-no-shouting", "length-of-text"}
    assert changes["length-of-text"]["installed_with"] == ["leftpad"]
    assert {change["signer"] for change in changes.values()} == {None}

    (tmp_path / "team.yaml").write_text(POLICY)
    policy = ("--policy", tmp_path / "team.yaml", "--json")
    (generation,) = fresh("generate", "one", "你好", *policy).json("generation")
    assert generation["outputs"][0]["text"] == "1.0: 你好"
    assert generation["scores"][0]["value"] == len(" 1.0: 你好")
    assert fresh("generate", "one", "HI", *policy).code == 3

    entries = fresh.entries("installation")
    assert {entry["plugin"]["distribution"] for entry in entries} == set(changes)
    assert {(entry["act"], entry["signer"]) for entry in entries} == {("installed", None)}
    shared_environment = {
        plugin["distribution"]: plugin["digest"] for plugin in generation["plugins"]
    }
    for entry in entries:
        name = entry["plugin"]["distribution"]
        assert entry["plugin"]["digest"] == changes[name]["digest"] == shared_environment[name]
    assert fresh("audit", "verify", "--all").code == 0

    listed = others(fresh("plugins", "list", "--json").json("plugin"))
    assert [item["distribution"] for item in listed] == sorted(changes)
    (shown,) = fresh("plugins", "show", "muniment-one", "--json").json("plugin_details")
    assert [(done["act"], done["actor"]) for done in shown["history"]] == [("installed", "安娜")]

    assert fresh("plugins", "uninstall", "Acme.No_Shouting").code == 2  # nobody is there to ask
    gone = fresh("plugins", "uninstall", "length-of-text", "--yes", "--json")
    assert gone.json("plugin_change")[0]["installed_with"] == ["leftpad"]
    assert "leftpad" not in fresh.installed()
    gone = fresh("plugins", "uninstall", "Acme.No_Shouting", "--yes", "--json")
    assert [change["act"] for change in gone.json("plugin_change")] == ["removed"]
    assert "acme-no-shouting" not in fresh.installed()
    assert fresh("generate", "one", "HI").out == "1.0: HI\n"
    assert fresh.entries("installation")[-1]["act"] == "removed"


def refusals(wheel_folder: Any) -> dict[str, tuple[list[Any], str]]:
    """What cannot be installed beside muniment-one, and what is said of it."""
    return {
        "conflict": (
            [wheel_folder("muniment-old", needs=["click<8"])],
            "muniment-old 1.0 needs click<8; click 8",
        ),
        "core": (
            [wheel_folder("muniment-core", needs=["muniment<0.1"])],
            "muniment-core 1.0 needs muniment<0.1; muniment 0.1.0 is installed here and stays",
        ),
        "missing": ([wheel_folder("muniment-lost", needs=["nowhere>=3"])], "nowhere"),
        "no plugin": (
            [wheel_folder("leftpad", **LEFTPAD)],
            "leftpad 1.0 is not a plugin of Muniment",
        ),
        "other contract": (
            [wheel_folder("muniment-next", group="muniment.v2")],
            "is made for muniment.v2, and this Muniment provides muniment.v1",
        ),
        "overwrites": (
            [wheel_folder("muniment-rude", generator="rude", files={"muniment_one.py": "x = 1"})],
            "would overwrite muniment_one.py of muniment-one 1.0",
        ),
        "takes a program": (
            [
                wheel_folder(
                    "muniment-prog", generator="prog", scripts={"alembic": "muniment_prog:x"}
                )
            ],
            "would overwrite alembic of alembic",
        ),
        "import error": (
            [wheel_folder("muniment-bad", BAD), wheel_folder("muniment-fine", generator="fine")],
            "RuntimeError: broken at import",
        ),
        "registers nothing": ([wheel_folder("muniment-void", "x = 1")], "registers nothing"),
        "exits": (
            [wheel_folder("muniment-exit", "import os; os._exit(7)")],
            "exit code 7 ended the process that loaded it",
        ),
        "crashes": (
            [wheel_folder("muniment-crash", "import os; os.kill(os.getpid(), 11)")],
            "signal 11 ended the process that loaded it",
        ),
        "collides": (
            [wheel_folder("muniment-copy", generator="one")],
            "muniment-one has a generator named one, too",
        ),
        "slow": (
            [wheel_folder("muniment-slow", "import time, muniment\ntime.sleep(5.2)\n" + SLOW)],
            "loading it takes 5.",
        ),
        "unknown": (["muniment-unknown"], "muniment-unknown"),
        "nothing there": (["./nothing"], "./nothing does not exist"),
        "an address": (["https://user:secret@host/x.whl"], "is an address"),
    }


SLOW = """
class Slow(muniment.Generator):
    name, media_type = "slow", "text/plain"
    def generate(self, requests):
        return ()

@muniment.hookimpl
def muniment_generators(register):
    register(Slow)
"""
CASES = (
    "conflict|core|missing|no plugin|other contract|overwrites|takes a program|import error|"
    "registers nothing|exits|crashes|collides|slow|unknown|nothing there|an address"
)


ONE = "x = 1"


def overwriting(wheel_folder: Any) -> dict[str, tuple[Any, str]]:
    """Wheels that would change files of others, and the file that the refusal names."""
    other = "muniment_rude-1.0.data"
    files = {
        "a program": (f"{other}/scripts/alembic", "alembic of alembic"),
        "a program as data": (f"{other}/data/bin/alembic", "alembic of alembic"),
        "a module": (f"{other}/purelib/muniment_one.py", "muniment_one.py of muniment-one 1.0"),
        "a module for a machine": (f"{other}/platlib/muniment_one.py", "muniment-one 1.0"),
        "data of another name": ("x.data/purelib/muniment_one.py", "muniment-one 1.0"),
        "metadata": ("muniment_one-1.0.dist-info/RECORD", "metadata of another distribution"),
        "new metadata": (f"{other}/purelib/click-99.dist-info/RECORD", "metadata of another"),
        "a file of nobody": (f"{other}/scripts/stray", "bin/stray"),
        "an unknown part": (f"{other}/elsewhere/x", "elsewhere/x"),
        "a way out": ("../out.py", "'../out.py', which leads out of its folder"),
        "a way around": ("x/../muniment_one.py", "leads out of its folder"),
        "data that leads out": (f"{other}/scripts/../../out.py", "leads out of its folder"),
        "a new part of the core": ("muniment/extra.py", "to the module muniment of muniment"),
        "a package in its place": ("muniment_one/__init__.py", "muniment_one of muniment-one"),
        "compiled code": ("__pycache__/muniment_one.cpython-311.pyc", "of muniment-one 1.0"),
    }
    wheels = {
        case: (wheel_folder("muniment-rude", generator="rude", files={path: ONE}), why)
        for case, (path, why) in files.items()
    }
    programs = {"a program that leads out": {"../alembic": "muniment_rude:x"}}
    for case, scripts in programs.items():
        wheel = wheel_folder("muniment-rude", generator="rude", scripts=scripts)
        wheels[case] = (wheel, "is not a file name")
    return wheels


OVERWRITING = (
    "a program|a program as data|a module|a module for a machine|data of another name|metadata|"
    "new metadata|a file of nobody|an unknown part|a way out|a way around|data that leads out|"
    "a new part of the core|a package in its place|compiled code|a program that leads out"
)


def everything(fresh: Fresh) -> dict[str, bytes]:
    """Return the files of an environment and its home, but for logs, locks and caches."""
    return {
        str(path): path.read_bytes()
        for folder in (fresh.folder, fresh.home)
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".db-shm",)
    }


@pytest.mark.parametrize(
    ("pip_kind", "case"),
    [
        *(("double", case) for case in OVERWRITING.split("|")),
        pytest.param("real", "a program as data", marks=pytest.mark.integration),
    ],
)
def test_a_wheel_that_changes_files_of_others_is_refused_before_installing(
    shared_environment: Fresh, wheel_folder: Any, case: str
) -> None:
    (shared_environment.folder / "bin" / "stray").touch()
    wheel, why = overwriting(wheel_folder)[case]
    before = everything(shared_environment)
    for command in ("install", "upgrade"):
        refused = shared_environment("plugins", command, wheel)
        assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
        assert why in refused.err
        assert everything(shared_environment) == before


def test_two_wheels_of_one_command_overwrite_nothing_of_each_other(
    shared_environment: Fresh, wheel_folder: Any
) -> None:
    rude = wheel_folder("muniment-rude", generator="rude", files={"muniment_three.py": ONE})
    three = wheel_folder("muniment-three", generator="three")
    before = everything(shared_environment)
    for wheels in ((rude, three), (three, rude)):
        refused = shared_environment("plugins", "install", *wheels)
        assert (refused.code, "muniment_three.py of muniment-" in refused.err) == (1, True)
    assert everything(shared_environment) == before


def test_a_wheel_that_lists_files_which_it_does_not_contain_is_refused(
    shared_environment: Fresh, wheel_folder: Any, tmp_path: Path
) -> None:
    """pip deletes the listed files when it uninstalls the wheel."""
    wheel = wheel_folder("muniment-rude", generator="rude")
    changed = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            more = b"muniment_one.py,,\n" if name.endswith("/RECORD") else b""
            target.writestr(name, source.read(name) + more)
    before = everything(shared_environment)
    refused = shared_environment("plugins", "install", changed)
    assert (refused.code, "muniment_one.py" in refused.err) == (1, True)
    assert everything(shared_environment) == before


@on_both
def test_a_wheel_that_vendors_a_distribution_is_installed(fresh: Fresh, wheel_folder: Any) -> None:
    files = {
        "muniment_full_vendor/leftpad-1.0.dist-info/METADATA": "Name: leftpad\nVersion: 1.0\n",
        "muniment_full_vendor/leftpad.py": ONE,
    }
    wheel = wheel_folder("muniment-full", generator="full", files=files)
    assert fresh("plugins", "install", wheel).code == 0
    assert fresh("generate", "full", "x").out == "1.0: x\n"
    assert fresh("plugins", "uninstall", "muniment-full", "--yes").code == 0


@only_real
def test_programs_and_data_of_a_wheel_are_upgraded_and_removed_with_it(
    fresh: Fresh, wheel_folder: Any
) -> None:
    wheels = []
    for version in ("1.0", "2.0"):
        data = f"muniment_full-{version}.data"
        files = {
            f"{data}/scripts/full-script": "#!python\nprint(1)\n",
            f"{data}/data/share/full/text": version,
            f"{data}/purelib/muniment_full_more.py": ONE,
            f"{data}/headers/full.h": "",
        }
        about = {"generator": "full", "version": version, "scripts": {"full": "muniment_full:x"}}
        wheels.append(wheel_folder("muniment-full", files=files, **about))
    before = set(fresh.folder.rglob("*"))
    assert fresh("plugins", "install", wheels[0]).code == 0
    assert fresh("plugins", "upgrade", wheels[1]).code == 0
    assert (fresh.folder / "share/full/text").read_text() == "2.0"
    assert (fresh.folder / "bin/full-script").is_file()
    assert fresh("generate", "full", "x").out == "2.0: x\n"
    assert fresh("plugins", "uninstall", "muniment-full", "--yes").code == 0
    after = {path for path in fresh.folder.rglob("*") if path.is_file()} - before
    assert not [path for path in after if path.suffix != ".pyc"]


@pytest.mark.parametrize("path", ["muniment_one.py", "../bin/alembic"])
def test_uninstalling_deletes_no_file_of_another_distribution(
    fresh: Fresh, wheel_folder: Any, path: str
) -> None:
    """A wheel that pip installed may list any file."""
    assert fresh("plugins", "install", wheel_folder("muniment-one", generator="one")).code == 0
    fresh.pip("install", "--no-deps", wheel_folder("muniment-rude", generator="rude"))
    (info,) = fresh.modules.glob("muniment_rude-*.dist-info")
    with (info / "RECORD").open("a") as record:
        record.write(f"{path},,\n")
    before = everything(fresh)
    refused = fresh("plugins", "uninstall", "muniment-rude", "--yes")
    assert (refused.code, refused.out) == (1, "")
    assert f"would delete {(fresh.modules / path).resolve()}" in refused.err
    assert everything(fresh) == before


def test_a_plugin_of_pip_takes_no_command_of_the_installer(fresh: Fresh, wheel_folder: Any) -> None:
    source = """
        import click

        @click.command
        def steal():
            click.echo("stolen")
    """
    commands = {f"plugins.{name}": "steal" for name in ("install", "upgrade", "freeze")}
    thief = wheel_folder("muniment-thief", source, group="", commands=commands)
    fresh.pip("install", "--no-deps", thief)
    one = wheel_folder("muniment-one", generator="one")
    for command in (("install", one), ("install", one), ("freeze", "muniment-one"), ("--help",)):
        done = fresh("plugins", *command)
        assert done.code == 0
        assert "stolen" not in done.out
        assert "disable" not in done.err
    health = fresh("plugins", "doctor", "--json").json("plugin_health")
    broken = {row["distribution"]: row["message"] for row in health if row["state"] != "ok"}
    assert list(broken) == ["muniment-thief"]
    assert "is a command of muniment-installer" in broken["muniment-thief"]


@only_real
def test_a_wheel_on_which_pip_fails_leaves_no_file_behind(
    shared_environment: Fresh, wheel_folder: Any, tmp_path: Path
) -> None:
    files = {"muniment_torn/__init__.py": ONE, "muniment_torn/b.py": "spoilt = 1" * 9}
    wheel = wheel_folder("muniment-torn", generator="torn", files=files)
    torn = tmp_path / wheel.name
    torn.write_bytes(wheel.read_bytes().replace(b"spoilt = 1" * 9, b"changed! 1" * 9))
    before = shared_environment.files()
    refused = shared_environment("plugins", "install", torn)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert shared_environment.files() == before


# What pip finds out, and what it has to take out again.
WITH_PIP = ("conflict", "core", "missing", "import error", "slow", "unknown")


@pytest.mark.parametrize(
    ("pip_kind", "case"),
    [
        *(("double", case) for case in CASES.split("|") if case != "slow"),
        *(pytest.param("real", case, marks=pytest.mark.integration) for case in WITH_PIP),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_changes(
    shared_environment: Fresh, wheel_folder: Any, case: str
) -> None:
    wanted, why = refusals(wheel_folder)[case]
    files, entries = shared_environment.files(), shared_environment.entries("installation")
    result = shared_environment("plugins", "install", *wanted)
    assert result.code == (2 if case in ("nothing there", "an address") else 1)
    assert why in result.err
    assert "secret" not in result.err
    assert result.err.count("\n") == 1
    assert result.out == ""
    assert shared_environment.files() == files
    assert shared_environment.entries("installation") == entries
    assert not list(shared_environment.home.glob("plugins/*/journal.json"))


@on_both
def test_a_failed_plugin_takes_along_only_what_came_with_it(
    shared_environment: Fresh, wheel_folder: Any
) -> None:
    leftpad = wheel_folder("leftpad", **LEFTPAD)
    shared_environment.environment["PIP_FIND_LINKS"] = str(leftpad.parent)
    files = shared_environment.files()
    result = shared_environment(
        "plugins", "install", wheel_folder("muniment-worse", BAD, needs=["leftpad", "click>=8"])
    )
    del shared_environment.environment["PIP_FIND_LINKS"]
    assert result.code == 1
    assert shared_environment.files() == files
    assert "click" in shared_environment.installed()
    assert shared_environment("generate", "one", "x").code == 0


@on_both
def test_what_is_installed_already_is_left(shared_environment: Fresh, wheel_folder: Any) -> None:
    entries = shared_environment.entries("installation")
    wheel = wheel_folder("muniment-one", generator="one")
    for wanted in (wheel, "muniment-one", "Muniment_One==1.0"):
        result = shared_environment("plugins", "install", wanted)
        assert (result.code, result.out) == (0, "")
        assert "installed already" in result.err
    assert shared_environment.entries("installation") == entries


@on_both
def test_an_upgrade_takes_the_place_and_one_that_fails_makes_way_again(
    fresh: Fresh, wheel_folder: Any
) -> None:
    leftpad = wheel_folder("leftpad", **LEFTPAD)
    one, two = (
        wheel_folder("muniment-one", generator="one"),
        wheel_folder("muniment-one", version="2.0"),
    )
    three = wheel_folder("muniment-one", BAD, version="3.0", needs=["leftpad"])
    links = [str(wheel.parent) for wheel in (one, two, leftpad)]
    assert fresh("plugins", "upgrade", "muniment-one").code == 2  # not there yet
    assert fresh("plugins", "install", one).code == 0
    assert "there is no newer version" in fresh("plugins", "upgrade", "muniment-one").err
    fresh.environment["PIP_FIND_LINKS"] = " ".join(links)
    result = fresh("plugins", "upgrade", "muniment-one")
    assert result.out == "upgraded muniment-one 2.0 (was 1.0)  unsigned\n"
    assert fresh("generate", "echo", "x").out == "2.0: x\n"

    files = fresh.files()
    fresh.environment["PIP_FIND_LINKS"] = " ".join([*links, str(three.parent)])
    result = fresh("plugins", "upgrade", "muniment-one")
    assert result.code == 1
    assert "muniment-one 2.0 is installed again" in result.err
    assert fresh.files() == files
    assert fresh("generate", "echo", "x").out == "2.0: x\n"
    acts = [(entry["act"], entry["plugin"]["version"]) for entry in fresh.entries("installation")]
    assert acts == [("installed", "1.0"), ("upgraded", "2.0")]

    (shown,) = fresh("plugins", "show", "muniment-one", "--json").json("plugin_details")
    assert shown["previous"] == "1.0"
    for wanted in ("muniment-one==1.0", one):  # an upgrade never goes back
        refused = fresh("plugins", "upgrade", wanted)
        assert (refused.code, refused.out) == (1, "")
        assert "`muniment plugins uninstall muniment-one`" in refused.err
    assert fresh("plugins", "uninstall", "muniment-one", "--yes").code == 0
    assert fresh("plugins", "install", one).code == 0
    assert fresh("generate", "one", "x").out == "1.0: x\n"


@pytest.mark.parametrize(
    ("pip_kind", "by"),
    [
        ("double", "plugins"),
        ("double", "pip"),
        pytest.param("real", "pip", marks=pytest.mark.integration),
    ],
)
def test_installing_never_replaces_an_installed_plugin(
    fresh: Fresh, wheel_folder: Any, by: str
) -> None:
    own = wheel_folder("acme-text", version="0.1.0")
    if by == "pip":
        fresh.pip("install", "--no-deps", own)
    else:
        assert fresh("plugins", "install", own).code == 0
    files, entries = fresh.files(), fresh.entries("installation")
    others = [wheel_folder("acme-text", "x = 1", version=v) for v in ("0.0.1", "0.1.0", "2")]
    fresh.environment["PIP_FIND_LINKS"] = " ".join(str(other.parent) for other in others)
    for wanted in (*others, "acme-text==0.0.1", "Acme.Text>1"):
        refused = fresh("plugins", "install", wanted)
        assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1), wanted
        assert "acme-text 0.1.0 is installed" in refused.err
        assert "`muniment plugins upgrade`" in refused.err
        assert "`muniment plugins uninstall acme-text`" in refused.err
    older = fresh("plugins", "upgrade", others[0])
    assert (older.code, "is older than the installed version 0.1.0" in older.err) == (1, True)
    assert (fresh.files(), fresh.entries("installation")) == (files, entries)
    assert fresh("generate", "echo", "x").out == "0.1.0: x\n"


@on_both
def test_what_came_along_is_upgraded_with_its_plugin_or_goes_back_with_it(
    fresh: Fresh, wheel_folder: Any
) -> None:
    pads = [wheel_folder("leftpad", version=version, **LEFTPAD) for version in ("1.0", "2.0")]
    fresh.environment["PIP_FIND_LINKS"] = " ".join(str(pad.parent) for pad in pads)
    one = wheel_folder("muniment-one", generator="one", needs=["leftpad<2"])
    assert fresh("plugins", "install", one).code == 0
    files = fresh.files()
    bad = wheel_folder("muniment-one", BAD, version="2.0", needs=["leftpad>=2"])
    assert fresh("plugins", "upgrade", bad).code == 1
    assert fresh.files() == files
    good = wheel_folder("muniment-one", generator="one", version="3.0", needs=["leftpad>=2"])
    assert fresh("plugins", "upgrade", good).code == 0
    assert fresh.installed()["leftpad"] == "2.0"

    other = wheel_folder("muniment-other", generator="other", needs=["leftpad>=2"])
    assert fresh("plugins", "install", other).code == 0
    refused = fresh("plugins", "install", one)  # now somebody else needs it, too
    assert refused.code == 1
    assert "leftpad 2.0 is installed here and stays" in refused.err


@on_both
def test_what_pip_installed_goes_back_to_where_it_was_too(fresh: Fresh, wheel_folder: Any) -> None:
    fresh.pip(
        "install",
        "--no-deps",
        wheel_folder("muniment-one", generator="one", scripts={"one": "x:y"}),
    )
    files = fresh.files()
    result = fresh("plugins", "upgrade", wheel_folder("muniment-one", BAD, version="4.0"))
    assert "muniment-one 1.0 is installed again" in result.err
    assert fresh("generate", "one", "x").out == "1.0: x\n"
    assert (fresh.folder / "bin" / "one").is_file()
    odd = {path for path in files ^ fresh.files() if "direct_url" not in path}
    assert odd == set()


def test_a_disabled_plugin_is_not_used_and_it_is_on_record(fresh: Fresh, wheel_folder: Any) -> None:
    assert fresh("plugins", "install", wheel_folder("muniment-one", generator="one")).code == 0
    done = fresh("plugins", "disable", "Muniment_One", "--json").json("plugin_change")
    assert [change["act"] for change in done] == ["disabled"]
    refused = fresh("generate", "one", "x")
    assert refused.code == 2
    assert "`muniment plugins enable muniment-one`" in refused.err
    assert [row[4] for row in others(fresh("plugins", "list").rows)] == ["disabled"]
    (shown,) = fresh("plugins", "show", "muniment-one", "--json").json("plugin_details")
    assert (shown["enabled"], shown["offers"]) == (False, None)
    assert "disabled already" in fresh("plugins", "disable", "muniment-one").err
    assert others(fresh("plugins", "doctor").rows)[0][2] == "disabled"
    assert fresh("plugins", "enable", "muniment-one").out == "enabled muniment-one 1.0\n"
    assert fresh("generate", "one", "x").code == 0
    acts = [entry["act"] for entry in fresh.entries("installation")]
    assert acts == ["installed", "disabled", "enabled"]
    assert fresh("audit", "verify", "--all").code == 0


def test_the_doctor_names_every_ill_one_with_its_traceback(fresh: Fresh, wheel_folder: Any) -> None:
    fresh.pip(
        "install", "--no-deps", wheel_folder("muniment-bad", BAD), wheel_folder("muniment-one")
    )
    fresh.pip("install", "--no-deps", wheel_folder("muniment-next", group="muniment.v2"))
    result = fresh("plugins", "doctor")
    assert result.code == 1
    assert [row[:3] for row in others(result.rows)] == [
        ["muniment-bad", "1.0", "broken"],
        ["muniment-next", "1.0", "broken"],
        ["muniment-one", "1.0", "ok"],
    ]
    assert "Traceback" in result.err
    assert "raise RuntimeError('broken at import')" in result.err
    healths = others(fresh("plugins", "doctor", "--json").json("plugin_health"))
    assert [health["state"] for health in healths] == ["broken", "broken", "ok"]
    assert healths[2]["offers"] == [
        {"kind": "generator", "name": "echo", "media_type": "text/plain"}
    ]
    assert fresh("plugins", "doctor", "muniment-one").code == 0
    assert fresh("plugins", "doctor", "nobody").code == 2
    (shown,) = fresh("plugins", "show", "muniment-one", "--json").json("plugin_details")
    assert shown["offers"] == healths[2]["offers"]
    assert "generator echo text/plain" in fresh("plugins", "show", "muniment-one").out
    (shown,) = fresh("plugins", "show", "muniment-bad", "--json").json("plugin_details")
    assert shown["offers"] is None
    assert "RuntimeError: broken at import" in fresh("plugins", "show", "muniment-bad").out
    assert fresh("plugins", "disable", "muniment-bad").code == 0
    assert fresh("plugins", "disable", "muniment-next").code == 0
    assert fresh("plugins", "doctor").code == 0


def test_a_folder_and_an_editable_one(fresh: Fresh, wheel_folder: Any, tmp_path: Path) -> None:
    """What is being worked on is never replaced; it says how."""
    wheel = wheel_folder("muniment-one", generator="one")
    info = fresh.modules / "muniment_one-0.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: muniment-one\nVersion: 0.9\n")
    (info / "RECORD").write_text("muniment_one-0.9.dist-info/METADATA,,\n")
    direct = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(direct))
    (info / "entry_points.txt").write_text("[muniment.v1]\nmade = muniment_one\n")
    result = fresh("plugins", "install", wheel)
    assert result.code == 1
    assert "editable" in result.err
    shutil.rmtree(info)
    assert fresh("plugins", "install", wheel).code == 0


BUILDING = """ERROR: Failed to build 'x'
  error: subprocess-exited-with-error
    ERROR: No matching distribution found for setuptools>=40.8.0
note: This error originates from a subprocess, and is likely not a problem with pip.
"""


def test_the_reason_of_a_pip_that_pip_ran_is_the_one_that_is_told() -> None:
    assert "setuptools>=40.8.0 is in no index" in str(_failure("wheel", BUILDING))
    assert str(_failure("wheel", "no space\nnote: read on\n")).endswith(": no space")
    build = (
        "  × Getting requirements to build wheel did not run successfully.\n"
        "  ╰─> [14 lines of output]\n"
        "      error: Multiple top-level modules discovered in a flat-layout: ['a', 'b'].\n"
        "      [end of output]\n"
        "ERROR: Failed to build 'file:///x/y' when getting requirements to build wheel\n"
    )
    assert str(_failure("wheel", build)) == (
        "pip failed: Failed to build '…' when getting requirements to build wheel: "
        "Multiple top-level modules discovered in a flat-layout: ['a', 'b']."
    )
    crash = "ERROR: Exception:\nTraceback (most recent call last):\nzipfile.BadZipFile: not a zip\n"
    assert str(_failure("wheel", crash)) == "pip failed: zipfile.BadZipFile: not a zip"


@only_real
def test_the_source_package_of_an_index_is_never_built(
    shared_environment: Fresh, wheel_folder: Any, tmp_path: Path
) -> None:
    """The build backend of the package is its own code, which notes that it runs."""
    ran = tmp_path / "ran"
    source = tmp_path / "muniment-source-1.0"
    source.mkdir()
    (source / "pyproject.toml").write_text(
        '[project]\nname = "muniment-source"\nversion = "1.0"\n'
        '[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n'
    )
    (source / "b.py").write_text(f"open({str(ran)!r}, 'w').close()")
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: muniment-source\nVersion: 1.0\n")
    links = tmp_path / "links"
    links.mkdir()
    archive = shutil.make_archive(str(links / source.name), "gztar", tmp_path, source.name)
    there = replace(shared_environment, environment={"PIP_FIND_LINKS": str(links)})
    needs = wheel_folder("muniment-needs", generator="needs", needs=["muniment-source"])
    for wanted in ("muniment-source", needs):
        refused = there("plugins", "install", wanted)
        assert (refused.code, refused.err.count("\n")) == (1, 1)
        assert not ran.exists()
    lock = tmp_path / "plugins.lock"
    lock.write_text(f"muniment-source==1.0 --hash=sha256:{sha256_of(Path(archive))}\n")
    assert there("plugins", "restore", lock).code == 1
    assert not ran.exists()
    there("plugins", "install", archive)
    assert ran.exists()  # a path is built


@only_real
def test_an_index_out_of_reach_and_a_folder_that_may_be_meant_are_named(
    shared_environment: Fresh,
) -> None:
    away = {"PIP_NO_INDEX": "0", "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "1"}
    there = replace(shared_environment, environment={**shared_environment.environment, **away})
    refused = there("plugins", "install", "muniment-unknown")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "the index cannot be reached" in refused.err
    (shared_environment.folder / "muniment-unknown").mkdir()
    try:
        refused = shared_environment("plugins", "install", "muniment-unknown")
    finally:
        (shared_environment.folder / "muniment-unknown").rmdir()
    assert "is in no index" in refused.err
    assert "use ./muniment-unknown" in refused.err


def test_a_plugin_that_hangs_is_stopped_after_the_time_that_the_guide_names() -> None:
    late = load_alone("muniment-none", limit=0.01)
    assert (late.ok, late.message) == (False, "it did not load within 0.01 seconds")
    guide = (ROOT / "docs/how-to/install-a-plugin.md").read_text(encoding="utf-8")
    for limit in (IMPORT_LIMIT, PROCESS_LIMIT):
        assert f"{limit:g} seconds" in " ".join(guide.split())
