"""Tests of the media type of ranked lists: the contract suite, previews and comparisons."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from rich.cells import cell_len, set_cell_size

import muniment.testing
from muniment import escaped
from muniment.provenance import from_json
from muniment_recommendation.ranking.document import (
    Contribution,
    Counterfactual,
    HistoryItem,
    RankedItem,
    Ranking,
    Standardisation,
    write_ranking,
)
from muniment_recommendation.ranking.media_type import RankingType

TITLES = {
    "sea": "The Sea, the Sea",
    "hongloumeng": "红楼梦：一部关于家族兴衰的长篇小说",
    "control": "a\x1b[31mred\u202etitle\nof two lines",
    "long": "A title " * 40,
    "007": "007",
}


def listed(*ids: str, notes: tuple[str, ...] = (), seen: tuple[str, ...] = ("k", "m")) -> Ranking:
    items = [
        RankedItem(
            item=id,
            title=TITLES[id],
            text="A text of the item." if id == "sea" else "",
            score=3.0 - place,
            components={"ease": 3.0 - place},
            contributions=(
                Contribution(source="history", item="k", value=2.0),
                Contribution(source="history", item="m", value=1.0),
                Contribution(source="offset", value=0.0 - place),
            ),
        )
        for place, id in enumerate(ids)
    ]
    titles = {"k": "King Lear", "m": "麦克白"}
    return Ranking(
        version=1,
        items=tuple(items),
        history=tuple(HistoryItem(id, titles[id]) for id in seen),
        standardisation={"ease": Standardisation(0.0, 1.0, 1.0)},
        explained="exact",
        notes=notes,
    )


FULL = listed(*TITLES)
EMPTY = Ranking(version=1, items=(), history=(), standardisation={}, explained="exact")


class TestRankingType(muniment.testing.MediaTypeContract):
    media_type = RankingType
    samples = tuple(
        map(write_ranking, (FULL, EMPTY, listed("sea"), listed("hongloumeng", "sea", "007")))
    )


def preview(ranking: Ranking, columns: int) -> list[str]:
    return RankingType().preview(write_ranking(ranking), columns).split("\n")


@pytest.mark.parametrize("columns", [1, 5, 12, 20, 40, 80, 200])
def test_no_line_of_the_preview_is_wider_than_the_terminal(columns: int) -> None:
    lines = preview(FULL, columns)
    assert max(map(cell_len, lines)) <= columns


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 200])
def test_titles_are_wrapped_and_whole_at_any_width(columns: int) -> None:
    ranking = listed(*TITLES)
    lines = preview(ranking, columns)
    if columns >= 60:  # the reasons are beside the titles
        lines = [set_cell_size(line, lines[0].index("because")) for line in lines]
    shown = "".join("".join(lines).split())
    for item in ranking.items:
        assert "".join(escaped(item.title).split()) in shown


def test_the_preview_has_ranks_scores_titles_and_reasons() -> None:
    header, first, *_ = preview(FULL, 80)
    assert header.split() == ["#", "score", "title", "because", "of"]
    assert first.startswith("1   3.000  The Sea, the Sea")
    assert "King Lear 67 %, 麦克白 33 %" in first


def test_columns_are_aligned_after_chinese_titles() -> None:
    lines = preview(listed("sea", "hongloumeng"), 80)
    starts = {cell_len(line[: line.index("King Lear")]) for line in lines[1:]}
    assert len(starts) == 1


def test_control_characters_and_marks_of_direction_are_escaped() -> None:
    text = "\n".join(preview(FULL, 200))
    assert "a\\x1b[31mred\\u202etitle\\nof two lines" in text
    assert text.replace("\n", "").isprintable()


def test_a_narrow_terminal_gets_ranks_and_titles() -> None:
    assert preview(listed("sea"), 18) == ["#  title", "1  The Sea, the", "   Sea"]


def test_long_reasons_and_notes_are_wrapped() -> None:
    ranking = listed("sea", notes=("a note that is longer than this terminal is wide",))
    ranking = msgspec.structs.replace(
        ranking, history=(HistoryItem("k", TITLES["long"]), ranking.history[1])
    )
    for columns in (40, 60):
        text = " ".join(" ".join(preview(ranking, columns)).split())
        assert "… 67 %, 麦克白 33 %" in text
        assert "than this terminal is wide" in text


def wished(*values: float) -> Ranking:
    """Return a list whose items have these shares of the prompt, and no history."""
    items = [
        RankedItem(
            item=f"i{place}",
            title=f"i{place}",
            score=value,
            components={"prompt": value},
            contributions=(Contribution(source="prompt", value=value),),
        )
        for place, value in enumerate(map(float, values))
    ]
    return msgspec.structs.replace(EMPTY, items=tuple(items))


def test_a_line_tells_from_where_no_item_matches_the_prompt() -> None:
    _, *lines = preview(wished(9, 0.01, 5, 0.1, 0), 80)
    assert [line.endswith("the prompt") for line in lines] == [1, 0, 1, 1, 0, 0]
    assert lines[3] == "no item below matches the prompt"
    for values in ((9, 5), (0, 0)):
        assert len(preview(wished(*values), 80)) == 3


@pytest.mark.parametrize(
    ("part", "component", "reason"),
    [("popularity", "popularity", "popularity"), ("offset", "cold", "new item")],
)
def test_an_item_without_history_and_prompt_has_a_reason(
    part: Any, component: str, reason: str
) -> None:
    item = msgspec.structs.replace(
        FULL.items[0],
        components={component: 3.0},
        contributions=(Contribution(source=part, value=3.0),),
    )
    assert preview(msgspec.structs.replace(FULL, items=(item,)), 80)[1].endswith(f"  {reason}")


def test_a_pipe_gets_lines_of_any_width_without_control_characters() -> None:
    lines = RankingType().to_text(write_ranking(FULL)).split("\n")
    rows = [line.split("\t") for line in lines]
    assert rows[0] == ["1", "sea", "The Sea, the Sea", "3.0", "King Lear 67 %, 麦克白 33 %"]
    assert [row[1] for row in rows] == list(TITLES)
    assert "".join(map("".join, rows)).isprintable()
    assert RankingType().to_text(write_ranking(EMPTY)) == ""


def exported(ranking: Ranking, prompt: str = "最近") -> bytes:
    facts = muniment.Provenance(
        id="01M8KR0ZWQ3DB34MYTZGXA7JBC",
        generator="recommendation",
        prompt=prompt,
        seed=1,
        parameters={"k": 3},
        model="",
        model_digest="",
        created_at=datetime.now(UTC),
        versions={},
    )
    return RankingType().export(write_ranking(ranking), facts, ".csv", None)


def test_a_csv_file_has_a_row_for_each_item_and_no_formula() -> None:
    items = [
        msgspec.structs.replace(
            item,
            item=f"-{item.item}",
            title="=1+1",
            score=item.score - 4,
            components={"ease": item.score - 4},
            contributions=(*item.contributions, Contribution(source="offset", value=-4.0)),
        )
        for item in FULL.items
    ]
    content = exported(msgspec.structs.replace(FULL, items=tuple(items))).decode("utf-8-sig")
    header, first, *_ = rows = list(csv.reader(io.StringIO(content, newline="")))
    assert len(rows) == len(TITLES) + 1
    assert header == ["rank", "item", "title", "score", "reasons", "provenance"]
    assert first[:5] == ["1", "'-sea", "'=1+1", "-1.0", "King Lear 67 %, 麦克白 33 %"]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_csv_file_that_a_spreadsheet_has_sorted_and_saved_has_its_provenance(
    encoding: str,
) -> None:
    header, *rows = exported(FULL).decode("utf-8-sig").splitlines()
    saved = "\n".join([header, *reversed(rows)]).encode(encoding)
    assert RankingType().matches_file(saved)
    text = RankingType().read_provenance(saved)
    assert text is not None
    [facts] = from_json(text)
    assert (facts.id[-4:], facts.prompt) == ("7JBC", "最近")


def test_the_provenance_in_a_csv_file_has_chinese_characters() -> None:
    text = RankingType().read_provenance(exported(FULL))
    assert text is not None
    assert "最近" in text


def test_a_prompt_that_is_too_long_for_a_cell_is_left_out_of_a_csv_file() -> None:
    text = RankingType().read_provenance(exported(FULL, "a" * 40_000))
    assert text is not None
    [facts] = from_json(text)
    assert (facts.prompt, facts.parameters) == ("", {})


def test_a_counterfactual_stands_after_the_reasons() -> None:
    item = msgspec.structs.replace(FULL.items[0], without=Counterfactual("m", 14, 1))
    (_, line) = preview(msgspec.structs.replace(FULL, items=(item,)), 100)
    assert line.endswith("King Lear 67 %, 麦克白 33 %; rank 14 without 麦克白")


def test_an_approximate_share_is_marked() -> None:
    approximate = msgspec.structs.replace(FULL, explained="approximate")
    assert "King Lear about 67 %" in preview(approximate, 100)[1]


def test_notes_stand_above_the_list() -> None:
    lines = preview(listed("sea", notes=("popular items are listed",)), 80)
    assert lines[0] == "popular items are listed"
    assert preview(EMPTY, 80) == ["no items"]


def compared(first: Ranking, second: Ranking) -> muniment.Comparison:
    return RankingType().compare(write_ranking(first), write_ranking(second))


def test_a_comparison_names_the_first_rank_that_differs() -> None:
    comparison = compared(listed("sea", "long", "007"), listed("sea", "007", "long"))
    assert comparison.position == "rank 2"
    assert comparison.distance == pytest.approx(1 - (0.1 / 0.9 * (0.9 + 0.405 + 0.729) + 0.729))


def test_a_list_that_ends_earlier_differs_at_the_rank_after_its_end() -> None:
    assert compared(listed("sea", "long"), listed("sea")).position == "rank 2"


def test_lists_of_the_same_order_are_compared_by_their_scores() -> None:
    first = listed("sea", "long")
    item = msgspec.structs.replace(
        first.items[1],
        score=2.5,
        components={"ease": 2.5},
        contributions=(Contribution(source="popularity", value=2.5),),
    )
    comparison = compared(first, msgspec.structs.replace(first, items=(first.items[0], item)))
    assert (comparison.distance, comparison.position) == (0.5, "rank 2")


def test_lists_with_the_same_scores_have_no_distance() -> None:
    assert compared(FULL, msgspec.structs.replace(FULL, notes=("a note",))).distance is None


def test_filters_read_title_and_text() -> None:
    items = {item.id: item.text for item in RankingType().items(write_ranking(FULL))}
    assert items["sea"] == "The Sea, the Sea\nA text of the item."
    assert items["hongloumeng"] == TITLES["hongloumeng"]


def test_listing_the_plugin_imports_no_large_library() -> None:
    program = (
        "import sys, muniment_recommendation.plugin;"
        "sys.exit(bool({'numpy', 'scipy', 'implicit', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
