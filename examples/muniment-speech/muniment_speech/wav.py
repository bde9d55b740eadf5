"""The media type audio/wav: description, comparison, preview, and files with their provenance."""

import array
import io
import struct
import wave

import muniment
from muniment.provenance import aigc, to_json


class Wav(muniment.MediaType):
    """WAV files with 16-bit samples. Exported ones contain the provenance and an AI label."""

    name, media_types, suffixes = "wav", ("audio/wav",), (".wav",)

    def matches(self, data):
        return data[:4] == b"RIFF" and data[8:12] == b"WAVE"

    def describe(self, data):
        channels, rate, samples = read(data)
        return f"WAV, {len(samples) / channels / rate:.1f} s, {rate:,} Hz"

    def preview(self, data, columns):
        samples = read(data)[2]
        step = max(1, -(-len(samples) // columns))
        peaks = (max(map(abs, samples[i : i + step])) for i in range(0, len(samples), step))
        return "".join("▁▂▃▄▅▆▇█"[peak * 7 // 32768] for peak in peaks)

    def compare(self, recorded, again):
        (*form, old), (*other_form, new) = read(recorded), read(again)
        if form != other_form or len(old) != len(new):
            return muniment.Comparison(None, "another length or sample rate")
        differences = [abs(a - b) for a, b in zip(old, new, strict=True)]
        first = next((index for index, number in enumerate(differences, 1) if number), 0)
        distance = max(differences, default=0)
        return muniment.Comparison(distance, "largest difference of a sample", f"sample {first}")

    def fingerprint(self, data):
        channels, rate, samples = read(data)
        return b"%d %d " % (channels, rate) + samples.tobytes()

    def export(self, data, provenance, suffix, options):
        texts = {b"ICMT": "AI-generated", b"ISBJ": to_json([provenance])}
        info = b"".join(chunk(name, text.encode() + b"\0") for name, text in texts.items())
        # The chunk AIGC is the implicit label of GB 45438-2025 (TC260-PG-202510A).
        label = chunk(b"AIGC", aigc([provenance]).encode())
        body = data[12:] + chunk(b"LIST", b"INFO" + info) + label
        return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body

    def read_provenance(self, data):
        info = dict(chunks(data, 12)).get(b"LIST", b"")
        return dict(chunks(info, 4)).get(b"ISBJ", b"").decode().strip("\0") or None


def read(data):
    with wave.open(io.BytesIO(data)) as wav:
        if wav.getsampwidth() != 2:
            raise ValueError("its samples are not 16 bits wide")
        samples = array.array("h", wav.readframes(wav.getnframes()))
        return wav.getnchannels(), wav.getframerate(), samples


def chunk(name, content):
    return struct.pack("<4sI", name, len(content)) + content + b"\0" * (len(content) % 2)


def chunks(data, place):
    while place + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        yield name, data[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
