"""The audit report: its counts, findings, replays and verification, in all its formats."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, get_args

import pytest
from markdown_it import MarkdownIt

import muniment
from muniment import Query, Session
from muniment.signing import KeyStore
from muniment.testing import CommandContract, CommandResult, run_command
from muniment.types.generations import Status
from muniment.types.replays import ReplayResult
from muniment.types.verdicts import DECISIONS, UNDECIDED, Judgement, Stage
from muniment_analysis import report
from muniment_analysis.audit.report_page import all_days
from muniment_analysis.audit.tables import display
from muniment_analysis.audit.texts import language_of_the_user, term_and_value
from muniment_analysis.commands import audit_report
from muniment_analysis.pages.markdown import escape, markdown_table
from muniment_analysis.time_zones import TimeZone
from support.databases import Server, change
from support.plugins import PluginFolder
from support.workspace import Workspace

MARKUP = "<script>alert(1)</script> [x](javascript:alert(1)) | **bold**"
ECHO = "for request in requests: yield request.reply(Text(request.prompt))"
FILTER = f"""
if "rude" in content.text:
    return content.block(Reason("insult", {MARKUP!r}))
if "hmm" in content.text:
    return content.flag("doubt")
return content.allow()
"""
ATTRIBUTES = "categories = ('insult', 'doubt')"
PACKAGED = """
uses_model = True

def packaged_models(self):
    import muniment
    return [muniment.PackagedModel("mine", {source!r})]

def find_model(self, source):
    raise LookupError(source)

def add_model(self, source, into, progress):
    import shutil
    shutil.copytree(source, into, dirs_exist_ok=True)
    return {{}}
"""
PROMPTS = ("good", "fine", "rude", "very rude", "hmm", "hello")


@pytest.fixture
def workspace(home: Path, plugin_folder: PluginFolder) -> Iterator[Workspace]:
    """A home with six generations by anna, of which two are blocked and one is flagged."""
    made = Workspace(home, plugin_folder)
    plugin_folder.generator("text", ECHO, distribution="echo-plugin", version="2.5")
    plugin_folder.filter("polite", FILTER, attributes=ATTRIBUTES)
    made.session.actor = "anna"
    policy = made.policy("{filter: polite}")
    list(made.session.run(map(muniment.GenerationSpec, PROMPTS), policy=policy))
    yield made
    made.close()


@pytest.fixture
def session(workspace: Workspace) -> Session:
    return workspace.session


def reviewed(session: Session, actor: str, decision: str, judgement: str) -> str:
    """Review the newest generation with a decision, and return its id."""
    [newest] = session.generations(Query(decision=decision, limit=1))
    session.actor = actor
    session.review(newest.id, judgement)
    return newest.id


def call(workspace: Workspace, *arguments: str) -> CommandResult:
    return run_command(audit_report, *arguments, session=workspace.session)


def test_a_report_without_a_store_is_a_usage_error(tmp_path: Path) -> None:
    with Session(tmp_path) as session:
        result = run_command(audit_report, session=session)
    assert (result.code, "no store" in result.stderr) == (2, True)


def rendered(markdown: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)


# ---- counts and findings -----------------------------------------------------------------------


def test_generations_are_counted_by_each_group(session: Session) -> None:
    made = report(session)
    assert made.total == 6
    assert made.statuses == {"completed": 4, "blocked": 2}
    assert made.decisions == {"allow": 3, "block": 2, "flag": 1}
    assert made.groups["policy"] == {"team@1": {"allow": 3, "block": 2, "flag": 1}}
    assert made.groups["category"] == {"insult": {"block": 2}, "doubt": {"flag": 1}}
    assert made.groups["filter"] == {"polite": {"allow": 3, "block": 2, "flag": 1}}
    assert made.groups["generator"] == {"text": {"allow": 3, "block": 2, "flag": 1}}
    assert made.groups["model"] == {"": {"allow": 3, "block": 2, "flag": 1}}
    assert made.groups["day"] == {f"{made.at:%Y-%m-%d}": {"allow": 3, "block": 2, "flag": 1}}


def test_findings_have_recorded_reasons_and_reviews(session: Session) -> None:
    reviewed(session, "judge", "block", "overturn")
    reviewed(session, "second judge", "block", "approve")
    made = report(session)
    newest, older = made.blocked.listed
    assert [(r.filter, r.stage, r.category, r.message) for r in newest.reasons] == [
        ("polite", "prompt", "insult", MARKUP)
    ]
    assert newest.actor == "actor 1"
    assert newest.reviews == {"reviewer 1": {"overturn": 1}, "reviewer 2": {"approve": 1}}
    assert older.reviews == {}
    assert [(reason.stage, reason.category) for reason in made.flagged.listed[0].reasons] == [
        ("prompt", "doubt"),
        ("output", "doubt"),
    ]
    assert made.groups["reviewer"] == {
        "reviewer 1": {"overturn": 1},
        "reviewer 2": {"approve": 1},
    }


def test_findings_beyond_the_limit_are_counted(session: Session) -> None:
    made = report(session, limit=1)
    assert (len(made.blocked.listed), made.blocked.total) == (1, 2)
    assert "The newest 1 of 2." in made.html()
    nothing = report(session, limit=0)
    assert (nothing.blocked.listed, nothing.blocked.total, nothing.flagged.total) == ([], 2, 1)


def test_a_query_selects_counts_and_findings(session: Session) -> None:
    flagged = report(session, Query(decision="flag"))
    assert (flagged.total, flagged.blocked.total, flagged.flagged.total) == (1, 0, 1)
    before = report(session, Query(until=datetime.now(UTC) - timedelta(days=1)))
    assert (before.total, before.blocked.total) == (0, 0)
    assert before.groups["day"] == {}
    for page in (before.html(), before.markdown(), before.csv()):
        assert page


def test_a_filter_selects_what_it_would_block_without_acting(workspace: Workspace) -> None:
    policy = workspace.policy("{filter: polite, mode: observe}")
    workspace.session.generate("rude but observed", policy=policy)
    assert report(workspace.session).blocked.total == 2
    made = report(workspace.session, Query(filter="polite"))
    assert made.blocked.total == 3
    newest = made.blocked.listed[0]
    assert newest.decision == "allow"
    assert {(reason.decision, reason.action) for reason in newest.reasons} == {("block", "allow")}
    assert "block with the action allow" in made.markdown()


def test_texts_of_one_policy_are_told_apart(workspace: Workspace) -> None:
    policy = workspace.policy("{filter: polite, stages: [prompt]}")
    [done] = workspace.run("rude again", policy=policy)
    [older, *_] = workspace.session.generations(Query(decision="block", until=done.started_at))
    digests = [item.policy_digest for item in (done, older)]
    newer_label, older_label = (muniment.policy_label("team@1", digest) for digest in digests)
    assert newer_label == f"team@1 ({digests[0][7:19]}…)"
    made = report(workspace.session)
    counted = {older_label: {"allow": 3, "block": 2, "flag": 1}, newer_label: {"block": 1}}
    assert made.groups["policy"] == counted
    found = made.to_json()["blocked"]["listed"]
    policies = [(item["policy"], item["policy_digest"]) for item in found]
    assert policies == [(newer_label, digests[0]), *[(older_label, digests[1])] * 2]
    for page in (made.html(), rendered(made.markdown())):
        assert newer_label in html.unescape(page)
    only = report(workspace.session, Query(policy=newer_label))
    assert only.groups["policy"] == {newer_label: {"block": 1}}
    assert [item.policy for item in only.blocked.listed] == [newer_label]


def test_the_failure_of_a_filter_is_a_reason(workspace: Workspace) -> None:
    workspace.plugin_folder.filter("broken", "raise RuntimeError('out of order')")
    workspace.close()
    workspace.run("good", policy=workspace.policy("{filter: broken}"))
    [reason] = report(workspace.session).blocked.listed[0].reasons
    assert reason.filter == "broken"
    assert "out of order" in reason.message


def test_many_and_long_reasons_are_shortened_on_pages(workspace: Workspace) -> None:
    body = "return content.block(*[Reason('c', f'{n} 原因' + 'x' * 500) for n in range(30)])"
    workspace.plugin_folder.filter("wordy", body)
    workspace.close()
    workspace.run("good", policy=workspace.policy("{filter: wordy, stages: [prompt]}"))
    made = report(workspace.session)
    newest = made.blocked.listed[0]
    assert (len(newest.reasons), newest.more_reasons) == (20, 10)
    page = made.html()
    assert "19 原因" in page
    assert "and 10 more" in page
    assert "x" * 200 not in page
    assert "x" * 500 in json.dumps(made.to_json())


def test_erased_reasons_are_not_invented(session: Session) -> None:
    [blocked] = session.generations(Query(decision="block", limit=1))
    session.erase(Query(ids=[blocked.id]))
    newest = report(session).blocked.listed[0]
    assert newest.id == blocked.id
    assert MARKUP not in [reason.message for reason in newest.reasons]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_erased_model_has_another_word_than_no_model(
    monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("MUNIMENT_LANG", language)
    erased = display("actor", "")
    assert erased.strip("[]【】") not in ("", display("model", ""))
    assert display("model", muniment.ERASED) == display("generator", "") == erased
    assert display("model", "gemma") == "gemma"


def test_undecided_generations_have_one_name_in_rows_and_columns(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.plugin_folder.generator("failing", "raise RuntimeError('no')")
    workspace.close()
    monkeypatch.setenv("MUNIMENT_LANG", "zh")
    workspace.run("one", generator="failing")
    workspace.run("two")
    made = report(workspace.session)
    assert made.decisions[""] == 1
    for page in (made.html(), made.markdown()):
        assert page.count("未决定") == page.count("未决定（undecided）") > 1
    assert display("decision", "") == "undecided"


def test_erased_generations_are_named_beside_the_counts(session: Session) -> None:
    assert report(session).erased == 0
    assert "were erased" not in report(session).markdown()
    blocked = session.erase(Query(decision="block")).erased
    made = report(session)
    assert made.to_json()["erased"] == made.erased == blocked > 0
    assert made.decisions["block"] == blocked
    sentence = f"Texts of {blocked} generation"
    assert sentence in made.html()
    assert sentence in made.markdown()
    assert report(session, Query(decision="allow")).erased == 0
    assert "[erased]" not in report(session).html()
    session.erase(Query(actor="anna"))
    assert "[erased]" in report(session).html()


def test_altered_reasons_are_reported(workspace: Workspace) -> None:
    workspace.close()
    assert change(workspace.session.store_url, "UPDATE payload SET content = '{}'") > 0
    made = report(workspace.session)
    assert made.blocked.listed[0].altered
    assert MARKUP not in [reason.message for reason in made.blocked.listed[0].reasons]
    assert "altered after" in made.markdown()


# ---- people ------------------------------------------------------------------------------------


def test_people_are_numbers_unless_names_are_wanted(workspace: Workspace) -> None:
    session = workspace.session
    reviewed(session, "the judge", "block", "approve")
    query = Query(actor="anna")
    hidden = report(session, query)
    texts = (hidden.html(), hidden.markdown(), hidden.csv(), json.dumps(hidden.to_json()))
    assert not any(name in text for text in texts for name in ("anna", "the judge"))
    assert hidden.query["actor"] == "actor 1"
    named = report(session, query, names=True)
    assert set(named.groups["actor"]) == {"anna"}
    assert set(named.groups["reviewer"]) == {"the judge"}
    assert all(name in named.html() for name in ("anna", "the judge"))


# ---- evidence ----------------------------------------------------------------------------------


def test_the_record_is_described(workspace: Workspace) -> None:
    session = workspace.session
    unsigned = report(session)
    assert unsigned.evidence.checkpoint is None
    assert unsigned.evidence.entries == session.store.status().entries
    assert unsigned.evidence.root == session.store.root(unsigned.evidence.entries).hex()
    assert unsigned.evidence.versions["muniment"] == muniment.__version__
    assert unsigned.evidence.versions["echo-plugin"] == "2.5"
    key = KeyStore(workspace.home).generate(session.store.log)
    KeyStore(workspace.home).sign(session.store)
    signed = report(session).evidence.checkpoint
    assert signed is not None
    assert (signed.entries, signed.root) == (unsigned.evidence.entries, unsigned.evidence.root)
    assert signed.key == f"{key.name}+{key.id.hex()}"


def test_the_page_is_not_verified_unless_verification_was_made(session: Session) -> None:
    unverified, verified = report(session), report(session, verify=True)
    for text in (unverified.html(), unverified.markdown()):
        assert "Not verified" in text
    assert unverified.to_json()["verified"] is False
    for text in (verified.html(), verified.markdown()):
        assert "Not verified" not in text
    assert verified.to_json()["verified"] is True
    assert {"tree", "entries", "projections", "payloads"} <= set(verified.verification.checked)
    assert verified.evidence.root == unverified.evidence.root


def test_a_verification_that_finds_problems_is_exit_code_4(workspace: Workspace) -> None:
    workspace.close()
    change(workspace.session.store_url, "UPDATE generation SET decision = 'allow'")
    result = call(workspace, "--verify", "--json")
    found = json.loads(result.stdout)
    assert (result.code, found["verified"]) == (4, False)
    assert {problem["kind"] for problem in found["verification"]["problems"]} == {"projection"}


def test_events_of_the_period_are_counted(session: Session) -> None:
    session.hold(Query(decision="block"), "a case")
    session.hold(Query(decision="flag"), "another")
    session.erase(Query(ids=[next(iter(session.generations(Query(status="completed")))).id]))
    [flagged] = session.generations(Query(decision="flag"))
    list(session.replay([flagged]))
    assert report(session).events == {"replay": 1, "erasure": 1, "hold": 2}
    yesterday = datetime.now(UTC) - timedelta(days=1)
    assert report(session, Query(until=yesterday)).events == {}
    assert report(session, Query(since=yesterday)).events["hold"] == 2


def test_a_training_that_came_with_a_model_is_counted_apart(
    home: Path, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    def training(name: str) -> muniment.Training:
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_text(name)
        return muniment.Training(model=str(tmp_path / name), counts={"steps": 3})

    muniment.write_training_json(training("elsewhere"))
    plugin_folder.generator(
        "copies",
        ECHO,
        attributes=PACKAGED.format(source=str(tmp_path / "elsewhere")),
    )
    workspace = Workspace(home, plugin_folder)
    workspace.run("a prompt", generator="copies")
    session = workspace.session
    made = report(session)
    assert made.events == {"claimed_training": 1, "model": 1}
    assert "training records of added models" in made.markdown()
    session.record_training(training("here"))
    session.record_training(muniment.Training(model=None, status="stopped"))
    assert report(session).events == {"training": 2, "claimed_training": 1, "model": 1}
    workspace.close()


@pytest.mark.dialect
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_both_databases_give_the_same_report(
    kind: str, workspace: Workspace, request: pytest.FixtureRequest
) -> None:
    session = workspace.session
    if kind == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        plugins = workspace.plugin_folder.plugins()
        session = Session(workspace.home, store=server.create(), actor="anna", plugins=plugins)
        policy = workspace.policy("{filter: polite}")
        list(session.run(map(muniment.GenerationSpec, PROMPTS), policy=policy))
    with session:
        reviewed(session, "judge", "block", "approve")
        session.hold(Query(decision="block"), "a case")
        made = report(session, verify=True)
        assert made.decisions == {"allow": 3, "block": 2, "flag": 1}
        assert made.blocked.listed[0].reviews == {"reviewer 1": {"approve": 1}}
        assert made.events == {"review": 1, "hold": 1}
        assert made.verified


# ---- replays -----------------------------------------------------------------------------------


def test_a_replayed_sample_has_exact_bounds(session: Session) -> None:
    made = report(session, replays=3, sample_key="k")
    assert made.replay is not None
    assert made.replay.replays.counts == {"exact": 3}
    exact = made.to_json()["replay"]["shares"]["exact"]
    assert exact == {"value": 1.0, "low": pytest.approx(0.025 ** (1 / 3)), "high": 1.0, "n": 3}
    diverged = made.to_json()["replay"]["shares"]["diverged"]
    assert (diverged["value"], diverged["high"]) == (0.0, pytest.approx(1 - 0.025 ** (1 / 3)))
    assert report(session).events == {"replay": 3}


def test_a_sample_is_that_of_audit_replay_and_can_stay_unrecorded(session: Session) -> None:
    sampled = set(session.store.sample(2, "key of the auditor"))
    seen: list[str] = []
    replay = session.replay

    def observed(generations: Any, **options: Any) -> Any:
        chosen = list(generations)
        seen.extend(generation.id for generation in chosen)
        return replay(chosen, **options)

    session.replay = observed  # type: ignore[method-assign]
    report(session, replays=2, sample_key="key of the auditor", record=False)
    assert set(seen) == sampled
    assert report(session).events == {}


def test_erased_generations_are_impossible_to_replay(session: Session) -> None:
    session.erase(Query(decision="allow"))
    made = report(session, replays=10)
    assert made.replay is not None
    assert made.replay.replays.counts == {"exact": 1, "impossible": 3}
    assert made.ok


def test_a_diverged_replay_is_exit_code_4(home: Path, plugin_folder: PluginFolder) -> None:
    workspace = Workspace(home, plugin_folder)
    plugin_folder.generator(
        "text", "import os\nfor request in requests: yield request.reply(Text(os.urandom(9).hex()))"
    )
    [made] = workspace.run("a prompt")
    result = call(workspace, "--replay", "1", "--json")
    assert (result.code, json.loads(result.stdout)["replay"]["diverged"]) == (4, [made.id])
    workspace.close()


def test_only_completed_generations_are_replayed(workspace: Workspace) -> None:
    result = call(workspace, "--replay", "2", "--status", "blocked")
    assert (result.code, result.stdout) == (2, "")


# ---- pages -------------------------------------------------------------------------------------


def test_html_is_self_contained_and_runs_no_markup(session: Session) -> None:
    page = report(session).html()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!#)", page)
    assert "default-src 'none'" in page
    assert page.count("<svg") == 2


def test_markdown_displays_texts_exactly(session: Session) -> None:
    page = rendered(report(session).markdown())
    assert not re.search("<(script|a|strong>bold)", page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; [x](javascript:alert(1)) | **bold**" in page


@pytest.mark.parametrize(
    "text",
    [
        "a|b",
        "`code` and \\ and $x$",
        "<img src=x onerror=alert(1)>",
        "![x](http://example.org/x.png)",
        "https://example.org www.example.org a@example.org",
        "# not a heading",
        "~~no~~ *no* __no__",
        "&lt; stays",
        "two\nlines",
    ],
)
def test_a_markdown_cell_displays_its_text(text: str) -> None:
    page = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(
        markdown_table(["h"], [[text]])
    )
    [cell] = re.findall("<td[^>]*>(.*?)</td>", page, re.DOTALL)
    assert "<" not in cell
    assert html.unescape(cell) == " ".join(text.split())


def test_addresses_in_markdown_are_no_links() -> None:
    assert "http\\://" in escape("http://example.org")
    assert "www\\." in escape("www.example.org")
    assert "a\\@b" in escape("a@b.org")


def test_csv_has_all_counts_and_no_formula(workspace: Workspace) -> None:
    workspace.session.actor = "=1+1"
    workspace.run("one more")
    text = report(workspace.session, names=True).csv()
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert rows[0] == ["group", "value", "decision", "count"]
    assert ["actor", "'=1+1", "allow", "1"] in rows
    assert ["status", "completed", "", "5"] in rows
    assert ["category", "insult", "block", "2"] in rows
    assert not any(cell.startswith("=") for row in rows for cell in row)


def test_a_long_table_is_shortened_on_pages_only(session: Session) -> None:
    made = report(session)
    actors = {f"actor {number}": {"allow": 1} for number in range(1, 101)}
    long = dataclasses.replace(made, groups={**made.groups, "actor": actors})
    assert "The most frequent 50 of 100." in long.html()
    assert "actor 51" not in long.markdown()
    assert "actor,actor 100,allow,1" in long.csv()
    assert "actor 100" in long.to_json()["groups"]["actor"]


def test_a_long_period_has_a_bar_for_each_month(session: Session) -> None:
    made = report(session)
    days = {f"2026-{month:02}-01": {"allow": 1} for month in range(1, 10)}
    page = dataclasses.replace(made, groups={**made.groups, "day": days}).html()
    assert "generations a month" in page
    assert ">2026-09<" in page


def test_days_of_the_command_are_local_and_the_zone_is_named(
    workspace: Workspace, set_zone: Callable[[str], None], tmp_path: Path
) -> None:
    ahead = datetime.now(UTC).hour >= 10  # 14 hours ahead it is tomorrow, else 12 behind yesterday
    set_zone("Etc/GMT-14" if ahead else "Etc/GMT+12")
    zone = f"{os.environ['TZ']} (UTC{'+14' if ahead else '-12'})"
    local = datetime.now(UTC).astimezone().date().isoformat()
    files = [tmp_path / f"day{suffix}" for suffix in (".html", ".md", ".json", ".csv")]
    arguments = [word for file in files for word in ("-o", str(file))]
    assert call(workspace, "--since", "today", *arguments).code == 0
    page, text, values, counts = (file.read_text() for file in files)
    made = json.loads(values)
    assert (made["time_zone"], list(made["groups"]["day"])) == (zone, [local])
    assert made["query"]["since"].startswith(f"{local} 00:00 UTC")
    for shown in (html.unescape(page), re.sub(r"\\(.)", r"\1", text)):
        assert f"From {local} 00:00 to {local}" in shown
        assert zone in shown
    assert f">{local}<" in page
    assert f"day,{local}," in counts
    printed = call(workspace)
    assert f"day\t{local}\t" in printed.stdout
    assert zone in printed.stderr
    in_utc = report(workspace.session)
    assert (in_utc.time_zone, list(in_utc.groups["day"])) == ("UTC", [f"{in_utc.at:%Y-%m-%d}"])


@pytest.mark.parametrize(
    ("zone", "days", "name"),
    [
        ("Asia/Shanghai", ["2026-11-30"], "Asia/Shanghai (UTC+8)"),
        ("Europe/Berlin", ["2026-07-01", "2026-01-01"], "Europe/Berlin (UTC+1, UTC+2)"),
        ("America/St_Johns", ["2026-01-01"], "America/St_Johns (UTC-3:30)"),
        ("UTC", ["2026-01-01"], "UTC"),
        ("", ["2026-01-01"], "UTC"),
        ("XYZ-5:45", ["2026-01-01"], "UTC+5:45"),
    ],
)
def test_a_time_zone_is_named_with_its_offsets(
    set_zone: Callable[[str], None], zone: str, days: list[str], name: str
) -> None:
    set_zone(zone)
    times = [datetime.fromisoformat(f"{day}T12:00:00+00:00") for day in days]
    assert TimeZone(local=True).name(*times) == name
    assert TimeZone().name(*times) == "UTC"


def test_the_zone_of_the_system_is_found_by_its_link(
    set_zone: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_zone("Asia/Shanghai")
    monkeypatch.delenv("TZ")  # without tzset the zone of the process stays
    for target, name in (("Asia/Shanghai", "Asia/Shanghai (UTC+8)"), ("Asia/Tokyo", "UTC+8")):
        link = tmp_path / target.replace("/", "-")
        link.symlink_to(tmp_path / "zoneinfo" / target)
        monkeypatch.setattr("muniment_analysis.time_zones._SYSTEM", link)
        assert TimeZone(local=True).name(datetime.now(UTC)) == name


def test_an_empty_selection_names_the_reason(workspace: Workspace) -> None:
    unknown = call(workspace, "--category", "insults")
    assert "no category 'insults' is recorded (did you mean insult?)" in unknown.stderr
    empty = call(workspace, "--since", "today", "--until", "yesterday")
    assert (empty.code, "the period is empty" in empty.stderr) == (0, True)


def test_a_week_has_a_bar_for_each_of_its_days(session: Session) -> None:
    page = report(session, Query(since="7d")).html()
    days = {f"{datetime.now(UTC) - timedelta(days=number):%Y-%m-%d}" for number in range(8)}
    assert all(f">{day}<" in page for day in days)


def test_days_without_a_generation_are_part_of_the_plot() -> None:
    days = {"2026-02-27": {"allow": 1}, "2026-03-02": {"block": 2}}
    assert list(all_days(days, date(2026, 2, 27), date(2026, 3, 2))) == [
        "2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02",
    ]  # fmt: skip


# ---- the command -------------------------------------------------------------------------------


class TestAuditReport(CommandContract):
    command = audit_report
    arguments: ClassVar = ("--since", "7d")

    @pytest.fixture
    def session(self, workspace: Workspace) -> Any:
        return workspace.session


def test_files_are_written_in_all_formats(workspace: Workspace, tmp_path: Path) -> None:
    paths = [tmp_path / f"week.{suffix}" for suffix in ("html", "md", "json", "csv")]
    arguments = [part for path in paths for part in ("-o", str(path))]
    result = call(workspace, "--since", "7d", *arguments)
    assert (result.code, result.stdout) == (0, "")
    page, markdown, document, table = [path.read_text("utf-8") for path in paths]
    assert page.startswith("<!doctype html>")
    assert markdown.startswith("# Audit report")
    assert json.loads(document)["total"] == 6
    assert table.startswith("\ufeffgroup")


def test_the_outcome_is_printed_beside_a_file(workspace: Workspace, tmp_path: Path) -> None:
    path = str(tmp_path / "x.html")
    assert call(workspace, "-o", path).stderr.splitlines() == [f"wrote {path}"]
    result = call(workspace, "--verify", "--replay", "2", "-o", path, "--overwrite")
    assert result.code == 0
    [outcome] = [line for line in result.stderr.splitlines() if line.startswith("verification")]
    assert "no problem" in outcome
    assert "replays: 2 exact" in outcome
    workspace.close()
    change(workspace.session.store_url, "UPDATE generation SET decision = 'allow'")
    result = call(workspace, "--verify", "--json", "-o", path, "--overwrite")
    assert (result.code, json.loads(result.stdout)["verified"]) == (4, False)
    assert re.search(r"^verification: [0-9]+ problems? in", result.stderr, re.MULTILINE)


def test_the_page_and_markdown_are_in_the_language_of_the_user_and_data_in_english(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewed(workspace.session, "judge", "block", "overturn")
    reviewed(workspace.session, "second judge", "block", "approve")
    made = report(workspace.session)
    english = made.html(), made.markdown(), made.csv(), made.to_json()
    printed = call(workspace)
    monkeypatch.setenv("MUNIMENT_LANG", "zh")
    page, markdown = made.html(), made.markdown()
    assert '<html lang="en">' in english[0]
    assert '<html lang="zh-Hans">' in page
    for text in (page, markdown):
        assert "6 次生成：2 次被拦截（33.3%）" in text
        assert re.search("复核者 1[^|<>;]*；复核者 2", text)
        for word in ("已完成（completed）", "拦截（block）", "认定错误（overturn）", "操作者 1"):
            assert word in text
        assert "polite（提示词）" in text
        assert not re.search(r"(actor|reviewer) \d", text)
        assert "该时段的事件" in text
        assert "未验证" in text
        assert "insult" in text
        assert "Blocked generations" not in text
    assert (made.csv(), made.to_json()) == english[2:]
    again = call(workspace)
    assert again.stdout == printed.stdout
    assert not re.search("[\u4e00-\u9fff]", again.stderr)


def test_names_of_people_are_not_translated(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.session.actor = "actor 7"
    workspace.session.generate("good")
    monkeypatch.setenv("MUNIMENT_LANG", "zh")
    page = report(workspace.session, names=True).markdown()
    assert "| actor 7 |" in page
    assert "操作者 7" not in page


@pytest.mark.parametrize(
    "values",
    [
        get_args(Status),
        (*DECISIONS, UNDECIDED),
        get_args(Judgement),
        get_args(ReplayResult),
        get_args(Stage),
    ],
)
def test_every_value_of_a_fixed_vocabulary_has_a_word_on_a_chinese_page(
    values: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUNIMENT_LANG", "zh")
    assert [term_and_value(value) for value in values] == [*values]
    with language_of_the_user():
        for value in values:
            assert re.fullmatch(rf"[\u4e00-\u9fff]+（{value}）", term_and_value(value))


@pytest.mark.parametrize("name", ["week.pdf", "there.html", "no/folder.html"])
def test_a_wrong_file_is_refused_before_the_work(
    name: str, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "there.html").write_text("mine")
    result = call(workspace, "--replay", "1", "-o", str(tmp_path / name))
    assert (result.code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert (tmp_path / "there.html").read_text() == "mine"
    assert report(workspace.session).events == {}


def test_without_a_file_counts_and_findings_are_printed(workspace: Workspace) -> None:
    result = call(workspace)
    counts, _, found = result.stdout.partition("\n\n")
    assert "category\tinsult\tblock\t2" in counts.splitlines()
    assert [line.split("\t")[0] for line in found.splitlines()] == ["block", "block", "flag"]
    assert "Not verified" in result.stderr


def test_the_printed_report_begins_with_its_period_and_has_a_line_for_each_fact(
    workspace: Workspace,
) -> None:
    result = call(workspace, "--since", "2026-01-05", "--until", "2226-01-12")
    lines = result.stderr.splitlines()
    assert lines[0].startswith("From 2026-01-05 00:00 to 2226-01-13 00:00.")
    assert TimeZone(local=True).name(datetime.now(UTC)).partition(" ")[0] in lines[0]
    facts = [line for line in lines if line.startswith("  ")]
    for name in ("log", "entries", "root", "signing key", "query since", "people"):
        assert sum(line.startswith(f"  {name}: ") for line in facts) == 1
    assert max(map(len, facts)) <= 80


def test_a_printed_report_with_failed_generations_names_the_command_that_lists_them(
    workspace: Workspace, plugin_folder: PluginFolder
) -> None:
    assert "--status failed" not in call(workspace).stderr
    plugin_folder.generator("broken", "for r in requests: yield r.fail('no')")
    workspace.close()
    list(workspace.session.run([muniment.GenerationSpec("x", generator="broken")]))
    assert "muniment audit list --status failed" in call(workspace).stderr


def test_a_sample_key_needs_replays(workspace: Workspace) -> None:
    assert call(workspace, "--sample-key", "k").code == 2
