"""`muniment feedback` and `review`, `audit erase`, `hold` and `retention`."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from support.commands import Here, Processes

COPIES = "Files that were exported, backups and proofs made before keep the texts."


@pytest.fixture
def recorded(muniment: Here, policy_file: Path) -> Here:
    """Three generations: one that nobody minds, one flagged, one blocked."""
    policy = ("--policy", policy_file)
    muniment("generate", "echo", "one two", "--tag", "nice", *policy)
    muniment("generate", "echo", "darn", "--actor", "Ada", *policy)
    muniment("generate", "echo", "a bomb", *policy)
    return muniment


def queue(muniment: Here) -> list[str]:
    return [g["prompt"] for g in muniment("review", "queue", "--json").json("generation")]


def shown(muniment: Here, *filters: str) -> list[dict[str, object]]:
    return muniment("audit", "list", "--json", *filters).json("generation")


def test_feedback_is_shown(recorded: Here) -> None:
    assert recorded("feedback", "last", "--rating", "up", "--comment", "说得好").code == 0
    (said,) = recorded("feedback", "last", "--rating", "2", "--json").json("feedback")
    assert (said["actor"], said["rating"], said["comment"]) == ("小明", "2", None)
    assert recorded("audit", "show", "last").fields["feedback"][0].startswith("up · 说得好 · 小明")
    (whole,) = recorded("audit", "show", "last", "--json").json("generation")
    assert [item["rating"] for item in whole["feedback"]] == ["up", "2"]
    assert whole["reviews"] == []


def test_reviews_empty_the_queue_and_change_nothing(recorded: Here) -> None:
    assert queue(recorded) == ["a bomb", "darn"]
    (row,) = recorded("review", "queue", "-n", "1").rows
    assert row[9:] == ["a bomb", "words", "weapons", "says bomb"]
    overturned = recorded("review", "overturn", "last", "--reason", "a joke", "--json")
    (said,) = overturned.json("review")
    assert (said["decision"], said["reason"]) == ("overturn", "a joke")
    assert queue(recorded) == ["darn"]
    (flagged,) = shown(recorded, "--actor", "Ada")
    assert recorded("--actor", "Eve", "review", "approve", str(flagged["id"])).code == 0
    assert queue(recorded) == []
    assert recorded("review", "queue").err == "no generation needs a review\n"
    text = recorded("audit", "show", "last")
    assert text.fields["status"] == ["blocked"]
    assert text.fields["review"][0].startswith("overturn · a joke · 小明")
    assert recorded("audit", "verify", "--all").code == 0


def test_the_queue_has_the_filters_of_lists(recorded: Here) -> None:
    for filters, prompts in (
        (("--category", "weapons"), ["a bomb"]),
        (("--category", "rude"), ["darn"]),
        (("--status", "completed"), ["darn"]),
        (("--actor", "Ada", "--since", "today"), ["darn"]),
        (("--policy", "team"), ["a bomb", "darn"]),
    ):
        found = recorded("review", "queue", "--json", *filters).json("generation")
        assert [generation["prompt"] for generation in found] == prompts, filters
    assert "1 of 2" in recorded.on_terminal("review", "queue", "-n", "1").out
    assert "1 of" not in recorded.on_terminal("review", "queue", "--actor", "Ada", "-n", "1").out
    none = recorded("review", "queue", "--category", "weapon")
    assert none.err.startswith("no generation needs a review; no category 'weapon' is recorded")


def test_a_review_names_the_decision_that_it_is_about(recorded: Here) -> None:
    approved = recorded("review", "approve", "last").err
    assert approved.startswith("Marked the decision to block as right: ")
    (flagged,) = shown(recorded, "--actor", "Ada")
    overturned = recorded("review", "overturn", str(flagged["id"])).err
    assert overturned == f"Marked the decision to flag as wrong: {flagged['id']}\n"


def test_a_second_review_by_the_same_person_is_told_and_recorded(recorded: Here) -> None:
    first = recorded("review", "approve", "last", "--json")
    other = recorded("--actor", "Eve", "review", "approve", "last")
    for result in (first, other):
        assert (result.code, "already" in result.err) == (0, False)
    (review,) = first.json("review")
    for arguments in (["approve", "last"], ["approve", "last", "--json"]):
        again = recorded("review", *arguments)
        assert again.code == 0
        assert f"小明 had approved it already, at {review['at']}" in again.err.splitlines()[-1]
        (whole,) = recorded("audit", "show", "last", "--json").json("generation")
        review = whole["reviews"][-1]
    changed = recorded("review", "overturn", "last")
    assert "had approved it already" in changed.err
    (whole,) = recorded("audit", "show", "last", "--json").json("generation")
    assert [item["actor"] for item in whole["reviews"]] == ["小明", "Eve", *["小明"] * 3]


MISTAKES = [
    (["feedback", "last"], "use --rating, --comment or --action"),
    (["feedback", "last", "--rating", "6"], "'6' is not one of"),
    (["feedback", "ZZZZZZ", "--rating", "up"], "no generation named 'ZZZZZZ'"),
    (["audit", "erase"], "no generation is selected"),
    (["audit", "erase", "last"], "the texts of 1 generation; use --yes"),
    (["audit", "erase", "--status", "--tag", "x"], "--status cannot be combined"),
    (["hold", "add"], "add ids, or filters such as --tag, and --reason"),
    (["hold", "add", "last"], "a hold needs a reason; add --reason"),
    (["hold", "add", "last", "--reason", " "], "the reason of a hold is empty"),
    (["hold", "add", "tag=x", "--reason", "x"], "such as --tag select without ids"),
    (["hold", "add", "ZZZZZ", "--reason", "x"], "`muniment audit list` prints the ids"),
    (["hold", "remove", "x"], "Did you mean release?"),
    (["hold", "add", "--reason", "x"], "no generation is selected"),
    (["hold", "release", "ZZZZ"], "no hold named 'ZZZZ'"),
    (["retention", "set", "--min-days", "9", "--max-days", "3"], "--min-days is more than"),
]


def test_a_generation_that_no_filter_flagged_cannot_be_reviewed(recorded: Here) -> None:
    (plain,) = shown(recorded, "--tag", "nice")
    for decision in ("approve", "overturn"):
        result = recorded("review", decision, str(plain["id"]))
        assert result.code == 2
        assert str(plain["id"]) in result.err
    (whole,) = recorded("audit", "show", str(plain["id"]), "--json").json("generation")
    assert whole["reviews"] == []


def test_mistakes_are_one_sentence(recorded: Here, subtests: pytest.Subtests) -> None:
    before = shown(recorded)
    for arguments, sentence in MISTAKES:
        with subtests.test(arguments=arguments):
            result = recorded(*arguments)
            assert result.code == 2, result
            assert sentence in result.err
            assert result.err.count("\n") == 1
    assert shown(recorded) == before


def test_an_erased_generation_says_so_everywhere(recorded: Here, tmp_path: Path) -> None:
    recorded("db", "backup", tmp_path / "early.db")
    result = recorded("audit", "erase", "--tag", "nice", "--reason", "asked", "--yes", "--json")
    assert result.code == 0
    (done,) = result.json("erasure")
    assert COPIES not in result.err
    skipped = {"held": 0, "kept": 0, "running": 0}
    assert done == {"erased": 1, **skipped, "altered": 0, "shared": 0, "pending": False}
    assert shown(recorded, "--tag", "nice") == []
    (value,) = [g for g in shown(recorded) if g["erased"]]
    identifier = str(value["id"])
    assert value["prompt"] == ""
    text = recorded("audit", "show", identifier)
    assert text.fields["erased"] == ["output, prompt, request"]
    assert text.out.startswith("prompt  [erased]\n\nthe output was erased\n")
    assert text.fields["actor"] == ["小明"]
    (listed,) = [row for row in recorded("audit", "list").rows if row[0] == identifier]
    assert listed[-1] == "[erased: output, prompt, request]"
    assert "was erased" in recorded("audit", "get", identifier).err
    assert recorded("audit", "search", "two").out == ""
    replayed = recorded("audit", "replay", identifier, "--json")
    assert replayed.code == 1
    assert replayed.json("replay")[0]["result"] == "impossible"
    assert "erased" in replayed.json("replay")[0]["detail"]
    assert recorded("audit", "verify", "--all").code == 0
    assert recorded("db", "rebuild").code == 0
    assert recorded("audit", "verify", "--all").code == 0
    (past,) = recorded("audit", "erase", "--status", "--json").json("past_erasure")
    assert (past["actor"], past["reason"], past["pending"]) == ("小明", "asked", False)
    assert past["backups"] == [str(tmp_path / "early.db")]
    assert str(tmp_path / "early.db") in recorded("audit", "erase", "--status").err
    restored = recorded("db", "restore", tmp_path / "early.db", "--yes")
    assert restored.out == f"{identifier}\n"
    assert "to erase again" in restored.err
    assert recorded("audit", "erase", identifier, "--yes").code == 0


def test_erasing_by_actor_takes_the_name_along(recorded: Here, home: Path) -> None:
    assert recorded("audit", "erase", "--actor", "Ada", "--older-than", "0s", "--yes").code == 0
    assert shown(recorded, "--actor", "Ada") == []
    content = (home / "muniment.db").read_bytes()
    assert b"Ada" not in content
    assert b"darn" not in content
    assert sqlite3.connect(home / "muniment.db").execute(
        "SELECT count(*) FROM actor WHERE name = ''"
    ).fetchone() == (1,)


def test_the_queue_on_a_terminal_has_the_reason(recorded: Here, processes: Processes) -> None:
    queued = processes.on_terminal("review", "queue", width=120).out
    assert "weapons: says bomb" in queued
    assert " rude " in queued
    assert max(map(len, queued.splitlines())) <= 120


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_queue_on_a_terminal_wraps_the_reason(
    muniment: Here, processes: Processes, policy_file: Path, width: int
) -> None:
    words = "bomb hidden below the tower of an old harbour near one northern town".split()
    muniment("generate", "echo", " ".join(words), "--policy", policy_file)
    queued = processes.on_terminal("review", "queue", width=width).out
    assert max(map(len, queued.splitlines())) <= width
    assert {"weapons:", "says", *words} <= set(queued.split()), "the reason is whole"


def test_nothing_to_erase_is_said_without_a_question(recorded: Here) -> None:
    for arguments in (["audit", "erase", "--tag", "none"], ["retention", "run"]):
        for options in ([], ["--yes"]):
            result = recorded(*arguments, *options)
            assert (result.code, result.out) == (0, "")
            assert result.err.startswith("Nothing to erase: ")
            assert result.err.partition("\n")[2] in ("", "no tag 'none' is recorded\n")
    assert recorded("audit", "erase", "last", "--yes").err.splitlines() == [
        "Confirmed with --yes: erase the texts of 1 generation",
        "Erased the texts of 1 generation.",
        COPIES,
    ]
    again = recorded("audit", "erase", "last")
    assert (again.code, "erased already" in again.err) == (0, True)
    (done,) = recorded("audit", "erase", "last", "--json").json("erasure")
    assert (done["erased"], done["held"]) == (0, 0)
    assert len(recorded("audit", "erase", "--status", "--json").lines) == 1


@pytest.mark.parametrize(
    "again", [("audit", "erase", "--tag", "nice"), ("retention", "run")], ids="erase run".split()
)
def test_an_erasure_of_nothing_finishes_those_that_are_pending(
    recorded: Here, home: Path, again: tuple[str, ...]
) -> None:
    reader = sqlite3.connect(home / "muniment.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entry").fetchone()
    erased = recorded("audit", "erase", "--tag", "nice", "--yes", "--json")
    assert erased.json("erasure")[0]["pending"] is True
    assert recorded(*again, "--json").json("erasure")[0]["pending"] is True
    assert "pending: " in recorded(*again).err
    reader.execute("COMMIT")
    assert recorded(*again, "--json").json("erasure")[0]["pending"] is False
    assert reader.execute("SELECT count(*) FROM erasing").fetchone() == (0,)
    assert "pending: " not in recorded(*again).err
    reader.close()


def test_show_has_the_erasures_of_the_generation(recorded: Here) -> None:
    for tag in ("one", "two"):
        recorded("generate", "echo", tag, "--tag", tag)
        recorded("audit", "erase", "--tag", tag, "--reason", f"asked {tag}", "--yes")
    shown_text = recorded("audit", "show", "last").fields
    (line,) = shown_text["erasure"]
    assert line.startswith("asked two · 小明 · 20")
    (generation,) = recorded("audit", "show", "last", "--json").json("generation")
    (erasure,) = generation["erasures"]
    assert (erasure["reason"], erasure["generations"]) == ("asked two", 1)
    assert erasure["kinds"] == ["output", "prompt", "request", "trace"]
    (flagged,) = shown(recorded, "--actor", "Ada")
    assert "erasures" not in recorded("audit", "show", str(flagged["id"]), "--json").out
    assert "erasure" not in recorded("audit", "show", str(flagged["id"])).fields


def test_the_erasure_of_a_name_is_explained_among_the_erasures(
    recorded: Here, processes: Processes
) -> None:
    assert recorded("audit", "erase", "--actor", "Ada", "--yes").code == 0
    texts, name = recorded("audit", "erase", "--status", "--json").json("past_erasure")
    assert (texts["generations"], "prompt" in texts["kinds"]) == (1, True)
    assert (name["generations"], name["kinds"]) == (0, ["actor"])
    assert [row[-1] for row in recorded("audit", "erase", "--status").rows] == [
        ", ".join(texts["kinds"]),
        "actor",
    ]
    listed = processes.on_terminal("audit", "erase", "--status", width=100).out.splitlines()
    assert "1 generation" in listed[1]
    assert "name of actor" in listed[2]


def test_an_actor_whose_texts_are_erased_can_still_be_erased(recorded: Here) -> None:
    (flagged,) = shown(recorded, "--actor", "Ada")
    assert recorded("audit", "erase", str(flagged["id"]), "--yes").code == 0
    erased = recorded("audit", "erase", "--actor", "Ada", "--yes")
    assert (erased.code, erased.err.splitlines()[1]) == (0, "Erased the name of actor Ada.")
    assert shown(recorded, "--actor", "Ada") == []


def test_the_first_generations_are_listed_before_the_question(
    recorded: Here, processes: Processes
) -> None:
    for number in range(11):
        recorded("generate", "echo", f"number {number}", "--tag", "many")
    recorded("hold", "add", "last", "--reason", "case 7")
    declined = processes.on_terminal("audit", "erase", "--tag", "many", types="n\n")
    assert declined.code == 1
    lines = declined.out.splitlines()
    assert [f"number {n}" in line for n, line in zip(range(9, -1, -1), lines[1:], strict=False)]
    assert sum("number " in line for line in lines) == 10
    assert "number 10" not in declined.out  # on hold
    assert "Skips 1 generation: on hold." in declined.out
    assert "erase the texts of 10 generations. Continue? [y/N]" in declined.out
    warning = declined.out.partition("Continue?")[0]
    assert all(text in warning for text in ("tags", "names of models", "cannot be undone"))
    assert not any(item["erased"] for item in shown(recorded, "--tag", "many"))
    recorded("generate", "echo", "number 11", "--tag", "many")
    done = processes.on_terminal("audit", "erase", "--tag", "many", types="y\n")
    assert "and 1 more" in done.out
    assert "Erased the texts of 11 generations." in done.out


@pytest.mark.parametrize("key", ["\x03", "\x04"])
def test_a_question_that_is_left_ends_its_line(
    recorded: Here, processes: Processes, key: str
) -> None:
    with processes.terminal("audit", "erase", "last") as question:
        question.expect("[y/N]: ")
        assert question.press(key, "Interrupted").endswith("\n")
        assert question.end() == 130
    assert not shown(recorded, "-n", "1")[0]["erased"]


def test_the_question_is_chinese_with_the_number_of_generations_not_listed(
    recorded: Here, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(11):
        recorded("generate", "echo", f"number {number}", "--tag", "many")
    monkeypatch.setitem(processes.environment, "MUNIMENT_LANG", "zh")
    declined = processes.on_terminal("audit", "erase", "--tag", "many", types="n\n")
    warning = declined.out.partition("是否继续")[0]
    assert "另有 1 项" in warning
    assert "无法撤销" in warning
    assert " more" not in warning


def test_an_erasure_in_chinese_prints_no_english_sentence(
    recorded: Here, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded("hold", "add", "last", "--reason", "case 7")
    monkeypatch.setitem(processes.environment, "MUNIMENT_LANG", "zh")
    by_generator = ("audit", "erase", "--generator", "echo")
    erased = processes.on_terminal(*by_generator, types="y\n", width=200)
    assert erased.code == 1  # the generation on hold is skipped
    again = processes.on_terminal(*by_generator, width=200)
    none = processes.on_terminal("retention", "run", width=200)
    for text in (
        "将跳过 1 次生成：处于法律保留。",
        "已跳过 1 次生成：处于法律保留。",
        "已擦除 2 次生成的文本。",
    ):
        assert text in erased.out
    for line in (erased.out + again.out + none.out).splitlines():
        is_progress = "counting generations" in line or "erasing" in line
        is_other = is_progress or line.startswith("…") or line in ("", "y")
        assert is_other or re.search("[\u4e00-\u9fff]", line), line
    assert "没有可擦除的内容" in again.out
    assert "没有超过保留规则期限的文本" in none.out


def test_the_reasons_why_nothing_can_be_erased_are_a_line_of_their_own(
    recorded: Here, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    filters = ("--tag", "zzz", "--filter", "nosuch")
    erase = ("audit", "erase", *filters, "--yes")
    reasons = recorded("audit", "list", *filters).err.partition("; ")[2]
    assert "'zzz'" in reasons
    english = recorded(*erase).err.splitlines()
    monkeypatch.setitem(processes.environment, "MUNIMENT_LANG", "zh")
    chinese = [line for line in processes.on_terminal(*erase).out.splitlines() if "\r" not in line]
    for lines in (english, chinese):
        assert lines[-1] == reasons.rstrip()
        assert "'zzz'" not in lines[-2]
    assert "没有可擦除的内容" in chinese[-2]
    assert recorded(*erase, "--json").err == ""


def test_an_event_without_texts_is_refused_before_the_question(recorded: Here) -> None:
    recorded("review", "approve", "last", "--reason", "right")
    (row,) = recorded("db", "sql", "SELECT seq FROM v_event WHERE kind = 'review'").rows
    event = ("audit", "erase", "--event", row[0])
    assert "(reason); use --yes" in recorded(*event).err
    assert recorded(*event, "--yes").code == 0
    assert (again := recorded(*event)).code == 2
    assert "erased already" in again.err


def test_a_hold_is_stronger_than_erasing(recorded: Here) -> None:
    added = recorded("hold", "add", "last", "--reason", "case 7")
    identifier = added.out.strip()
    assert added.err == "Placed 1 generation on hold.\n"
    (held,) = recorded("hold", "list", "--json").json("hold")
    assert (held["id"], held["reason"], held["generations"]) == (identifier, "case 7", 1)
    refused = recorded("audit", "erase", "last", "--yes")
    assert refused.code == 1
    assert "Skipped 1 generation: on hold" in refused.err
    assert shown(recorded, "-n", "1")[0]["prompt"] == "a bomb"
    assert recorded("hold", "release", identifier[-5:], "--reason", "closed").code == 0
    assert recorded("hold", "list").out == ""
    assert recorded("audit", "erase", "last", "--yes").code == 0


def test_retention_is_set_shown_and_run(recorded: Here) -> None:
    recorded("retention", "set", "--payload", "output", "--max-days", "30")
    rules = recorded("retention", "set", "--decision", "block", "--min-days", "10", "--json")
    assert len(rules.json("retention_rule")) == 2
    assert recorded("retention", "show").rows == [
        ["any", "block", "10", ""],
        ["output", "any", "", "30"],
    ]
    (done,) = recorded("retention", "run", "--yes", "--json").json("erasure")
    assert done["erased"] == 0
    kept = recorded("audit", "erase", "--decision", "block", "--yes")
    assert kept.code == 1
    assert "Skipped 1 generation: under retention" in kept.err
    recorded("retention", "set", "--decision", "block")
    assert recorded("retention", "show").rows == [["output", "any", "", "30"]]


def test_the_python_session_does_the_same(recorded: Here, home: Path) -> None:
    import muniment

    with muniment.open(home, actor="py") as session:
        session.feedback("last", 4, "fine")
        session.review("last", "approve")
        with pytest.raises(muniment.UsageError, match="a rating is up, down or"):
            session.feedback("last", 9)
        assert session.erase(muniment.Query(tag="nice"), "asked").erased == 1
    (whole,) = recorded("audit", "show", "last", "--json").json("generation")
    assert [item["actor"] for item in (*whole["feedback"], *whole["reviews"])] == ["py", "py"]


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (["audit", "erase", "--tag", "a", "--tag", "b", "--yes"], "--tag"),
        (["audit", "list", "--status", "failed", "--status", "blocked"], "--status"),
        (["hold", "add", "--tag", "a", "--reason", "x", "--tag=b"], "--tag"),
        (["generate", "echo", "x", "--policy", "default", "--policy", "none"], "--policy"),
        (["generate", "echo", "x", "-o", "a", "--output", "b"], "--output"),
        (["generate", "echo", "x", "--times", "1", "--times", "2"], "--times"),
        (["batch", "f", "--policy", "none", "--policy", "none"], "--policy"),
        (["--store", "a.db", "audit", "list", "--store", "b.db"], "--store"),
        (["db", "path", "--home", "a", "--home=b"], "--home"),
        (["--actor", "a", "--actor", "b", "feedback", "add", "last", "good"], "--actor"),
    ],
)
def test_an_option_with_one_value_is_given_once(
    recorded: Here, command: list[str], option: str
) -> None:
    before = recorded("audit", "list", "--json").out
    result = recorded(*command)
    assert (result.code, result.out) == (2, "")
    assert f"{option} is given twice" in result.err
    words = {"--store": 0, "--home": 0, "--actor": 0}.get(option, 1 if command[0] == "batch" else 2)
    assert f"Try '{' '.join(['muniment', *command[:words]])} --help'" in result.err
    assert recorded("audit", "list", "--json").out == before


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--tag", "typo", "--reason", "x"], "no generation matches"),
        (["--tag", "nice", "--reason", " "], "reason of a hold is empty"),
    ],
)
def test_a_hold_that_holds_nothing_is_refused(
    recorded: Here, options: list[str], sentence: str
) -> None:
    result = recorded("hold", "add", *options)
    assert (result.code, result.out) == (2, "")
    assert sentence in result.err
    assert recorded("hold", "list").out == ""


def test_hold_release_takes_the_printed_end_of_an_id_that_is_unique(recorded: Here) -> None:
    for reason in ("case 7", "case 8"):
        assert recorded("hold", "add", "last", "--reason", reason).code == 0
    first, second = (hold["id"] for hold in recorded("hold", "list", "--json").json("hold"))
    ambiguous = recorded("hold", "release", first[0])
    assert (ambiguous.code, ambiguous.err.count("\n")) == (2, 1)
    assert f"{first} or {second}" in ambiguous.err
    assert recorded("hold", "release", f"…{first[-8:]}").code == 0
    assert [hold["id"] for hold in recorded("hold", "list", "--json").json("hold")] == [second]
