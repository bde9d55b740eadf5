"""The progress that commands show while they wait, on a terminal and in a log."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from muniment.cli import pace, progress
from muniment.cli.output import write_note
from muniment.cli.pace import Pace, duration, rate_text
from support.commands import Here, Processes
from support.plugins import PluginFolder

SLOW = """
for request in requests:
    for number in range(1, 4):
        if request.stream:
            yield request.chunk(f"{number} ", tokens=10 * number)
    self.wait(request.prompt)
    yield request.reply(Text("1 2 3 4", "stop"), usage=Usage(1, 30))
"""

LOADING = """
uses_model = True
def load(self, model): self.wait("load")
"""


class Gates:
    """Events on which the generator `slow` waits: `load`, and one named after each prompt."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.attributes = textwrap.dedent(f"""
            def wait(self, name):
                import os, time
                deadline = time.monotonic() + 60
                while not os.path.exists(os.path.join({str(folder)!r}, name)):
                    if time.monotonic() > deadline:
                        raise TimeoutError(name)
                    time.sleep(0.01)
            """)

    def open(self, *names: str) -> None:
        for name in names:
            (self._folder / name).touch()


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path / "gates")


@pytest.fixture
def slow(plugin_folder: PluginFolder, gates: Gates, tmp_path: Path) -> Path:
    """The generator `slow` and its model."""
    plugin_folder.generator(
        "slow", SLOW, attributes=gates.attributes + LOADING, distribution="test-slow"
    )
    model = tmp_path / "granite"
    model.mkdir()
    (model / "weights").write_text("1")
    return model


class Clock:
    """The time of a test."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        patch.setattr("time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_rate_counts_the_time_since_the_first_item_began(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace = Pace("generating", 100)
    bar = progress.Progress(pace.advance)
    monkeypatch.setattr(progress, "_running", [pace])
    clock.now += 60  # a resume skips items, and a model is loaded
    progress.begin_all()
    assert (pace.rate, pace.remaining) == (None, None)
    bar.advance(1)
    clock.now += 0.001
    bar.advance(1)
    assert pace.rate is None  # not 2,000 items in a second
    clock.now += 9.999
    bar.advance(18)
    progress.begin_all()  # the next group
    clock.now += 5  # it is not finished yet
    assert pace.rate == pytest.approx(2.0)
    assert pace.remaining == pytest.approx(40 - 5)
    clock.now += 100
    assert pace.remaining == 0


def test_without_a_total_there_is_no_remaining_time(clock: Clock) -> None:
    pace = Pace("exporting", None)
    clock.now += 10
    pace.advance(20)
    assert (pace.rate, pace.remaining) == (2.0, None)


def test_numbers_of_progress_are_short() -> None:
    assert [rate_text(rate) for rate in (0.0123, 2.14, 1234.5)] == ["0.012/s", "2.1/s", "1,234/s"]
    assert [duration(s) for s in (3.2, 240, 7500)] == ["3 s", "4 min", "2 h 5 min"]


def test_a_log_gets_a_line_now_and_then(
    muniment: Here, slow: Path, gates: Gates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note(line: str) -> None:
        write_note(line)
        if done := re.match(r"generating: (\d) of 3", line):  # the next answer waits for this line
            gates.open(done[1])

    monkeypatch.setattr(progress, "write_note", note)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.05)
    monkeypatch.setattr(pace, "_RATE_SECONDS", 0.0)
    gates.open("load")
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(f'{{"prompt": "{number}"}}\n' for number in range(3)))
    command = ("batch", lines, "--generator", "slow", "-m", slow, "--batch-size", "1", "--json")
    result = muniment(*command)
    assert result.code == 0
    found = re.findall(r"^generating: (\d) of 3(, [\d.]+/s, \d+ s left)?$", result.err, re.M)
    assert {done for done, _ in found} >= {"0", "1", "2"}
    assert found[0] == ("0", "")
    assert found[-1][1]
    monkeypatch.setattr(progress, "LINE_SECONDS", 30.0)
    assert "generating:" not in muniment(*command).err  # too short


def test_a_log_gets_the_fraction_of_a_step(
    capsys: pytest.CaptureFixture[str], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.05)
    with progress.fraction("adding a model") as update:
        update("copying", 0, 8)
        clock.now += 30
        update("copying", 2, 8)
        err = ""
        while "copying" not in err:
            err += capsys.readouterr().err
    assert "copying: 25%, 2 min left" in err


@pytest.mark.parametrize("options", [[], ["--isolate"]])
def test_a_terminal_shows_the_loading_and_the_seconds(
    processes: Processes, slow: Path, gates: Gates, tmp_path: Path, options: list[str]
) -> None:
    target = tmp_path / "out.txt"
    command = ("generate", "slow", "x", "-m", slow, "-o", target, *options)
    with processes.terminal(*command, width=200) as shown:
        shown.expect(f"loading {slow}, 1 s")
        gates.open("load")
        shown.expect(f"{slow}: generating, 1 s")
        gates.open("x")
        assert shown.end() == 0
    assert target.read_text() == "1 2 3 4"
    assert "a filter checks it" not in shown.seen


def test_a_text_that_a_filter_checks_is_counted_and_not_streamed(
    processes: Processes, slow: Path, gates: Gates, policy_file: Path
) -> None:
    command = ("generate", "slow", "x", "-m", slow, "--policy", policy_file)
    with processes.terminal(*command, width=200) as shown:
        shown.expect(f"loading {slow}, 1 s")
        gates.open("load")
        shown.expect(f"{slow}: 30 tokens, 1 s")
        gates.open("x")
        assert shown.end() == 0
    assert "a filter checks it" not in shown.seen
    assert re.search(r"30 tokens in \d+\.\d s · loading \d+\.\d s", shown.seen)
    streamed = processes.on_terminal("generate", "slow", "x", "-m", slow, width=200)
    assert "tokens," not in streamed.out  # the text itself shows the progress
    assert "1 2 3 4" in streamed.out


def test_a_spinner_has_one_line_on_a_narrow_terminal(
    processes: Processes, plugin_folder: PluginFolder, gates: Gates, policy_file: Path
) -> None:
    plugin_folder.generator("slow", SLOW, attributes=gates.attributes, distribution="test-slow")
    command = ("generate", "slow", "long", "--policy", policy_file)
    with processes.terminal(*command, width=40) as shown:
        shown.expect("slow: 30 tokens (shown when com…, 3 s")
        gates.open("long")
        assert shown.end() == 0


def test_the_reason_for_a_withheld_text_is_shown_when_it_takes_long(
    processes: Processes, plugin_folder: PluginFolder, gates: Gates, policy_file: Path
) -> None:
    plugin_folder.generator("slow", SLOW, attributes=gates.attributes, distribution="test-slow")
    reason = "(shown when complete, as a filter checks it), 3 s"
    command = ("generate", "slow", "long", "--policy", policy_file)
    with processes.terminal(*command, width=200) as shown:
        shown.expect(reason)
        gates.open("long")
        assert shown.end() == 0
    gates.open("short")
    for prompt, code in (("short", 0), ("bomb", 3)):
        result = processes.on_terminal("generate", "slow", prompt, "--policy", policy_file)
        assert (result.code, "a filter checks it" in result.out) == (code, False)
    piped = processes("generate", "slow", "short", "--policy", policy_file, "--stream", "-n", "1")
    assert piped.err.count("as a filter checks it") == 1


def test_a_pipe_gets_no_progress_of_one_generation(
    processes: Processes, slow: Path, gates: Gates
) -> None:
    gates.open("load", "x")
    result = processes("generate", "slow", "x", "-m", slow)
    assert (result.code, result.out) == (0, "1 2 3 4\n")
    assert len(result.err.splitlines()) == 1  # the status


def test_chunks_that_only_count_are_not_recorded(
    processes: Processes, plugin_folder: PluginFolder, gates: Gates, policy_file: Path
) -> None:
    gates.open("x")
    # The chunks of `SLOW` begin its reply, and these do not.
    body = SLOW.replace('f"{number} "', '"other"')
    plugin_folder.generator("odd", body, attributes=gates.attributes, distribution="test-odd")
    checked = processes.on_terminal("generate", "odd", "x", "--policy", policy_file, width=300)
    assert checked.code == 0
    assert processes.on_terminal("generate", "odd", "x", width=300).code == 1


@pytest.mark.parametrize("options", [["--json"], ["-n", "2"], ["--no-stream"]])
def test_a_terminal_does_not_change_what_a_generator_is_asked_for(
    processes: Processes, plugin_folder: PluginFolder, options: list[str]
) -> None:
    plugin_folder.generator("odd", "for r in requests: yield r.reply(Text(str(r.stream)))")
    for result in (
        processes("generate", "odd", "x", *options),
        processes.on_terminal("generate", "odd", "x", *options, width=300),
    ):
        assert result.code == 0
        assert "False" in result.out
        assert "True" not in result.out


def test_an_invalid_number_of_tokens_is_not_shown(
    processes: Processes, plugin_folder: PluginFolder, gates: Gates, policy_file: Path
) -> None:
    body = SLOW.replace("10 * number", "number + 0.5")
    plugin_folder.generator("odd", body, attributes=gates.attributes)
    command = ("generate", "odd", "x", "--policy", policy_file)
    with processes.terminal(*command, width=300) as shown:
        shown.expect("odd: generating, 1 s")
        gates.open("x")
        assert shown.end() == 0


def test_the_digest_of_an_added_model_is_a_step(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from muniment.models import digests
    from muniment.models.notices import AdditionNotices
    from muniment.models.registry import Models

    monkeypatch.setattr(digests, "_PART_BYTES", 10)

    class Notices(AdditionNotices):
        def progress(self, step: str, fraction: float) -> None:
            steps.append((step, fraction))

    class Provider:
        name = "any"

        def packaged_models(self) -> tuple[()]:
            return ()

        def add_model(self, source: str, into: Path, progress: object) -> dict[str, str]:
            (into / "weights").write_bytes(bytes(25))
            return {"name": "one"}

        def find_model(self, source: str) -> Path:
            raise NotImplementedError

    steps: list[tuple[str, float]] = []
    added = Models(home).add("one", "any", Provider(), notices=Notices())
    step = "computing the digest"
    assert steps == [(step, 0.4), (step, 0.8), (step, 1.0)]
    assert added.digest == digests.digest(Models(home).path("one"), digests.FileHashes())
