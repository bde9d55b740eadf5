"""The labels in the XMP of a file, compared with those that Muniment writes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import muniment
from muniment import provenance

from .inspection.facts import object_of


def label_problems(
    packet: bytes, stated: Sequence[muniment.Provenance], recorded: Collection[str]
) -> Iterator[str]:
    """Yield a sentence on each label that is missing or is not the one that Muniment wrote.

    `packet` is the XMP of a file, and `stated` are the provenances elsewhere in it. Without any,
    the label names one of the ids `recorded`, which are those of the records with its pixels.
    """
    try:
        read = provenance.read_xmp(packet)
    except muniment.ProvenanceError:
        read = provenance.XmpFacts("", "", ())
    if read.digital_source_type != provenance.GENERATED:
        yield _problem("IPTC source type", read.digital_source_type)
    # A platform may write the other values (GB 45438-2025, annex E).
    own = {"Label": "1"}
    if stated:
        own["ContentProducer"] = stated[0].producer
    label = object_of(read.aigc) or {}
    ids = {item.id for item in stated} or set(recorded)
    named = set(str(label.get("ProduceID")).split(","))
    # Of many pictures, the label or the provenances have only as many as there is room for.
    is_same = named <= ids or ids <= named
    if not is_same or any(label.get(key) != value for key, value in own.items()):
        yield _problem("AIGC label", read.aigc)


def _problem(name: str, value: str) -> str:
    if value:
        return f"the {name} is not the one that Muniment writes for this picture"
    return f"the {name}, which marks the picture as generated, is missing"
