"""Installing plugins into environments of pipx, of uv and of the system."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from muniment.installation import InstallError
from muniment_installer import cleanup, dependencies, pip, preflight
from muniment_installer.environment import Environment
from muniment_installer.errors import ConflictError
from muniment_installer.wheels import Wheel, repack
from support.environments import Fresh, only_real


def without_pip(fresh: Fresh) -> list[Path]:
    """Take pip out of an environment; return where it was put."""
    aside = fresh.folder.parent / "shared"
    aside.mkdir()
    return [Path(shutil.move(path, aside)) for path in fresh.modules.glob("pip*")]


@only_real
def test_an_environment_of_uv_that_has_no_pip(fresh: Fresh, wheel_folder: Any) -> None:
    without_pip(fresh)
    (fresh.folder / "uv-receipt.toml").write_text("[tool]\n")
    files = fresh.files()
    assert fresh("plugins", "install", wheel_folder("muniment-one", generator="one")).code == 0
    assert fresh("generate", "one", "x").out == "1.0: x\n"
    assert fresh("plugins", "uninstall", "muniment-one", "--yes").code == 0
    assert fresh.files() == files  # pip came and went


@only_real
def test_an_environment_of_pipx_that_shares_its_pip(fresh: Fresh, wheel_folder: Any) -> None:
    shared = without_pip(fresh)[0].parent
    (fresh.folder / "pipx_metadata.json").write_text("{}")
    (fresh.modules / "pipx_shared.pth").write_text(f"{shared}\n")
    assert fresh("plugins", "install", wheel_folder("muniment-one", generator="one")).code == 0
    assert fresh("generate", "one", "x").out == "1.0: x\n"
    assert not list(shared.glob("muniment*"))


def test_a_python_that_the_system_manages_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr("sysconfig.get_path", lambda *_: str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    with pytest.raises(InstallError, match="pipx install muniment"):
        Environment.here().check_changeable()


def test_where_there_is_no_pip_at_all_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(InstallError, match="install uv"):
        Environment.here().pip()
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    command = Environment.here().pip()
    assert (command[0], command[-2:]) == ("/bin/uv", ["--python", sys.executable])


def test_nothing_of_what_pip_says_shows_an_address() -> None:
    said = "Looking in indexes: https://me:secret@host/simple, file:///x y"
    assert pip.without_addresses(said) == "Looking in indexes: … … y"


def test_a_conflict_is_told_in_words() -> None:
    output = """
The conflict is caused by:
    a 1.0 depends on click<8
    The user requested (constraint) click==8.5.1
    The user requested b>=2

ERROR: ResolutionImpossible: for help visit https://pip.pypa.io
"""
    failure = pip._failure("install", output)
    assert isinstance(failure, ConflictError)
    assert str(failure) == (
        "a 1.0 needs click<8; click 8.5.1 is installed here and stays; b>=2 was requested"
    )


def test_what_is_nowhere_to_be_had_is_told_in_words() -> None:
    output = (
        "Looking in indexes: https://me:secret@host/simple\n"
        "ERROR: Could not find a version that satisfies the requirement lost==9 (from versions: )\n"
        "ERROR: No matching distribution found for lost==9\n"
    )
    assert str(pip._failure("wheel", output)) == (
        "lost==9 is in no index or folder that pip searches, or has no wheel for this Python and "
        "machine (a source package is built only when its path is given)"
    )
    offline = "WARNING: Retrying (…) after connection broken by 'NewConnectionError(…)': /simple\n"
    assert "the index cannot be reached" in str(pip._failure("wheel", offline + output))


def test_what_a_killed_pip_moved_aside_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    modules = tmp_path / "modules"
    for name in ("~uniment_one.py", "~-niment_one-1.0.dist-info", "~ther.py", "muniment_one.py"):
        (modules / name).mkdir(parents=True)
    files = ("muniment_one.py", "muniment_one-1.0.dist-info/METADATA")
    wheel = Wheel(tmp_path / "x.whl", "muniment-one", "1.0", "", (), frozenset(), (), files)
    cleanup.sweep(modules, [wheel])
    assert {path.name for path in modules.iterdir()} == {"~ther.py", "muniment_one.py"}


def test_a_wheel_made_of_what_is_installed_holds_the_same(tmp_path: Path) -> None:
    import pluggy

    here = Environment.here()
    made = Wheel.read(repack(here.present()["pluggy"], here, tmp_path))
    assert (made.name, made.version) == ("pluggy", pluggy.__version__)
    assert "pluggy/_hooks.py" in made.files
    assert not [name for name in made.files if name.endswith((".pyc", "direct_url.json"))]


def test_no_wheel_can_be_made_of_a_folder_that_is_worked_on(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="editable"):
        repack(Environment.here().present()["muniment"], Environment.here(), tmp_path)


def test_what_came_along_stays_as_long_as_anything_that_stays_needs_it(tmp_path: Path) -> None:
    needs = {"plugin": ["high"], "high": ["low"], "low": [], "other": ["high ; extra == 'x'"]}
    present = {}
    for name, needed in needs.items():
        info = tmp_path / f"{name}-1.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1", "Provides-Extra: x"]
        (info / "METADATA").write_text(
            "\n".join([*lines, *(f"Requires-Dist: {n}" for n in needed)])
        )
        present[name] = PathDistribution(info)
    assert dependencies.owned({"plugin"}, {"high", "low"}, present) == set()
    del present["other"]
    assert dependencies.owned({"plugin"}, {"high", "low"}, present) == {"high", "low"}


def test_a_version_of_another_age_hinders_nothing() -> None:
    assert preflight.fits(SpecifierSet(">=2"), "final-2009")
    assert not preflight.fits(SpecifierSet(">=2"), "1.0rc1")
    assert preflight.fits(SpecifierSet(">=2"), "2.1.dev1+local")
