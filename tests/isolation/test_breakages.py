"""Every way a plugin can break, through the command line: everything else works on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from support.breakages import LOADABLE, UNLOADABLE
from support.commands import Here, Processes, Result
from support.plugins import PluginFolder

ECHO = "for request in requests: yield request.reply(Text(request.prompt))"
BREAKAGES = {**UNLOADABLE, **LOADABLE}


def completes(muniment: Here | Processes, *options: str) -> Result:
    """Generate with another plugin, see that it is completed and recorded."""
    done = muniment("generate", "echo", "最近", "--json", *options)
    assert done.code == 0, done.err
    (generation,) = done.json("generation")
    assert (generation["status"], generation["outputs"][0]["text"]) == ("completed", "最近")
    (listed, *_) = muniment("audit", "list", "--json").json("generation")
    assert listed["id"] == generation["id"]
    return done


@pytest.fixture
def home(home: Path) -> Path:
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nevaluators = ""\n')
    return home


@pytest.fixture(autouse=True)
def echo(plugin_folder: PluginFolder) -> None:
    plugin_folder.generator("echo", ECHO)


@pytest.fixture
def muniment(
    plugin_folder: PluginFolder,
    home: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Here:
    """The command line in this process, with the plugins on the shelf and no other."""
    monkeypatch.setattr(
        "muniment.plugins.discovery.installed_plugins", lambda: iter(plugin_folder.all)
    )
    return Here(capfd, monkeypatch)


@pytest.fixture
def processes(plugin_folder: PluginFolder, home: Path) -> Processes:
    """The command line as a program, with the first-party plugins too."""
    return Processes(plugin_folder.folder, home)


HERE, ISOLATED = (), ("--isolate",)
both = pytest.mark.parametrize(
    "options",
    [
        pytest.param(HERE, id="in process"),
        pytest.param(ISOLATED, id="isolated", marks=pytest.mark.integration),
    ],
)


def each(cases: Iterable[str], *, isolated: str) -> pytest.MarkDecorator:
    """Run a test for each case, in process and isolated.

    All but the case `isolated` are isolated in the integration tests alone.
    """
    names = list(cases)
    assert isolated in names
    return pytest.mark.parametrize(
        ("name", "options"),
        [
            *(pytest.param(name, HERE, id=f"{name}-in process") for name in names),
            *(
                pytest.param(
                    name,
                    ISOLATED,
                    id=f"{name}-isolated",
                    marks=() if name == isolated else pytest.mark.integration,
                )
                for name in names
            ),
        ],
    )


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(HERE, id="in process", marks=pytest.mark.integration),
        pytest.param(ISOLATED, id="isolated"),
    ],
)
def test_with_every_broken_plugin_at_once_everything_else_works(
    processes: Processes, plugin_folder: PluginFolder, options: tuple[str, ...], tmp_path: Path
) -> None:
    told = {}
    marks = tmp_path / "imported"
    marks.mkdir()
    for number, breakage in enumerate(BREAKAGES.values()):
        distribution = f"unlucky-{number}"
        mark = f"open({str(marks / distribution)!r}, 'w').close()"
        breakage.install(plugin_folder, distribution=distribution, before=mark)
        if breakage.complaint is not None:
            told[distribution] = breakage.complaint
    for command in (
        ["--help"], ["plugins", "list"], ["config", "list"], ["db", "--help"],
        ["audit", "--help"],
    ):  # fmt: skip
        done = processes(*command)
        assert (done.code, done.err) == (0, ""), command
    assert not list(marks.iterdir())
    warned = completes(processes, *options).err
    for distribution, complaint in told.items():
        (line,) = [line for line in warned.splitlines() if f"plugin {distribution} " in line]
        assert line.startswith(f"Warning: plugin {distribution} cannot be loaded: ")
        assert complaint in line
    assert "Traceback" not in warned
    assert len(list(marks.iterdir())) == len(BREAKAGES) - 1  # a syntax error is found before
    for command in (["audit", "verify", "--all"], ["audit", "show", "last"], ["db", "status"]):
        done = processes(*command)
        assert done.code == 0, done.err
        assert "unlucky" not in done.err


@each(BREAKAGES, isolated="exit at import")
def test_a_broken_plugin_is_told_in_one_line_and_takes_nothing_along(
    muniment: Here, plugin_folder: PluginFolder, name: str, options: tuple[str, ...]
) -> None:
    BREAKAGES[name].install(plugin_folder)
    warned = completes(muniment, *options).err
    complaint = BREAKAGES[name].complaint
    told = [line for line in warned.splitlines() if "cannot be loaded" in line]
    if complaint is None:
        assert told == []
        return
    (line,) = told
    assert line.startswith("Warning: plugin unlucky cannot be loaded: ")
    assert complaint in line
    missing = muniment("generate", "made", "hi", *options)
    assert missing.code == 2
    assert complaint in missing.err.splitlines()[-1]


@each(UNLOADABLE, isolated="exception in the hook")
def test_a_configured_filter_that_does_not_load_blocks(
    muniment: Here, plugin_folder: PluginFolder, name: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    UNLOADABLE[name].install(plugin_folder, "filter")
    policy = tmp_path / "policy.yaml"
    policy.write_text("policy: team\nversion: 1\nfilters: [{filter: made}]\n")
    done = muniment("generate", "echo", "hi", "--policy", policy, "--json", *options)
    assert done.code == 3, done.err
    (generation,) = done.json("generation")
    assert (generation["status"], generation["outputs"]) == ("blocked", [])
    (verdict,) = generation["verdicts"]
    assert verdict["action"] == "block"
    assert verdict["failure"].startswith("filter made cannot be used: no filter named 'made'")


@both
def test_a_plugin_of_another_contract_is_never_imported(
    processes: Processes, plugin_folder: PluginFolder, options: tuple[str, ...]
) -> None:
    plugin_folder.add("1 / 0", distribution="unlucky", group="muniment.v2")
    done = processes("generate", "echo", "hi", *options)
    assert (done.code, done.out) == (0, "hi\n")
    assert "unlucky" not in done.err


@both
def test_a_name_that_two_plugins_have_is_an_error_naming_both_and_others_work(
    muniment: Here, plugin_folder: PluginFolder, options: tuple[str, ...]
) -> None:
    for distribution in ("one", "unlucky"):
        plugin_folder.generator("twin", ECHO, distribution=distribution)
    completes(muniment, *options)
    done = muniment("generate", "twin", "hi", *options)
    assert done.code == 2
    assert "'twin' could be one or unlucky; uninstall one" in done.err


@both
def test_a_name_of_a_first_party_plugin_is_an_error_naming_both_and_others_work(
    processes: Processes, plugin_folder: PluginFolder, options: tuple[str, ...], tmp_path: Path
) -> None:
    plugin_folder.generator("text", ECHO, distribution="unlucky")
    plugin_folder.filter("blocklist", "return content.allow()", distribution="unlucky-filter")
    completes(processes, *options)
    done = processes("generate", "text", "hi", *options)
    assert done.code == 2
    assert "muniment-text" in done.err
    assert "unlucky" in done.err
    policy = tmp_path / "policy.yaml"
    rule = "{filter: blocklist, parameters: {category: a, terms: [b]}}"
    policy.write_text(f"policy: team\nversion: 1\nfilters: [{rule}]\n")
    done = processes("generate", "echo", "hi", "--policy", policy, "--json", *options)
    (generation,) = done.json("generation")
    assert generation["status"] == "blocked"
    assert "muniment-moderation" in generation["verdicts"][0]["failure"]


@both
def test_an_evaluator_of_a_name_that_is_taken_costs_no_generation(
    muniment: Here, plugin_folder: PluginFolder, home: Path, options: tuple[str, ...]
) -> None:
    (home / "config.toml").write_text('policy = "none"\n')
    for distribution in ("one", "unlucky"):
        plugin_folder.evaluator("twin", "return {'value': 1.0}", distribution=distribution)
    completes(muniment, *options)


# ---- generators that break the contract ----------------------------------------------------------

ANSWERS = {
    "raises": ("raise RuntimeError('no')", "RuntimeError: no"),
    "exits": ("raise SystemExit(1)", "SystemExit: 1"),
    "panics": (
        "class Panic(BaseException): pass\nraise Panic('as Rust does')",
        "Panic: as Rust does",
    ),
    "answers nothing": ("continue", "did not answer"),
    "answers another": ("yield Reply('another', (Text('x'),))", "one that it did not receive"),
    "answers with nonsense": ("yield 5", "it yielded int"),
    "answers with no output": ("yield request.reply()", "a reply needs at least one output"),
    "fails after an answer of pieces": (
        "yield request.chunk('hal')\nraise RuntimeError('no')",
        "RuntimeError: no",
    ),
    "gives NaN": (
        "yield request.reply(Text('x'), trace=Trace([1], [float('nan')], [0.0]))",
        "the numbers of a trace must be finite",
    ),
    "is not UTF-8": ("yield request.reply(Output('text/plain', b'\\xff'))", "not UTF-8"),
    "is another media type": ("yield request.reply(Output('image/png', b'x'))", "not text/plain"),
    "counts no tokens": ("yield request.reply(Text('x'), usage=Usage(1.5, 2))", "broke the contr"),
    "counts beyond all bounds": (
        "yield request.reply(Text('x'), usage=Usage(2**70, 2))",
        "usage must be from 0 to 2^53",
    ),
    "chooses tokens beyond all bounds": (
        "yield request.reply(Text('x'), trace=Trace([2**70], [0.0], [0.0]))",
        "token ids of a trace cannot exceed 2^53",
    ),
}

FICKLE = """
for request in requests:
    if request.prompt == "break":
{body}
    else:
        yield request.reply(Text(request.prompt))
"""


@each(ANSWERS, isolated="panics")
def test_an_answer_that_breaks_the_contract_fails_its_request_and_the_rest_goes_on(
    muniment: Here,
    plugin_folder: PluginFolder,
    name: str,
    options: tuple[str, ...],
    tmp_path: Path,
) -> None:
    body, complaint = ANSWERS[name]
    indented = "\n".join(" " * 8 + line for line in body.splitlines())
    plugin_folder.generator("fickle", FICKLE.format(body=indented))
    file = tmp_path / "lines.jsonl"
    prompts = ["first", "break", "第三", "break", "last"]
    file.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts))
    done = muniment("batch", file, "--generator", "fickle", "--json", *options)
    assert done.code == 1, done.err
    found = done.json("generation")
    for prompt, generation in zip(prompts, found, strict=True):
        if prompt == "break":
            assert generation["status"] == "failed"
            assert complaint in generation["failure"]["message"]
        else:
            assert generation["status"] == "completed", generation["failure"]
            assert generation["outputs"][0]["text"] == prompt
    assert muniment("audit", "verify", "--all").code == 0


@both
def test_answers_of_too_many_requests_leave_those_that_were_asked(
    muniment: Here, plugin_folder: PluginFolder, options: tuple[str, ...]
) -> None:
    plugin_folder.generator(
        "eager",
        "for request in requests:\n"
        "    yield request.reply(Text('first'))\n"
        "    yield request.reply(Text('second'))",
    )
    done = muniment("generate", "eager", "hi", "-n", "3", "--json", *options)
    assert done.code == 0, done.err
    texts = [item["outputs"][0]["text"] for item in done.json("generation")]
    assert texts == ["first"] * 3


CHECKS = {
    "raises": ("raise RuntimeError('no')", "RuntimeError: no"),
    "returns nothing": ("return None", "TypeError: check() returned NoneType"),
    "another decision": ("return Verdict('maybe')", "ValueError: the decision 'maybe'"),
    "scores NaN": ("return content.allow(score=float('nan'))", "ValueError: the score nan"),
    "a span beyond the text": (
        "return content.flag(Reason('a', start=0, end=99))",
        "ValueError: the span 0-99",
    ),
    "exits": ("raise SystemExit", "SystemExit"),
}


@each(CHECKS, isolated="exits")
def test_a_filter_that_breaks_blocks(
    muniment: Here, plugin_folder: PluginFolder, name: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    body, complaint = CHECKS[name]
    plugin_folder.filter("fickle", body)
    policy = tmp_path / "policy.yaml"
    policy.write_text("policy: team\nversion: 1\nfilters: [{filter: fickle}]\n")
    done = muniment("generate", "echo", "hi", "--policy", policy, "--json", *options)
    assert done.code == 3, done.err
    (generation,) = done.json("generation")
    assert generation["verdicts"][0]["failure"].startswith(f"filter fickle failed: {complaint}")


SCORES = {
    "raises": ("raise RuntimeError('no')", "RuntimeError: no"),
    "returns a number": ("return 5", "TypeError: "),
    "returns NaN": ("return {'value': float('nan')}", "ValueError: value is nan"),
    "another measure": ("return {'other': 1.0}", "ValueError: 'other' is not among its measures"),
    "a text": ("return {'value': 'high'}", "TypeError: value is str, not a number"),
    "a number for a name": ("return {5: 1.0}", "ValueError: 5 is not among its measures"),
}


@each(SCORES, isolated="returns NaN")
def test_an_evaluator_that_breaks_fails_its_score_alone(
    muniment: Here, plugin_folder: PluginFolder, home: Path, name: str, options: tuple[str, ...]
) -> None:
    body, complaint = SCORES[name]
    (home / "config.toml").write_text('policy = "none"\nevaluators = "fickle, fine"\n')
    plugin_folder.evaluator("fickle", body)
    plugin_folder.evaluator("fine", "return {'value': 1.5}")
    done = muniment("generate", "echo", "hi", "--json", *options)
    assert done.code == 0, done.err
    (generation,) = done.json("generation")
    fickle, fine = generation["scores"]
    assert fickle["value"] is None
    assert fickle["failure"].startswith(f"evaluator fickle failed: {complaint}")
    assert fine["value"] == 1.5
