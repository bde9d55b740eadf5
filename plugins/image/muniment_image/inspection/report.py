"""All that a picture file states about itself, as one list of facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

import muniment
from muniment import provenance
from muniment_image import infotext, png, stamp
from muniment_image.containers import embedded, jpeg, webp
from muniment_image.trust import NOBODY, Trust, read_manifest

from . import exif_facts
from .facts import Fact, Text, bounded, value_text
from .tools import read_texts

_APP2, _PROFILE = 0xE2, b"ICC_PROFILE\0"
# Assertions that are facts of their own, or only protect the file.
_KNOWN_ASSERTIONS = ("c2pa.actions", "c2pa.hash", provenance.ASSERTION)


@dataclass(frozen=True)
class Report:
    """The metadata of a file. All of it is from the file, so none of it is trusted.

    The texts of other programs are parsed when `facts` is read, which a verification does not need.

    Attributes:
        format: PNG, JPEG, WebP or AVIF.
        size: The width and the height, or None if the pixels cannot be used.
        problem: The reason why the pixels cannot be used, or an empty text.
        generations: The provenances of Muniment in the file.
        manifest: The C2PA manifest, or None.
        is_own: Whether the certificate of this installation signed the manifest.
        unread: The reason why a manifest could not be read, or an empty text.
        trust: The certificates by which the signer was recognised.
        data: The bytes of the file.
        metadata: The texts and blocks in the file.
        own: The JSON of Muniment in the file, or None.
    """

    format: str
    size: tuple[int, int] | None
    problem: str
    generations: tuple[muniment.Provenance, ...]
    manifest: provenance.Manifest | None
    is_own: bool
    unread: str
    trust: Trust = field(repr=False)
    data: bytes = field(repr=False)
    metadata: embedded.Embedded = field(repr=False)
    own: str | None = field(repr=False)

    @cached_property
    def texts(self) -> tuple[Text, ...]:
        """The texts that facts are from, unchanged."""
        texts = (Text(self._place, *item) for item in self.metadata.texts if item[1] != self.own)
        return (*texts, *exif_facts.texts_of(self.metadata.exif))

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        """The facts in the order in which they are printed."""
        reading = read_texts(list(_without_own(self.texts, self.own)))
        facts = [
            *_file_facts(self.data, self.format, self.size, self.problem),
            *(fact for item in self.generations for fact in _own_facts(item)),
            *(_manifest_facts(self.manifest, self.own) if self.manifest else ()),
            *([Fact("C2PA", "not read", self.unread)] if self.unread else ()),
            *_xmp_facts(self.metadata.xmp),
            *reading.facts,
            *exif_facts.facts_of(self.metadata.exif),
            *(Fact(*text) for text in reading.others),
            *(
                Fact(self._place, key, "damaged or too large, not read")
                for key in self.metadata.skipped
            ),
        ]
        return tuple(bounded(facts))

    @property
    def _place(self) -> str:
        return f"{self.format} text"


def read_report(data: bytes, trust: Trust = NOBODY) -> Report | None:
    """Return the metadata of a picture file, or None for a file of another format."""
    metadata = embedded.read(data)
    if metadata is None:
        return None
    own = stamp.provenance_in(metadata)
    manifest, is_own, unread = _manifest(data, metadata.media_type, trust)
    generations = () if own is None else provenance.from_json(own)
    size, problem = _size(data)
    return Report(
        metadata.format,
        size,
        problem,
        generations,
        manifest,
        is_own,
        unread,
        trust,
        data,
        metadata,
        own,
    )


def _without_own(texts: Sequence[Text], own: str | None) -> Iterator[Text]:
    """Yield texts without the JSON of Muniment, which is one of them or stands at its end."""
    for text in texts:
        if own is not None and infotext.facts_of(text.text) == own:
            before = text.text.rpartition(f', {infotext.JSON_NAME}: "')[0]
            yield text._replace(text=before)
        elif text.text != own:
            yield text


def _size(data: bytes) -> tuple[tuple[int, int] | None, str]:
    """Return the width and the height, or None with the reason why the pixels cannot be used."""
    from muniment_image.pictures import PictureError, read_picture

    try:
        height, width = read_picture(data).shape[:2]
    except PictureError as error:
        return None, str(error)
    return (width, height), ""


def _file_facts(
    data: bytes, format: str, size: tuple[int, int] | None, problem: str
) -> Iterator[Fact]:
    shape = f"{size[0]} x {size[1]}, " if size else ""
    yield Fact("file", "format", f"{format}, {shape}{len(data):,} bytes")
    yield Fact("file", "pixels", problem)
    if profile := _profile_size(data, format):
        yield Fact("file", "colour profile", f"{profile:,} bytes")


def _profile_size(data: bytes, format: str) -> int:
    """Return the size of the colour profile as it is stored, or 0 without one."""
    match format:
        case "PNG":
            parts = (chunk.data for chunk in png.chunks(data) if chunk.kind == b"iCCP")
        case "WebP":
            parts = (chunk.data for chunk in webp.chunks(data) if chunk.kind == b"ICCP")
        case "JPEG":
            parts = (
                segment.data
                for segment in jpeg.segments(data)
                if segment.marker == _APP2 and segment.data.startswith(_PROFILE)
            )
        case _:
            return 0
    return sum(len(part) for part in islice(parts, embedded.MAX_PARTS))


def _own_facts(item: muniment.Provenance) -> Iterator[Fact]:
    """Yield the facts of a generation of Muniment."""
    yield Fact("muniment", "id", item.id)
    yield Fact("muniment", "created", item.created_at.isoformat())
    yield Fact("muniment", "generator", item.generator)
    yield Fact("muniment", "prompt", item.prompt)
    yield Fact("muniment", "seed", str(item.seed))
    yield Fact("muniment", "model", item.model)
    yield Fact("muniment", "model digest", item.model_digest)
    for name, value in item.parameters.items():
        yield Fact("muniment", name, value_text(value))
    for name, digest in item.models.items():
        yield Fact("muniment", f"{name} digest", digest)
    for name, version in item.versions.items():
        yield Fact("muniment", f"version of {name}", version)
    yield Fact("muniment", "producer", item.producer)


def _manifest(
    data: bytes, media_type: str, trust: Trust
) -> tuple[provenance.Manifest | None, bool, str]:
    """Return the manifest, whether it is an own one, and the reason why it cannot be read."""
    try:
        return *read_manifest(data, media_type, trust), ""
    except muniment.ProvenanceError as error:
        return None, False, str(error) if provenance.has_manifest(data) else ""


def _manifest_facts(manifest: provenance.Manifest, own: str | None) -> Iterator[Fact]:
    yield Fact("C2PA", "state", manifest.state)
    yield Fact("C2PA", "failures", ", ".join(manifest.codes))
    yield Fact("C2PA", "signer", ", ".join(filter(None, (manifest.issuer, manifest.common_name))))
    yield Fact("C2PA", "signed at", manifest.signed_at)
    yield Fact("C2PA", "program", manifest.generator)
    yield Fact("C2PA", "title", manifest.title)
    for action in manifest.actions:
        parts = (action.name, action.digital_source_type, action.software, action.when)
        yield Fact("C2PA", "action", ", ".join(filter(None, parts)))
    for item in manifest.ingredients:
        facts = (item.relationship, item.title, item.media_type, item.issuer, *item.codes)
        yield Fact("C2PA", "ingredient", ", ".join(filter(None, facts)))
    if manifest.provenance != own:
        yield Fact("C2PA", provenance.ASSERTION, manifest.provenance)
    for label, content in manifest.assertions:
        if not label.startswith(_KNOWN_ASSERTIONS):
            yield Fact("C2PA", label, content)


def _xmp_facts(packet: bytes) -> Iterator[Fact]:
    if not packet:
        return
    try:
        properties = provenance.read_xmp(packet).properties
    except muniment.ProvenanceError as error:
        yield Fact("XMP", "not read", str(error))
        return
    for name, value in properties:
        yield Fact("XMP", name, value)
