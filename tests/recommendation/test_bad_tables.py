"""Tables and folders that cannot be read: each is refused in one sentence that names the place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from muniment_recommendation.data import table_file
from muniment_recommendation.data.reading import read_data
from muniment_recommendation.errors import DataError
from support import tables

HEADER = tables.HEADER


def refusal(folder: Path) -> str:
    """Return the message with which some data is refused."""
    with pytest.raises(DataError) as raised:
        read_data(folder)
    message = str(raised.value)
    assert "\n" not in message
    assert "; " in message or "cannot be read: " in message
    return message


def refusal_of(folder: Path, rows: str | bytes, items: str | bytes | None = None) -> str:
    return refusal(tables.write_folder(folder, rows, items))


# ---- files and folders -------------------------------------------------------------------------


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path / 'none'} does not exist" in refusal(tmp_path / "none")


def test_folder_without_tables_is_refused(tmp_path: Path) -> None:
    assert "is empty" in refusal(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    assert "has no interactions.csv" in refusal(tmp_path)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    path.write_bytes(b"PK")
    assert "data.zip is not a folder" in refusal(path)


def test_path_of_a_table_is_read(tmp_path: Path) -> None:
    folder = tables.write_plain(tmp_path / "data")
    assert read_data(folder / "interactions.csv").digest == read_data(folder).digest


def test_folder_with_the_name_of_a_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").mkdir()
    assert "interactions.csv is a folder" in refusal(tmp_path)


def test_folder_with_the_name_of_items_is_refused(tmp_path: Path) -> None:
    tables.write_plain(tmp_path)
    (tmp_path / "items.csv").mkdir()
    assert "items.csv is a folder" in refusal(tmp_path)


def test_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "interactions.csv")
    assert "not a regular file" in refusal(tmp_path)


def test_link_to_a_table_is_followed(tmp_path: Path) -> None:
    target = tables.write_plain(tmp_path / "target")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "interactions.csv").symlink_to(target / "interactions.csv")
    assert read_data(folder).digest == read_data(target).digest


def test_links_to_nothing_and_to_a_device_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "interactions.csv"
    path.symlink_to(tmp_path / "none")
    assert "a link to a missing file" in refusal(tmp_path)
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "not a regular file" in refusal(tmp_path)
    path.unlink()
    path.symlink_to(path)
    assert "interactions.csv" in refusal(tmp_path)


@pytest.fixture
def ordinary_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the test in its folder as a user whom permissions can stop, which is not root."""
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65_534)
    yield
    if is_root:
        os.seteuid(0)


def test_unreadable_table_is_refused(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    tables.write_plain(tmp_path / "data").joinpath("interactions.csv").chmod(0)
    request.getfixturevalue("ordinary_user")
    assert "interactions.csv cannot be read" in refusal(Path("data"))


def test_unreadable_folder_is_refused(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    tables.write_plain(tmp_path / "data").chmod(0)
    request.getfixturevalue("ordinary_user")
    assert "the folder data cannot be read" in refusal(Path("data"))


def test_several_atomic_tables_are_refused_unless_one_is_chosen(tmp_path: Path) -> None:
    header = "user_id:token,item_id:token,timestamp:float"
    tables.write_atomic(tmp_path, f"{header}\nu,a,1\n")
    (tmp_path / "test.inter").write_text("x")
    message = refusal(tmp_path)
    assert "data.inter" in message
    assert "test.inter" in message
    assert len(read_data(tmp_path / "data.inter").catalogue) == 1


# ---- headers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "\n", "\ufeff"])
def test_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    assert "interactions.csv is empty" in refusal_of(tmp_path, text)


@pytest.mark.parametrize("text", [HEADER, f"{HEADER}\n", f"{HEADER}\n\n\n"])
def test_header_without_rows_is_refused(tmp_path: Path, text: str) -> None:
    assert "interactions.csv has no rows" in refusal_of(tmp_path, text)


def test_table_without_a_header_is_refused_with_its_first_line(tmp_path: Path) -> None:
    message = refusal_of(tmp_path, tables.text_of(tables.sampled_rows(), "u0,i5,17"))
    assert "no column user" in message
    assert "'u0', 'i5', '17'" in message


@pytest.mark.parametrize("missing", ["user", "item", "timestamp"])
def test_missing_column_is_refused_with_the_present_ones(tmp_path: Path, missing: str) -> None:
    columns = [name for name in HEADER.split(",") if name != missing]
    message = refusal_of(tmp_path, f"{','.join(columns)}\n1,2\n")
    assert f"has no column {missing} " in message
    assert ", ".join(map(repr, columns)) in message


def test_column_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    assert "2 columns named item" in refusal_of(tmp_path, f"{HEADER},Item\nu,a,1,b\n")


@pytest.mark.parametrize(
    ("separator", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")]
)
def test_other_separator_is_named(tmp_path: Path, separator: str, word: str) -> None:
    text = tables.text_of(tables.sampled_rows()).replace(",", separator)
    assert word in refusal_of(tmp_path, text)


def test_atomic_table_with_commas_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.inter").write_text("user_id:token,item_id:token\n1,2\n")
    assert "data.inter has no column item" in refusal(tmp_path)


# ---- lines -------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["u,b", "u,b,2,3", "u"])
def test_line_with_another_number_of_fields_is_named(tmp_path: Path, line: str) -> None:
    message = refusal_of(tmp_path, f"{HEADER}\nu,a,1\n\n{line}\n")
    assert "interactions.csv, line 4" in message
    assert "3 of the header" in message


def test_lines_with_another_number_of_fields_are_named_together(tmp_path: Path) -> None:
    message = refusal_of(tmp_path, f"{HEADER}\nu,a,1\nu,b\nu,c,2\n" + "u,d,3,4\n" * 6)
    assert "interactions.csv, lines 3, 5, 6, 7, 8 and 2 more: 2 fields" in message
    assert "the first of 7" in message


@pytest.mark.parametrize(
    ("header", "good", "wrong"),
    [
        (HEADER, "u,a,1", ("u,a,31.12.2025", "u,b,")),
        (f"{HEADER},rating", "u,a,1,4", ("u,a,1,good", "u,b,1,x")),
        (HEADER, "u,a,1", (",a,1", " ,b,1")),
        (HEADER, "u,a,1", ("u,,1", "u,,2")),
        (HEADER, "u,a,1", (f"u,{'a' * 1001},1", f"u,{'b' * 1001},1")),
    ],
    ids=["times", "ratings", "blank users", "blank items", "long items"],
)
def test_lines_with_wrong_values_are_named_together(
    tmp_path: Path, header: str, good: str, wrong: tuple[str, str]
) -> None:
    rows = [header, good, wrong[0], *[good] * 5000, wrong[1]]  # of two chunks
    message = refusal_of(tmp_path, "\n".join(rows))
    assert "interactions.csv, lines 3, 5004:" in message
    assert "the first of 2" in message


def test_wrong_lines_are_counted_up_to_a_limit(tmp_path: Path) -> None:
    message = refusal_of(tmp_path, f"{HEADER}\n" + "u,a,2026/01/02\n" * 3000)
    assert "lines 2, 3, 4, 5, 6 and 995 more" in message
    assert "the first of at least 1,000" in message


def test_line_after_quoted_line_breaks_is_named(tmp_path: Path) -> None:
    message = refusal_of(tmp_path, f'{HEADER}\nu,"a\n\nb",1\nu,b\n')
    assert "interactions.csv, line 5" in message


def test_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    lines = tables.text_of(tables.sampled_rows()).encode()
    message = refusal_of(tmp_path, lines + b"u,caf\xe9,5\n")
    assert "line 722: the text is not UTF-8" in message
    assert "CSV UTF-8" in message
    assert "line 1" in refusal_of(tmp_path, HEADER.encode("utf-16"))


def test_title_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    message = refusal_of(tmp_path, "user,item,timestamp\nu,a,1\n", b"item,title\na,caf\xe9\n")
    assert "items.csv, line 2" in message


@pytest.mark.parametrize("name", ["picture", "zeros", "random"])
def test_binary_file_is_refused(tmp_path: Path, name: str) -> None:
    content = {
        "picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        "zeros": bytes(1_000_000),
        "random": bytes(range(256)) * 100,
    }
    assert "interactions.csv" in refusal_of(tmp_path, content[name])


def test_null_character_is_refused_with_its_line(tmp_path: Path) -> None:
    assert "line 3" in refusal_of(tmp_path, f"{HEADER}\nu,a,1\nu,b\0,2\n")


@pytest.mark.parametrize("text", ['u,"a,1\nu,b,2\n', '"u,a,1'])
def test_unclosed_quotation_mark_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    message = refusal_of(tmp_path, f"{HEADER}\nv,a,1\n{text}")
    assert "interactions.csv, line 3: a quotation mark is not closed" in message


def test_text_after_a_quotation_mark_is_refused_with_its_line(tmp_path: Path) -> None:
    message = refusal_of(tmp_path, f'{HEADER}\nu,a,1\nu,"a"b,2\n')
    assert "interactions.csv, line 3: a text follows" in message


def test_endless_field_and_line_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_file, "MAX_FIELD", 1000)
    monkeypatch.setattr(table_file, "_MAX_LINE", 5000)
    assert "line 3: a field" in refusal_of(tmp_path, f"{HEADER}\nu,a,1\nu,{'b' * 2000},2\n")
    assert "line 3: the line" in refusal_of(tmp_path, f"{HEADER}\nu,a,1\n{'b' * 9000}")


def test_limit_of_the_csv_module_is_restored(tmp_path: Path) -> None:
    import csv

    before = csv.field_size_limit()
    read_data(tables.write_plain(tmp_path / "1"))
    refusal_of(tmp_path / "2", f"{HEADER}\nu\n")
    assert csv.field_size_limit() == before
