"""`muniment recommendation article`: grounded texts, plain ones, and their records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import muniment
import muniment.testing
from muniment.plugins.registry import Plugins
from muniment.testing import CommandContract, run_command
from muniment_recommendation.articles.article import (
    final_text,
    language_of,
    plain_text,
    unsupported_by,
    works,
)
from muniment_recommendation.articles.generator import ArticleGenerator
from muniment_recommendation.articles.grounding import unsupported
from muniment_recommendation.commands.article import article
from muniment_recommendation.data.catalogue import Catalogue, CatalogueItem
from muniment_recommendation.fitting.fit import fit
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.model_folder.writing import save
from muniment_recommendation.ranking.document import (
    Contribution,
    HistoryItem,
    RankedItem,
    Ranking,
    write_ranking,
)
from support.plugins import PluginFolder
from support.recommendation import interactions_of

EVIDENCE = (
    "The Silent Lighthouse · 寂静的灯塔",
    "A quiet film of 1984 about the sea: two keepers wait. 一部关于大海的电影，三十年后。",
)


def ranking_of(*titles: str, texts: tuple[str, ...] = ()) -> Ranking:
    """Return a list of these titles, each with one reason."""
    items = tuple(
        RankedItem(
            item=f"i{number}",
            title=title,
            text=texts[number] if texts else "",
            score=1.0,
            components={"ease": 1.0},
            contributions=(Contribution(source="history", item="h", value=1.0),),
        )
        for number, title in enumerate(titles)
    )
    history = (HistoryItem("h", "Moby-Dick · 白鲸"),)
    return Ranking(version=1, items=items, history=history, standardisation={}, explained="exact")


LIST = ranking_of("The Silent Lighthouse · 寂静的灯塔", "Walden", texts=(EVIDENCE[1], ""))


# ---- what a text names --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "You may like The Silent Lighthouse. It is a film of 1984 about the sea.",
        "Discover “The Silent Lighthouse”, where two keepers wait.",
        "《寂静的灯塔》是一部关于大海的电影，讲述三十年后的故事。",
        "我喜欢大海，所以推荐《寂静的灯塔》。",
        "If you like the sea, I think you'll love it.",
        "THE SILENT LIGHTHOUSE",
        "",
    ],
)
def test_a_text_of_the_evidence_is_supported(text: str) -> None:
    assert unsupported(text, EVIDENCE) == ()


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("Try “War and Peace” next.", "War and Peace"),
        ("推荐《战争与和平》。", "战争与和平"),
        ("It won 7 awards.", "7"),
        ("It is a film of 1985.", "1985"),
        ("In ２０２０ it was remade.", "2020"),
        ("It sold millions of copies.", "millions"),
        ("五十年后的故事。", "五十"),
        ("A film by Hitchcock about the sea.", "Hitchcock"),
        ("Hitchcock made it.", "Hitchcock"),
        ("Virginia's best film.", "Virginia's"),
        ("这部电影由 Nolan 拍摄。", "Nolan"),
        ("作者是鲁迅。", "鲁迅"),
        ("赫尔曼·梅尔维尔写了它。", "尔曼·梅尔"),
        ("王小波先生说它很好。", "王小波"),
    ],
)
def test_titles_numbers_and_names_must_be_in_the_evidence(text: str, missing: str) -> None:
    assert missing in unsupported(text, EVIDENCE)


def test_a_long_text_is_checked_in_less_than_a_second() -> None:
    for text in ("读" * 10_000, "Aa " * 3_000, "《" * 10_000, "*" * 10_000, "a" * 10_000):
        start = time.process_time()
        unsupported(text, EVIDENCE)
        assert time.process_time() - start < 1


def test_titles_of_the_history_are_evidence_and_later_items_are_not() -> None:
    assert unsupported_by(LIST, "You liked “Moby-Dick” and will like “Walden”.") == ()
    many = ranking_of(*(f"Tale {letter}" for letter in "ABCDEFG"))
    assert unsupported_by(many, "“Tale G”")
    assert "Tale E" in works(many, "en")
    assert "Tale F" not in works(many, "en")


# ---- the text that is written -------------------------------------------------------------------


def test_a_supported_attempt_about_an_item_is_passed_on() -> None:
    for attempt in ("The Silent Lighthouse is about the sea.", "《寂静的灯塔》很安静。"):
        assert final_text(LIST, f" {attempt}\n", "en") == attempt


@pytest.mark.parametrize("attempt", ["", "  ", "A nice evening for all.", "Walden has 300 pages."])
def test_any_other_attempt_is_replaced_by_the_plain_text(attempt: str) -> None:
    assert final_text(LIST, attempt, "en") == plain_text(LIST, "en")


def test_the_plain_text_repeats_only_the_evidence() -> None:
    for language in ("en", "zh"):
        text = plain_text(LIST, language)
        assert all(title in text for title in ("寂静的灯塔", "Walden", "Moby-Dick · 白鲸"))
        assert unsupported_by(LIST, text.replace("You liked", "")) == ()
    assert "keepers wait" in plain_text(LIST, "en")
    assert "三十年后" in plain_text(LIST, "zh")
    assert "keepers" not in plain_text(LIST, "zh")


def test_an_empty_list_has_a_text() -> None:
    assert final_text(ranking_of(), "Walden", "en")


def test_the_language_is_that_of_the_wish_else_of_the_titles() -> None:
    assert language_of(LIST, "我喜欢阅读关于科技和历史的文章") == "zh"
    assert language_of(LIST, "books about history") == "en"
    assert language_of(ranking_of("白鲸", "瓦尔登湖"), "") == "zh"
    assert language_of(ranking_of("Walden"), " ") == "en"


# ---- the generator ------------------------------------------------------------------------------


class TestArticleGenerator(muniment.testing.GeneratorContract):
    generator = ArticleGenerator
    seeded = False
    prompts = ("", "a prompt that is not used")
    parameters: ClassVar = {"language": "zh"}
    inputs: ClassVar = {"list": write_ranking(LIST), "attempt": "Walden is quiet."}


# ---- the command --------------------------------------------------------------------------------

WISH = "我喜欢阅读关于科技和历史的文章"
ECHO = "title = request.inputs['context'].text.splitlines()[0].split(':')[0].lstrip('- ')"


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small blend, whose items have texts in two languages."""
    subjects = (("sea", "大海"), ("history", "历史"), ("technology", "科技"), ("war", "战争"))
    catalogue = Catalogue(
        tuple(
            CatalogueItem(
                f"i{number}", f"Tale {number} · 故事{number}", f"About the {en}. 关于{zh}。"
            )
            for number, (en, zh) in enumerate(subjects * 10)
        )
    )
    path = tmp_path_factory.mktemp("fitted") / "blend"
    path.mkdir()
    save(fit(interactions_of(40), catalogue, FitOptions(options={"factors": 8})), path)
    return path


Writer = Callable[[str], muniment.Session]


@pytest.fixture
def writer(home: Path, plugin_folder: PluginFolder) -> Iterator[Writer]:
    """A function that returns a session whose text generator writes a text, an expression."""
    sessions: list[muniment.Session] = []

    def make(text: str) -> muniment.Session:
        plugin_folder.generator(
            "text",
            f"for request in requests:\n    {ECHO}\n    yield {text}",
            attributes="inputs = (muniment.InputSpec('context', ('text/plain',)),)",
        )
        others = [one for one in Plugins().installed if one.distribution != "muniment-text"]
        sessions.append(muniment.Session(home, plugins=Plugins(others)))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()


class TestArticle(CommandContract):
    command = article
    arguments: ClassVar = ("--prompt", WISH)

    @pytest.fixture
    def session(self, writer: Writer, fitted: Path) -> Any:
        session = writer("request.reply(Text(title))")
        session.config.set("model.recommendation", str(fitted))
        return session


def written(session: muniment.Session, *arguments: str) -> dict[str, Any]:
    [record] = run_command(article, *arguments, "--json", session=session).json
    return record


def test_list_attempt_and_text_are_linked_records(writer: Writer, fitted: Path) -> None:
    session = writer("request.reply(Text(f'You will like {title}.'))")
    record = written(session, "--user", "u03", "-m", str(fitted), "--language", "en")
    listed, attempt, final = (
        session.generation(record[name]) for name in ("list", "attempt", "id")
    )
    assert [made.generator for made in (listed, attempt, final)] == [
        "recommendation",
        "text",
        "recommendation-article",
    ]
    assert {item.name: item.text for item in listed.inputs}["user"] == "u03"
    assert attempt.parents == (listed.id,)
    assert set(final.parents) == {listed.id, attempt.id}
    assert (record["plain"], record["text"]) == (False, attempt.text)
    assert record["items"][0]["title"] in record["text"]
    results = session.replay([session.generation(record["id"])])
    assert [result.result for result in results] == ["exact"]


def test_an_attempt_with_an_invented_title_is_recorded_and_replaced(
    writer: Writer, fitted: Path
) -> None:
    session = writer("request.reply(Text(f'Read {title} and “Dune”.'))")
    result = run_command(article, "--user", "u03", "-m", str(fitted), session=session)
    assert result.code == 0
    assert "Dune" in result.stderr
    assert "Dune" not in result.stdout
    record = written(session, "--user", "u03", "-m", str(fitted))
    assert record["plain"]
    assert "Dune" in record["unsupported"]
    assert "Dune" in session.generation(record["attempt"]).text


def test_a_wish_in_chinese_gets_a_chinese_text(writer: Writer, fitted: Path) -> None:
    session = writer("request.reply(Text(''))")
    record = written(session, "--prompt", WISH, "-m", str(fitted))
    assert (record["language"], record["plain"]) == ("zh", True)
    assert session.generation(record["list"]).prompt == WISH
    assert WISH in session.generation(record["attempt"]).prompt
    assert "关于历史" in record["text"] or "关于科技" in record["text"]


def test_a_failed_attempt_is_replaced_too(writer: Writer, fitted: Path) -> None:
    session = writer("request.fail('out of ink')")
    record = written(session, "--user", "u03", "-m", str(fitted))
    assert record["plain"]
    attempt = session.generation(record["attempt"])
    assert attempt.status == "failed"
    assert attempt.id in session.generation(record["id"]).parents


@pytest.mark.parametrize("arguments", [(), ("--prompt", "  "), ("--user", "nobody")])
def test_an_unknown_reader_is_refused(
    writer: Writer, fitted: Path, arguments: tuple[str, ...]
) -> None:
    session = writer("request.reply(Text(title))")
    result = run_command(article, *arguments, "-m", str(fitted), session=session)
    assert (result.code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    with pytest.raises(muniment.StoreError):  # nothing was recorded
        session.store  # noqa: B018
