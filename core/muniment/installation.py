"""The names that an installer of plugins needs beyond the public API.

Muniment-installer imports them. Its entry point in the group `muniment.repair` names a function
that repairs an interrupted change. When the journal of such a change exists, `muniment plugins
doctor` calls that function with the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muniment.cli.plugins import (
    CHANGED,
    Change,
    check_plugins,
    print_changes,
    record_event,
    signer_text,
)
from muniment.config import normalised
from muniment.errors import StoreError, VerificationError
from muniment.files import make_folder, replacing
from muniment.ledger.canonical import canonical
from muniment.ledger.keys import KeyFormatError, PrivateKey, PublicKey, strict_base64
from muniment.plugins.discovery import COMMAND_GROUP, ENTRY_POINT_GROUP, INSTALLER
from muniment.plugins.smoke_test import SmokeTestResult
from muniment.plugins.state import (
    CONTRACTS,
    CORE,
    JOURNAL,
    Distributions,
    InstallError,
    InstallEvent,
    InstallRecord,
    InstallRecords,
    InstallState,
    KeptWheel,
    code_digest,
    distributions,
    is_plugin_group,
    now,
    plugin_names,
    signer_of,
)
from muniment.verifier import public_key

if TYPE_CHECKING:
    from muniment.session.session import Session

__all__ = [
    "CHANGED",
    "COMMAND_GROUP",
    "CONTRACTS",
    "CORE",
    "ENTRY_POINT_GROUP",
    "INSTALLER",
    "JOURNAL",
    "Change",
    "Distributions",
    "InstallError",
    "InstallEvent",
    "InstallRecord",
    "InstallRecords",
    "InstallState",
    "KeptWheel",
    "KeyFormatError",
    "PrivateKey",
    "PublicKey",
    "SmokeTestResult",
    "VerificationError",
    "canonical",
    "check_plugins",
    "code_digest",
    "distributions",
    "is_plugin_group",
    "make_folder",
    "normalised",
    "now",
    "plugin_names",
    "print_changes",
    "public_key",
    "record_event",
    "replacing",
    "signer_of",
    "signer_text",
    "signing_key",
    "strict_base64",
]


def signing_key(session: Session) -> PrivateKey | None:
    """Return the key that signs the record of the session's store, or None."""
    from muniment.signing import FOLDER, KeyStore

    if not (session.home / FOLDER).is_dir():
        return None
    try:
        log = session.store.log
    except StoreError:
        return None
    return KeyStore(session.home).private_key(log)
