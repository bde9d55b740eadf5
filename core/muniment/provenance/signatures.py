"""Signing of files with a C2PA manifest, which detects every later change of the file.

There is no time stamp of another party, because that needs the network. So a manifest is invalid
after its certificate has expired.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from muniment._version import __version__
from muniment.errors import ProvenanceError
from muniment.provenance.c2pa_library import MALFORMED, NO_NETWORK, TRUST, library, open_reader
from muniment.provenance.certificates import Credentials
from muniment.provenance.json import to_json
from muniment.provenance.manifests import ASSERTION
from muniment.provenance.xmp_packets import GENERATED
from muniment.times import iso
from muniment.types import Provenance

# Assertions of a parent that describe persons, places and other generations, by label. That of
# Muniment has the prompt of the parent.
_PERSONAL = (
    "stds.",
    "c2pa.metadata",
    "c2pa.thumbnail",
    "cawg.identity",
    "cawg.metadata",
    ASSERTION,
)


class Parent(NamedTuple):
    """A file that a generation was made from."""

    data: bytes
    media_type: str


def can_sign(media_type: str) -> bool:
    """Return whether files of a media type can have a manifest.

    Raises ProvenanceError if the library is not installed.
    """
    return media_type in library().Builder.get_supported_mime_types()


def sign(
    data: bytes,
    media_type: str,
    provenances: Sequence[Provenance],
    credentials: Credentials,
    parents: Sequence[Parent] = (),
) -> bytes:
    """Return a file with a signed C2PA manifest, which has no thumbnail.

    The manifest asserts that a trained model generated the content, and contains the provenances
    as JSON.

    The first of `parents` with a manifest becomes the parent ingredient, and the others with one
    become inputs. Parents without a readable manifest are left out. From their manifests, metadata
    such as place and author, thumbnails and the provenances of other generations are redacted.
    Raises ProvenanceError if the library is not installed or cannot sign the file.
    """
    c2pa = library()
    redactions = [(parent, _personal_assertions(parent)) for parent in parents]
    ingredients = [parent for parent, uris in redactions if uris is not None]
    redacted = [uri for _, uris in redactions for uri in uris or ()]
    definition = _definition(provenances, len(ingredients), list(dict.fromkeys(redacted)))
    settings = {
        "builder": {"thumbnail": {"enabled": False}},
        "trust": TRUST,
        "verify": NO_NETWORK,
    }
    signed = io.BytesIO()
    try:
        signer = c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(
                credentials.algorithm.encode(), credentials.chain, credentials.key, None
            )
        )
        with (
            c2pa.Context.from_dict(settings, signer=signer) as context,
            c2pa.Builder(definition, context=context) as builder,
        ):
            for number, parent in enumerate(ingredients):
                ingredient = {
                    "label": _ingredient(number),
                    "relationship": "inputTo" if number else "parentOf",
                }
                builder.add_ingredient(ingredient, parent.media_type, io.BytesIO(parent.data))
            builder.sign(media_type, io.BytesIO(data), signed)
    except c2pa.C2paError as error:
        reason = " ".join(str(error).split())[:200]
        raise ProvenanceError(f"the file cannot be signed: {reason}") from None
    return signed.getvalue()


def _personal_assertions(parent: Parent) -> list[str] | None:
    """Return the URIs of the assertions to redact, or None if there is no readable manifest."""
    try:
        with open_reader(*parent) as reader:
            manifests = json.loads(reader.detailed_json())["manifests"]
    except (library().C2paError, *MALFORMED):
        return None
    return [
        f"self#jumbf=/c2pa/{label}/c2pa.assertions/{assertion}"
        for label, manifest in manifests.items()
        for assertion in manifest["assertion_store"]
        if assertion.startswith(_PERSONAL)
    ]


def _definition(
    provenances: Sequence[Provenance], parents: int, redactions: Sequence[str]
) -> dict[str, object]:
    agent = {"name": "muniment", "version": __version__}
    generated: dict[str, object] = {
        "digitalSourceType": GENERATED,
        "softwareAgent": agent,
        "when": iso(max(provenance.created_at for provenance in provenances)),
    }
    # C2PA 2.4, section 18.15.2: the first action is `c2pa.opened` of a parent, or `c2pa.created`.
    if parents:
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_ingredient(0)]}}
        others = [_ingredient(number) for number in range(1, parents)]
        edited = {"action": "c2pa.edited", "parameters": {"ingredientIds": others}, **generated}
        actions = [opened, edited, *map(_redacted, redactions)]
    else:
        actions = [{"action": "c2pa.created", **generated}]
    return {
        "claim_generator_info": [agent],
        "redactions": list(redactions),
        "assertions": [
            {"label": "c2pa.actions.v2", "created": True, "data": {"actions": actions}},
            *_disclosures(provenances),
            # As a text, because the library rounds some numbers when it writes JSON again.
            {"label": ASSERTION, "created": True, "data": {"json": to_json(provenances)}},
        ],
    }


def _disclosures(provenances: Sequence[Provenance]) -> Iterator[dict[str, object]]:
    """Yield an assertion for each model, as C2PA 2.4 defines it for transparency."""
    models = {provenance.model_digest: provenance.model for provenance in provenances}
    for digest, name in models.items():
        if name and digest:
            data = {"modelType": "c2pa.types.model", "modelName": name, "modelIdentifier": digest}
            yield {"label": "c2pa.ai-disclosure", "created": True, "data": data}


def _redacted(uri: str) -> dict[str, object]:
    return {
        "action": "c2pa.redacted",
        "reason": "c2pa.PII.present",
        "parameters": {"redacted": uri},
    }


def _ingredient(number: int) -> str:
    return f"input-{number}"
