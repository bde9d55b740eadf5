"""Descriptions of the exceptions of plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from muniment.failures import WorkerError, describe, explain, place_of
from support.plugins import PluginFolder

SOURCE = """
import json
import muniment

def own():
    raise ValueError("own\\nsecond line")

def library():
    return json.loads("no JSON")

def core():
    return muniment.parse_yaml("[")
"""


def raised(plugin_folder: PluginFolder, function: str) -> BaseException:
    """Return what a function of a plugin raises, as the core catches it."""
    module = plugin_folder.add(SOURCE).load_module()
    try:
        getattr(module, function)()
    except Exception as error:
        tb = error.__traceback__
        return error.with_traceback(tb and tb.tb_next)  # without the frame of this test
    raise AssertionError


@pytest.mark.parametrize(("function", "line"), [("own", 6), ("library", 9), ("core", 12)])
def test_the_place_is_the_line_of_the_plugin(
    plugin_folder: PluginFolder, function: str, line: int
) -> None:
    error = raised(plugin_folder, function)
    file = plugin_folder.folder / plugin_folder.all[-1].module / "__init__.py"
    assert place_of(error) == f"{file}:{line}"
    assert describe(error).startswith(f"{type(error).__name__}: ")
    assert describe(error).endswith(f" ({file}:{line})")
    assert "\n" not in describe(error)


def test_a_syntax_error_has_the_place_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    with pytest.raises(SyntaxError) as caught:
        compile("x = 1\ndef f(:\n", str(file), "exec")
    assert describe(caught.value) == f"SyntaxError: {caught.value.msg} ({file}:2)"


def test_an_exception_of_a_worker_is_described_as_the_worker_did() -> None:
    assert describe(WorkerError("ValueError: no (a.py:3)")) == "ValueError: no (a.py:3)"


def test_explain_prints_the_traceback_only_with_the_variable(
    plugin_folder: PluginFolder,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = raised(plugin_folder, "own")
    assert explain(error) == describe(error)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("MUNIMENT_TRACEBACK", "1")
    assert explain(error) == describe(error)
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback")
    assert "second line" in printed
