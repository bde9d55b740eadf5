"""The identity of a recorded policy: its name with a version, and the digest of its text."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

_DIGITS = 12  # of a digest in a label


@lru_cache(maxsize=16)  # every generation has the digest, and a list of terms can be long
def policy_digest(document: str) -> str:
    """Return the digest of a policy's text, as `sha256:` and hexadecimal digits, or "" for none."""
    return f"sha256:{sha256(document.encode()).hexdigest()}" if document else ""


def policy_label(name: str, digest: str) -> str:
    """Return the name of a policy with the beginning of the digest of its text.

    It tells policies with one name and version and different texts apart. Without a digest it is
    the name alone.

    Example:
        >>> muniment.policy_label("team@3", "sha256:3f2a1b4c5d6e7f80")
        'team@3 (3f2a1b4c5d6e…)'
    """
    digits = digest.removeprefix("sha256:")[:_DIGITS]
    return f"{name} ({digits}…)" if digits else name
