"""What Muniment relies on, and that it speaks: English, Chinese, and the same on every day."""

from __future__ import annotations

import io
import sys
import wave
from typing import ClassVar

import pytest
from muniment_speech import Speech

import muniment
import muniment.testing

SENTENCE = "Once upon a time there was a lighthouse."
SATELLITE = "最近我国成功发射了新的卫星"


class TestSpeech(muniment.testing.GeneratorContract):
    generator = Speech
    parameters: ClassVar = {"rate": 300}
    seeded = False


def said(prompt: str, **parameters: object) -> muniment.Reply:
    asked = muniment.testing.request(prompt, parameters=Speech.Parameters(**parameters))
    (reply,) = Speech().generate([asked])
    return reply


def seconds(reply: muniment.Reply) -> float:
    (output,) = reply.outputs
    assert output.media_type == "audio/wav"
    with wave.open(io.BytesIO(output.data)) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, 22050)
        assert any(wav.readframes(wav.getnframes())), "silence"
        return wav.getnframes() / wav.getframerate()


def test_a_sentence_takes_about_as_long_as_a_person_takes() -> None:
    assert 1.5 < seconds(said(SENTENCE)) < 4


def test_chinese_is_said_by_a_chinese_voice_unless_another_is_named() -> None:
    assert said(SATELLITE).outputs == said(SATELLITE, voice="cmn").outputs
    assert 2 < seconds(said(SATELLITE)) < 6
    assert said(SATELLITE, voice="en-us").outputs != said(SATELLITE).outputs


def test_rate_and_pitch_do_what_they_say() -> None:
    assert seconds(said(SENTENCE, rate=350)) < 0.7 * seconds(said(SENTENCE, rate=120))
    assert said(SENTENCE, pitch=90).outputs != said(SENTENCE, pitch=10).outputs


@pytest.mark.parametrize(
    ("prompt", "parameters", "reason"),
    [
        (" \n", {}, "there is nothing to say; give a prompt of some words"),
        ("a" * 20_001, {}, "longer than 20,000 characters; split it"),
        ("hello", {"voice": "nobody"}, "espeak-ng has no voice 'nobody'; take one such as"),
        ("hello", {"voice": ""}, "espeak-ng has no voice ''"),
    ],
)
def test_what_cannot_be_said_fails_with_a_sentence(
    prompt: str, parameters: dict[str, object], reason: str
) -> None:
    assert reason in str(said(prompt, **parameters).failure)


def test_without_the_wheel_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    assert (
        said("hello").failure == "speech needs the library espeak-ng: pip install espeakng-loader"
    )


def test_a_library_that_cannot_be_loaded_is_an_error_of_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "muniment_speech.espeak._paths", lambda: ("/nonexistent.so", "/nonexistent")
    )
    assert "cannot be loaded; install espeakng-loader again" in str(said("hello").failure)


def test_what_it_says_is_recorded_and_replays_exactly(muniment_session: muniment.Session) -> None:
    for prompt in (SENTENCE, SATELLITE):
        generation = muniment_session.generate(prompt, generator="speech", seed=7)
        assert generation.status == "completed"
        assert muniment_session.generation("last").outputs == generation.outputs
        assert generation.environment["espeakng-loader"]
        assert [replay.result for replay in muniment_session.replay([generation])] == ["exact"]
