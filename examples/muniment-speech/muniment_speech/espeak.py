"""Speech synthesis with espeak-ng through ctypes, with one new process for each text.

The library keeps state between texts, even after espeak_Terminate, so that repeating a text in one
process was observed to return different samples. A new process has no such state, and takes about
20 ms to start. A crash of the library ends only that process.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys

SAMPLE_RATE = 22050

_SYNCHRONOUS, _DO_NOT_EXIT, _UTF_8, _RATE, _PITCH = 2, 0x8000, 1, 1, 3
_UNKNOWN_VOICE, _NO_LIBRARY = 3, 4  # exit codes of the process
_TIMEOUT = 300  # seconds


class CannotSpeak(Exception):
    """A text cannot be converted to speech. The message is a sentence for the user."""


def synthesize(text: str, voice: str, *, rate: int, pitch: int) -> bytes:
    """Return the samples of a spoken text: 16 bits, little-endian, one channel.

    `rate` is in words per minute, and `pitch` is from 0 to 100. Raises CannotSpeak.
    """
    library, data = _paths()
    arguments = [library, data, text, voice, rate, pitch]
    try:
        process = subprocess.run(
            [sys.executable, "-I", "-S", __file__],
            input=json.dumps(arguments).encode(),
            capture_output=True,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        raise CannotSpeak(f"the text took longer than {_TIMEOUT} s; split the prompt") from None
    except OSError as error:
        raise CannotSpeak(f"the process of espeak-ng cannot start: {error.strerror}") from None
    if process.returncode == _UNKNOWN_VOICE:
        raise CannotSpeak(f"espeak-ng has no voice {voice!r}; use one such as en-us, cmn or de")
    if process.returncode == _NO_LIBRARY:
        raise CannotSpeak("the espeak-ng library cannot be loaded; install espeakng-loader again")
    if process.returncode != 0:
        raise CannotSpeak(f"espeak-ng failed (its process ended with {process.returncode})")
    return process.stdout


def environment() -> dict[str, str | int]:
    """Return the installed version of espeakng-loader, for the record."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return {"espeakng-loader": version("espeakng-loader")}
    except PackageNotFoundError:
        return {}


def _paths() -> tuple[str, str]:
    """Return the paths of the library and of its data. Raise CannotSpeak if not installed."""
    try:
        import espeakng_loader
    except ImportError:
        raise CannotSpeak(
            "speech needs the library espeak-ng; run `pip install espeakng-loader`"
        ) from None
    return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()


def _main() -> int:
    """Read the arguments from standard input and write the samples to standard output."""
    library, data, text, voice, rate, pitch = json.load(sys.stdin)
    try:
        espeak = ctypes.CDLL(library)
    except OSError:
        return _NO_LIBRARY
    samples: list[bytes] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    def receive(wave: int | None, count: int, events: int) -> int:
        if wave and count > 0:
            samples.append(ctypes.string_at(wave, 2 * count))
        return 0

    if espeak.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DO_NOT_EXIT) != SAMPLE_RATE:
        return _NO_LIBRARY
    espeak.espeak_SetSynthCallback(receive)
    if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
        return _UNKNOWN_VOICE
    espeak.espeak_SetParameter(_RATE, rate, 0)
    espeak.espeak_SetParameter(_PITCH, pitch, 0)
    encoded = text.encode() + b"\0"
    size = ctypes.c_size_t(len(encoded))
    if espeak.espeak_Synth(encoded, size, 0, 0, 0, _UTF_8, None, None) != 0:
        return 1
    espeak.espeak_Synchronize()
    sys.stdout.buffer.write(b"".join(samples))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
