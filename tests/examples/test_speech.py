"""A plugin that nobody here imagined: installed as anyone would, and kept as evidence like text."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from muniment_installer.environment import Environment
from muniment_installer.wheels import repack
from support.commands import ROOT, Result
from support.environments import Fresh, python_with_packages

EXAMPLE = ROOT / "examples" / "muniment-speech"
pytestmark = pytest.mark.integration

BUILDING = ("hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, which building may write beside."""
    folder = tmp_path_factory.mktemp("example") / "muniment-speech"
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache", ".hypothesis")
    shutil.copytree(EXAMPLE, folder, ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def fresh(example: Path, bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """A fresh environment with Muniment from its wheel, where the example was installed."""
    wheels = tmp_path_factory.mktemp("wheels")
    here = Environment.here()
    present = here.present()
    for name in (*BUILDING, "espeakng-loader"):
        repack(present[name], here, wheels)
    home = tmp_path_factory.mktemp("home")
    (home / "config.toml").write_text('policy = "none"\nactor = "小明"\n', encoding="utf-8")
    fresh = Fresh.copy(bare, tmp_path_factory.mktemp("environment") / "venv", home)
    fresh.environment["PIP_FIND_LINKS"] = str(wheels)
    installed = fresh("plugins", "install", example)
    assert installed.code == 0, installed.err
    return fresh


def spoken(result: Result) -> dict[str, object]:
    assert result.code == 0, result.err
    return dict(json.loads(result.out))


def test_it_is_recorded_searched_replayed_exported_and_shown(fresh: Fresh, tmp_path: Path) -> None:
    for prompt in ("Once upon a time", "最近我国成功发射了新的卫星"):
        made = spoken(fresh("generate", "speech", prompt, "--rate", "300", "--json"))
        (output,) = made["outputs"]  # type: ignore[misc]
        assert (made["status"], output["media_type"], output["text"]) == (
            *("completed", "audio/wav"),
            None,
        )
        assert made["parameters"] == {"pitch": 50, "rate": 300, "voice": "auto"}
    found = fresh("audit", "search", "卫星", "--json")
    assert [json.loads(line)["generation"]["id"] for line in found.out.splitlines()] == [made["id"]]
    replayed = [
        json.loads(line)
        for line in fresh("audit", "replay", "last", "--json").out.split("\n")
        if line
    ]
    assert [item["result"] for item in replayed] == ["exact"]
    shown = spoken(fresh("audit", "show", "last", "--json"))
    assert shown["outputs"] == made["outputs"]
    assert "\nWAV, " in fresh("audit", "show", "last").out
    file = tmp_path / "satellite.wav"
    assert fresh("audit", "get", "last", "-o", file).code == 0
    with wave.open(io.BytesIO(file.read_bytes())) as wav:
        assert 0.5 < wav.getnframes() / wav.getframerate() < 5
    assert b"AI-generated" in file.read_bytes()
    assert spoken(fresh("audit", "find", file, "--json"))["id"] == made["id"]
    exported = fresh("audit", "export", "--format", "jsonl", "-o", tmp_path / "all.jsonl")
    assert exported.code == 0, exported.err
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert {line["prompt"] for line in lines} == {"Once upon a time", "最近我国成功发射了新的卫星"}
    assert fresh("audit", "verify", "--all").code == 0


def test_without_the_wheel_that_carries_the_library_the_record_says_what_to_do(
    fresh: Fresh, tmp_path: Path
) -> None:
    hidden = tmp_path / "espeakng_loader.py"
    hidden.write_text("raise ImportError('gone')\n")
    fresh.environment["PYTHONPATH"] = str(tmp_path)
    try:
        refused = fresh("generate", "speech", "hello")
    finally:
        del fresh.environment["PYTHONPATH"]
    assert refused.code == 1
    assert "speech needs the library espeak-ng; run `pip install espeakng-loader`" in refused.err


def test_it_passes_its_own_tests(example: Path, tmp_path: Path) -> None:
    python = python_with_packages(tmp_path / "environment")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"),
            *("--no-index", "--no-build-isolation", example),
        ],
        check=True,
    )
    held = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=example,
        env=held,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "failed" not in done.stdout
