"""The distributions hold what they should, and the core works from its wheel alone."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = sorted(folder.parent.name for folder in ROOT.glob("plugins/*/pyproject.toml"))


def run(*command: str | Path, cwd: Path, home: Path | None = None) -> str:
    """Run a command away from the checkout; return what it said on stdout."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MUNIMENT_", "PYTHON", "VIRTUAL_ENV"))
    }
    if home is not None:
        environment["MUNIMENT_HOME"] = str(home)
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command} said:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build_wheel(source: Path, folder: Path) -> Path:
    """Build one wheel with the build backend of this environment, without the network."""
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", folder, source),
        cwd=folder,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def shipped(folder: Path) -> Iterator[str]:
    """Name the files under a source folder that belong in a wheel."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            yield path.relative_to(folder).as_posix()


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(sdist, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel in it, its dependencies borrowed from this one.

    A path named in a .pth file is searched, but the .pth files in it are not read: the editable
    install of the checkout stays out.
    """
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    run(
        *(sys.executable, "-m", "pip", "--python", home / "bin" / "python", "install", "--quiet"),
        *("--no-deps", "--no-index", wheel),
        cwd=home,
    )
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def test_the_sdist_holds_the_source_the_migrations_and_the_license(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = {f"core/muniment/{name}" for name in shipped(ROOT / "core" / "muniment")}
    expected |= {f"migrations/{name}" for name in shipped(ROOT / "migrations")}
    assert names >= expected | {"LICENSE", "README.md", "pyproject.toml"}
    assert not [name for name in names if name.startswith(("tests/", "plugins/"))]


def test_the_wheel_from_the_sdist_holds_the_core_with_its_migrations(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {f"muniment/{name}" for name in shipped(ROOT / "core" / "muniment")}
    expected |= {f"muniment/migrations/{name}" for name in shipped(ROOT / "migrations")}
    assert "muniment/py.typed" in expected
    assert {name for name in names if ".dist-info/" not in name} == expected


@pytest.mark.parametrize("plugin", PLUGINS)
def test_each_plugin_wheel_holds_its_package_and_its_entry_point(
    plugin: str, tmp_path: Path
) -> None:
    package = f"muniment_{plugin}"
    with zipfile.ZipFile(build_wheel(ROOT / "plugins" / plugin, tmp_path)) as archive:
        names = set(archive.namelist())
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        points = archive.read(entry_points).decode()
    expected = {f"{package}/{name}" for name in shipped(ROOT / "plugins" / plugin / package)}
    if plugin == "installer":
        assert f"[muniment.commands]\nplugins.bundle = {package}." in points
    else:
        assert f"[muniment.v1]\n{plugin} = {package}.plugin" in points
        assert f"{package}/plugin.py" in expected
    assert f"{package}/py.typed" in expected
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_the_installed_wheel_makes_a_database(installed: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    where = run(
        installed / "bin" / "python",
        *("-c", "import muniment; print(muniment.__file__)"),
        cwd=tmp_path,
    )
    assert Path(where.strip()).is_relative_to(installed)
    muniment = installed / "bin" / "muniment"
    run(muniment, "db", "upgrade", cwd=tmp_path, home=home)
    path = run(muniment, "db", "path", cwd=tmp_path, home=home).strip()
    assert Path(path).is_file()
    assert Path(path).is_relative_to(home)
    run(muniment, "audit", "verify", cwd=tmp_path, home=home)
