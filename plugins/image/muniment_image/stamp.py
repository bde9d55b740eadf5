"""The provenance in exported picture files, at the places where other programs look, too.

PNG has a text `muniment` with the JSON, a text `parameters` for other programs, and XMP. JPEG, WebP
and AVIF have XMP and an EXIF user comment, which is the text `parameters` with the JSON at its end.
The comment of a file that shows several generations is the JSON alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import muniment
from muniment.provenance import from_json, to_json, xmp

from . import png
from .containers import embedded, exif
from .infotext import facts_of, infotext

KEY = "muniment"
"""The key of the JSON in a PNG file."""
PARAMETERS_KEY = "parameters"

# Chunks with the pixels, and those that change how they are shown. Texts, EXIF, times and unknown
# ones are left out, even unknown ones that the file declares critical.
_COPIED = frozenset(
    b"PLTE IDAT IEND tRNS gAMA cHRM sRGB cICP sBIT bKGD pHYs acTL fcTL fdAT".split()
)


def stamped(
    file: bytes,
    provenances: Sequence[muniment.Provenance],
    size: tuple[int, int] | None = None,
) -> bytes:
    """Return a PNG file with the provenances of its pictures, and without its other metadata.

    `size` is that of the recorded picture, if the file has another one. Raises ValueError if the
    file has no header.
    """
    size = size or png.size(file)
    header, *others = png.chunks(file)
    parts = [file[: header.end], _texts(provenances, size)]
    for chunk in others:
        if chunk.kind == b"iCCP":
            parts.append(png.profile_chunk(chunk))
        elif chunk.kind in _COPIED:
            parts.append(file[chunk.start : chunk.end])
        if chunk.kind == b"IEND":
            break
    return b"".join(parts)


def comment_block(
    provenances: Sequence[muniment.Provenance], size: tuple[int, int], limit: int | None = None
) -> bytes:
    """Return an EXIF block with the provenances of a picture of a size in pixels.

    The text for other programs is left out if the block would have more than `limit` bytes. If that
    is not enough, so are prompts and parameters, then all facts but the required ones, then
    generations. The core reports to the user that a file has no prompt.
    """
    for items in _reductions(provenances):
        for block in _blocks(items, size):
            if limit is None or len(block) <= limit:
                return block
    raise ValueError(f"the id of a generation does not fit into {limit} bytes")


def packet(provenances: Sequence[muniment.Provenance], limit: int | None = None) -> bytes:
    """Return the XMP of a file, of the first generations only if all are above the limit."""
    items = provenances
    while limit is not None and len(xmp(items)) > limit and len(items) > 1:
        items = items[: len(items) // 2]
    return xmp(items)


def read_provenance(file: bytes) -> str | None:
    """Return the JSON in a file of unknown origin, or None. Other texts are ignored."""
    metadata = embedded.read(file)
    return None if metadata is None else provenance_in(metadata)


def provenance_in(metadata: embedded.Embedded) -> str | None:
    """Return the JSON in the metadata of a file of unknown origin, or None."""
    for text in _candidates(metadata):
        try:
            from_json(text)
        except muniment.ProvenanceError:
            continue
        return text
    return None


def _texts(provenances: Sequence[muniment.Provenance], size: tuple[int, int]) -> bytes:
    """Return the chunks with the provenances of a picture."""
    chunks = [png.international_chunk(KEY, to_json(provenances))]
    if len(provenances) == 1:
        chunks.append(png.text_chunk(PARAMETERS_KEY, infotext(provenances[0], size)))
    chunks.append(png.international_chunk(embedded.XMP_KEY, packet(provenances).decode()))
    return b"".join(chunks)


def _blocks(provenances: Sequence[muniment.Provenance], size: tuple[int, int]) -> Iterator[bytes]:
    """Yield the EXIF block with the text for other programs, and the one without it."""
    facts = to_json(provenances)
    if len(provenances) == 1:
        yield exif.block(KEY, infotext(provenances[0], size, facts))
    yield exif.block(KEY, facts, "ascii")


def _reductions(
    provenances: Sequence[muniment.Provenance],
) -> Iterator[Sequence[muniment.Provenance]]:
    """Yield the provenances, then ever fewer facts of them, at last the id of the first one."""
    yield provenances
    short = [replace(item, prompt="", parameters={}, models={}) for item in provenances]
    yield short
    least = [replace(item, model="", model_digest="", versions={}, producer="") for item in short]
    yield least
    while len(least) > 1:
        least = least[: len(least) // 2]
        yield least


def _candidates(metadata: embedded.Embedded) -> Iterator[str]:
    """Yield the texts at the places where the JSON is written."""
    yield from (text for key, text in metadata.texts if key == KEY)
    for comment in exif.user_comments(metadata.exif):
        yield facts_of(comment) or comment
