"""The labels that GB 45438-2025 requires of generated content, as the JSON AIGC and as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal

from muniment.types.provenance import Provenance

Language = Literal["zh", "en"]

# Section 5.1 b): the text names artificial intelligence ("人工智能" or "AI") and the generation
# ("生成" or "合成"). The English text is for readers outside China, where no wording is required.
_VISIBLE: dict[Language, str] = {"zh": "由人工智能生成", "en": "AI-generated"}


def aigc(provenances: Sequence[Provenance]) -> str:
    """Return the implicit label, a JSON object with the seven keys of GB 45438-2025, annex E.

    It has only ASCII characters. A combined file has one label, whose number consists of the ids of
    the generations with commas between them. The code of the producer is that of the first one.
    """
    producer = provenances[0].producer
    number = ",".join(provenance.id for provenance in provenances)
    label = {
        "Label": "1",  # "1" is generated, "2" possibly and "3" suspected to be generated
        "ContentProducer": producer,
        "ProduceID": number,
        "ReservedCode1": "",
        # Note 1 of annex E: these two repeat the producer's, until somebody publishes the file.
        "ContentPropagator": producer,
        "PropagateID": number,
        "ReservedCode2": "",
    }
    return json.dumps(label, ensure_ascii=True, separators=(",", ":"))


def visible_label(language: Language) -> str:
    """Return the text of the label that readers see, in Chinese or English."""
    return _VISIBLE[language]


def without_visible_label(text: bytes) -> tuple[bytes, ...]:
    """Return the texts that become this one when a visible label is added as the last line.

    There are two, because the line end before the label can be part of the text. There are none if
    the last line is no label.
    """
    before, line_end, last = text.removesuffix(b"\n").rpartition(b"\n")
    if not before or last not in {label.encode() for label in _VISIBLE.values()}:
        return ()
    return (before, before + line_end)
