"""The plugins' own pages work as printed, and their statements are true."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from support.commands import ROOT, Here

PAGES = sorted((ROOT / "plugins").glob("*/README.md"))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    return [match.groups() for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_links_of_a_plugins_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_a_plugins_page_names_the_language_of_each_block(page: Path) -> None:
    for language, _ in blocks(page):
        assert language in ("console", "python")


@pytest.mark.model
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_a_plugins_page_works_as_printed(
    page: Path,
    home: Path,
    gemma_home: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    muniment = Here(capfd, monkeypatch)
    shutil.copytree(gemma_home, home, copy_function=os.link)
    for language, body in blocks(page):
        if language == "python":
            exec(compile(body, str(page), "exec"), {})
            continue
        for line in body.splitlines():
            program, *arguments = shlex.split(line.removeprefix("$ "))
            assert program == "muniment"
            result = muniment(*arguments)
            assert result.code == 0, result.err


def test_contributing_says_what_the_examples_are() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith("| `examples`")]
    there = {path.suffix for path in (ROOT / "examples").iterdir()}
    assert ("demo.sh" in row) == (".sh" in there)
    assert ("batch file" in row) == (".jsonl" in there)
    assert ("design" in row) == (".yaml" in there)
    assert ("plugin" in row) == (any(path.is_dir() for path in (ROOT / "examples").iterdir()))
