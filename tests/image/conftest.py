"""Fixtures of the image tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import muniment
from support import pictures
from support.checked_pictures import GenerateFile
from support.commands import Here
from support.provenance import Issued, issue


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Compute with one thread, since the tests run in as many processes as there are cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def configured_home(home: Path) -> Path:
    """A home whose settings need no plugin but that of the test."""
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nevaluators = ""\nactor = "tester"\n')
    return home


@pytest.fixture
def generate_file(
    configured_home: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> GenerateFile:
    """Record a picture of noise, and write it to a file."""
    plugin = tmp_path / "noise.py"
    plugin.write_text(pictures.NOISE_PLUGIN)
    here = Here(capfd, monkeypatch)

    def generate_file(
        file: Path, seed: int = 7, *options: str, prompt: str = "红心"
    ) -> muniment.Generation:
        result = here(
            *("--plugin", plugin, "generate", "noise", prompt, "--seed", str(seed)),
            *("-o", file, *options),
        )
        assert result.code == 0, result.err
        with muniment.open() as session:
            return session.generation("last")

    return generate_file


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    """A certificate that no setting names."""
    return issue(tmp_path_factory.mktemp("stranger"))
