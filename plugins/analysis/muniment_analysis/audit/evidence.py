"""The state of the record that a report is about: its tree, its checkpoint and its verification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import muniment

MAX_PROBLEMS = 20


@dataclass(frozen=True)
class Checkpoint:
    """The newest signed checkpoint in the store. Without a verification, it is a claim.

    Attributes:
        entries: The number of entries that it covers.
        root: Their root in hexadecimal.
        key: The name and the id of the key that signed, as verifiers print them.
    """

    entries: int
    root: str
    key: str


@dataclass(frozen=True)
class Evidence:
    """The ledger at the end of the report, and the software that reads it.

    Attributes:
        log: The identity of the ledger.
        entries: The number of its entries.
        root: The root of their tree in hexadecimal. It is computed from all entries if the record
            was verified, and else from the stored tree.
        checkpoint: The newest signed checkpoint, or None.
        versions: The versions of the core and the installed plugins, by distribution.
    """

    log: str
    entries: int
    root: str
    checkpoint: Checkpoint | None
    versions: Mapping[str, str]


def read_evidence(session: muniment.Session, verification: Any) -> Evidence:
    """Return the state of the record after a verification, or without one if it is None."""
    store = session.store
    if verification is None:
        entries = store.status().entries
        root = (store.root(entries) or b"").hex()
    else:
        entries, root = verification.entries, verification.root
    installed = {plugin.distribution: plugin.version for plugin in session.plugins.installed}
    return Evidence(
        log=store.log,
        entries=entries,
        root=root,
        checkpoint=_checkpoint(session),
        versions={"muniment": muniment.__version__, **dict(sorted(installed.items()))},
    )


def _checkpoint(session: muniment.Session) -> Checkpoint | None:
    notes = session.store.signed()
    if not notes:
        return None
    head, signature = notes[0].checkpoint, notes[0].signatures[0]
    return Checkpoint(head.size, head.root.hex(), f"{signature.name}+{signature.key_id.hex()}")
