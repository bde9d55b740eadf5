"""No view for people prints a character that a terminal acts on or that a reader cannot see."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from support.commands import ROOT, Here
from support.plugins import PluginFolder

# None of them is next to a character that it could belong to.
CHARACTERS = "\u202e\u2066\u200f\u061c\u200b\u200d\u2060\ufeff\xad\u180e\ufe0f\u3164\U000e0041"
HIDDEN = " ".join(CHARACTERS)
CONTROLS = "\x1b]0;title\x07 \x9b2J \x1b[31m"
NAME = f"name {HIDDEN}."
TEXT = f"word {HIDDEN} {CONTROLS} word"
ORIGINAL = "👩‍👧 می‌خواهم"  # stays

HOSTILE = f"""
for request in requests:
    if request.stream:
        for part in request.prompt:
            yield request.chunk(part)
    if "fail" in request.prompt:
        yield request.fail({TEXT!r})
        continue
    yield request.reply(Text(request.prompt))
"""
FILTER = f"""
print({TEXT!r})
return content.flag(Reason("rude", {TEXT!r}))
"""
POLICY = f"""
policy: hostile
version: "1"
filters:
  - {{filter: shown, name: "{NAME.encode("unicode_escape").decode()}"}}
"""


@pytest.fixture
def hostile(muniment: Here, plugin_folder: PluginFolder, tmp_path: Path) -> Here:
    """A store in which every text that a person or a model can choose has hidden characters."""
    plugin_folder.generator("hostile", HOSTILE, distribution="test-hostile")
    plugin_folder.filter("shown", FILTER, distribution="test-shown")
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.replace("\\\\", "\\"), encoding="utf-8")
    generate = ("--actor", NAME, "generate", "hostile", "--policy", policy, "--tag", NAME)
    for prompt in (f"one {TEXT} {ORIGINAL}", f"two {TEXT}", f"fail {TEXT}"):
        muniment(*generate, prompt, "--system", TEXT)
    muniment("--actor", NAME, "feedback", "last", "--comment", TEXT)
    muniment("--actor", NAME, "review", "approve", "last", "--reason", TEXT)
    muniment("--actor", NAME, "hold", "add", "last", "--reason", TEXT)
    (tmp_path / "batch.jsonl").write_text('{"generator": "hostile", "prompt": "three \\\\u202e"}\n')
    muniment("config", "set", "actor", NAME)
    assert len(muniment("audit", "list").rows) == 3
    return muniment


POLICY_FILE = "FOLDER/policy.yaml"
VIEWS: dict[str, tuple[str, ...]] = {
    "list": ("audit", "list"),
    "search": ("audit", "search", "word"),
    "show": ("audit", "show", "FIRST"),
    "show --full": ("audit", "show", "last", "--full"),
    "tail": ("audit", "tail"),
    "runs": ("audit", "runs"),
    "stats": ("audit", "stats"),
    "diff": ("audit", "diff", "FIRST", "last"),
    "lineage": ("audit", "lineage", "last"),
    "get": ("audit", "get", "FIRST"),
    "replay": ("audit", "replay", "FIRST"),
    "erase": ("audit", "erase", "last", "--reason", TEXT, "--yes"),
    "hold list": ("hold", "list"),
    "review queue": ("review", "queue"),
    "generate": ("generate", "hostile", f"{TEXT} {ORIGINAL}"),
    "generate of a failure": ("generate", "hostile", f"fail {TEXT}"),
    "generate in a worker": (
        "generate",
        "hostile",
        TEXT,
        "--isolate",
        "--policy",
        "FOLDER/policy.yaml",
    ),
    "generate with an unknown name": ("generate", NAME, "x"),
    "batch": ("batch", "FOLDER/batch.jsonl"),
    "config list": ("config", "list"),
    "config get": ("config", "get", "actor"),
    "models add": ("models", "add", f"/none/{NAME}"),
    "models show": ("models", "show", NAME),
    "plugins show": ("plugins", "show", NAME),
    "db sql": ("db", "sql", f"SELECT '{HIDDEN}' AS \"{HIDDEN}\""),
    "db sql --csv": ("db", "sql", f"SELECT '{HIDDEN}' AS a", "--csv"),
    "an unknown command": (NAME,),
    "an unknown option": ("audit", "list", f"--{NAME}"),
    "--help of a generator": ("generate", "hostile", "--help"),
}
# Views in which the texts do not occur.
PLAIN = ("lineage", "models add", "replay", "erase", "--help of a generator")


@pytest.mark.parametrize("half", [0, 1])
def test_a_view_on_a_terminal_has_no_hidden_character(
    hostile: Here, muniment: Here, tmp_path: Path, half: int, subtests: pytest.Subtests
) -> None:
    first = muniment("audit", "list", "--json").json("generation")[-1]["id"]
    for view in list(VIEWS)[half::2]:
        arguments = [
            word.replace("FIRST", first).replace("FOLDER", str(tmp_path)) for word in VIEWS[view]
        ]
        with subtests.test(view=view):
            result = muniment.on_terminal(*arguments, width=50 + 50 * half, colour=True)
            text = re.sub(r"\s+", "", result.out)
            assert text
            assert hidden_in(text.replace(ORIGINAL.replace(" ", ""), "")) == []
            assert "unexpected" not in text
            assert "\\u202e" in text or view in PLAIN


def hidden_in(text: str) -> list[str]:
    """The control, format and filler characters of a text, and its selectors."""
    categories = ("Cc", "Cf", "Zl", "Zp")
    return [
        ascii(character)
        for character in text
        if unicodedata.category(character) in categories or character in CHARACTERS
    ]


def test_a_pipe_gets_the_recorded_texts(hostile: Here, muniment: Here) -> None:
    whole = muniment("audit", "list", "--json").json("generation")[-1]
    assert whole["prompt"] == f"one {TEXT} {ORIGINAL}"
    assert muniment("audit", "get", whole["id"]).out == f"one {TEXT} {ORIGINAL}"
    assert f"one {TEXT} {ORIGINAL}" in muniment("audit", "show", whole["id"]).out


def test_only_the_module_of_output_prints() -> None:
    """A line that another module printed would not be escaped."""
    printing = re.compile(r"(?<![\w.])print\(|click\.s?echo|std(?:out|err)\.write")
    allowed = {"output.py"}
    folders = [ROOT / "core/muniment/cli", *ROOT.glob("plugins/*/muniment_*/commands")]
    found = {
        path.name
        for folder in folders
        for path in folder.rglob("*.py")
        if printing.search(path.read_text(encoding="utf-8")) and "templates" not in path.parts
    }
    assert found == allowed
