"""References to the plugins that took part in a generation."""

from __future__ import annotations

from dataclasses import dataclass

from muniment.representation import showing


@dataclass(frozen=True, slots=True)
class PluginRef:
    """The distribution that provides a plugin object.

    Attributes:
        distribution: The name of the distribution.
        version: Its version.
        digest: The digest of its code.

    Example:
        >>> muniment.PluginRef("muniment-text", "0.1.0", "tree1-sha256:00ff").version
        '0.1.0'
    """

    distribution: str
    version: str
    digest: str

    __repr__ = showing()
