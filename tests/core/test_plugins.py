"""Plugins: found by metadata, isolated from one another, described when they break."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from muniment.errors import AmbiguousNameError, PluginError, UnknownNameError
from muniment.failures import describe
from muniment.models import digests
from muniment.plugins import discovery
from muniment.plugins.discovery import Plugin, installed_plugins
from muniment.plugins.quiet_output import quiet_stdout
from muniment.plugins.registry import Plugins
from muniment.session.session import Session
from support.plugins import PluginFolder

ECHO = "for request in requests: yield request.reply(Text(request.prompt))"
REGISTER = """
    import muniment
    @muniment.hookimpl
    def muniment_generators(register):
        {}
"""


def broken(plugin_folder: PluginFolder) -> str:
    """Return the message of the one plugin that is broken."""
    (only,) = plugin_folder.plugins().load()
    assert "\n" not in only.message
    return only.message


def test_plugins_are_found_by_their_metadata_and_nothing_is_imported(
    plugin_folder: PluginFolder,
) -> None:
    plugin = plugin_folder.generator("echo", ECHO, distribution="echo-dist", version="2.1")
    found = [item for item in installed_plugins() if item.module == plugin.module]
    assert found == [Plugin("echo-dist", "2.1", "plugin", plugin.module)]
    assert plugin in Plugins().installed
    assert plugin.module not in sys.modules


def test_a_distribution_found_twice_on_the_path_counts_once(
    plugin_folder: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = plugin_folder.generator("echo", ECHO)
    monkeypatch.syspath_prepend(f"{plugin_folder.folder}/../{plugin_folder.folder.name}")
    assert [item.name for item in installed_plugins() if item.module == plugin.module] == ["plugin"]


def test_what_a_plugin_registers_is_listed_by_kind_and_name(plugin_folder: PluginFolder) -> None:
    plugin_folder.generator(
        "second", ECHO, media_type="image/png", parameters="times: int = param(1)"
    )
    plugin_folder.generator("first", ECHO)
    plugin_folder.filter("polite", "return content.allow()")
    plugin_folder.evaluator("length", "return {}")
    plugins = plugin_folder.plugins()
    assert [(o.name, o.media_type) for o in plugins.objects("generator")] == [
        ("first", "text/plain"),
        ("second", "image/png"),
    ]
    assert list(plugins.find("generator", "second").parameters.fields()) == ["times"]
    assert [registered.name for registered in plugins.objects("filter")] == ["polite"]
    assert [registered.name for registered in plugins.objects("evaluator")] == ["length"]
    assert plugins.broken == []


# ---- plugins that break ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (
            "import no_such_module_here",
            "ModuleNotFoundError: No module named 'no_such_module_here'",
        ),
        ("def f(:", "SyntaxError"),
        ("raise RuntimeError('first line\\nsecond line')", "RuntimeError: first line"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise ValueError", "ValueError"),
        (REGISTER.format("raise RuntimeError('in the hook')"), "RuntimeError: in the hook"),
        (REGISTER.format("raise SystemExit"), "SystemExit"),
        (REGISTER.format("raise GeneratorExit"), "GeneratorExit"),
        (REGISTER.format("register(5)"), "register a class or 'module:Class', not 5"),
        (REGISTER.format("register(dict)"), "dict is not a muniment.Generator"),
        (REGISTER.format("register(muniment.Filter)"), "Filter is not a muniment.Generator"),
        (REGISTER.format("register('no colon')"), "register a class or 'module:Class'"),
        (
            REGISTER.format("register('m:C')"),
            "needs a name of letters, digits, '.', '_' and '-', and no capitals, not None",
        ),
        (REGISTER.format("register('m:C', name='Big Name')"), "and no capitals, not 'Big Name'"),
        (REGISTER.format("register('m:C', name='m')"), "needs a media type such as"),
        (REGISTER.format("register('m:C', name='m', media_type='text')"), "needs a media type"),
        (REGISTER.format("register('m:C', name='m', media_type='Text/\\n')"), "needs a media type"),
        (
            REGISTER.format("register('m:C', name='m', media_type='a/b', parameters=dict)"),
            "the Parameters of 'm' must subclass muniment.Parameters",
        ),
        (
            REGISTER.replace("generators", "filters").format("register('m:C', name='unread')"),
            "the filter name 'unread' is reserved",
        ),
        (
            REGISTER.format("pass").replace("generators", "generator"),
            "unknown hook 'muniment_generator'; did you mean muniment_generators? (",
        ),
        (REGISTER.format("pass").replace("muniment_gen", "gen"), "unknown hook 'generators'"),
        (REGISTER.format("pass").replace("register)", "registry)"), "{'registry'}"),
        (
            "import muniment\nclass P(muniment.Parameters):\n  seed: int = muniment.param(1)",
            "TypeError: P.seed: the name 'seed' is reserved",
        ),
        (
            REGISTER.format(
                "class P(muniment.Parameters): model: str = muniment.param('')\n"
                "        register('m:C', name='m', media_type='a/b', parameters=P)"
            ),
            "P.model: the name 'model' is reserved",
        ),
    ],
)
def test_a_broken_plugin_is_one_line_that_names_it_and_says_why(
    plugin_folder: PluginFolder, source: str, complaint: str
) -> None:
    plugin_folder.add(source, distribution="unlucky-dist")
    message = broken(plugin_folder)
    assert message.startswith("plugin unlucky-dist cannot be loaded: ")
    assert complaint in message


@pytest.mark.parametrize(
    ("kind", "attributes", "complaint"),
    [
        ("generator", "determinism = 'sure'", "determinism must be 'exact' or 'best-effort'"),
        ("generator", "Parameters = dict", "Parameters must subclass"),
        ("generator", "media_type = None", "needs a media type"),
        ("filter", "media_types = 'text/plain'", "media_types must be a tuple of texts"),
        ("filter", "categories = (5,)", "categories must be a tuple of texts"),
        ("filter", "version = 1.0", "version must be a short text"),
        ("evaluator", "measures = None", "measures must be a tuple of muniment.Measure"),
        ("evaluator", "measures = ('length',)", "measures must be a tuple of muniment.Measure"),
        ("evaluator", "measures = (muniment.Measure('a', unit='\\n'),)", "measures must be"),
    ],
)
def test_a_class_that_would_spoil_the_evidence_is_not_taken(
    plugin_folder: PluginFolder, kind: str, attributes: str, complaint: str
) -> None:
    base = kind.capitalize()
    plugin_folder.add(
        f"""
        import muniment
        class Made(muniment.{base}):
            name, media_type = "made", "text/plain"
            measures = ()
            {attributes}
        @muniment.hookimpl
        def muniment_{kind}s(register):
            register(Made)
        """
    )
    assert complaint in broken(plugin_folder)


def test_the_traceback_of_a_broken_plugin_is_kept(plugin_folder: PluginFolder) -> None:
    plugin = plugin_folder.add("def helper():\n    raise RuntimeError('deep')\nhelper()\n")
    (only,) = plugin_folder.plugins().load()
    assert only.plugin == plugin
    assert "in helper" in only.traceback
    assert "RuntimeError: deep" in only.traceback


def test_one_broken_plugin_does_not_keep_the_others_from_working(
    plugin_folder: PluginFolder,
) -> None:
    plugin_folder.add("import sys; sys.exit('early')")
    plugin_folder.generator("echo", ECHO)
    plugin_folder.add(REGISTER.format("raise RuntimeError"))
    plugin_folder.generator("other", ECHO)
    plugins = plugin_folder.plugins()
    assert [registered.name for registered in plugins.objects("generator")] == ["echo", "other"]
    assert len(plugins.broken) == 2


def test_what_a_hook_registered_before_it_raised_does_not_count(
    plugin_folder: PluginFolder,
) -> None:
    plugin_folder.add(
        """
        import muniment
        class Fine(muniment.Filter):
            name = "fine"
        @muniment.hookimpl
        def muniment_filters(register):
            register(Fine)
            raise RuntimeError("after it")
        """
    )
    plugins = plugin_folder.plugins()
    assert plugins.objects("filter") == []
    with pytest.raises(UnknownNameError, match="cannot be loaded: RuntimeError: after it"):
        plugins.find("filter", "fine")


def test_plugins_are_loaded_once(plugin_folder: PluginFolder, tmp_path: Path) -> None:
    log = tmp_path / "log"
    plugin_folder.add(
        REGISTER.format(
            f"with open({str(log)!r}, 'a') as file: file.write('x')\n        raise RuntimeError"
        )
    )
    plugins = plugin_folder.plugins()
    for _ in range(3):
        plugins.objects("generator")
        plugins.objects("filter")
    assert log.read_text() == "x"
    assert len(plugins.broken) == 1


# ---- what plugins print ------------------------------------------------------------------------

NOISY = """
    import os, subprocess, sys
    print("by print")
    sys.stdout.write("by write, no newline")
    sys.__stdout__.write("by the first stdout")
    os.write(1, b"by file descriptor")
    subprocess.run(["echo", "by a child"])
"""


def test_standard_output_stays_clean_at_the_level_of_file_descriptors(
    plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.add(NOISY + REGISTER.format("print('in the hook')"))
    program = (
        "from muniment.plugins.registry import Plugins; "
        "print(len(Plugins().load()) >= 0, flush=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(plugin_folder.folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"
    for said in ("by print", "by write", "by the first", "by file", "by a child", "in the hook"):
        assert said in done.stderr


def test_a_stdout_that_is_no_file_stays_clean_too(
    plugin_folder: PluginFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin_folder.add("    print('by print')" + REGISTER.format("print('in the hook')"))
    assert plugin_folder.plugins().objects("generator") == []
    said = capsys.readouterr()
    assert said.out == ""
    assert "by print\nin the hook\n" in said.err


def test_standard_output_comes_back_after_an_exception(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), quiet_stdout():
        raise RuntimeError
    os.write(1, b"here again")
    assert capfd.readouterr().out == "here again"


def test_standard_output_comes_back_when_threads_overlap(capfd: pytest.CaptureFixture[str]) -> None:
    inside, leave = threading.Event(), threading.Event()

    def long() -> None:
        with quiet_stdout():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=long)
    with quiet_stdout():
        thread.start()
        inside.wait(10)
    with quiet_stdout():
        os.write(1, b"hidden")
    leave.set()
    thread.join()
    os.write(1, b"shown")
    assert capfd.readouterr().out == "shown"


def test_plugins_load_where_standard_output_is_closed(plugin_folder: PluginFolder) -> None:
    plugin_folder.generator("talks", "yield", attributes="print('x')", distribution="talks")
    program = (
        "import sys; from muniment.plugins.registry import Plugins;"
        "print([b.message for b in Plugins().load() if b.plugin.distribution == 'talks'],"
        "file=sys.stderr)"
    )
    done = subprocess.run(
        ["bash", "-c", '"$0" -c "$1" >&-', sys.executable, program],
        env={**os.environ, "PYTHONPATH": str(plugin_folder.folder)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "[]"), done.stderr


# ---- lazily registered classes -----------------------------------------------------------------

LAZY = REGISTER.format(
    "register('{package}.heavy:Heavy', name='lazy', media_type='text/plain', parameters=None)"
)
HEAVY = """
    import muniment
    class Heavy(muniment.Generator):
        name, media_type = "lazy", "text/plain"
        def generate(self, requests): return []
"""


def test_a_class_registered_by_name_is_imported_when_it_is_needed(
    plugin_folder: PluginFolder,
) -> None:
    plugin = plugin_folder.add(LAZY, files={"heavy.py": HEAVY})
    registered = plugin_folder.plugins().find("generator", "lazy")
    assert (registered.media_type, dict(registered.parameters())) == ("text/plain", {})
    assert f"{plugin.module}.heavy" not in sys.modules
    assert registered.load_class().__name__ == "Heavy"


@pytest.mark.parametrize(
    ("heavy", "complaint"),
    [
        ("raise RuntimeError('no GPU')", "cannot be loaded: RuntimeError: no GPU"),
        ("import sys; sys.exit(1)", "cannot be loaded: SystemExit: 1"),
        ("x = 1", "cannot be loaded: AttributeError"),
        ("Heavy = 5", "is not a generator"),
        ("import muniment\nclass Heavy(muniment.Evaluator): pass", "is not a generator"),
        (
            HEAVY + "        determinism = 5\n",
            "cannot be loaded: TypeError: Heavy.determinism must be",
        ),
    ],
)
def test_a_class_that_cannot_be_had_is_an_error_that_names_it(
    plugin_folder: PluginFolder, heavy: str, complaint: str
) -> None:
    plugin_folder.add(LAZY, files={"heavy.py": heavy}, distribution="lazy-dist")
    registered = plugin_folder.plugins().find("generator", "lazy")
    with pytest.raises(PluginError) as caught:
        registered.load_class()
    assert "lazy-dist" in str(caught.value)
    assert complaint in str(caught.value)
    assert caught.value.distribution == "lazy-dist"


# ---- names -------------------------------------------------------------------------------------


def test_two_plugins_with_one_name_are_both_named(plugin_folder: PluginFolder) -> None:
    for name in ("dist-a", "dist-b"):
        plugin_folder.generator("echo", ECHO, distribution=name)
        plugin_folder.filter("polite", "return content.allow()", distribution=f"{name}-filter")
    plugins = plugin_folder.plugins()
    with pytest.raises(AmbiguousNameError, match="'echo' could be dist-a or dist-b; uninstall one"):
        plugins.generator("echo", {})
    with pytest.raises(AmbiguousNameError, match="dist-a-filter or dist-b-filter"):
        plugins.find("filter", "polite")


def test_a_kind_means_its_default_else_the_only_one(plugin_folder: PluginFolder) -> None:
    plugin_folder.generator("echo", ECHO)
    plugin_folder.generator("brush", ECHO, media_type="image/png")
    plugins = plugin_folder.plugins()
    assert plugins.generator("text", {}).name == "echo"
    assert plugins.generator("image", {}).name == "brush"
    plugin_folder.generator("other", ECHO)
    plugins = plugin_folder.plugins()
    with pytest.raises(AmbiguousNameError, match=r"echo or other.*config set generator\.text NAME"):
        plugins.generator("text", {})
    assert plugins.generator("text", {"text": "other"}).name == "other"
    assert plugins.generator("echo", {"text": "other"}).name == "echo"


def test_a_generator_of_another_first_party_plugin_does_not_stand_for_text(
    plugin_folder: PluginFolder,
) -> None:
    plugin_folder.generator("recommendation-article", ECHO)
    plugins = plugin_folder.plugins()
    with pytest.raises(UnknownNameError, match="muniment-text"):
        plugins.generator("text", {})
    assert plugins.generator("recommendation-article", {}).name == "recommendation-article"
    chosen = plugins.generator("text", {"text": "recommendation-article"})
    assert chosen.name == "recommendation-article"
    plugin_folder.generator("echo", ECHO)
    assert plugin_folder.plugins().generator("text", {}).name == "echo"


def test_an_empty_name_means_no_generator_of_application(plugin_folder: PluginFolder) -> None:
    for name in ("facts", "more"):
        plugin_folder.generator(name, ECHO, media_type="application/json")
        plugins = plugin_folder.plugins()
        for unknown in ("", "application"):
            with pytest.raises(UnknownNameError, match=f"no generator named '{unknown}'"):
                plugins.generator(unknown, {})


def test_a_generators_own_name_wins_over_the_kind_but_not_over_the_setting(
    plugin_folder: PluginFolder,
) -> None:
    plugin_folder.generator("text", ECHO)
    plugin_folder.generator("other", ECHO)
    assert plugin_folder.plugins().generator("text", {}).name == "text"
    assert plugin_folder.plugins().generator("text", {"text": "other"}).name == "other"


def test_an_unknown_generator_tells_the_known_ones_and_what_is_broken(
    plugin_folder: PluginFolder,
) -> None:
    plugin_folder.generator("echo", ECHO)
    plugin_folder.add("raise RuntimeError('no luck')", distribution="unlucky")
    plugins = plugin_folder.plugins()
    for name, defaults, known in (("video", {}, "echo, text"), ("text", {"text": "gone"}, "echo")):
        with pytest.raises(
            UnknownNameError, match=rf"available: {known}; plugin unlucky cannot be"
        ):
            plugins.generator(name, defaults)


# ---- what evidence keeps -----------------------------------------------------------------------


def test_the_digest_covers_every_module_with_an_entry_point(plugin_folder: PluginFolder) -> None:
    """The digest is that of a folder with all of them, and only of them."""
    plugin = plugin_folder.add("x = 1", distribution="many-parts")
    first, other = plugin_folder.folder / plugin.module, plugin_folder.folder / "other_part"
    other.mkdir()
    for name in ("__init__.py", "deep.py"):
        (other / name).write_text("y = 1")
    (plugin_folder.folder / "one_file.py").write_text("z = 1")
    (plugin_folder.folder / "unrelated.py").write_text("")
    (info,) = plugin_folder.folder.glob(f"{plugin.module}-*.dist-info")
    points = info.rename(info.with_name("many_parts-1.0.dist-info")) / "entry_points.txt"
    alone = plugin.ref().digest
    points.write_text(
        f"[muniment.v1]\na = {plugin.module}\nb = {plugin.module}:x\nc = other_part.deep\n"
        "[muniment.commands]\nd = one_file:z\n[console_scripts]\ne = unrelated:x\n"
    )
    discovery._code_digest.cache_clear()
    importlib.invalidate_caches()
    whole = plugin_folder.folder.parent / "whole"
    for folder in (first, other):
        shutil.copytree(folder, whole / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(plugin_folder.folder / "one_file.py", whole)
    assert plugin.ref().digest == digests.digest(whole, digests.FileHashes()) != alone
    command = discovery.Plugin("many-parts", "1.0", "d", "one_file")
    assert command.ref().digest == plugin.ref().digest
    for file in (other / "deep.py", plugin_folder.folder / "one_file.py"):
        before = plugin.ref().digest
        file.write_text("changed = 1")
        discovery._code_digest.cache_clear()
        assert plugin.ref().digest != before


def test_a_plugin_is_known_by_the_digest_of_its_packages_files(plugin_folder: PluginFolder) -> None:
    plugin = plugin_folder.generator("echo", ECHO, distribution="echo-dist", version="2.1")
    plugin_folder.plugins().objects("generator")  # imported: bytecode lies beside it now
    folder = plugin_folder.folder / plugin.module
    assert (folder / "__pycache__").exists() or sys.dont_write_bytecode
    ref = plugin.ref()
    assert (ref.distribution, ref.version) == ("echo-dist", "2.1")
    (folder / "__pycache__").mkdir(exist_ok=True)
    for path in (folder / "__pycache__").iterdir():
        path.unlink()
    assert ref.digest == digests.digest(folder, digests.FileHashes())


def test_a_plugin_that_is_one_module_is_known_by_that_file(plugin_folder: PluginFolder) -> None:
    (plugin_folder.folder / "shelved_module.py").write_text("x = 1\n")
    ref = Plugin("one", "1", "p", "shelved_module").ref()
    assert ref.digest == f"file-sha256:{sha256(b'x = 1' + os.linesep.encode()).hexdigest()}"


def test_a_plugin_in_a_shared_namespace_is_known_by_its_own_package(
    plugin_folder: PluginFolder,
) -> None:
    for name in ("one", "two"):
        (plugin_folder.folder / "shelved_space" / name).mkdir(parents=True)
        (plugin_folder.folder / "shelved_space" / name / "__init__.py").write_text(f"# {name}\n")
    refs = [Plugin("d", "1", "p", f"shelved_space.{name}").ref() for name in ("one", "two")]
    assert refs[0].digest.startswith("tree1-sha256:")
    assert refs[0].digest != refs[1].digest


def test_an_exception_is_described_by_its_type_and_first_line() -> None:
    assert describe(ValueError("  a\nb")) == "ValueError: a"
    assert describe(KeyError()) == "KeyError"
    assert len(describe(ValueError("x" * 10**6))) < 600


def test_an_exception_that_cannot_be_described_is_told_by_its_type() -> None:
    class Speechless(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert describe(Speechless()) == "Speechless"


def test_a_record_loads_no_plugin_but_those_it_names(plugin_folder: PluginFolder) -> None:
    plugin_folder.generator("one", ECHO, distribution="first")
    plugin_folder.add("raise RuntimeError('loaded')")
    plugins = plugin_folder.plugins()
    assert plugins.find("generator", "one", among={"first"}).plugin.distribution == "first"
    assert plugins.broken == []
    assert len(plugins.load()) == 1


def test_a_disabled_plugin_is_left_out_and_named_where_it_is_missed(
    plugin_folder: PluginFolder, home: Path
) -> None:
    plugin_folder.generator("echo", "yield Text('x')", distribution="Test_Echo")
    home.mkdir()
    (home / "config.toml").write_text("[plugin.test-echo]\nenabled = false\n")
    with Session(home, plugins=plugin_folder.plugins()) as session:
        assert session.plugins.objects("generator") == []
        with pytest.raises(UnknownNameError, match="plugin Test_Echo is disabled"):
            session.plugins.find("generator", "echo")
