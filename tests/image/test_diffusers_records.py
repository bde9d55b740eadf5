"""Generations of `diffusers` are recorded with their models, judged, and replayed exactly."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import muniment
from muniment.errors import ModelError, UsageError
from muniment_image.pictures import read_picture
from support.diffusion import make_controlnet, make_lora, make_pipeline
from support.pictures import noise, saved

INIT = noise(32, 32)
MASK = np.zeros((32, 32), np.uint8)
MASK[8:20, 10:24] = 255


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline, an adapter and a ControlNet, which tests must not change."""
    folder = tmp_path_factory.mktemp("diffusers")
    make_lora(folder / "style.safetensors", make_pipeline(folder / "tiny"))
    make_controlnet(folder / "edges")
    return folder


@pytest.fixture
def session(home: Path) -> Iterator[muniment.Session]:
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nactor = "tester"\n')
    with muniment.Session(home) as session:
        yield session


def generate(
    session: muniment.Session,
    models: Path,
    prompt: str = "a cat",
    *,
    policy: Path | None = None,
    inputs: dict[str, Any] | None = None,
    **parameters: Any,
) -> muniment.Generation:
    return session.generate(
        prompt,
        generator="diffusers",
        model=str(models / "tiny"),
        seed=7,
        inputs=inputs,
        policy=policy,
        parameters={"steps": 2, **parameters},
    )


def results(session: muniment.Session, *generations: muniment.Generation) -> list[str]:
    return [replay.result for replay in session.replay(generations)]


def test_generations_with_models_and_inputs_are_recorded_and_replayed(
    session: muniment.Session, models: Path
) -> None:
    control = {"control": saved(INIT)}
    plain = generate(session, models, scheduler="euler-ancestral")
    adapted = generate(session, models, lora=str(models / "style.safetensors"))
    masked = generate(session, models, inputs={"init": saved(INIT), "mask": saved(MASK)})
    controlled = generate(session, models, inputs=control, controlnet=str(models / "edges"))
    generations = (plain, adapted, masked, controlled)
    assert [item.status for item in generations] == ["completed"] * 4
    assert adapted.models["lora"].digest.startswith("file-sha256:")
    assert controlled.models["controlnet"].digest.startswith("tree1-sha256:")
    assert plain.model is not None
    assert plain.model.digest.startswith("tree1-sha256:")
    assert (plain.parameters["guidance"], plain.parameters["width"]) == (7.5, 32)
    assert (masked.parameters["strength"], plain.parameters["strength"]) == (1.0, None)
    assert {"diffusers", "torch", "threads", "device", "dtype"} <= plain.environment.keys()
    picture = read_picture(masked.outputs[0].data)
    assert np.array_equal(picture[MASK == 0], INIT[MASK == 0])
    assert results(session, *generations) == ["exact"] * 4


def test_replay_needs_the_recorded_adapter(
    session: muniment.Session, models: Path, tmp_path: Path
) -> None:
    adapter = tmp_path / "style.safetensors"
    adapter.write_bytes((models / "style.safetensors").read_bytes())
    adapted = generate(session, models, lora=str(adapter))
    make_lora(adapter, models / "tiny", kohya=True)  # another adapter of this name
    assert results(session, adapted) == ["impossible"]


def test_negative_prompt_is_judged_as_the_prompt_is(
    session: muniment.Session, models: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    rule = '{filter: blocklist, parameters: {terms: ["dog"]}, stages: [prompt]}'
    policy.write_text(f"policy: team\nversion: 1\nfilters:\n- {rule}\n", encoding="utf-8")
    blocked = generate(session, models, policy=policy, negative_prompt="a dog")
    assert blocked.status == "blocked"
    assert [verdict.parameter for verdict in blocked.verdicts if verdict.action == "block"] == [
        "negative_prompt"
    ]


@pytest.mark.integration
def test_isolated_generation_equals_the_one_in_process(
    session: muniment.Session, models: Path, home: Path
) -> None:
    local = generate(session, models, lora=str(models / "style.safetensors"))
    with muniment.Session(home, isolate=True) as isolated:
        remote = generate(isolated, models, lora=str(models / "style.safetensors"))
    assert remote.outputs == local.outputs
    assert remote.environment == local.environment


def test_invalid_request_records_no_picture(session: muniment.Session, models: Path) -> None:
    with pytest.raises(UsageError):
        generate(session, models, strength=0.5)
    with pytest.raises(ModelError):
        session.generate("a cat", generator="diffusers", model=str(models / "edges"))
    too_long = generate(session, models, "a" * 99)
    assert too_long.failure is not None
    assert (too_long.failure.code, too_long.outputs) == ("refused", ())


def test_importing_the_plugin_imports_no_heavy_library() -> None:
    program = (
        "import json, sys, muniment_image.plugin;"
        "print(json.dumps([n for n in ('torch', 'diffusers', 'numpy', 'PIL') if n in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("missing", ["diffusers", "peft"])
def test_missing_extra_is_named_with_its_command(
    session: muniment.Session, models: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from muniment_image.diffusion import libraries

    monkeypatch.setattr(libraries, "_LIBRARIES", (f"{missing}_that_is_not_installed",))
    with pytest.raises(ModelError, match=r'pip install "muniment-image\[diffusers\]"'):
        generate(session, models)
