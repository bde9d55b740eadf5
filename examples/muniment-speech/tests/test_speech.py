"""Tests of the speech generator: the contract suite, voices, parameters, errors and replay."""

from __future__ import annotations

import array
import io
import sys
import wave
from typing import ClassVar

import pytest
from muniment_speech import Speech, Wav

import muniment
import muniment.testing

SENTENCE = "Once upon a time there was a lighthouse."
SATELLITE = "最近我国成功发射了新的卫星"


class TestSpeech(muniment.testing.GeneratorContract):
    generator = Speech
    parameters: ClassVar = {"rate": 300}
    seeded = False


def wav_of(*samples: int, rate: int = 22050) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((1, 2, rate, 0, "NONE", ""))
        wav.writeframes(array.array("h", samples).tobytes())
    return file.getvalue()


class TestWav(muniment.testing.MediaTypeContract):
    media_type = Wav
    samples = (wav_of(1, 2, 3), wav_of(1, 5, -3), wav_of(1, 2), wav_of(), wav_of(1, 2, rate=8000))


def test_a_comparison_names_the_first_sample_and_the_largest_difference() -> None:
    comparison = Wav().compare(wav_of(1, 2, 3), wav_of(1, 5, -3))
    assert (comparison.distance, comparison.position) == (6, "sample 2")
    assert Wav().compare(wav_of(1), wav_of(1, 2)).distance is None


def test_an_exported_file_is_a_wav_file_with_the_provenance(
    muniment_session: muniment.Session,
) -> None:
    done = muniment_session.generate(SENTENCE, generator="speech", seed=7)
    output, media = done.outputs[0], muniment_session.media
    file = media.export(done, output, ".wav", {})
    for text in (b"AI-generated", b"AIGC", done.id.encode(), SENTENCE.encode()):
        assert text in file
        assert text not in output.data
    with wave.open(io.BytesIO(file)) as exported, wave.open(io.BytesIO(output.data)) as recorded:
        assert exported.readframes(10**6) == recorded.readframes(10**6)
    assert media.describe(output) == f"WAV, {seconds(done):.1f} s, 22,050 Hz"
    assert len(str(media.preview(output, 60))) <= 60


def speak(prompt: str, **parameters: object) -> muniment.Reply:
    request = muniment.testing.request(prompt, parameters=Speech.Parameters(**parameters))
    (reply,) = Speech().generate([request])
    return reply


def seconds(reply: muniment.Reply | muniment.Generation) -> float:
    (output,) = reply.outputs
    assert output.media_type == "audio/wav"
    with wave.open(io.BytesIO(output.data)) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (1, 2, 22050)
        assert any(wav.readframes(wav.getnframes())), "silence"
        return wav.getnframes() / wav.getframerate()


def test_a_sentence_has_the_duration_of_natural_speech() -> None:
    assert 1.5 < seconds(speak(SENTENCE)) < 4


def test_a_chinese_prompt_uses_a_chinese_voice_by_default() -> None:
    assert speak(SATELLITE).outputs == speak(SATELLITE, voice="cmn").outputs
    assert 2 < seconds(speak(SATELLITE)) < 6
    assert speak(SATELLITE, voice="en-us").outputs != speak(SATELLITE).outputs


def test_rate_and_pitch_change_the_output() -> None:
    assert seconds(speak(SENTENCE, rate=350)) < 0.7 * seconds(speak(SENTENCE, rate=120))
    assert speak(SENTENCE, pitch=90).outputs != speak(SENTENCE, pitch=10).outputs


@pytest.mark.parametrize(
    ("prompt", "parameters", "reason"),
    [
        (" \n", {}, "there is nothing to say; give a prompt of some words"),
        ("a" * 20_001, {}, "longer than 20,000 characters; split it"),
        ("hello", {"voice": "nobody"}, "espeak-ng has no voice 'nobody'; use one such as"),
        ("hello", {"voice": ""}, "espeak-ng has no voice ''"),
    ],
)
def test_an_invalid_request_fails_with_a_sentence(
    prompt: str, parameters: dict[str, object], reason: str
) -> None:
    assert reason in str(speak(prompt, **parameters).failure)


def test_a_missing_wheel_fails_with_the_command_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    assert "pip install espeakng-loader" in str(speak("hello").failure)


def test_a_library_that_cannot_be_loaded_fails_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "muniment_speech.espeak._paths", lambda: ("/nonexistent.so", "/nonexistent")
    )
    assert "cannot be loaded; install espeakng-loader again" in str(speak("hello").failure)


def test_an_output_is_recorded_and_replays_exactly(muniment_session: muniment.Session) -> None:
    for prompt in (SENTENCE, SATELLITE):
        generation = muniment_session.generate(prompt, generator="speech", seed=7)
        assert generation.status == "completed"
        assert muniment_session.generation("last").outputs == generation.outputs
        assert generation.environment["espeakng-loader"]
        assert [replay.result for replay in muniment_session.replay([generation])] == ["exact"]
