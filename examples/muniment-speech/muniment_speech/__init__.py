"""A speech synthesis generator: `muniment generate speech "Once upon a time" -o out.wav`.

`wav.py` has the media type of its outputs.
"""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Iterable, Mapping, Sequence

import muniment

from . import espeak
from .wav import Wav

_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")  # \x01 starts a command of espeak-ng
_MAX_CHARACTERS = 20_000


class Speech(muniment.Generator):
    """Converts text to speech. The output does not depend on the seed."""

    name, media_type, determinism = "speech", "audio/wav", "exact"

    class Parameters(muniment.Parameters):
        """Parameters of the voice."""

        voice: str = muniment.param(
            "auto", help="voice of espeak-ng, such as en-us, cmn or de; auto = cmn or en-us"
        )
        rate: int = muniment.param(175, ge=80, le=450, help="words per minute")
        pitch: int = muniment.param(50, ge=0, le=100, help="pitch of the voice")

    def generate(self, requests: Sequence[muniment.Request]) -> Iterable[muniment.Reply]:
        """Yield a WAV file for each request. A text that cannot be spoken fails alone."""
        for request in requests:
            try:
                yield request.reply(muniment.Output("audio/wav", _wav(request)))
            except espeak.CannotSpeak as error:
                yield request.fail(str(error))

    def environment(self) -> Mapping[str, str | int]:
        """Return the version of espeak-ng."""
        return espeak.environment()


def _wav(request: muniment.Request) -> bytes:
    """Return the bytes of a WAV file. Raise CannotSpeak if the prompt cannot be spoken."""
    text = _CONTROL.sub(" ", request.prompt).strip()
    if not text:
        raise espeak.CannotSpeak("there is nothing to say; give a prompt of some words")
    if len(text) > _MAX_CHARACTERS:
        raise espeak.CannotSpeak(
            f"the prompt is longer than {_MAX_CHARACTERS:,} characters; split it"
        )
    parameters = request.parameters
    voice = parameters.voice
    if voice == "auto":
        voice = "cmn" if _HAN.search(text) else "en-us"
    samples = espeak.synthesize(text, voice, rate=parameters.rate, pitch=parameters.pitch)
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((1, 2, espeak.SAMPLE_RATE, 0, "NONE", ""))
        wav.writeframes(samples)
    return file.getvalue()


@muniment.hookimpl
def muniment_generators(register: muniment.Register) -> None:
    """Register the generator."""
    register(Speech)


@muniment.hookimpl
def muniment_media_types(register: muniment.Register) -> None:
    """Register the media type of the outputs."""
    register(Wav)
