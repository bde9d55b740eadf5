"""espeak-ng through ctypes: each text is said by a process of its own.

The library keeps state from one text to the next, through espeak_Terminate too: in one process the
same text was seen to give other samples each time. A fresh process has none, costs some 20 ms, and
a fault in the library ends that process alone.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys

SAMPLES_A_SECOND = 22050

_SYNCHRONOUS, _DO_NOT_EXIT, _UTF_8, _RATE, _PITCH = 2, 0x8000, 1, 1, 3
_UNKNOWN_VOICE, _NO_LIBRARY = 3, 4  # how the process says what was wrong
_SECONDS = 300


class CannotSpeak(Exception):
    """A text cannot be said; the message is a sentence for who asked."""


def say(text: str, voice: str, *, rate: int, pitch: int) -> bytes:
    """Return a text as samples: 16 bits, little-endian, one channel. Raises CannotSpeak."""
    library, data = _paths()
    asked = [library, data, text, voice, rate, pitch]
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", __file__],
            input=json.dumps(asked).encode(),
            capture_output=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise CannotSpeak(f"saying it took longer than {_SECONDS} s; split the prompt") from None
    except OSError as error:
        raise CannotSpeak(f"no process could be started to speak: {error.strerror}") from None
    if done.returncode == _UNKNOWN_VOICE:
        raise CannotSpeak(f"espeak-ng has no voice {voice!r}; take one such as en-us, cmn or de")
    if done.returncode == _NO_LIBRARY:
        raise CannotSpeak("the espeak-ng library cannot be loaded; install espeakng-loader again")
    if done.returncode != 0:
        raise CannotSpeak(f"espeak-ng failed (the process ended with {done.returncode})")
    return done.stdout


def facts() -> dict[str, str | int]:
    """Return which espeak-ng speaks, for the record."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return {"espeakng-loader": version("espeakng-loader")}
    except PackageNotFoundError:
        return {}


def _paths() -> tuple[str, str]:
    try:
        import espeakng_loader
    except ImportError:
        raise CannotSpeak(
            "speech needs the library espeak-ng: pip install espeakng-loader"
        ) from None
    return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()


def _main() -> int:
    """Say what standard input asks for, and write the samples to standard output."""
    library, data, text, voice, rate, pitch = json.load(sys.stdin)
    try:
        espeak = ctypes.CDLL(library)
    except OSError:
        return _NO_LIBRARY
    samples: list[bytes] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    def take(wave: int | None, count: int, events: int) -> int:
        if wave and count > 0:
            samples.append(ctypes.string_at(wave, 2 * count))
        return 0

    if espeak.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DO_NOT_EXIT) != SAMPLES_A_SECOND:
        return _NO_LIBRARY
    espeak.espeak_SetSynthCallback(take)
    if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
        return _UNKNOWN_VOICE
    espeak.espeak_SetParameter(_RATE, rate, 0)
    espeak.espeak_SetParameter(_PITCH, pitch, 0)
    said = text.encode() + b"\0"
    if espeak.espeak_Synth(said, ctypes.c_size_t(len(said)), 0, 0, 0, _UTF_8, None, None) != 0:
        return 1
    espeak.espeak_Synchronize()
    sys.stdout.buffer.write(b"".join(samples))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
