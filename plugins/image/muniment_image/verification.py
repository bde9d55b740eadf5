"""Comparison of a picture file with its signature and with the record of its generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import muniment

from . import png
from .appearance import differences
from .implicit_labels import label_problems
from .inspection.report import Report

OWN = "intact, signed by this installation"
TRUSTED = "intact, trusted signer"
UNKNOWN = "intact, unknown signer"
ALTERED = "altered"
NO_MANIFEST = "no manifest"
UNREAD = "not read"

SAME = "same pixels"
OTHER = "altered pixels"
NO_MATCH = "no exact match"

_DONE, _UNKNOWN, _UNVERIFIED = 0, 1, 4
# The failures of a certificate, with which the file can still be the signed one.
_CERTIFICATE = "signingCredential."
# The compared facts, each with the kind of payload whose erasure leaves the record without it.
_COMPARED = {
    "prompt": "prompt",
    "seed": "",
    "parameters": "request",
    "generator": "request",
    "model_digest": "request",
}


@dataclass(frozen=True)
class Verification:
    """The result for a file: that of its manifest, and that of its pixels.

    Attributes:
        file: The path of the file.
        manifest: One of OWN, TRUSTED, UNKNOWN, ALTERED, NO_MANIFEST and UNREAD.
        signer: The name in the certificate, or an empty text.
        codes: The failures of the manifest, as codes of C2PA.
        pixels: One of SAME, OTHER and NO_MATCH.
        id: The id of the record that has these pixels, or that the file names. None without one.
        named: The ids in the file.
        notes: Sentences on the record.
    """

    file: Path
    manifest: str
    signer: str
    codes: tuple[str, ...]
    pixels: str
    id: str | None
    named: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the result in the shape that `image verify --json` prints."""
        return {
            "file": str(self.file),
            "manifest": self.manifest,
            "signer": self.signer or None,
            "failures": list(self.codes),
            "pixels": self.pixels,
            "record": self.record,
            "named": list(self.named),
            "notes": list(self.notes),
        }

    @property
    def record(self) -> str | None:
        """The id of the record that has the same pixels."""
        return self.id if self.pixels == SAME else None

    @property
    def exit_code(self) -> int:
        """The exit code of `image verify`."""
        if self.manifest == ALTERED or self.pixels == OTHER:
            return _UNVERIFIED
        is_known = self.manifest in (OWN, TRUSTED) or self.pixels == SAME
        return _DONE if is_known else _UNKNOWN


@dataclass(frozen=True)
class _Match:
    """The result for the pixels. `recorded` are the ids of all records that have them."""

    pixels: str
    id: str | None = None
    notes: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()


def verify(session: muniment.Session, file: Path, report: Report) -> Verification:
    """Return the result for a file with this metadata. Raises StoreError."""
    manifest, signer = _manifest(report)
    codes = report.manifest.codes if report.manifest else ()
    match = (
        _Match(NO_MATCH, notes=(report.problem,))
        if report.problem
        else _match(session, file, report)
    )
    notes = [*match.notes, *report.trust.problems]
    # A signature protects the labels, but one of a stranger can have been made afterwards.
    if manifest not in (OWN, TRUSTED) and (report.generations or match.recorded):
        notes += label_problems(report.metadata.xmp, report.generations, match.recorded)
    if report.unread:
        notes.append(report.unread)
    named = tuple(item.id for item in report.generations)
    return Verification(file, manifest, signer, codes, match.pixels, match.id, named, tuple(notes))


def _manifest(report: Report) -> tuple[str, str]:
    """Return the result for the manifest and the name of the signer."""
    manifest = report.manifest
    if manifest is None:
        return (UNREAD if report.unread else NO_MANIFEST), ""
    signer = ", ".join(filter(None, (manifest.issuer, manifest.common_name)))
    match manifest.state:
        case "Trusted":
            return (OWN if report.is_own else TRUSTED), signer
        case "Valid":
            return UNKNOWN, signer
    is_intact = all(code.startswith(_CERTIFICATE) for code in manifest.codes)
    return (UNKNOWN if manifest.codes and is_intact else ALTERED), signer


def _match(session: muniment.Session, file: Path, report: Report) -> _Match:
    """Return the result for pixels that can be used."""
    try:
        origin = session.find_file(file, content=report.data)
    except muniment.UnknownFileError:
        return _Match(NO_MATCH)
    if origin.input is not None:
        note = f"the file is the input {origin.input} of generation {origin.id}, and no output"
        return _Match(NO_MATCH, notes=(note,))
    recorded = session.generation(origin.id)
    if not origin.same_content:
        # The pixels of another format, and those of a scaled or labelled file, are never the
        # recorded ones. With the same size in the recorded format, somebody altered them.
        is_altered = (
            origin.same_content is False
            and report.format == "PNG"
            and any(png.size(output) == report.size for output in _outputs(recorded, "image/png"))
        )
        return _Match(OTHER if is_altered else NO_MATCH, origin.id)
    ids = (origin.id, *origin.others)
    pictures = _outputs(recorded, "image/") or [b""]
    if properties := min((differences(report.data, each) for each in pictures), key=len):
        note = (
            f"the pixels are those of generation {origin.id}, but the file has "
            f"{' and '.join(properties)}, which the record lacks, so that it can look different"
        )
        id = origin.id if origin.id == origin.stamp else None
        return _Match(NO_MATCH, id, (note,), ids)
    notes = list(_false_statements(session, recorded, report.generations))
    if origin.others:
        notes.append(f"further generations with the same pixels: {len(origin.others):,}")
    return _Match(SAME, origin.id, tuple(notes), ids)


def _false_statements(
    session: muniment.Session,
    generation: muniment.Generation,
    stated: Sequence[muniment.Provenance],
) -> Iterator[str]:
    """Yield a sentence on each statement of a file that differs from the record.

    Facts whose payload was erased or changed after it was recorded cannot be compared.
    """
    recorded = generation.provenance
    unknown = {*generation.erased, *generation.altered}
    comparable = [name for name, kind in _COMPARED.items() if kind not in unknown]
    for item in stated:
        if item.id != recorded.id:
            yield f"the file names generation {item.id}, {_mismatch(session, item.id)}"
            continue
        for name in comparable:
            value = getattr(item, name)
            # A private file has neither a prompt nor parameters.
            if value not in ("", {}) and value != getattr(recorded, name):
                yield f"the file states another {name.replace('_', ' ')} than the record"


def _mismatch(session: muniment.Session, id: str) -> str:
    """Return the reason why a generation that a file names is not that of its pixels."""
    try:
        session.generation(id)
    except muniment.UnknownNameError:
        return "which is not in this store"
    return "whose record does not have these pixels"


def _outputs(generation: muniment.Generation, media_type: str) -> list[bytes]:
    """Return the outputs whose media types begin so, without those that were erased."""
    outputs = (item for item in generation.outputs if item.media_type.startswith(media_type))
    return [output.data for output in outputs if output.data]
