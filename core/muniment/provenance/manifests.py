"""C2PA manifests, which are signed and detect every later change of the file that they are in.

They need the library c2pa-python, which the extra `muniment[c2pa]` installs. Nothing here uses the
network. So there is no time stamp of another party, and a manifest is invalid after its certificate
has expired.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NamedTuple

from muniment._version import __version__
from muniment.errors import ProvenanceError
from muniment.provenance.certificates import PURPOSES, Credentials, check_roots
from muniment.provenance.json import to_json
from muniment.provenance.xmp_packets import GENERATED
from muniment.times import iso
from muniment.types import Provenance

ASSERTION = "org.muniment.provenance"
"""The label of the assertion whose member `json` is the text of `to_json`."""

UNREADABLE = "muniment.manifest.unreadable"
"""The code of a manifest that cannot be read, for which C2PA defines none."""

# An assertion of a stranger may have any structure, also below the label of a standard one.
_MALFORMED = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
# The library accepts e-mail protection alone by default, and Microsoft signs with its own purpose.
_TRUST = {"trust_config": "\n".join((*PURPOSES, "1.3.6.1.4.1.311.76.59.1.9"))}
_NO_NETWORK = {"remote_manifest_fetch": False, "ocsp_fetch": False}


class Parent(NamedTuple):
    """A file that a generation was made from."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Action:
    """A step in the history of a file, as the signer asserts it.

    Attributes:
        name: The name of the step, such as `c2pa.created`.
        digital_source_type: The IPTC's term for the origin of the content, or an empty text.
        software: The name and version of the program, or an empty text.
        when: The time as text, or an empty text.
    """

    name: str
    digital_source_type: str
    software: str
    when: str


@dataclass(frozen=True, slots=True)
class Ingredient:
    """A file that another one was made from, as the signer of the latter asserts it.

    Attributes:
        title: The title of the file, or an empty text.
        media_type: The media type of the file, or an empty text.
        relationship: The relationship, such as `parentOf`.
        issuer: The organization that signed the manifest of the ingredient. Empty without one.
        codes: The failures that the signer found in that manifest, as codes of C2PA.
    """

    title: str
    media_type: str
    relationship: str
    issuer: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The active C2PA manifest of a file. All texts are those of its signer.

    Attributes:
        state: `Trusted` if it is intact and its certificate leads to a given root. `Valid` if it is
            intact and its signer is unknown. Otherwise `Invalid`.
        codes: The failures, as codes of C2PA such as `assertion.dataHash.mismatch`.
        issuer: The organization that the certificate names, or an empty text.
        common_name: The common name that the certificate names, or an empty text.
        serial: The serial number of the certificate in decimal digits, or an empty text.
        signed_at: The time of a time stamp as text, or an empty text.
        generator: The program that wrote the manifest, with its version.
        title: The title of the file, or an empty text.
        actions: The steps in the history of the file.
        ingredients: The files that it was made from.
        assertions: The contents of all assertions as JSON, by label and in the order of the file.
        provenance: The text to give to `from_json`, or an empty text if there is none.
    """

    state: Literal["Trusted", "Valid", "Invalid"]
    codes: tuple[str, ...]
    issuer: str = ""
    common_name: str = ""
    serial: str = ""
    signed_at: str = ""
    generator: str = ""
    title: str = ""
    actions: tuple[Action, ...] = ()
    ingredients: tuple[Ingredient, ...] = ()
    assertions: tuple[tuple[str, str], ...] = ()
    provenance: str = ""


def can_sign(media_type: str) -> bool:
    """Return whether files of a media type can have a manifest.

    Raises ProvenanceError if the library is not installed.
    """
    return media_type in _library().Builder.get_supported_mime_types()


def sign(
    data: bytes,
    media_type: str,
    provenances: Sequence[Provenance],
    credentials: Credentials,
    parents: Sequence[Parent] = (),
) -> bytes:
    """Return a file with a signed C2PA manifest, which has no thumbnail.

    The manifest asserts that a trained model generated the content, and contains the provenances
    as JSON. The first of `parents` with a manifest becomes the parent ingredient, and the others
    with one become inputs. Parents without a readable manifest are left out. Raises
    ProvenanceError if the library is not installed or cannot sign the file.
    """
    c2pa = _library()
    signed_parents = [each for each in parents if _has_manifest(each)]
    try:
        signer = c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(
                credentials.algorithm.encode(), credentials.chain, credentials.key, None
            )
        )
        settings = {
            "builder": {"thumbnail": {"enabled": False}},
            "trust": _TRUST,
            "verify": _NO_NETWORK,
        }
        signed = io.BytesIO()
        with (
            c2pa.Context.from_dict(settings, signer=signer) as context,
            c2pa.Builder(_definition(provenances, len(signed_parents)), context=context) as builder,
        ):
            for number, parent in enumerate(signed_parents):
                ingredient = {
                    "label": _ingredient(number),
                    "relationship": "inputTo" if number else "parentOf",
                }
                builder.add_ingredient(ingredient, parent.media_type, io.BytesIO(parent.data))
            builder.sign(media_type, io.BytesIO(data), signed)
    except c2pa.C2paError as error:
        raise ProvenanceError(f"the file cannot be signed: {_reason(error)}") from None
    return signed.getvalue()


def read_manifest(data: bytes, media_type: str, roots: Sequence[bytes] = ()) -> Manifest | None:
    """Return the active C2PA manifest of a file, or None if it has none.

    `roots` has the root certificates to trust, in PEM. A manifest that cannot be read is `Invalid`.
    A manifest on a server is not fetched. Raises ProvenanceError if the library is not installed or
    if a root is not a certificate.
    """
    c2pa = _library()
    trust = {**_TRUST, "user_anchors": check_roots(roots)} if roots else _TRUST
    settings = {"trust": trust, "verify": {**_NO_NETWORK, "verify_trust": True}}
    try:
        with (
            c2pa.Context.from_dict(settings) as context,
            c2pa.Reader(media_type, io.BytesIO(data), context=context) as reader,
        ):
            content = json.loads(reader.json())
        return _manifest(content)
    except (c2pa.C2paError, *_MALFORMED):
        # Every manifest has this type of box, and many errors of a file without one are the same
        # as those of a manifest with an altered byte.
        return Manifest("Invalid", (UNREADABLE,)) if b"jumb" in data else None


def _library() -> ModuleType:
    try:
        import c2pa
    except ImportError:
        raise ProvenanceError(
            "C2PA manifests need the library c2pa-python, which is not installed; run "
            "`pip install 'muniment[c2pa]'`"
        ) from None
    library: ModuleType = c2pa
    return library


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _has_manifest(parent: Parent) -> bool:
    manifest = read_manifest(parent.data, parent.media_type)
    return manifest is not None and UNREADABLE not in manifest.codes


# ---- the content of a new manifest -----------------------------------------------------------


def _definition(provenances: Sequence[Provenance], parents: int) -> dict[str, object]:
    agent = {"name": "muniment", "version": __version__}
    generated: dict[str, object] = {
        "digitalSourceType": GENERATED,
        "softwareAgent": agent,
        "when": iso(max(provenance.created_at for provenance in provenances)),
    }
    # C2PA 2.4, 18.15.4: the first action is `c2pa.opened` with a parent, else `c2pa.created`.
    if parents:
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": [_ingredient(0)]}}
        others = [_ingredient(number) for number in range(1, parents)]
        edited = {"action": "c2pa.edited", "parameters": {"ingredientIds": others}, **generated}
        actions = [opened, edited]
    else:
        actions = [{"action": "c2pa.created", **generated}]
    return {
        "claim_generator_info": [agent],
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


def _ingredient(number: int) -> str:
    return f"input-{number}"


# ---- the content of a manifest from a file ---------------------------------------------------


def _manifest(content: Mapping[str, Any]) -> Manifest:
    """Return the active manifest of the JSON that the library returns for a file."""
    manifests = content["manifests"]
    active = manifests[content["active_manifest"]]
    signature = active.get("signature_info", {})
    assertions = active.get("assertions", [])
    by_label = {each["label"]: each["data"] for each in reversed(assertions)}
    actions = by_label.get("c2pa.actions.v2") or by_label.get("c2pa.actions") or {}
    own = by_label.get(ASSERTION)
    return Manifest(
        state=content["validation_state"],
        codes=_failures(content.get("validation_results", {})),
        issuer=_text(signature.get("issuer")),
        common_name=_text(signature.get("common_name")),
        serial=_text(signature.get("cert_serial_number")),
        signed_at=_text(signature.get("time")),
        generator=_software(next(iter(active.get("claim_generator_info", [])), {})),
        title=_text(active.get("title")),
        actions=tuple(map(_action, actions.get("actions", []))),
        ingredients=tuple(
            _read_ingredient(each, manifests) for each in active.get("ingredients", [])
        ),
        assertions=tuple((each["label"], json.dumps(each["data"])) for each in assertions),
        provenance=_text(own.get("json")) if isinstance(own, Mapping) else "",
    )


def _failures(results: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the codes of a manifest's failures and of those that its ingredients have now."""
    statuses = [results.get("activeManifest", {})]
    statuses += [delta["validationDeltas"] for delta in results.get("ingredientDeltas", [])]
    codes = [failure["code"] for status in statuses for failure in status.get("failure", [])]
    return tuple(dict.fromkeys(codes))


def _action(action: Mapping[str, Any]) -> Action:
    return Action(
        name=_text(action["action"]),
        digital_source_type=_text(action.get("digitalSourceType")),
        software=_software(action.get("softwareAgent", "")),
        when=_text(action.get("when")),
    )


def _read_ingredient(ingredient: Mapping[str, Any], manifests: Mapping[str, Any]) -> Ingredient:
    manifest = manifests.get(_text(ingredient.get("active_manifest")), {})
    return Ingredient(
        title=_text(ingredient.get("title")),
        media_type=_text(ingredient.get("format")),
        relationship=_text(ingredient.get("relationship")),
        issuer=_text(manifest.get("signature_info", {}).get("issuer")),
        codes=_failures(ingredient.get("validation_results", {})),
    )


def _software(agent: object) -> str:
    """Return the name and version of a program, which old manifests have as one text."""
    if not isinstance(agent, Mapping):
        return _text(agent)
    return " ".join(filter(None, (_text(agent.get("name")), _text(agent.get("version")))))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
