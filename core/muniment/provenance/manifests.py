"""C2PA manifests of files, as their signers wrote them and as the library validates them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from muniment.provenance.c2pa_library import MALFORMED, library, open_reader
from muniment.provenance.manifest_parts import has_manifest

ASSERTION = "org.muniment.provenance"
"""The label of the assertion whose member `json` is the text of `to_json`."""

UNREADABLE = "muniment.manifest.unreadable"
"""The code of a manifest that cannot be read, for which C2PA defines none."""


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


def read_manifest(data: bytes, media_type: str, roots: Sequence[bytes] = ()) -> Manifest | None:
    """Return the active C2PA manifest of a file, or None if it has none.

    `roots` has the root certificates to trust, in PEM. A manifest that cannot be read is `Invalid`.
    A manifest on a server is not fetched. Raises ProvenanceError if the library is not installed or
    if a root is not a certificate.
    """
    try:
        with open_reader(data, media_type, roots) as reader:
            content = json.loads(reader.json())
        return _manifest(content)
    except (library().C2paError, *MALFORMED):
        # Many errors of a file without a manifest are the same as those of a manifest with an
        # altered byte.
        return Manifest("Invalid", (UNREADABLE,)) if has_manifest(data) else None


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
