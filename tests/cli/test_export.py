"""`muniment audit export`: files and streams of what was recorded."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import Here, Processes, check_shape


@pytest.fixture
def recorded(muniment: Here) -> Here:
    muniment("generate", "echo", "一 two", "--seed", "7", "--tag", "nice")
    muniment("generate", "echo", "three", "--actor", "Ada")
    return muniment


def test_lines_on_standard_output_are_generations(recorded: Here) -> None:
    result = recorded("audit", "export")
    assert result.code == 0
    listed = recorded("audit", "list", "--json").json("generation")
    assert result.json("generation") == [
        record | {"feedback": [], "reviews": []} for record in listed
    ]
    tagged = recorded("audit", "export", "--tag", "nice").json("generation")
    assert [generation["prompt"] for generation in tagged] == ["一 two"]


def test_a_terminal_gets_records_on_demand_only(recorded: Here) -> None:
    refused = recorded.on_terminal("audit", "export")
    assert (refused.code, "add -o FILE, or -o -" in refused.out) == (2, True)
    assert "three" not in refused.out
    printed = recorded.on_terminal("audit", "export", "-o", "-")
    assert (printed.code, "three" in printed.out) == (0, True)


def test_the_ending_of_the_file_says_the_format(recorded: Here, tmp_path: Path) -> None:
    for name in ("all.jsonl", "all.csv", "all.parquet", "all", "all.NDJSON"):
        target = tmp_path / name
        result = recorded("audit", "export", "-o", target)
        assert result.code == 0
        assert result.err.startswith(f"wrote {target} (2 generations, ")
    for line in (tmp_path / "all").read_text(encoding="utf-8").splitlines():
        check_shape(json.loads(line), "generation")
    rows = csv.DictReader(io.StringIO((tmp_path / "all.csv").read_text(encoding="utf-8")))
    assert [row["prompt"] for row in rows] == ["three", "一 two"]
    assert (tmp_path / "all.parquet").read_bytes()[:4] == b"PAR1"


def test_a_file_that_is_there_is_kept(recorded: Here, tmp_path: Path) -> None:
    target = tmp_path / "all.jsonl"
    target.write_text("mine")
    result = recorded("audit", "export", "-o", target)
    assert result.code == 2
    assert "already exists" in result.err
    assert target.read_text() == "mine"
    assert recorded("audit", "export", "-o", target, "--overwrite", "-n", "1").code == 0
    assert target.read_bytes().count(b"\n") == 1


MISTAKES = [
    (["--resume"], "add -o FILE"),
    (["--format", "parquet"], "parquet cannot be written to a stream; use -o FILE"),
    (["--format", "xml"], "'xml' is not one of"),
    (["-o", "all.xlsx"], "all.xlsx: there is no format 'xlsx'"),
    (["-o", "all.json"], "did you mean jsonl?"),
    (["--resume", "-o", "nowhere.csv"], "there is no unfinished export to nowhere.csv"),
]


def test_mistakes_are_one_sentence(
    recorded: Here, subtests: pytest.Subtests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, sentence in MISTAKES:
        with subtests.test(arguments=arguments):
            result = recorded("audit", "export", *arguments)
            assert result.code != 0
            assert sentence in result.err
            assert result.err.count("\n") == 1


def test_an_interrupted_export_says_how_to_go_on_and_does(
    recorded: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from muniment.store.export import batches, exporter

    monkeypatch.setattr(batches, "FIRST_PAGE", 1)
    made = batches.pages

    def interrupted(*arguments: object) -> object:
        for page in made(*arguments):  # type: ignore[arg-type]
            yield page
            raise KeyboardInterrupt

    target = tmp_path / "all.csv"
    with monkeypatch.context() as patch:
        patch.setattr(exporter, "pages", interrupted)
        result = recorded("audit", "export", "--since", "7d", "-o", target)
    assert result.code == 130
    assert "with --resume to continue" in result.err
    assert not target.exists()
    again = recorded("audit", "export", "--since", "7d", "-o", target)
    assert again.code == 2
    assert "was interrupted; use --resume" in again.err
    other = recorded("audit", "export", "--tag", "nice", "-o", target, "--resume")
    assert other.code == 2
    assert "began with a different tag" in other.err
    other = recorded("audit", "export", "--format", "jsonl", "-o", target, "--resume")
    assert "began as csv" in other.err
    assert recorded("audit", "export", "--since", "7d", "-o", target, "--resume").code == 0
    whole = recorded("audit", "export", "--format", "csv").out
    assert target.read_bytes().decode() == whole.replace("\r\n", "\n").replace("\n", "\r\n")
    assert list(tmp_path.glob("all.csv.*")) == []


KILLED = """
import os, sys
from pathlib import Path
from muniment.store import Store
from muniment.store.export import batches, exporter
batches.FIRST_PAGE = 1
exporter.SAVE_SECONDS = -1
with Store.open(f"sqlite:///{sys.argv[1]}", create=False) as store:
    store.export(Path(sys.argv[2]), "jsonl").run(lambda rows: os.kill(os.getpid(), 9))
"""


def test_what_a_killed_process_left_is_gone_on_with(
    processes: Processes, recorded: Here, home: Path, tmp_path: Path
) -> None:
    target = tmp_path / "all.jsonl"
    done = subprocess.run([sys.executable, "-c", KILLED, home / "muniment.db", target])
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    assert processes("audit", "export", "-o", target, "--resume").code == 0
    assert target.read_text(encoding="utf-8") == recorded("audit", "export").out


STOPPED = """
import os, signal, sys
from pathlib import Path
from muniment.store import Store
from muniment.store.export import batches
batches.FIRST_PAGE = batches.MAX_PAGE = batches.PARALLEL_AFTER = 1
written = []
def stop(rows):
    written.append(rows)
    if len(written) == 2:  # the first that a worker made
        os.killpg(0, signal.SIGINT)
with Store.open(f"sqlite:///{sys.argv[1]}", create=False) as store:
    try:
        store.export(Path(sys.argv[2]), "jsonl").run(stop, processes=2)
    except KeyboardInterrupt:
        print("stopped")
"""


def test_ctrl_c_ends_the_workers_without_a_word(recorded: Here, home: Path, tmp_path: Path) -> None:
    for number in range(6):
        recorded("generate", "echo", f"more {number}")
    command = [sys.executable, "-c", STOPPED, str(home / "muniment.db"), str(tmp_path / "all")]
    done = subprocess.run(
        command, capture_output=True, text=True, start_new_session=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")


def folder_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_outputs_are_files_that_the_records_name(
    recorded: Here, tmp_path: Path, policy_file: Path
) -> None:
    recorded("generate", "echo", "leak", "--policy", policy_file)
    recorded("generate", "echo", "fail")
    recorded("generate", "echo", "gone")
    recorded("audit", "erase", "last", "--yes")
    recorded("generate", "dots", "a", "--bare")
    target, folder = tmp_path / "all.jsonl", tmp_path / "outputs"
    result = recorded("audit", "export", "-o", target, "--outputs", folder, "--bare")
    assert result.code == 0
    lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        check_shape(line, "generation")
    named = {item["id"]: [output["file"] for output in item["outputs"]] for item in lines}
    dots, gone, failed, blocked, three, one = named
    assert [named[dots], named[gone], named[failed]] == [[f"{dots}.png"], [None], []]
    assert folder_of(folder) == {
        f"{dots}.png": (folder / f"{dots}.png").read_bytes(),
        f"{blocked}.txt": b"leak secret",
        f"{three}.txt": b"three",
        f"{one}.txt": "一 two".encode(),
    }
    assert list(tmp_path.glob("*.part*")) == []


def test_file_and_folder_are_printed_as_they_were_written(
    recorded: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = recorded("audit", "export", "-o", "本周.csv", "--outputs", "输出/")
    assert [line.split(" (")[0] for line in result.err.splitlines()] == [
        "wrote 本周.csv",
        "wrote 输出",
    ]
    result = recorded("audit", "export", "-o", "本周.csv", "--outputs", "输出", "--overwrite")
    assert str(tmp_path) not in result.err
    (tmp_path / "later.part").mkdir()
    result = recorded("audit", "export", "-o", "a.csv", "--outputs", "./later")
    assert (result.code, "later.part" in result.err) == (2, True)
    assert str(tmp_path) not in result.err


def test_outputs_without_a_file_are_counted_and_the_others_written(
    recorded: Here, tmp_path: Path
) -> None:
    recorded("generate", "dots", "a", "--bare")
    target, folder = tmp_path / "all.csv", tmp_path / "outputs"
    result = recorded("audit", "export", "-o", target, "--outputs", folder)
    assert result.code == 1
    assert "1 output could not be written" in result.err
    assert "image/png" in result.err
    assert len(folder_of(folder)) == 2
    rows = list(csv.DictReader(io.StringIO(target.read_text(encoding="utf-8"))))
    files = [json.loads(row["outputs"])[0]["file"] for row in rows]
    assert files == [None, f"{rows[1]['id']}.txt", f"{rows[2]['id']}.txt"]


def test_a_folder_with_files_is_kept(recorded: Here, tmp_path: Path) -> None:
    target, folder = tmp_path / "all.jsonl", tmp_path / "outputs"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    command = ("audit", "export", "-o", target, "--outputs", folder)
    assert recorded(*command).code == 2
    assert [file.name for file in tmp_path.glob("*.part*")] == []
    assert not target.exists()
    assert recorded(*command, "--overwrite").code == 0
    assert recorded(*command, "--overwrite").code == 0
    files = folder_of(folder)
    assert len(files) == 3
    assert files["mine"] == b"mine"
    assert recorded("audit", "export", "-o", target, "--overwrite").code == 0
    record = json.loads(target.read_text(encoding="utf-8").splitlines()[0])
    assert "file" not in record["outputs"][0]


def test_mistakes_with_outputs_are_one_sentence(
    recorded: Here, subtests: pytest.Subtests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    Path("file").touch()
    for arguments, named in [
        (["--outputs", "new"], "-o FILE"),
        (["--outputs", "new", "-o", "/dev/null"], "/dev/null"),
        (["--bare"], "--outputs"),
        (["--private", "-o", "all.csv"], "--outputs"),
        (["--outputs", "file", "-o", "all.csv"], "not a folder"),
        (["--outputs", "no/where", "-o", "all.csv"], "does not exist"),
        (["--outputs", "all.csv", "-o", "all.csv"], "all.csv"),
        (["--outputs", "new", "-o", "all.xlsx"], "all.xlsx"),
    ]:
        with subtests.test(arguments=arguments):
            result = recorded("audit", "export", *arguments)
            assert result.code == 2
            assert named in result.err
            assert result.err.count("\n") == 1
            assert [path.name for path in here.iterdir()] == ["file"]


def interrupt(recorded: Here, monkeypatch: pytest.MonkeyPatch, *command: object) -> None:
    """Interrupt an export after its first generation, and after its state was saved."""
    from muniment.store.export import batches, exporter

    monkeypatch.setattr(batches, "FIRST_PAGE", 1)
    monkeypatch.setattr(exporter, "SAVE_SECONDS", -1.0)
    made = batches.pages

    def interrupted(*arguments: object) -> object:
        for number, page in enumerate(made(*arguments)):  # type: ignore[arg-type]
            if number:
                raise KeyboardInterrupt
            yield page

    with monkeypatch.context() as patch:
        patch.setattr(exporter, "pages", interrupted)
        assert recorded(*command).code == 130


def test_a_resumed_export_counts_the_files_before_its_interruption(
    recorded: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recorded("audit", "export", "-o", tmp_path / "a.csv", "--outputs", tmp_path / "a")
    assert "2 files" in whole.err
    target, folder = tmp_path / "all.csv", tmp_path / "outputs"
    command = ("audit", "export", "-o", target, "--outputs", folder)
    interrupt(recorded, monkeypatch, *command)
    resumed = recorded(*command, "--resume")
    assert resumed.code == 0
    counted = re.compile(r"\(2 files, [0-9]+ bytes\)")
    assert counted.findall(resumed.err) == counted.findall(whole.err) != []
    # The newest generation, which is written first, has an output that needs --bare.
    recorded("generate", "dots", "a", "--bare")
    command = ("audit", "export", "-o", target, "--outputs", tmp_path / "more", "--overwrite")
    interrupt(recorded, monkeypatch, *command)
    resumed = recorded(*command[:-1], "--resume")
    assert resumed.code == 1
    assert "1 output could not be written" in resumed.err


@pytest.mark.parametrize("option", ["--bare", "--private"])
def test_a_resumed_export_needs_the_same_options_of_files(
    recorded: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    command = ("audit", "export", "-o", tmp_path / "all.csv", "--outputs", tmp_path / "outputs")
    interrupt(recorded, monkeypatch, *command)
    refused = recorded(*command, "--resume", option)
    assert refused.code == 2
    assert option in refused.err
    assert recorded(*command, "--resume").code == 0
    command = (*command[:3], tmp_path / "new.csv", "--outputs", tmp_path / "new", option)
    interrupt(recorded, monkeypatch, *command)
    assert recorded(*command[:-1], "--resume").code == 2
    assert recorded(*command, "--resume").code == 0


def test_an_interrupted_export_of_outputs_goes_on_to_the_same_files(
    recorded: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, folder = tmp_path / "all.parquet", tmp_path / "outputs"
    command = ("audit", "export", "-o", target, "--outputs", folder)
    interrupt(recorded, monkeypatch, *command)
    assert not target.exists()
    assert not folder.exists()
    assert recorded("audit", "export", "-o", target, "--resume").code == 2
    assert recorded(*command, "--resume").code == 0
    files = folder_of(folder)
    assert sorted(files.values()) == [b"three", "一 two".encode()]
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(target).to_pylist()
    assert {row["outputs"][0]["file"] for row in rows} == set(files)
