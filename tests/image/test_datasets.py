"""Data sets: which files become pictures, their labels and captions, and how bad ones are named."""

from __future__ import annotations

import gzip
import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from muniment_image import datasets
from muniment_image.dataset_conditions import condition_of
from muniment_image.dataset_folder import DatasetError
from muniment_image.datasets import read_dataset
from support import picture_folders as pictures


def write_metadata(folder: Path, *lines: object) -> Path:
    folder.mkdir(exist_ok=True)
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    (folder / "metadata.jsonl").write_text(text, encoding="utf-8")
    return folder


def write_idx(
    folder: Path, count: int = 6, *, part: str = "train", size: int = 28, compress: bool = True
) -> Path:
    folder.mkdir(exist_ok=True)
    pixels = np.arange(count * size * size, dtype=np.uint32).astype(np.uint8)
    labels = (np.arange(count) % 3).astype(np.uint8)
    for name, header, data in (
        ("images-idx3", struct.pack(">4I", 0x803, count, size, size), pixels),
        ("labels-idx1", struct.pack(">2I", 0x801, count), labels),
    ):
        content = header + data.tobytes()
        path = folder / f"{part}-{name}-ubyte{'.gz' if compress else ''}"
        path.write_bytes(gzip.compress(content) if compress else content)
    return folder


# ---- folders of classes ------------------------------------------------------------------------


def test_hidden_empty_and_checkpoint_folders_are_no_classes(tmp_path: Path) -> None:
    data = read_dataset(pictures.write_classes(tmp_path / "data"), size=8, condition="label")
    assert data.classes == ("cat", "狗")
    assert len(data) == 8
    assert {item.label for item in data.items} == {"cat", "狗"}
    assert [note for note in data.notes if "empty" in note]


def test_every_kind_of_picture_is_used(tmp_path: Path) -> None:
    data = read_dataset(pictures.write_modes(tmp_path / "data"), size=8)
    assert len(data) == 9
    assert data.pixels.shape == (9, 8, 8, 3)
    assert [note for note in data.notes if "thin.png" in note]
    sixteen = data.pixels[[item.file for item in data.items].index("sixteen.png")]
    assert sixteen.min() < 20  # 16-bit grey is scaled, not cut
    assert 100 < sixteen.mean() < 155


def test_exif_orientations_give_the_same_picture(tmp_path: Path) -> None:
    data = read_dataset(pictures.write_turned(tmp_path / "data"), size=16)
    first = data.pixels[0].astype(int)
    assert all(abs(picture.astype(int) - first).max() < 40 for picture in data.pixels)


def test_damaged_pictures_are_all_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as raised:
        read_dataset(pictures.write_damaged(tmp_path / "data"), size=8)
    assert {name for name, _ in raised.value.pictures} == {
        *("animated.gif", "animated.png", "text.png"),
        *("truncated.jpg", "truncated.png", "zero.png"),
    }
    assert all(name in str(raised.value) for name, _ in raised.value.pictures)
    assert "6 of 9" in str(raised.value)


def test_a_long_list_of_damaged_pictures_names_ten_and_counts_the_others(tmp_path: Path) -> None:
    for number in range(13):
        (tmp_path / f"{number:02d}.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError) as raised:
        read_dataset(tmp_path, size=8)
    assert len(raised.value.pictures) == 13
    assert "09.png" in str(raised.value)
    assert "10.png" not in str(raised.value)
    assert "3 more" in str(raised.value)


def test_a_gigapixel_picture_is_refused_and_large_metadata_is_harmless(tmp_path: Path) -> None:
    folder = pictures.write_bombs(tmp_path / "data")
    with pytest.raises(DatasetError) as raised:
        read_dataset(folder, size=8)
    assert [name for name, _ in raised.value.pictures] == ["pixels.png"]
    (folder / "pixels.png").unlink()
    assert len(read_dataset(folder, size=8)) == 2


def test_equal_names_in_two_folders_are_two_pictures(tmp_path: Path) -> None:
    folder = pictures.write_names(tmp_path / "data")
    data = read_dataset(folder, size=8)
    assert {item.file for item in data.items} == {"a/cat.png", "b/cat.png", "cat.jpg", "Cat.JPG"}
    for name in ("cat.jpg", "Cat.JPG"):
        (folder / name).unlink()
    labelled = read_dataset(folder, size=8, condition="label")
    assert [(item.file, item.label) for item in labelled.items] == [
        ("a/cat.png", "a"),
        ("b/cat.png", "b"),
    ]


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    data = read_dataset(pictures.write_names(tmp_path / "data"), size=8)
    assert not [item for item in data.items if "secret" in item.file]
    assert [note for note in data.notes if "outside" in note and "secret.png" in note]


def test_a_link_within_the_folder_is_followed(tmp_path: Path) -> None:
    pictures.save(tmp_path / "data" / "a" / "0.png")
    (tmp_path / "data" / "b").mkdir()
    (tmp_path / "data" / "b" / "1.png").symlink_to("../a/0.png")
    assert read_dataset(tmp_path / "data", size=8, condition="label").classes == ("a", "b")


def test_pictures_beside_the_folders_of_classes_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as raised:
        read_dataset(pictures.write_names(tmp_path / "data"), size=8, condition="label")
    assert {name for name, _ in raised.value.pictures} == {"Cat.JPG", "cat.jpg"}


def test_classes_that_differ_only_in_case_are_refused(tmp_path: Path) -> None:
    for name in ("Cat", "cat"):
        pictures.save(tmp_path / name / "0.png")
    with pytest.raises(DatasetError, match="case"):
        read_dataset(tmp_path, size=8, condition="label")
    data = read_dataset(tmp_path, size=8)
    assert len(data) == 2
    with pytest.raises(DatasetError, match="case"):  # the condition was chosen after reading
        condition_of(data, "label")


def test_a_class_without_a_visible_name_is_refused(tmp_path: Path) -> None:
    pictures.save(tmp_path / "\u3000" / "0.png")
    with pytest.raises(DatasetError, match="u3000"):
        read_dataset(tmp_path, size=8, condition="label")


def test_one_class_is_a_data_set(tmp_path: Path) -> None:
    pictures.save(tmp_path / "cat" / "0.png")
    assert read_dataset(tmp_path, size=8, condition="label").classes == ("cat",)


def test_nested_folders_belong_to_the_class_of_the_first_one(tmp_path: Path) -> None:
    pictures.save(tmp_path / "cat" / "black" / "0.png")
    data = read_dataset(tmp_path, size=8, condition="label")
    assert [(item.file, item.label) for item in data.items] == [("cat/black/0.png", "cat")]


@pytest.mark.parametrize("content", [[], ["notes.txt"], ["cat/notes.txt", "dog/.hidden.png"]])
def test_a_folder_without_pictures_is_refused(tmp_path: Path, content: list[str]) -> None:
    for name in content:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DatasetError, match="no pictures"):
        read_dataset(tmp_path, size=8)


@pytest.mark.parametrize("source", ["nowhere", "file.txt"])
def test_data_that_is_no_folder_is_refused(tmp_path: Path, source: str) -> None:
    (tmp_path / "file.txt").write_text("no data")
    with pytest.raises(DatasetError, match=source):
        read_dataset(tmp_path / source, size=8)


def test_a_pipe_with_the_name_of_a_picture_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DatasetError, match=r"pipe\.png"):
        read_dataset(tmp_path, size=8)


# ---- pixels ------------------------------------------------------------------------------------


def test_pictures_are_cut_to_the_middle_square_and_resized(tmp_path: Path) -> None:
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    pixels = read_dataset(tmp_path, size=8).pixels
    assert (pixels == 200).all()
    assert pixels.shape[3] == 1  # all pictures are grey


def test_the_digest_depends_on_pixels_names_and_labels(tmp_path: Path) -> None:
    one = pictures.save(tmp_path / "one" / "a" / "0.png")
    pictures.save(tmp_path / "two" / "b" / "0.png", Image.open(one))
    pictures.save(tmp_path / "three" / "a" / "0.png")
    digests = [read_dataset(tmp_path / name, size=8).digest for name in ("one", "two", "three")]
    assert len(set(digests)) == 3
    assert read_dataset(tmp_path / "one", size=8).digest == digests[0]


def test_a_fingerprint_is_that_of_the_pixels_whatever_the_file(tmp_path: Path) -> None:
    grey = pictures.picture(12, "L")
    for name, image in (("a.png", grey), ("b.bmp", grey), ("c.png", grey.convert("RGB"))):
        pictures.save(tmp_path / name, image)
    pictures.save(tmp_path / "d.png", pictures.picture(12, "L"))
    prints = read_dataset(tmp_path, size=8).fingerprints.tolist()
    assert prints[0] == prints[1] == prints[2] != prints[3]


def test_a_subset_has_the_pictures_of_its_indices(tmp_path: Path) -> None:
    data = read_dataset(pictures.write_classes(tmp_path / "data"), size=8)
    part = data.subset([5, 1])
    assert part.items == (data.items[5], data.items[1])
    assert (part.pixels == data.pixels[[5, 1]]).all()
    assert part.digest != data.digest


def test_a_class_whose_name_is_not_utf8_is_named(tmp_path: Path) -> None:
    folder = pictures.write_classes(tmp_path / "data")
    try:
        (folder / "cat").rename(os.fsdecode(os.fsencode(folder) + b"/\xff"))
    except OSError:
        pytest.skip("the file system has UTF-8 names only")
    with pytest.raises(DatasetError, match=r"\\udcff"):
        read_dataset(folder, size=8)


# ---- metadata.jsonl ----------------------------------------------------------------------------


def test_metadata_gives_labels_and_captions_in_several_languages(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png", "unnamed.png"):
        pictures.save(tmp_path / name)
    write_metadata(
        tmp_path,
        {"file_name": "sub/b.png", "caption": "red heart", "caption_zh": "红心"},
        "",
        {"file_name": "a.png", "label": 3, "caption": ["a star", "one star"]},
    )
    data = read_dataset(tmp_path, size=8, condition="caption")
    assert [(item.file, item.label, item.captions) for item in data.items] == [
        ("a.png", "3", ("a star", "one star")),
        ("sub/b.png", None, ("red heart", "红心")),
    ]
    assert [note for note in data.notes if "unnamed.png" in note]


def test_words_txt_is_the_vocabulary_of_captions(tmp_path: Path) -> None:
    pictures.save(tmp_path / "a.png")
    write_metadata(tmp_path, {"file_name": "a.png", "caption": ["red heart", "红心"]})
    (tmp_path / "words.txt").write_text("red 红\nheart 心\nblue 蓝\n", encoding="utf-8")
    data = read_dataset(tmp_path, size=8, condition="caption")
    assert not data.notes
    condition = condition_of(data, "caption")
    assert condition.encode("blue heart") == condition.encode("蓝心")


@pytest.mark.parametrize("content", [b"", b"red\n", b"red heart red\n", b"\xff\xfe\xfa"])
def test_words_txt_that_does_not_fit_is_an_error(tmp_path: Path, content: bytes) -> None:
    pictures.save(tmp_path / "a.png")
    write_metadata(tmp_path, {"file_name": "a.png", "caption": "red heart"})
    (tmp_path / "words.txt").write_bytes(content)
    data = read_dataset(tmp_path, size=8, condition="caption")
    with pytest.raises(DatasetError, match=r"words\.txt"):
        condition_of(data, "caption")


@pytest.mark.parametrize(
    "line",
    [
        '{"file_name": "a.png"',
        "[]",
        {"caption": "no name"},
        {"file_name": "../secret.png"},
        {"file_name": "/etc/passwd"},
        {"file_name": "a.png", "label": []},
        {"file_name": "a.png", "caption": 1},
        {"file_name": "b.png", "label": "twice"},
        "[" * 100_000,
        {"file_name": "\ud800.png"},
        {"file_name": "a.png", "label": "\ud800"},
        {"file_name": "a.png", "caption": ["red", "\ud800"]},
    ],
)
def test_a_bad_line_of_metadata_is_named_by_its_number(tmp_path: Path, line: object) -> None:
    write_metadata(tmp_path, {"file_name": "b.png", "label": "b"}, line)
    with pytest.raises(DatasetError, match="line 2"):
        read_dataset(tmp_path, size=8)


def test_a_file_that_metadata_names_but_is_missing_is_named(tmp_path: Path) -> None:
    write_metadata(tmp_path, {"file_name": "gone.png", "label": "b"})
    with pytest.raises(DatasetError) as raised:
        read_dataset(tmp_path, size=8)
    assert [name for name, _ in raised.value.pictures] == ["gone.png"]


def test_metadata_does_not_lead_out_of_the_folder_through_a_link(tmp_path: Path) -> None:
    pictures.write_names(tmp_path / "data")
    write_metadata(tmp_path / "data", {"file_name": "outside/secret.png", "label": "secret"})
    with pytest.raises(DatasetError) as raised:
        read_dataset(tmp_path / "data", size=8)
    assert [name for name, _ in raised.value.pictures] == ["outside/secret.png"]


@pytest.mark.parametrize("condition", ["label", "caption"])
def test_a_condition_that_the_data_lacks_is_refused(tmp_path: Path, condition: str) -> None:
    pictures.save(tmp_path / "a.png")
    with pytest.raises(DatasetError, match=condition):
        read_dataset(tmp_path, size=8, condition=condition)  # type: ignore[arg-type]


def test_pictures_without_a_caption_are_named(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        pictures.save(tmp_path / name)
    write_metadata(
        tmp_path, {"file_name": "a.png", "caption": "a"}, {"file_name": "b.png", "caption": " "}
    )
    with pytest.raises(DatasetError) as raised:
        read_dataset(tmp_path, size=8, condition="caption")
    assert [name for name, _ in raised.value.pictures] == ["b.png"]


# ---- IDX ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [True, False])
def test_idx_files_have_grey_pictures_and_numbered_classes(tmp_path: Path, compress: bool) -> None:
    data = read_dataset(write_idx(tmp_path, compress=compress), size=28, condition="label")
    assert data.pixels.shape == (6, 28, 28, 1)
    assert data.classes == ("0", "1", "2")
    assert [item.label for item in data.items] == ["0", "1", "2"] * 2
    assert data.pixels[0, 0, :4, 0].tolist() == [0, 1, 2, 3]
    assert read_dataset(tmp_path, size=8).pixels.shape == (6, 8, 8, 1)


def test_the_names_of_idx_classes_can_be_given(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / "classes.txt").write_text("zero\none\ntwo\n")
    assert read_dataset(tmp_path, size=8, condition="label").classes == ("zero", "one", "two")
    (tmp_path / "classes.txt").write_text("zero\none\n")
    with pytest.raises(DatasetError, match=r"classes\.txt"):
        read_dataset(tmp_path, size=8, condition="label")
    (tmp_path / "classes.txt").write_text("zero\none\nONE\n")
    with pytest.raises(DatasetError, match="case"):
        read_dataset(tmp_path, size=8, condition="label")


def test_the_word_fashion_mnist_finds_the_installed_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_DIRS", f"{tmp_path / 'none'}:{tmp_path / 'share'}")
    with pytest.raises(DatasetError, match="not installed"):
        read_dataset("fashion-mnist", size=8)
    folder = tmp_path / "share" / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    write_idx(folder)
    write_idx(folder, 3, part="t10k")
    assert len(read_dataset("fashion-mnist", size=8)) == 6
    assert len(read_dataset("fashion-mnist-test", size=8)) == 3
    assert len(read_dataset(folder / "t10k-images-idx3-ubyte.gz", size=8)) == 3


@pytest.mark.parametrize("fault", ["truncated", "gzip", "magic", "labels", "longer", "count"])
def test_damaged_idx_files_are_refused(tmp_path: Path, fault: str) -> None:
    write_idx(tmp_path, compress=fault == "gzip")
    images = tmp_path / f"train-images-idx3-ubyte{'.gz' if fault == 'gzip' else ''}"
    labels = tmp_path / "train-labels-idx1-ubyte"
    content = images.read_bytes()
    match fault:
        case "truncated" | "gzip":
            images.write_bytes(content[: len(content) // 2])
        case "magic":
            images.write_bytes(b"\0\0\x0d\3" + content[4:])
        case "labels":
            labels.unlink()
        case "longer":
            labels.write_bytes(labels.read_bytes() + b"\0")
        case "count":
            images.write_bytes(struct.pack(">4I", 0x803, 2**31, 28, 28) + content[16:])
    with pytest.raises(DatasetError, match="idx"):
        read_dataset(tmp_path, size=8)


def test_idx_pictures_without_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="idx"):
        read_dataset(write_idx(tmp_path, size=0), size=8)


def test_idx_files_have_no_captions(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="caption"):
        read_dataset(write_idx(tmp_path), size=8, condition="caption")


def test_pictures_that_need_too_much_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures.save(tmp_path / "a.png")
    monkeypatch.setattr(datasets, "physical_memory", lambda: 191.0)
    with pytest.raises(DatasetError, match="memory"):
        read_dataset(tmp_path, size=8)
    with pytest.raises(DatasetError, match="memory"):
        read_dataset(write_idx(tmp_path / "idx"), size=8)
