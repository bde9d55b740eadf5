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
from muniment.types.provenance import Provenance

# The beginnings of the labels of a parent's assertions that stay, because validation needs them.
# Any other assertion can have persons, places or a prompt.
_NEEDED = ("c2pa.actions", "c2pa.hash.", "c2pa.ingredient")


class Parent(NamedTuple):
    """A file that a generation was made from."""

    data: bytes
    media_type: str


class _History(NamedTuple):
    """The assertions in all manifests of a file, by their URIs.

    Attributes:
        personal: Those that validation does not need, and that can describe persons or places.
        redacted: Those that a manifest has redacted.
    """

    personal: list[str]
    redacted: list[str]


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
    become inputs. In a file of several generations, all become inputs. Parents without a readable
    manifest are left out. All assertions of their manifests are redacted, except those of actions,
    hashes and ingredients. Raises ProvenanceError if the library is not installed or cannot sign
    the file. A damaged manifest of a parent can be the cause of that.
    """
    c2pa = library()
    readable = [(parent, _read_history(parent)) for parent in parents]
    ingredients = [parent for parent, history in readable if history is not None]
    histories = [history for _, history in readable if history is not None]
    definition = _definition(provenances, len(ingredients), _redactions(histories))
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
            has_parent = _has_parent(provenances, len(ingredients))
            for number, parent in enumerate(ingredients):
                ingredient = {
                    "label": _ingredient(number),
                    "relationship": "parentOf" if has_parent and number == 0 else "inputTo",
                }
                builder.add_ingredient(ingredient, parent.media_type, io.BytesIO(parent.data))
            builder.sign(media_type, io.BytesIO(data), signed)
    except c2pa.C2paError as error:
        reason = " ".join(str(error).split())[:200]
        raise ProvenanceError(f"the file cannot be signed: {reason}") from None
    file = signed.getvalue()
    if ingredients:
        _check_redacted(Parent(file, media_type), histories)
    return file


def _read_history(file: Parent) -> _History | None:
    """Return the assertions of a file, or None if it has no readable manifest."""
    try:
        with open_reader(*file) as reader:
            manifests = json.loads(reader.detailed_json())["manifests"]
        personal = [
            f"self#jumbf=/c2pa/{label}/c2pa.assertions/{assertion}"
            for label, manifest in manifests.items()
            for assertion in manifest["assertion_store"]
            if not assertion.startswith(_NEEDED)
        ]
        claims = [manifest["claim"] for manifest in manifests.values()]
        redacted = [uri for claim in claims for uri in claim.get("redacted_assertions") or ()]
        return _History(personal, redacted)
    except (library().C2paError, *MALFORMED):
        return None


def _redactions(histories: Sequence[_History]) -> list[str]:
    """Return the URIs of the assertions to redact in the merged manifests of all parents.

    An assertion that one parent redacted is not in the merged manifests, even if another parent
    contains it. The library refuses to redact it again.
    """
    redacted = {uri for history in histories for uri in history.redacted}
    personal = dict.fromkeys(uri for history in histories for uri in history.personal)
    return [uri for uri in personal if uri not in redacted]


def _check_redacted(signed: Parent, histories: Sequence[_History]) -> None:
    """Raise ProvenanceError if a signed file contains an assertion that should be redacted."""
    history = _read_history(signed)
    personal = {uri for each in histories for uri in each.personal}
    if history is None or not personal.isdisjoint(history.personal):
        raise ProvenanceError(
            "the file cannot be signed: the manifest of an input cannot be redacted; remove the "
            "manifest from the input"
        )


def _definition(
    provenances: Sequence[Provenance], ingredients: int, redactions: Sequence[str]
) -> dict[str, object]:
    agent = {"name": "muniment", "version": __version__}
    generated: dict[str, object] = {
        "digitalSourceType": GENERATED,
        "softwareAgent": agent,
        "when": iso(max(provenance.created_at for provenance in provenances)),
    }
    ids = [_ingredient(number) for number in range(ingredients)]
    # C2PA 2.4, section 18.15.2: the first action is `c2pa.opened` of a parent, or `c2pa.created`.
    if _has_parent(provenances, ingredients):
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ids[:1]}}
        edited = {"action": "c2pa.edited", "parameters": {"ingredientIds": ids[1:]}, **generated}
        actions = [opened, edited]
    else:
        parameters = {"parameters": {"ingredientIds": ids}} if ids else {}
        actions = [{"action": "c2pa.created", **parameters, **generated}]
    actions += map(_redacted, redactions)
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


def _has_parent(provenances: Sequence[Provenance], ingredients: int) -> bool:
    """Return whether the first ingredient is the parent of the file.

    A file of several generations is not an edited form of an input, which only some of them had.
    """
    return len(provenances) == 1 and ingredients > 0


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
