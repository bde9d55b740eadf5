"""The provenance of exported files, in the forms that standards and Muniment define.

Names are imported on first use, so that nothing is imported before a file is written or read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muniment._lazy import lazy_attributes

if TYPE_CHECKING:
    from muniment.provenance.certificates import (
        Credentials as Credentials,
        create_credentials as create_credentials,
        load_credentials as load_credentials,
        read_certificates as read_certificates,
    )
    from muniment.provenance.json import (
        FORMAT as FORMAT,
        from_json as from_json,
        to_json as to_json,
    )
    from muniment.provenance.labels import aigc as aigc, visible_label as visible_label
    from muniment.provenance.manifest_parts import has_manifest as has_manifest
    from muniment.provenance.manifests import (
        ASSERTION as ASSERTION,
        Action as Action,
        Ingredient as Ingredient,
        Manifest as Manifest,
        read_manifest as read_manifest,
    )
    from muniment.provenance.signatures import Parent as Parent, can_sign as can_sign, sign as sign
    from muniment.provenance.xmp_packets import (
        GENERATED as GENERATED,
        XmpFacts as XmpFacts,
        read_xmp as read_xmp,
        xmp as xmp,
    )

_MODULES = {
    "certificates": "Credentials create_credentials load_credentials read_certificates",
    "json": "FORMAT from_json to_json",
    "labels": "aigc visible_label",
    "manifest_parts": "has_manifest",
    "manifests": "ASSERTION Action Ingredient Manifest read_manifest",
    "signatures": "Parent can_sign sign",
    "xmp_packets": "GENERATED XmpFacts read_xmp xmp",
}

__all__ = sorted(" ".join(_MODULES.values()).split())
__getattr__, __dir__ = lazy_attributes(__name__, _MODULES)
