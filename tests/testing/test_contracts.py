"""Every check of the contract suites passes a good plugin and fails one that breaks its point."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import muniment.testing
from muniment.testing import EvaluatorContract, FilterContract, GeneratorContract
from support import bad_plugins as bad
from support.plugins import PluginFolder

SUITES = (GeneratorContract, FilterContract, EvaluatorContract)
ALONE = "the_same_seed_gives_the_same_output_alone"
BATCH = "the_same_seed_gives_the_same_output_in_a_batch"
ORDER = "the_same_seed_gives_the_same_output_in_another_order"
PROCESS = "the_same_seed_gives_the_same_output_in_another_process"
SEEDS = "different_seeds_give_different_outputs"
CANCEL = "it_can_be_cancelled"
ERRORS = "unsupported_requests_fail_with_a_sentence"
INPUTS = "its_inputs_affect_their_own_request_only"
RESOLVED = "its_resolved_requests_do_not_change_again"
PACKAGED = "its_packaged_models_are_listed_without_a_network"
IMPORT = "its_import_is_light_and_quiet"
PARAMETERS = "its_parameters_are_json_and_fit_their_schema"
TOTAL = "every_content_it_accepts_gets_a_verdict"
SPANS = "its_verdicts_are_valid_and_their_spans_lie_within_the_text"
BLANKED = "redacted_spans_are_not_found_again"
DIRECTION = "its_measures_declare_their_direction"
ALIKE = "the_same_generation_gets_the_same_scores"
GROUP_ORDER = "a_group_gets_the_same_scores_in_any_order"
GROUP_FINITE = "a_group_gets_finite_numbers_for_any_outputs"
FINITE = "it_gives_finite_numbers_for_any_output"

_SAMPLES = {"init": b"\x89PNG\r\n\x1a\n"}
_WAYS: dict[str, object] = {"samples": ("bomb",)}


def suite(subject: type, **attributes: Any) -> Any:
    (contract,) = [c for c in SUITES if issubclass(subject, _BASE[c])]
    return type("TestIt", (contract,), {contract.kind: subject, **attributes})()


_BASE = {
    GeneratorContract: muniment.Generator,
    FilterContract: muniment.Filter,
    EvaluatorContract: muniment.Evaluator,
}


def check(subject: type, point: str, tmp_path: Path, **attributes: Any) -> None:
    """Run one check of a suite as pytest would."""
    model = attributes.pop("model", None)
    method = getattr(suite(subject, **attributes), f"test_{point}")
    fixtures = {"model": model, "tmp_path": tmp_path}
    method(**{name: fixtures[name] for name in inspect.signature(method).parameters})


def points(contract: type) -> list[str]:
    return [name.removeprefix("test_") for name in dir(contract) if name.startswith("test_")]


def model(path: Path) -> muniment.Model:
    return muniment.Model("tiny", "tree1-sha256:0", str(path / "there"))


@pytest.mark.parametrize(
    ("subject", "attributes"),
    [
        (bad.Shuffle, {}),
        (bad.Polite, {}),
        (bad.Reading, {"inputs": _SAMPLES, "seeded": False}),
        (bad.Resolving, {}),
        (bad.Bombs, {"samples": ("bomb", "a bomb!")}),
        (bad.Demanding, {"parameters": {"word": "x"}, "samples": ("bomb",)}),
        (bad.Length, {"undirected": ("characters",)}),
        (bad.Shared, {}),
        (bad.Judging, {"powers": bad.FixedPowers()}),
    ],
)
def test_a_good_plugin_passes_every_check(
    subject: type, attributes: dict[str, Any], tmp_path: Path
) -> None:
    contract = type(suite(subject))
    for point in points(contract):
        check(subject, point, tmp_path, **attributes)


@pytest.mark.parametrize("subject", [bad.BestEffort, bad.Images, bad.Seedless, bad.Insatiable])
def test_a_check_that_does_not_apply_is_skipped(subject: type, tmp_path: Path) -> None:
    point, attributes = {
        bad.BestEffort: (ALONE, {}),
        bad.Images: (BLANKED, {}),
        bad.Seedless: (SEEDS, {"seeded": False}),
        bad.Insatiable: (BLANKED, {"mask": None}),
    }[subject]
    with pytest.raises(pytest.skip.Exception):
        check(subject, point, tmp_path, **attributes)


def test_a_filter_that_was_never_seen_to_point_anywhere_is_not_said_to_be_fine(
    tmp_path: Path,
) -> None:
    with pytest.raises(pytest.skip.Exception, match="add `samples`"):
        check(bad.Bombs, BLANKED, tmp_path)


def test_a_filter_of_images_is_asked_about_any_bytes(tmp_path: Path) -> None:
    check(bad.Images, TOTAL, tmp_path)
    check(bad.Images, SPANS, tmp_path)


CASES: list[tuple[type, str, str]] = [
    (bad.Moody, ALONE, "claims to be exact, but replied to .* differently on a second call; use"),
    (bad.Remembering, ALONE, "differently on a second call"),
    (bad.ById, ALONE, "differently on a second call"),
    (bad.Neighbourly, BATCH, "differently in a batch; use only request.random"),
    (bad.ByPosition, BATCH, "differently in a batch"),
    (bad.Ordered, ORDER, "differently in another order"),
    (bad.Hashing, PROCESS, r"differently in another process; .*hash\(\)"),
    (bad.Seedless, SEEDS, "the same output for eight seeds of every prompt; use request.random"),
    (
        bad.Clinging,
        CANCEL,
        "raised RuntimeError: generator ignored GeneratorExit .*; do not catch Gen",
    ),
    (
        bad.Deaf,
        CANCEL,
        "turned Ctrl-C into RuntimeError: who is there.*; do not catch KeyboardInterrupt",
    ),
    (bad.Spoilt, CANCEL, "differently after it was cancelled"),
    (
        bad.Fragile,
        ERRORS,
        "no reply to the prompt '': it raised IndexError: .*; return request.fail",
    ),
    (bad.Verbose, ERRORS, "refused the prompt '' with .*; pass one sentence"),
    (bad.Silent, ERRORS, "no reply to the prompt '': .* did not answer; return request.fail"),
    (bad.Sticky, INPUTS, "differently beside and after requests with inputs"),
    (bad.Unread, INPUTS, "no reply to the input context .*: it raised ZeroDivisionError"),
    (bad.Wavering, RESOLVED, "resolve of shuffle returned .*; return the same values"),
    (bad.Overreaching, RESOLVED, "invalid value: times must be .*; return muniment.Resolution"),
    (bad.Unlisted, PACKAGED, "lacks packaged_models; define all of"),
    (bad.Fetching, PACKAGED, "used the network"),
    (bad.Shifting, PACKAGED, "changes from call to call; the first is the default"),
    (bad.Failing, PACKAGED, "raised KeyError: .*; return a sequence"),
    (bad.Twice, PACKAGED, "has two models named 'tiny'; rename one"),
    (bad.Sourceless, PACKAGED, "tiny needs a source, the text that add_model takes"),
    (bad.Spaced, PACKAGED, "'my model' needs a name of letters, digits"),
    (bad.Termed, PACKAGED, "terms of the packaged model tiny must be one line"),
    (bad.Tupled, PACKAGED, "return muniment.PackagedModel only"),
    (bad.Nameless, PARAMETERS, "Nameless cannot be registered: .* needs a name"),
    (bad.Clamping, PARAMETERS, "is taken although the schema refuses it; declare what it takes"),
    (bad.Growing, PARAMETERS, "comes back from its record as .*; replay could not be exact"),
    (bad.Unrecordable, PARAMETERS, "cannot be recorded as JSON: .*; keep to the types"),
    (
        bad.Untyped,
        PARAMETERS,
        r"raised ArithmeticError: below zero \(.*\.py:\d+\); refuse values by muniment.P",
    ),
    (bad.Schemeless, PARAMETERS, "the schema of _Schemeless is no JSON schema"),
    (bad.Raising, TOTAL, "check.. of the text '' raised IndexError: .*; return a verdict"),
    (bad.Wordless, TOTAL, "returned bool; return content.allow.., content.flag"),
    (bad.Trusting, TOTAL, "bytes of image/png raised IndexError"),
    (bad.InBytes, SPANS, "the span .* lies outside the content; give spans in characters"),
    (bad.Sure, SPANS, "the score 2.0 of weapons is not between 0 and 1"),
    (
        bad.Insatiable,
        BLANKED,
        "where its own finding was redacted already; its spans must cover only its finding",
    ),
    (bad.Demanding, TOTAL, "filter 'bombs' .*word must not be empty.*|word must not be empty"),
    (bad.Length, DIRECTION, "measure 'characters' does not say which direction is better; give"),
    (bad.Counting, ALIKE, "measured .* as characters 0.0 and then as characters 3.0; a score must"),
    (bad.Dice, ALIKE, "a score must depend only on the generation's content"),
    (bad.Dividing, FINITE, "ZeroDivisionError: .*; return finite numbers for names in"),
    (bad.NotANumber, FINITE, "variety is nan, of the output ''"),
    (bad.Undeclared, FINITE, "'width' is not among its measures"),
    (bad.Judging, FINITE, "only the evaluators of a session have powers"),
    (bad.Ranking, GROUP_ORDER, "in a group as shared 0.0, and as shared 2.0 after a change"),
    (bad.Pairing, GROUP_FINITE, "ValueError: .*; return finite numbers for names in"),
    (bad.Inventing, GROUP_FINITE, "'another' is not the id of a generation of the group"),
]


@pytest.mark.parametrize(
    ("subject", "point", "sentence"), CASES, ids=[f"{c[0].__name__}-{c[1]}" for c in CASES]
)
def test_a_plugin_that_breaks_a_point_is_told_so_in_one_sentence(
    subject: type, point: str, sentence: str, tmp_path: Path
) -> None:
    attributes = _WAYS if issubclass(subject, bad.Bombs) else {}
    if issubclass(subject, bad.Reading):
        attributes = {"inputs": _SAMPLES}
    with pytest.raises(pytest.fail.Exception) as caught:
        check(subject, point, tmp_path, **attributes)
    assert re.search(sentence, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.pytrace is False


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({}, "declares the input init; add a sample of it to `inputs`"),
        ({"init": "a text"}, "sample cannot be used: the input 'init' has .* text/plain"),
        ({"init": b"\x89PNG\r\n\x1a\n" * 20}, "sample cannot be used: .* at most 100"),
    ],
)
def test_a_suite_without_a_sample_of_an_input_names_the_input(
    inputs: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(pytest.fail.Exception, match=sentence):
        check(bad.Reading, INPUTS, tmp_path, inputs=inputs)


@pytest.mark.parametrize(
    ("subject", "complaint"),
    [
        (bad.Gullible, "was loaded without an error; raise ModelError"),
        (bad.Careless, "loading a missing model raised FileNotFoundError: .*; raise ModelError"),
    ],
)
def test_a_generator_has_to_refuse_a_model_that_is_not_there(
    subject: type, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(pytest.fail.Exception, match=complaint):
        check(subject, ERRORS, tmp_path, model=model(tmp_path))
    check(bad.Careful, ERRORS, tmp_path, model=model(tmp_path))
    check(bad.Packaging, PACKAGED, tmp_path)
    with pytest.raises(pytest.fail.Exception, match="override the suite's fixture `model`"):
        check(bad.Careful, ALONE, tmp_path)


def test_a_generator_that_goes_on_working_for_nobody_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="to end after it was closed; the limit is 0 s"):
        check(bad.Busy, CANCEL, tmp_path, cancel_seconds=0.0)
    check(bad.Busy, CANCEL, tmp_path, cancel_seconds=60.0)


def test_a_direction_that_is_declared_twice_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="names 'variety', which is not a measure"):
        check(bad.Length, DIRECTION, tmp_path, undirected=("characters", "variety"))


def test_a_suite_that_names_no_class_says_so() -> None:
    for contract in SUITES:
        with pytest.raises(pytest.fail.Exception, match=f"write `{contract.kind} = YourClass` in"):
            contract().test_its_import_is_light_and_quiet()


MODULE = """
    {0}
    import muniment
    class Made(muniment.Evaluator):
        name, measures = "made", ()
        def evaluate(self, generation): return {{}}
"""


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("print('hello')", "printed 'hello.n'; print nothing while"),
        ("import os; os.write(2, b'by descriptor')", "printed 'by descriptor'"),
        ("import numpy", "imports numpy; import it inside the function that needs it, or register"),
        ("sum(range(30_000_000))", "s of processor time, and may take 0.1 s; delay the work"),
        ("import sys\n    if 'pytest' not in sys.modules: import gone", "No module named 'gone'"),
        ("import sys\n    if 'pytest' not in sys.modules: sys.exit(3)", "SystemExit: 3"),
        ("import os, sys\n    if 'pytest' not in sys.modules: os._exit(9)", "process ended with 9"),
    ],
)
def test_an_import_that_is_not_light_and_quiet_is_told_so(
    plugin_folder: PluginFolder, tmp_path: Path, line: str, complaint: str
) -> None:
    import importlib

    plugin = plugin_folder.add(MODULE.format(line))
    made = importlib.import_module(plugin.module).Made
    with pytest.raises(pytest.fail.Exception, match=complaint):
        check(made, IMPORT, tmp_path, import_seconds=0.1)


def test_it_is_the_module_of_the_entry_point_that_has_to_be_light(
    plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    import importlib

    plugin = plugin_folder.add("", files={"heavy.py": MODULE.format("import numpy")})
    made = importlib.import_module(f"{plugin.module}.heavy").Made
    check(made, IMPORT, tmp_path)
    with pytest.raises(pytest.fail.Exception, match="imports numpy"):
        check(made, IMPORT, tmp_path, plugin=f"{plugin.module}.heavy")


def test_every_check_can_fail() -> None:
    """No check stands in a suite without a plugin here that it has failed."""
    failed = {point for _, point, _ in CASES} | {IMPORT}
    assert failed == {point for contract in SUITES for point in points(contract)}


ONE_FILE = """
import muniment, muniment.testing

class Coin(muniment.Generator):
    name, media_type, determinism = "coin", "text/plain", "exact"
    def generate(self, requests):
        for request in requests:
            yield request.reply(muniment.Text(request.random().choice(["heads", "tails"])))

class Clock(Coin):
    def generate(self, requests):
        import time
        for request in requests:
            yield request.reply(muniment.Text(str(time.time_ns())))

class TestCoin(muniment.testing.GeneratorContract):
    generator = Coin

class TestClock(muniment.testing.GeneratorContract):
    generator = Clock

def test_the_home_is_empty_and_the_session_records(muniment_session, muniment_home):
    assert list(muniment_home.iterdir()) == [muniment_home / "config.toml"]
    generation = muniment_session.generate("to be or not", generator="shelved")
    assert muniment_session.generation("last") == generation
    assert [r.result for r in muniment_session.replay([generation])] == ["exact"]
"""


def test_under_pytest_a_class_and_three_lines_make_a_suite(
    plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.generator("shelved", "for r in requests: yield r.reply(Text(r.prompt))")
    folder = tmp_path / "author"
    folder.mkdir()
    (folder / "test_coin.py").write_text(ONE_FILE, encoding="utf-8")
    (folder / "conftest.py").write_text('pytest_plugins = ["muniment.testing.fixtures"]\n')
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, "."],
        cwd=folder,
        env={**__import__("os").environ, "PYTHONPATH": str(plugin_folder.folder)},
        capture_output=True,
        text=True,
    )
    assert "TestCoin" not in done.stdout, done.stdout
    assert "test_the_home_is_empty" not in done.stdout, done.stdout
    failed = re.findall(r"^FAILED test_coin.py::TestClock::test_(\w+)", done.stdout, re.MULTILINE)
    assert {ALONE, BATCH, ORDER, PROCESS} <= set(failed), done.stdout
    assert "coin claims to be exact, but replied to 'to be or not to be" in done.stdout
    assert "core/muniment/testing" not in done.stdout, "no traceback of ours"


def test_without_what_the_extra_brings_the_import_says_what_to_do() -> None:
    program = "import sys; sys.modules['hypothesis'] = None; import muniment.testing"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "muniment.testing needs hypothesis: pip install 'muniment[testing]'" in done.stderr
