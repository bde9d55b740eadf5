"""The library c2pa-python, imported on first use and without access to the network."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from muniment.errors import ProvenanceError
from muniment.provenance.certificates import PURPOSES, check_roots

MALFORMED = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""The errors of reading the library's JSON, in which the parts of strangers have any structure."""

# The library accepts e-mail protection alone by default, and Microsoft signs with its own purpose.
TRUST = {"trust_config": "\n".join((*PURPOSES, "1.3.6.1.4.1.311.76.59.1.9"))}
NO_NETWORK = {"remote_manifest_fetch": False, "ocsp_fetch": False}


def library() -> ModuleType:
    """Return the library. Raises ProvenanceError if it is not installed or cannot be loaded."""
    try:
        import c2pa
    except ModuleNotFoundError:
        raise ProvenanceError(
            "C2PA manifests need the library c2pa-python, which is not installed; run "
            "`pip install 'muniment[c2pa]'`"
        ) from None
    except (ImportError, OSError, RuntimeError, ValueError) as error:  # its native part
        raise ProvenanceError(
            f"C2PA manifests need the library c2pa-python, which cannot be loaded: {error}; "
            "install the wheel of your platform"
        ) from None
    module: ModuleType = c2pa
    return module


@contextlib.contextmanager
def open_reader(data: bytes, media_type: str, roots: Sequence[bytes] = ()) -> Iterator[Any]:
    """Yield a reader of a file's manifests. Raises ProvenanceError and C2paError."""
    c2pa = library()
    trust = {**TRUST, "user_anchors": check_roots(roots)} if roots else TRUST
    settings = {"trust": trust, "verify": {**NO_NETWORK, "verify_trust": True}}
    with (
        c2pa.Context.from_dict(settings) as context,
        c2pa.Reader(media_type, io.BytesIO(data), context=context) as reader,
    ):
        yield reader
