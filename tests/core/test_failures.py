"""Descriptions of the exceptions of plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from muniment.failures import WorkerError, describe, explain, is_module_file, place_of
from muniment.plugins.discovery import Plugin
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

def syntax():
    import ast
    return ast.parse("f(")
"""


def raised(
    plugin_folder: PluginFolder,
    function: str,
    source: str = SOURCE,
    files: dict[str, str] | None = None,
) -> BaseException:
    """Return what a function of a plugin raises, as the core catches it."""
    module = plugin_folder.add(source, files=files).load_module()
    try:
        getattr(module, function)()
    except Exception as error:
        tb = error.__traceback__
        return error.with_traceback(tb and tb.tb_next)  # without the frame of this test
    raise AssertionError


@pytest.mark.parametrize(
    ("function", "line"), [("own", 6), ("library", 9), ("core", 12), ("syntax", 16)]
)
def test_the_place_is_the_line_of_the_plugin(
    plugin_folder: PluginFolder, function: str, line: int
) -> None:
    error = raised(plugin_folder, function)
    file = f"{plugin_folder.all[-1].module}/__init__.py"
    assert place_of(error) == f"{file}:{line}"
    assert describe(error).startswith(f"{type(error).__name__}: ")
    assert describe(error).endswith(f" ({file}:{line})")
    assert "\n" not in describe(error)


def test_the_place_is_in_the_plugin_if_another_package_decorates_it(
    plugin_folder: PluginFolder,
) -> None:
    decorator = """
        def quietly(function):
            return lambda: function()
    """
    other = plugin_folder.add(decorator).module
    source = f"""
        import {other}

        @{other}.quietly
        def own():
            raise ValueError("own")
    """
    error = raised(plugin_folder, "own", source)
    module = plugin_folder.all[-1].module
    assert place_of(error, module) == f"{module}/__init__.py:6"
    assert explain(error, module) == f"ValueError: own ({module}/__init__.py:6)"


def test_the_place_in_a_module_of_a_package_has_its_folders(plugin_folder: PluginFolder) -> None:
    source = """
        import {package}.parts.filters

        def own():
            {package}.parts.filters.check()
    """
    files = {"parts/__init__.py": "", "parts/filters.py": "def check():\n    1 / 0\n"}
    error = raised(plugin_folder, "own", source, files)
    module = plugin_folder.all[-1].module
    assert place_of(error) == place_of(error, module) == f"{module}/parts/filters.py:2"


def test_a_file_of_a_module_is_distinguished_from_other_text(plugin_folder: PluginFolder) -> None:
    module = plugin_folder.add("", files={"filters.py": ""}).module
    assert is_module_file(f"{module}/filters.py")
    assert not is_module_file(str(plugin_folder.folder / module / "filters.py"))
    assert not is_module_file("a secret text")


def test_a_file_of_a_plugin_outside_of_the_path_is_that_of_a_module(tmp_path: Path) -> None:
    file = tmp_path / "lone_plugin.py"
    file.write_text("")
    assert not is_module_file(file.name)
    Plugin("lone_plugin.py", "", "lone_plugin", "lone_plugin", str(file)).load_module()
    assert is_module_file(file.name)


def test_a_syntax_error_has_the_place_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "shop" / "filters.py"
    file.parent.mkdir()
    file.write_text("x = 1\ndef f(:\n")
    with pytest.raises(SyntaxError) as caught:
        compile("x = 1\ndef f(:\n", str(file), "exec")
    assert describe(caught.value) == f"SyntaxError: {caught.value.msg} (filters.py:2)"
    assert place_of(caught.value, "shop.plugin") == "shop/filters.py:2"


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
