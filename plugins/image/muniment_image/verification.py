"""Comparison of a picture file with its signature and with the record of its generation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import muniment

from . import png
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
        manifest: One of OWN, TRUSTED, UNKNOWN, ALTERED, NO_MANIFEST and UNREAD.
        signer: The name in the certificate, or an empty text.
        codes: The failures of the manifest, as codes of C2PA.
        pixels: One of SAME, OTHER and NO_MATCH.
        id: The id of the record that has these pixels, or that the file names. None without one.
        named: The ids in the file.
        notes: Sentences on the record.
    """

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
            "manifest": self.manifest,
            "signer": self.signer or None,
            "failures": list(self.codes),
            "pixels": self.pixels,
            "record": self.id if self.pixels == SAME else None,
            "named": list(self.named),
            "notes": list(self.notes),
        }

    @property
    def exit_code(self) -> int:
        """The exit code of `image verify`."""
        if self.manifest == ALTERED or self.pixels == OTHER:
            return _UNVERIFIED
        is_known = self.manifest in (OWN, TRUSTED) or self.pixels == SAME
        return _DONE if is_known else _UNKNOWN


def verify(session: muniment.Session, file: Path, report: Report) -> Verification:
    """Return the result for a file with this metadata. Raises StoreError."""
    manifest, signer = _manifest(report)
    codes = report.manifest.codes if report.manifest else ()
    if report.problem:
        pixels, id, notes = NO_MATCH, None, [report.problem]
    else:
        pixels, id, notes = _pixels(session, file, report)
    if report.unread:
        notes.append(report.unread)
    named = tuple(item.id for item in report.generations)
    return Verification(manifest, signer, codes, pixels, id, named, tuple(notes))


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


def _pixels(
    session: muniment.Session, file: Path, report: Report
) -> tuple[str, str | None, list[str]]:
    """Return the result for the pixels, the id of the record, and notes."""
    try:
        origin = session.find_file(file)
    except muniment.UnknownFileError:
        return NO_MATCH, None, []
    if origin.input is not None:
        note = f"the file is the input {origin.input} of generation {origin.id}, and no output"
        return NO_MATCH, None, [note]
    if origin.same_content:
        notes = list(_false_statements(session.generation(origin.id), report.generations))
        if origin.others:
            notes.append(f"further generations with the same pixels: {len(origin.others):,}")
        return SAME, origin.id, notes
    # The pixels of another format, and those of a scaled or labelled file, are never the recorded
    # ones. With the same size in the recorded format, somebody altered them.
    is_altered = (
        origin.same_content is False
        and report.format == "PNG"
        and report.size == _recorded_size(session, origin.id)
    )
    return (OTHER if is_altered else NO_MATCH), origin.id, []


def _false_statements(
    generation: muniment.Generation, stated: Sequence[muniment.Provenance]
) -> Iterator[str]:
    """Yield a sentence on each statement of a file that differs from the record.

    Facts whose payload was erased or changed after it was recorded cannot be compared.
    """
    recorded = generation.provenance
    unknown = {*generation.erased, *generation.altered}
    comparable = [name for name, kind in _COMPARED.items() if kind not in unknown]
    for item in stated:
        if item.id != recorded.id:
            yield f"the file names generation {item.id}, which has other pixels"
            continue
        for name in comparable:
            value = getattr(item, name)
            # A private file has neither a prompt nor parameters.
            if value not in ("", {}) and value != getattr(recorded, name):
                yield f"the file states another {name.replace('_', ' ')} than the record"


def _recorded_size(session: muniment.Session, id: str) -> tuple[int, int] | None:
    """Return the size of the picture on record, or None if it was erased."""
    for output in session.generation(id).outputs:
        if output.media_type == "image/png" and output.data:
            return png.size(output.data)
    return None
