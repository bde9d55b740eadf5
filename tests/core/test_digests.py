"""Digests: names and bytes, computed here a second time, and what has no digest."""

from __future__ import annotations

import json
import os
import time
from hashlib import sha256
from pathlib import Path

import pytest

from muniment import ModelError
from muniment.models import digests
from muniment.models.digests import FileHashes, digest


def tree(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def of(path: Path) -> str:
    return digest(path, FileHashes())


def expected(files: dict[str, bytes]) -> str:
    """What the digest of these files must be, written without the code under test."""
    resources = ",".join(
        f'{{"algorithm":"sha256","digest":"{sha256(data).hexdigest()}",'
        f'"name":{json.dumps(name, ensure_ascii=False)}}}'
        for name, data in sorted(files.items(), key=lambda item: [ord(c) for c in item[0]])
    )
    text = f'{{"resources":[{resources}],"scheme":"muniment-model-tree/1"}}'
    return f"tree1-sha256:{sha256(text.encode()).hexdigest()}"


FILES = {
    "config.json": b"{}",
    "weights/a.bin": b"\x00\x01",
    "weights/b.bin": b"",
    "词表.txt": "最近".encode(),
    "ｚ.txt": b"fullwidth",
    "🜁.txt": b"beyond the basic plane",
}


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tree(tmp_path, {"m.gguf": b"abc"}) / "m.gguf"
    assert of(path) == (
        "file-sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_the_digest_of_a_folder_is_fixed_for_ever(tmp_path: Path) -> None:
    folder = tree(tmp_path, {"a": b"1", "b/c": b"2"})
    assert of(folder) == expected({"a": b"1", "b/c": b"2"})
    assert of(folder) == (
        "tree1-sha256:1ae1d85865aee063db5558d6d245f15f4b79b68dc31321a979e636bddf2d1e2f"
    )


def test_the_digest_of_a_folder_is_that_of_its_canonical_list(tmp_path: Path) -> None:
    assert of(tree(tmp_path, FILES)) == expected(FILES)


def test_names_are_sorted_by_code_points_and_not_folder_by_folder(tmp_path: Path) -> None:
    files = {"a/b": b"1", "a.b": b"2", "a": b""}
    del files["a"]
    assert sorted(files) == ["a.b", "a/b"]
    assert of(tree(tmp_path, files)) == expected(files)


def test_a_renamed_a_swapped_and_a_changed_file_each_change_the_digest(tmp_path: Path) -> None:
    seen = {
        of(tree(tmp_path / "one", {"a": b"1", "b": b"2"})),
        of(tree(tmp_path / "two", {"a": b"2", "b": b"1"})),
        of(tree(tmp_path / "three", {"a": b"1", "c": b"2"})),
        of(tree(tmp_path / "four", {"a": b"1", "b": b"3"})),
        of(tree(tmp_path / "five", {"a": b"1", "b": b"2", "c": b""})),
        of(tree(tmp_path / "six", {"x/a": b"1", "x/b": b"2"})),
    }
    assert len(seen) == 6


def test_where_a_folder_lies_and_what_it_is_called_does_not_matter(tmp_path: Path) -> None:
    one, two = tree(tmp_path / "one", FILES), tree(tmp_path / "x" / "two", FILES)
    (tmp_path / "three").symlink_to(two)
    assert of(one) == of(two) == of(tmp_path / "three")


def test_what_tools_leave_beside_a_model_does_not_count(tmp_path: Path) -> None:
    bare = of(tree(tmp_path, FILES))
    tree(
        tmp_path,
        {
            ".git/HEAD": b"ref",
            ".gitattributes": b"lfs",
            ".cache/huggingface/download/x.lock": b"",
            "model.sig": b"signature",
        },
    )
    assert of(tmp_path) == bare
    for counts in ("sub/.gitattributes", "sub/model.sig", ".cache/other"):
        tree(tmp_path, {counts: b""})
        assert of(tmp_path) != bare
        (tmp_path / counts).unlink()


def test_empty_folders_do_not_count(tmp_path: Path) -> None:
    before = of(tree(tmp_path, FILES))
    (tmp_path / "empty").mkdir()
    assert of(tmp_path) == before


def test_a_link_within_the_folder_counts_as_the_file(tmp_path: Path) -> None:
    folder = tree(tmp_path / "m", {"a": b"1"})
    (folder / "b").symlink_to("a")
    assert of(folder) == expected({"a": b"1", "b": b"1"})


def test_links_into_the_blobs_of_a_hub_cache_are_followed(tmp_path: Path) -> None:
    cache = tree(tmp_path / "models--x", {"blobs/abc": b"1", "blobs/def": b"2"})
    snapshot = cache / "snapshots" / "rev"
    (snapshot / "sub").mkdir(parents=True)
    (snapshot / "a").symlink_to("../../blobs/abc")
    (snapshot / "sub" / "b").symlink_to("../../../blobs/def")
    assert of(snapshot) == expected({"a": b"1", "sub/b": b"2"})


@pytest.mark.parametrize("where", ["secret", "blobs/secret", "m/../secret"])
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, where: str) -> None:
    tree(tmp_path, {"secret": b"", "blobs/secret": b"", "m/a": b"1"})
    (tmp_path / "m" / "b").symlink_to(tmp_path / where)
    with pytest.raises(ModelError, match="the link b leads out of the folder"):
        of(tmp_path / "m")


def test_a_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    tree(tmp_path, {"other/x": b"", "m/a": b"1"})
    (tmp_path / "m" / "b").symlink_to(tmp_path / "other")
    with pytest.raises(ModelError, match="b is a link to a folder"):
        of(tmp_path / "m")


def test_a_link_to_nothing_or_to_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("gone")
    with pytest.raises(OSError, match="gone"):
        of(tmp_path)
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to("a")
    with pytest.raises(OSError, match="a"):
        of(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="pipe is not a regular file"):
        of(tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [("A.txt", "a.txt"), ("é", "e\u0301"), ("ﬁ", "fi"), ("x/Ä", "X/a\u0308"), ("ſ", "s")],
)
def test_names_that_are_one_on_some_systems_are_refused(
    tmp_path: Path, one: str, other: str
) -> None:
    tree(tmp_path, {one: b"1", other: b"2"})
    with pytest.raises(ModelError, match="are one file on some systems"):
        of(tmp_path)


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.bin", os.O_CREAT | os.O_WRONLY))
    with pytest.raises(ModelError, match="is not UTF-8") as caught:
        of(tmp_path)
    str(caught.value).encode()


def test_what_is_not_there_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        of(tmp_path / "gone")


# ---- remembering -------------------------------------------------------------------------------


def aged(folder: Path) -> Path:
    """Wait until the files are older than what their clock can tell apart."""
    time.sleep(digests._YOUNG_NS / 1e9 + 0.05)
    return folder


def hashed(cache: Path, path: Path) -> str:
    hashes = FileHashes(cache)
    found = digest(path, hashes)
    hashes.save()
    return found


def test_hashes_are_remembered_by_the_identity_of_files(tmp_path: Path) -> None:
    folder, cache = aged(tree(tmp_path / "m", FILES)), tmp_path / "hashes.json"
    right = hashed(cache, folder)
    known = json.loads(cache.read_bytes())
    assert sorted(known.values()) == sorted(sha256(data).hexdigest() for data in FILES.values())
    cache.write_text(json.dumps(dict.fromkeys(known, "0" * 64)))
    assert hashed(cache, folder) != right  # read from the cache, not from the files
    assert of(folder) == right


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_changed_file_is_noticed(tmp_path: Path, keep_times: bool) -> None:
    folder, cache = aged(tree(tmp_path / "m", {"a": b"one", "b": b"x"})), tmp_path / "hashes.json"
    hashed(cache, folder)
    was = (folder / "a").stat()
    (folder / "a").write_bytes(b"two")
    if keep_times:
        os.utime(folder / "a", ns=(was.st_atime_ns, was.st_mtime_ns))
    assert hashed(cache, folder) == expected({"a": b"two", "b": b"x"})


def test_a_file_changed_twice_in_one_tick_of_the_clock_is_noticed(tmp_path: Path) -> None:
    cache = tmp_path / "hashes.json"
    for _ in range(50):
        for data in (b"one", b"two"):
            assert hashed(cache, tree(tmp_path / "m", {"a": data})) == expected({"a": data})


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b'"x"'])
def test_a_lost_or_spoilt_cache_costs_only_time(tmp_path: Path, content: bytes) -> None:
    folder, cache = aged(tree(tmp_path / "m", FILES)), tmp_path / "hashes.json"
    cache.write_bytes(content)
    assert hashed(cache, folder) == expected(FILES)
    assert len(json.loads(cache.read_bytes())) == len(FILES)


def test_a_home_that_cannot_be_written_spoils_no_digest(tmp_path: Path) -> None:
    folder = aged(tree(tmp_path / "m", FILES))
    (tmp_path / "file").write_text("")
    assert hashed(tmp_path / "file" / "hashes.json", folder) == expected(FILES)
    assert hashed(tmp_path / "new" / "hashes.json", folder) == expected(FILES)
    assert (tmp_path / "new" / "hashes.json").exists()
