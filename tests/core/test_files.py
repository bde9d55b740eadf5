"""Files are replaced completely or not at all, and neither an input nor the store is replaced."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from muniment import UsageError, replacing, sync_folder
from muniment.files import (
    atomic_write,
    check_target,
    make_folder,
    open_private,
    replace_file,
)

TOKEN = "00" * 8


@pytest.fixture
def umask() -> Iterator[None]:
    """The least private umask."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@given(st.lists(st.binary(), min_size=1, max_size=4))
def test_atomic_write_any_content_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("files")
    for content in contents:
        atomic_write(folder / "file", content)
        assert (folder / "file").read_bytes() == content
    assert names(folder) == ["file"]


def test_atomic_write_removes_new_files_of_killed_processes(tmp_path: Path) -> None:
    abandoned, recent, other = (
        tmp_path / name for name in (".muniment-1.part", ".muniment-2.part", "data.part")
    )
    for path in (abandoned, recent, other):
        path.write_bytes(b"x")
    for path in (abandoned, other):
        os.utime(path, (0, 0))
    atomic_write(tmp_path / "file", b"x")
    assert names(tmp_path) == [recent.name, other.name, "file"]


def test_replacing_keeps_the_new_file_of_a_running_process(tmp_path: Path) -> None:
    with replacing(tmp_path / "slow") as file:
        os.utime(file.name, (0, 0))
        atomic_write(tmp_path / "quick", b"x")
        file.write(b"y")
    assert (tmp_path / "slow").read_bytes() == b"y"
    assert names(tmp_path) == ["quick", "slow"]


def test_atomic_write_a_new_file_is_for_its_owner_only(tmp_path: Path, umask: None) -> None:
    atomic_write(tmp_path / "file", b"x")
    assert mode(tmp_path / "file") == 0o600


@pytest.mark.parametrize("kept", [0o644, 0o640, 0o400])
def test_atomic_write_a_replaced_file_keeps_its_permissions(
    tmp_path: Path, umask: None, kept: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(kept)
    atomic_write(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", kept)


def test_replacing_the_temporary_file_is_for_its_owner_only(tmp_path: Path, umask: None) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    with replacing(path) as file:
        assert mode(Path(file.name)) == 0o600
        assert Path(file.name).parent == tmp_path


def test_replacing_a_shared_file_follows_the_umask_unless_it_replaces_one(
    tmp_path: Path, umask: None
) -> None:
    path = tmp_path / "file"
    with replacing(path, private=False):
        pass
    assert mode(path) == 0o666
    path.chmod(0o640)
    with replacing(path, private=False) as file:
        assert mode(Path(file.name)) == 0o600
    assert mode(path) == 0o640


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt(), ValueError()])
def test_replacing_after_an_exception_the_old_file_is_unchanged(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert (path.read_bytes(), names(tmp_path)) == (b"old", ["file"])


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_replacing_a_failing_system_call_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(f"os.{call}", full)
    with pytest.raises(OSError, match="No space left"):
        atomic_write(path, b"new")
    assert (path.read_bytes(), names(tmp_path)) == (b"old", ["file"])


def test_replacing_a_failing_sync_of_the_folder_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment.files.os.open", _denied(os.open))
    atomic_write(tmp_path / "file", b"x")
    assert (tmp_path / "file").read_bytes() == b"x"


def _denied(real: object) -> object:
    def denied(path: str, flags: int, *mode: int) -> int:
        if flags == os.O_RDONLY:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *mode)  # type: ignore[operator,no-any-return]

    return denied


@pytest.mark.parametrize("after", ["write", "sync"])
def test_replacing_after_a_kill_the_old_file_is_unchanged(tmp_path: Path, after: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    program = f"""
import os, signal, sys
from pathlib import Path
from muniment.files import replacing
if {after!r} == "sync":
    os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
with replacing(Path(sys.argv[1])) as file:
    file.write(b"new" * 100_000)
    if {after!r} == "write":
        os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    atomic_write(path, b"next")  # the file that is left does not hinder it
    assert path.read_bytes() == b"next"


@pytest.mark.parametrize("trap", ["link", "dangling link", "hard link", "folder", "pipe"])
def test_replacing_a_temporary_name_that_exists_is_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    monkeypatch.setattr("muniment.files.os.urandom", lambda size: bytes.fromhex(TOKEN))
    victim, place = tmp_path / "victim", tmp_path / f".muniment-{TOKEN}.part"
    victim.write_bytes(b"precious")
    match trap:
        case "link":
            place.symlink_to(victim)
        case "dangling link":
            place.symlink_to(tmp_path / "nowhere")
        case "hard link":
            place.hardlink_to(victim)
        case "folder":
            place.mkdir()
        case "pipe":
            os.mkfifo(place)
    before = names(tmp_path)
    with pytest.raises(FileExistsError):
        atomic_write(tmp_path / "file", b"new")
    assert victim.read_bytes() == b"precious"
    assert names(tmp_path) == before


def test_open_private_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("victim")
    for how in ("wb", "ab", "r+b", "xb", "a+b"):
        with pytest.raises(OSError, match=r"link|exists"):
            open_private(tmp_path / "link", how)  # type: ignore[arg-type]
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_replacing_a_link_replaces_the_link_and_not_its_target(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("victim")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert (tmp_path / "link").read_bytes() == b"new"
    assert not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("name", ["same", "hard", "soft", "sub/../same"])
def test_check_target_a_protected_file_is_refused_under_every_name(
    tmp_path: Path, name: str
) -> None:
    protected = tmp_path / "same"
    protected.write_bytes(b"precious")
    (tmp_path / "sub").mkdir()
    (tmp_path / "hard").hardlink_to(protected)
    (tmp_path / "soft").symlink_to("same")
    for write in (
        lambda path: atomic_write(path, b"new", [tmp_path / "other", protected]),
        lambda path: check_target(path, [protected]),
        lambda path: replace_file(tmp_path / "source", path, [protected]),
    ):
        (tmp_path / "source").write_bytes(b"new")
        with pytest.raises(UsageError, match="same, which is also read") as caught:
            write(Path(f"{tmp_path}/{name}"))
        assert str(caught.value).startswith(f"cannot write {tmp_path}/{name}: ")
    assert protected.read_bytes() == b"precious"
    assert names(tmp_path) == ["hard", "same", "soft", "source", "sub"]


def test_check_target_a_protected_file_may_be_missing_yet(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(UsageError):
        check_target(tmp_path / "sub" / ".." / "store.db", [tmp_path / "store.db"])
    check_target(tmp_path / "other.db", [tmp_path / "store.db"])


def test_replacing_a_file_that_becomes_protected_meanwhile_is_refused(tmp_path: Path) -> None:
    path, protected = tmp_path / "file", tmp_path / "store"

    def write() -> None:
        with replacing(path, [protected]) as file:
            file.write(b"new")
            protected.write_bytes(b"precious")
            path.hardlink_to(protected)

    with pytest.raises(UsageError):
        write()
    assert protected.read_bytes() == path.read_bytes() == b"precious"
    assert names(tmp_path) == ["file", "store"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_check_target_what_is_not_a_regular_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/null") if kind == "device" else tmp_path / kind
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(
        UsageError, match=f"cannot write {path}: it is (a folder|not a regular file)"
    ):
        atomic_write(path, b"x")
    assert path.exists()
    assert not path.is_file()


def test_replacing_a_name_of_the_maximum_length_is_written(tmp_path: Path) -> None:
    longest = tmp_path / ("卫" * 85)  # 255 bytes
    for content in (b"one", b"two"):
        atomic_write(longest, content)
        assert longest.read_bytes() == content
    assert names(tmp_path) == [longest.name]


def test_replacing_in_a_read_only_folder_is_an_error(tmp_path: Path) -> None:
    is_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        if is_root:
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError):
                atomic_write(Path(folder) / "file", b"x")
        finally:
            if is_root:
                os.seteuid(0)
        assert names(Path(folder)) == []


def test_make_folder_missing_folders_are_for_their_owner_only(tmp_path: Path, umask: None) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o700
    (tmp_path / "a").chmod(0o755)
    make_folder(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o755
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file" / "below")


@pytest.mark.skipif(os.name != "posix", reason="Windows cannot open a folder")
def test_sync_folder_writes_the_folder_to_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    sync_folder(tmp_path)
    assert synced == [tmp_path.stat().st_ino]
    sync_folder(tmp_path / "missing")  # as on a system that cannot open a folder
    assert len(synced) == 1
