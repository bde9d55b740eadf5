"""Bad input meets a real, tiny model: one sentence, the right exit code, and evidence that holds.

All first-party plugins work together here. Nothing is a double.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.commands import Here, Result
from support.models import make_model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with random weights; it has no chat template."""
    return make_model("llama", tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture
def model(whole: Path, tmp_path: Path) -> Path:
    """A copy of the model that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "model"))


@pytest.fixture
def muniment(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Here:
    """The command line in this process, with whatever is installed."""
    return Here(capfd, monkeypatch)


def no_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def pickled_weights(model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")


def cut_off_weights(model: Path) -> None:
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def no_configuration(model: Path) -> None:
    (model / "config.json").unlink()


def no_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").unlink()


def no_folder(model: Path) -> None:
    shutil.rmtree(model)


def check_refusal(result: Result, code: int, sentence: str) -> None:
    """One sentence that says what was wrong, besides what became of a generation."""
    assert result.code == code, result.err
    assert result.out == ""
    error, *rest = result.err.splitlines()
    assert error.startswith("Error: ")
    assert sentence in error
    assert len(rest) <= 1
    assert all("  failed · " in line for line in rest)
    assert "Traceback" not in result.err
    assert "is a bug" not in result.err


def check_evidence(muniment: Here, recorded: int) -> None:
    """Every request that was recorded failed, and the store verifies; none makes no store."""
    if not recorded:
        assert "nothing is recorded yet" in muniment("audit", "list").err
        return
    values = muniment("audit", "list", "--json").json("generation")
    assert [value["status"] for value in values] == ["failed"] * recorded
    verified = muniment("audit", "verify", "--all")
    assert verified.code == 0, verified.out
    assert verified.out.startswith("ok  ")


@pytest.mark.parametrize(
    ("damage", "code", "sentence"),
    [
        (no_weights, 1, "has no weights (*.safetensors); fetch the model again"),
        (pickled_weights, 1, "holds its weights as pickles, which can run code when opened"),
        (cut_off_weights, 1, "is cut off; fetch the model again"),
        (no_configuration, 1, "has no config.json, so it is not a model or was only half"),
        (no_tokenizer, 1, "has no tokenizer (tokenizer.json); fetch the model again"),
    ],
)
def test_a_model_that_cannot_be_used_says_what_it_lacks(
    muniment: Here,
    model: Path,
    whole: Path,
    damage: Callable[[Path], None],
    code: int,
    sentence: str,
) -> None:
    damage(model)
    check_refusal(muniment("models", "add", model), code, sentence)
    assert muniment("models", "list").out == ""
    check_refusal(muniment("generate", "text", "The moon", "-m", model), code, sentence)
    check_evidence(muniment, 1)
    after = muniment("generate", "text", "The moon", "-m", whole, "--max-tokens", "2")
    assert after.code == 0, after.err


@pytest.mark.parametrize(
    ("options", "stdin", "code", "sentence", "recorded"),
    [
        (["moon " * 3000], b"", 1, "tokens and the model's context holds 1,024; shorten", 1),
        (["-"], b"a\0b", 2, "the prompt contains a NUL character (at character 2); remove it", 0),
        (["-"], b"ab\xff", 2, "standard input is not valid UTF-8 (at byte 3)", 0),
        (["x", "--system", "Be kind."], b"", 1, "has no chat template, so it takes no system", 1),
        (["x", "--system", "a\0b"], b"", 2, "the system prompt contains a NUL character", 0),
        (["x", "--temperature", "-1"], b"", 2, "temperature must be a number from 0 to ", 0),
        (["x", "--temperature", "nan"], b"", 2, "temperature must be a number from 0 to ", 0),
        (["x", "--max-tokens", "0"], b"", 2, "max_tokens must be a whole number from 1 to ", 0),
        (["x", "--top-p", "2"], b"", 2, "top_p must be a number from ", 0),
        (["x", "-p", "warmth=1"], b"", 2, "warmth", 0),
        (["x", "--seed", "18446744073709551616"], b"", 2, "seed 18446744073709551616 is not a", 0),
    ],
)
def test_a_request_that_cannot_be_met_says_why(
    muniment: Here,
    whole: Path,
    options: list[str],
    stdin: bytes,
    code: int,
    sentence: str,
    recorded: int,
) -> None:
    result = muniment("generate", "text", "-m", whole, *options, stdin=stdin)
    check_refusal(result, code, sentence)
    started = muniment("generate", "text", "fine", "-m", whole, "--max-tokens", "2")
    assert started.code == 0, started.err
    values = muniment("audit", "list", "--json", "--status", "failed").json("generation")
    assert len(values) == recorded
    assert muniment("audit", "verify", "--all").code == 0


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_a_prompt_without_a_text_is_refused_before_it_is_recorded(
    muniment: Here, model: Path, prompt: str
) -> None:
    result = muniment("generate", "text", prompt, "-m", model)
    check_refusal(result, 2, "generator text needs a prompt")
    check_evidence(muniment, 0)


@pytest.mark.parametrize(
    ("wanted", "code", "sentence"),
    [
        ("nothing", 2, "no model named 'nothing'"),
        ("./nothing/here", 2, "no model named './nothing/here'"),
        ("half", 1, "model half is half-written"),
    ],
)
def test_a_model_that_is_not_there_says_so(
    muniment: Here, home: Path, wanted: str, code: int, sentence: str
) -> None:
    (home / "models" / "half").mkdir(parents=True)
    result = muniment("generate", "text", "x", "-m", wanted)
    check_refusal(result, code, sentence)
    check_evidence(muniment, 0)


def test_a_bad_line_among_good_ones_costs_only_itself(
    muniment: Here, whole: Path, tmp_path: Path
) -> None:
    lines = [
        {"prompt": "The moon", "parameters": {"max_tokens": 2}},
        {"prompt": "moon " * 3000},
        {"prompt": "x", "system": "Be kind."},
        {"prompt": "x", "model": "nothing"},
        {"prompt": "x", "parameters": {"top_p": 2}},
        {"prompt": "最近", "parameters": {"max_tokens": 2}},
    ]
    file = tmp_path / "lines.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    result = muniment("batch", file, "-m", whole, "--json")
    assert result.code == 1
    statuses = [value["status"] for value in result.json("generation")]
    assert statuses == ["completed", *["failed"] * 4, "completed"]
    assert "Traceback" not in result.err
    assert result.err.count("Error: ") == 4
    assert muniment("audit", "verify", "--all").code == 0
