"""A generator that says a text aloud: `muniment generate speech "Once upon a time" -o out.wav`."""

from __future__ import annotations

import io
import re
import wave
from collections.abc import Iterable, Mapping, Sequence

import muniment

from . import espeak

_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")  # espeak-ng takes commands behind \x01
_LONGEST = 20_000


class Speech(muniment.Generator):
    """Says a text. It draws nothing: the seed changes nothing."""

    name, media_type, determinism = "speech", "audio/wav", "exact"

    class Parameters(muniment.Parameters):
        """How a text is said."""

        voice: str = muniment.param(
            "auto", help="a voice of espeak-ng, such as en-us, cmn or de; auto: cmn or en-us"
        )
        rate: int = muniment.param(175, ge=80, le=450, help="words a minute")
        pitch: int = muniment.param(50, ge=0, le=100, help="how high the voice is")

    def generate(self, requests: Sequence[muniment.Request]) -> Iterable[muniment.Reply]:
        """Say each text; one that cannot be said fails alone."""
        for request in requests:
            try:
                yield request.reply(muniment.Output("audio/wav", _said(request)))
            except espeak.CannotSpeak as error:
                yield request.fail(str(error))

    def environment(self) -> Mapping[str, str | int]:
        """The version of what speaks."""
        return espeak.facts()


def _said(request: muniment.Request) -> bytes:
    text = _CONTROL.sub(" ", request.prompt).strip()
    if not text:
        raise espeak.CannotSpeak("there is nothing to say; give a prompt of some words")
    if len(text) > _LONGEST:
        raise espeak.CannotSpeak(f"the prompt is longer than {_LONGEST:,} characters; split it")
    wanted = request.parameters
    voice = wanted.voice
    if voice == "auto":
        voice = "cmn" if _HAN.search(text) else "en-us"
    samples = espeak.say(text, voice, rate=wanted.rate, pitch=wanted.pitch)
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((1, 2, espeak.SAMPLES_A_SECOND, 0, "NONE", ""))
        wav.writeframes(samples)
    return file.getvalue()


@muniment.hookimpl
def muniment_generators(register: muniment.Register) -> None:
    """Register the generator."""
    register(Speech)
