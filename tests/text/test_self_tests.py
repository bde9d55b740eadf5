"""Self-tests whose results are remembered between processes, and repeated by replays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from muniment import Generation, Session
from muniment.cli import main
from muniment.plugins.registry import Plugins
from muniment_text import choosing, environment, layers
from muniment_text.generator import TextGenerator
from muniment_text.memory import SelfTests

REAL = choosing.mixes_rows
NOTE = "note.self_test"


class Home:
    """A home with an added tiny model. Each session is new, as in another process."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "config.toml").write_text('policy = "none"\nactor = "tester"\n')
        self.tests: list[str] = []  # the kernels whose self-test ran since the last generation
        with self.session() as session:
            session.models.add(str(source), "text", TextGenerator(), name="tiny")

    def session(self) -> Session:
        installed = Plugins().installed
        return Session(
            self.folder,
            plugins=Plugins([item for item in installed if item.distribution == "muniment-text"]),
        )

    def generate(self) -> Generation:
        self.tests.clear()
        with self.session() as session:
            return generate(session)

    @property
    def files(self) -> list[Path]:
        """The stored results."""
        return sorted(self.folder.glob("cache/muniment-text-*/self-test-*"))

    @property
    def key(self) -> Path:
        return self.files[0].with_name("key")


def generate(session: Session) -> Generation:
    generation = session.generate("The quick", model="tiny", seed=7, parameters={"max_tokens": 6})
    assert generation.status == "completed", generation.failure
    return generation


@pytest.fixture(params=["llama"])
def home(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    tiny: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Home:
    """Give a home with a tiny model, whose self-tests are counted."""
    made = Home(tmp_path / "home", tiny(request.param))

    def counted(decoder: Any) -> str | None:
        made.tests.append(decoder.name)
        return REAL(decoder)

    monkeypatch.setattr(choosing, "mixes_rows", counted)
    return made


def mixing(self: layers.HalfLinear, x: torch.Tensor) -> torch.Tensor:
    """A layer in which the rows of a larger batch differ from those alone."""
    return FORWARD(self, x) + (x.shape[0] > 4) * 1e-2


FORWARD = layers.HalfLinear.forward


@pytest.mark.parametrize("home", ["llama", "gpt2"], indirect=True)
def test_a_passed_test_is_run_once_and_recorded_as_remembered(home: Home) -> None:
    first = home.generate()
    assert len(home.tests) == 1
    second = home.generate()
    assert home.tests == []
    assert (first.environment[NOTE], second.environment[NOTE]) == ("run", "remembered")
    assert {**first.environment, NOTE: ""} == {**second.environment, NOTE: ""}
    assert first.outputs == second.outputs
    assert first.trace == second.trace
    assert first.environment["kernel"] == {"llama": "direct", "gpt2": "rows"}[home_family(home)]


def home_family(home: Home) -> str:
    config = (home.folder / "models" / "tiny" / "config.json").read_text()
    return "gpt2" if "gpt2" in config else "llama"


@pytest.mark.parametrize("home", ["llama", "gpt2"], indirect=True)
def test_a_replay_repeats_a_remembered_test_and_is_exact(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.generate()
    done = home.generate()
    with home.session() as session:
        (result,) = session.replay([done])
    assert len(home.tests) == 1
    assert (result.result, result.differences) == ("exact", ())
    assert result.environment[NOTE] == "run"
    assert done.environment[NOTE] == "remembered"
    monkeypatch.setenv("MUNIMENT_HOME", str(home.folder))
    assert main(["audit", "show", done.id, "--json"]) == 0
    (recorded,) = json.loads(capsys.readouterr().out)["replays"]
    assert (recorded["result"], recorded["differences"]) == ("exact", [])


def test_a_replay_repeats_the_test_of_a_model_that_its_session_had_loaded(home: Home) -> None:
    home.generate()
    with home.session() as session:
        done = generate(session)
        home.tests.clear()
        (result,) = session.replay([done])
        assert home.tests == ["direct"]
        (again,) = session.replay([done])
        assert home.tests == ["direct"], "it was run in this process"
    assert (result.result, again.result) == ("exact", "exact")


def forged() -> Iterator[tuple[str, Callable[[Home], object]]]:
    claims = {
        "empty": b"",
        "JSON": b'{"passed": true}',
        "a digest": b"0" * 64,
        "no text": b"\xff\xfe\x00",
    }
    for name, content in claims.items():
        yield name, lambda home, content=content: home.files[0].write_bytes(content)
    yield "cut off", lambda home: os.truncate(home.files[0], 63)
    yield "its own name", lambda home: home.files[0].write_text(home.files[0].name[-64:])
    yield "no file", lambda home: home.files[0].unlink()
    yield "another key", lambda home: home.key.write_bytes(bytes(32))
    yield "a short key", lambda home: home.key.write_bytes(b"")
    yield "no key", lambda home: home.key.unlink()
    yield "a link to nothing", lambda home: replace_by_link(home.files[0])
    yield "no folder", lambda home: shutil.rmtree(home.folder / "cache")


def replace_by_link(file: Path) -> None:
    file.unlink()
    file.symlink_to("nothing")


@pytest.mark.parametrize(
    "forge", [pytest.param(forge, id=name.replace(" ", "-")) for name, forge in forged()]
)
def test_a_forged_result_is_ignored_and_replaced(home: Home, forge: Callable[[Home], None]) -> None:
    home.generate()
    forge(home)
    assert (home.generate().environment[NOTE], home.tests) == ("run", ["direct"])
    assert (home.generate().environment[NOTE], home.tests) == ("remembered", [])


@pytest.mark.parametrize("place", ["result", "key", "cache"])
def test_a_result_that_cannot_be_read_or_written_means_that_the_test_runs(
    home: Home, place: str
) -> None:
    home.generate()
    if place == "cache":
        shutil.rmtree(home.folder / "cache")
        (home.folder / "cache").write_text("a file in the way")
    else:
        file = home.key if place == "key" else home.files[0]
        file.unlink()
        file.mkdir()
        (file / "x").write_text("a folder in the way")
    for _ in range(2):
        assert (home.generate().environment[NOTE], home.tests) == ("run", ["direct"])


def change_threads(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch, "get_num_threads", lambda: 17)


def change_flags(patch: pytest.MonkeyPatch) -> None:
    real = environment._cpu_lines()
    patch.setattr(environment, "_cpu_lines", lambda: {**real, "flags": "sse avx999"})


CHANGES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "threads": change_threads,
    "cpu_flags": change_flags,
    "cpu": lambda patch: patch.setattr(environment, "_cpu_lines", lambda: {"model name": "Z80"}),
    "torch": lambda patch: patch.setattr(torch, "__version__", "2.99.0"),
    "transformers": lambda patch: patch.setattr(environment, "version", lambda name: "99"),
    "MKL variable": lambda patch: patch.setenv("MKL_CBWR", "AVX2"),
    "OMP variable": lambda patch: patch.setenv("OMP_DYNAMIC", "true"),
    "ATEN variable": lambda patch: patch.setenv("ATEN_CPU_CAPABILITY", "default"),
    "odd variable": lambda patch: patch.setenv("MKL_SOMETHING", "/home/anna/卫星"),
    "attention": lambda patch: patch.setattr(choosing.DirectDecoder, "attention", "other"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_result_of_another_environment_does_not_count(
    home: Home, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.generate()
    foreign = home.files[0].read_bytes()
    CHANGES[change](monkeypatch)
    assert (home.generate().environment[NOTE], home.tests) == ("run", ["direct"])
    (other,) = (file for file in home.files if file.read_bytes() != foreign)
    other.write_bytes(foreign)  # copied under the name of this environment
    changed = home.generate()
    assert (changed.environment[NOTE], home.tests) == ("run", ["direct"])
    assert home.generate().environment[NOTE] == "remembered"
    assert "anna" not in str(dict(changed.environment))
    monkeypatch.undo()
    home.tests.clear()
    assert home.generate().environment[NOTE] == "remembered"


def test_a_result_of_another_model_or_other_code_does_not_count(tmp_path: Path) -> None:
    def run(folder: Path, model: str) -> bool:
        tests = SelfTests(folder, model)
        assert tests.run(choosing.DirectDecoder, lambda: None) is None
        return tests.remembered

    code, other = tmp_path / "muniment-text-1", tmp_path / "muniment-text-2"
    assert [run(code, "a"), run(code, "a"), run(code, "b"), run(other, "a")] == [
        *(False, True, False, False)
    ]
    shutil.copytree(code, other, dirs_exist_ok=True)
    assert run(other, "b"), "the core names the folder after the code"
    assert not SelfTests(None, "a")._is_stored(choosing.DirectDecoder)


def test_the_cache_is_named_after_the_code_that_is_recorded(home: Home) -> None:
    done = home.generate()
    (digest,) = (item.digest for item in done.plugins if item.distribution == "muniment-text")
    (folder,) = (home.folder / "cache").iterdir()
    assert folder.name == f"muniment-text-{digest.partition(':')[2]}"
    assert (folder.stat().st_mode & 0o777, home.key.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_failed_test_is_never_remembered(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers.HalfLinear, "forward", mixing)
    for _ in range(2):
        done = home.generate()
        assert done.environment["kernel"] == "row-by-row"
        assert (done.environment[NOTE], home.tests[0]) == ("run", "direct")
    assert home.files == []


def test_a_repeated_test_that_fails_removes_the_result_and_changes_the_kernel(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.generate()
    done = home.generate()
    assert done.environment["kernel"] == "direct"
    monkeypatch.setattr(layers.HalfLinear, "forward", mixing)
    with home.session() as session:
        (result,) = session.replay([done])
    assert result.environment["kernel"] == "row-by-row"
    assert result.result != "exact"
    assert ("kernel", "direct", "row-by-row") in [
        (item.name, item.recorded, item.now) for item in result.differences
    ]
    assert home.files == []


def test_models_verify_repeats_a_remembered_test(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUNIMENT_HOME", str(home.folder))
    home.generate()
    home.tests.clear()
    assert main(["models", "verify", "tiny"]) == 0
    assert home.tests == ["direct"]
    assert capsys.readouterr().out.startswith("verified tiny  tree1-sha256:")
    with home.session() as session:
        assert session.verify_model("tiny")[NOTE] == "run"
    assert home.tests == ["direct", "direct"]
    assert home.generate().environment[NOTE] == "remembered"

    monkeypatch.setattr(layers.HalfLinear, "forward", mixing)
    with home.session() as session:
        assert session.verify_model("tiny")["kernel"] == "row-by-row"
    assert home.files == []


def test_facts_contain_variables_without_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    monkeypatch.setenv("OMP_TOOL_LIBRARIES", "/home/anna/tool.so")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # its effect is `threads`
    monkeypatch.setenv("COMP_THING", "x")
    monkeypatch.setenv("KMP_DUPLICATE_LIB_OK", "True")  # that the import of a library sets
    variables = str(environment.decoder_facts(choosing.DirectDecoder)["variables"]).split()
    assert variables[0] == "MKL_CBWR=AVX2"
    assert variables[1].startswith("OMP_TOOL_LIBRARIES=sha256:")
    assert len(variables) == 2


@pytest.mark.parametrize(
    ("given", "numpy", "torch"),
    [
        ({}, "20", "25000"),
        ({"GOMP_SPINCOUNT": "5"}, "20", "5"),
        ({"OMP_WAIT_POLICY": "active", "OPENBLAS_THREAD_TIMEOUT": "9"}, "9", None),
    ],
)
def test_importing_torch_limits_waiting_threads_unless_the_user_did(
    given: dict[str, str], numpy: str, torch: str | None
) -> None:
    code = (
        "import gc, os, sys\n"
        "names = {'numpy': 'OPENBLAS_THREAD_TIMEOUT', 'torch': 'GOMP_SPINCOUNT'}\n"
        "class Spy:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in names:\n"
        "            print(os.environ.get(names[name]))\n"
        "        if name == 'torch':\n"
        "            raise ImportError('enough')\n"
        "import muniment_text.generator\n"
        "assert 'numpy' not in sys.modules\n"
        "sys.meta_path.insert(0, Spy())\n"
        "before = dict(os.environ)\n"
        "try:\n"
        "    muniment_text.generator.import_libraries()\n"
        "except ImportError:\n"
        "    assert os.environ == before and gc.isenabled()\n"
    )
    unset = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OPENBLAS_THREAD_TIMEOUT"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    printed = subprocess.run(
        [sys.executable, "-c", code], env={**kept, **given}, capture_output=True, check=True
    ).stdout.decode()
    assert printed.split() == [numpy, str(torch)]


def test_packing_several_weights_together_gives_the_bits_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = [torch.randn(rows, 48).half() for rows in (5, 300, 7)]
    x = torch.randn(4, 48)
    for slice_rows in (8192, 64):
        monkeypatch.setattr(layers, "_SLICE", slice_rows)
        joined = layers.HalfLinear(torch.cat(weights), None)
        apart = layers.HalfLinear(weights[0], None, *weights[1:])
        unpacked = apart(x)
        called = []
        layers.pack([joined, apart], lambda called=called: called.append(True))
        assert called == [True]
        assert torch.equal(joined(x), apart(x))
        torch.testing.assert_close(apart(x), unpacked, rtol=1e-3, atol=1e-3)
        assert apart.out_features == 312
        assert apart.weight.untyped_storage().nbytes() == 0
