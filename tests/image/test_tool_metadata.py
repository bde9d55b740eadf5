"""The texts that other programs write into their pictures, and the facts in them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

import pytest
from hypothesis import given, strategies as st

from muniment_image.inspection import comfyui
from muniment_image.inspection.facts import Fact, Text
from muniment_image.inspection.tools import read_texts

A1111 = """a cat, (sitting:1.2), "quoted"
on a mat
Negative prompt: blurry,
dark
Steps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 123, Size: 512x512, Model hash: 6ce0, \
Model: v1-5, Lora hashes: "one: 1a2b, two: 3c4d", Version: v1.9.4"""

COMFYUI = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": ["9", 0],
            "steps": 20,
            "cfg": 8.5,
            "sampler_name": "euler",
            "scheduler": "normal",
            "denoise": 1,
            "model": ["4", 0],
            "positive": ["10", 0],
            "negative": ["10", 1],
            "latent_image": ["5", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
    "5": {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 512, "height": 768, "batch_size": 1},
    },
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["8", 0], "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
    "8": {"class_type": "PrimitiveString", "inputs": {"value": "一只猫"}, "is_changed": [1]},
    "9": {"class_type": "Seed", "inputs": {"seed": 99}},
    "10": {
        "class_type": "ControlNetApplyAdvanced",
        "inputs": {"positive": ["6", 0], "negative": ["7", 0], "strength": 1.0},
    },
}

INVOKEAI = {
    "app_version": "5.4.0",
    "positive_prompt": "a cat",
    "negative_prompt": "",
    "width": 512,
    "height": 512,
    "seed": 7,
    "cfg_scale": 7.5,
    "steps": 30,
    "scheduler": "euler",
    "model": {"key": "k", "hash": "blake3:1", "name": "Juggernaut", "type": "main"},
}

SD_METADATA = {
    "model": "stable diffusion",
    "model_weights": "sd15",
    "app_id": "invoke-ai/InvokeAI",
    "image": {"prompt": [{"prompt": "a cat", "weight": 1.0}], "steps": 50, "seed": 7},
}

FOOOCUS = {
    "prompt": "a cat",
    "negative_prompt": "",
    "performance": "Speed",
    "resolution": "(1152, 896)",
    "guidance_scale": 4,
    "base_model": "juggernautXL",
    "seed": "42",
}

WORKFLOW = {"nodes": [{"type": "KSampler"}, {"type": "Note"}, {"type": "Note"}], "links": []}


def facts(key: str, text: object) -> dict[str, str]:
    """Return the facts in a text of a PNG file by their names, which must differ."""
    content = text if isinstance(text, str) else json.dumps(text)
    reading = read_texts([Text("PNG text", key, content)])
    assert reading.others == []
    return by_name(reading.facts)


def by_name(found: Iterable[Fact]) -> dict[str, str]:
    pairs = [(fact.name, fact.value) for fact in found if fact.value]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def subset(facts: dict[str, str], **expected: str) -> None:
    names = {name.replace("_", " "): value for name, value in expected.items()}
    assert {name: facts.get(name) for name in names} == names


def test_parameters_of_a1111_have_prompts_and_settings() -> None:
    found = facts("parameters", A1111)
    assert found["prompt"] == 'a cat, (sitting:1.2), "quoted"\non a mat'
    assert found["negative prompt"] == "blurry,\ndark"
    subset(found, steps="20", guidance="7", seed="123", size="512x512", model="v1-5")
    subset(found, lora_hashes="one: 1a2b, two: 3c4d", version="v1.9.4", model_hash="6ce0")


def test_parameters_of_a1111_end_with_the_last_line() -> None:
    found = facts("parameters", f"a cat\nSteps: 1, Seed: 2, Size: 1x1\n{A1111.splitlines()[-1]}")
    assert found["prompt"] == "a cat\nSteps: 1, Seed: 2, Size: 1x1"
    assert found["seed"] == "123"


def test_a_graph_of_comfyui_is_followed_to_its_prompts() -> None:
    found = facts("prompt", COMFYUI)
    subset(found, prompt="一只猫", negative_prompt="blurry", seed="99", steps="20", guidance="8.5")
    subset(found, model="sd15.safetensors", size="512x768", sampler="euler")


@pytest.mark.parametrize("constant", ["NaN", "Infinity"])
def test_a_graph_of_comfyui_can_contain_numbers_beyond_json(constant: str) -> None:
    assert facts("prompt", json.dumps(COMFYUI).replace("[1]", f"[{constant}]"))["seed"] == "99"


def test_a_graph_of_comfyui_in_an_exif_tag_is_recognised() -> None:
    [model, make] = (f"prompt:{json.dumps(COMFYUI)}", f"workflow:{json.dumps(WORKFLOW)}")
    reading = read_texts([Text("EXIF", "Model", model), Text("EXIF", "Make", make)])
    subset(by_name(reading.facts), seed="99", workflow="1 KSampler, 2 Note")


def test_a_graph_of_comfyui_with_a_cycle_ends() -> None:
    graph = {
        "1": {"class_type": "KSampler", "inputs": {"seed": 1, "positive": ["2", 0]}},
        "2": {"class_type": "Combine", "inputs": {"conditioning": ["2", 0], "conditioning_2": "x"}},
    }
    subset(facts("prompt", graph), seed="1", prompt="x")


def sampler(node: str) -> dict[str, object]:
    return {"class_type": "KSampler", "inputs": {"seed": [node, 0], "positive": [node, 0]}}


CHAIN = {
    **{f"s{i}": sampler("0") for i in range(500)},
    **{
        str(i): {"class_type": "A", "inputs": {"conditioning": [str(i + 1), 0]}} for i in range(900)
    },
}
WIDE = {
    **{f"s{i}": sampler("0") for i in range(500)},
    "0": {"class_type": "A", "inputs": {f"text{i}": "x" for i in range(2_000)}},
}


@pytest.mark.parametrize("graph", [CHAIN, WIDE])
def test_graphs_of_comfyui_of_a_file_are_followed_for_a_limited_number_of_steps(
    graph: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    link = comfyui._link

    def counted(value: object) -> tuple[str, int] | None:
        nonlocal steps
        steps += 1
        return link(value)

    monkeypatch.setattr(comfyui, "_link", counted)
    text = Text("PNG text", "prompt", json.dumps(graph))
    reading = read_texts([text, text])
    parts = 2 * sum(20 + len(node["inputs"]) for node in graph.values())  # type: ignore[index]
    assert steps < comfyui.MAX_STEPS + parts
    assert Fact("ComfyUI", "graph", "too large, read in part") in reading.facts


def test_a_large_graph_of_comfyui_is_followed_to_its_end() -> None:
    graph = dict(CHAIN, s0=sampler("0"), **{"900": {"class_type": "A", "inputs": {"text": "end"}}})
    few = {name: node for name, node in graph.items() if name in ("s0", "s1") or name.isdecimal()}
    found = facts("prompt", few)
    assert found["prompt"] == "end"
    assert "graph" not in found


def test_metadata_of_invokeai_name_the_model() -> None:
    found = facts("invokeai_metadata", INVOKEAI)
    subset(found, prompt="a cat", seed="7", guidance="7.5", model="Juggernaut")


def test_old_metadata_of_invokeai_are_read() -> None:
    subset(facts("sd-metadata", SD_METADATA), prompt="a cat", steps="50", seed="7")
    dream = r'"a \"big\" cat" -s 50 -S 123 -W 512 -H 512 -C 7.5 -A k_lms'
    found = facts("Dream", dream)
    subset(found, prompt='a "big" cat', steps="50", seed="123", guidance="7.5", sampler="k_lms")


def test_metadata_of_fooocus_are_read_in_both_spellings() -> None:
    subset(facts("parameters", FOOOCUS), prompt="a cat", guidance="4", model="juggernautXL")
    old = {"Prompt": "a cat", "Performance": "Speed", "Guidance Scale": 4, "Base Model": "x"}
    subset(facts("Comment", old), prompt="a cat", guidance="4", model="x")


def test_metadata_of_novelai_are_read_from_several_texts() -> None:
    texts = {
        "Software": "NovelAI",
        "Title": "AI generated image",
        "Description": "a cat",
        "Source": "Stable Diffusion 1D44365E",
        "Comment": json.dumps({"steps": 28, "seed": 7, "uc": "blurry", "prompt": "a cat"}),
    }
    reading = read_texts([Text("PNG text", key, text) for key, text in texts.items()])
    assert reading.others == []
    subset(by_name(reading.facts), prompt="a cat", negative_prompt="blurry", seed="7")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("Title", "Holidays"),
        ("parameters", "a cat: nice, yes"),
        ("parameters", "["),
        ("prompt", "[]"),
        ("prompt", "{}"),
        ("prompt", '{"1": 2}'),
        ("prompt", '{"1": {"class_type": "KSampler", "inputs": 5}}'),
        ("workflow", '{"nodes": 3}'),
        ("workflow", '{"nodes": [{"type": [1]}]}'),
        ("sd-metadata", '{"image": {"prompt": 1}}'.replace("1", "null")),
        ("invokeai_metadata", '{"seed": ' + "9" * 5000 + "}"),
        ("invokeai_metadata", '{"a": ' * 100_000),
        ("Comment", ""),
    ],
)
def test_a_text_without_facts_is_kept_as_it_is(key: str, text: str) -> None:
    reading = read_texts([Text("PNG text", key, text)])
    assert [fact for fact in reading.facts if fact.value] == []
    assert reading.others == [Text("PNG text", key, text)]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "a" * 100_000,
        "a1:" * 30_000,
        "a " * 500_000,
        " " * 1_000_000,
        'a1:"' * 250_000,
        'a1:"\\' * 200_000,
        "a1:" * 300_000 + ",",
        "Negative prompt:\n" * 60_000,
        "Steps: 1, " * 100_000,
        '"' + "\\" * 1_000_000,
        '"" ' + "-S " * 300_000,
    ],
)
@pytest.mark.parametrize("key", ["parameters", "Dream"])
def test_a_long_text_is_parsed_in_linear_time(key: str, text: str) -> None:
    start = time.process_time()
    read_texts([Text("PNG text", key, text)])
    assert time.process_time() - start < 2


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
_KEYS = "parameters prompt workflow invokeai_metadata sd-metadata Dream Comment Software".split()


@given(st.lists(st.tuples(st.sampled_from(_KEYS), st.text() | _JSON.map(json.dumps)), max_size=4))
def test_any_text_is_read_without_an_error(pairs: list[tuple[str, str]]) -> None:
    for fact in read_texts([Text("PNG text", key, text) for key, text in pairs]).facts:
        assert isinstance(fact.value, str)


@given(st.sampled_from(sorted(COMFYUI)), st.sampled_from(["inputs", "class_type"]), _JSON)
def test_any_damaged_graph_is_read_without_an_error(node: str, part: str, value: object) -> None:
    graph = {**COMFYUI, node: {**COMFYUI[node], part: value}}
    read_texts([Text("PNG text", "prompt", json.dumps(graph))])
