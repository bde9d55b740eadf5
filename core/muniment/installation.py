"""The names that an installer of plugins needs beyond the public API.

Muniment-installer imports them. Its entry point in the group `muniment.repair` names a function
that repairs an interrupted change. When the journal of such a change exists, `muniment plugins
doctor` calls that function with the session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from muniment.cli.plugin_records import CHANGED as CHANGED
from muniment.cli.plugin_records import Change as Change
from muniment.cli.plugin_records import check_plugin as check_plugin
from muniment.cli.plugin_records import print_changes as print_changes
from muniment.cli.plugin_records import record_event as record_event
from muniment.cli.plugin_records import signer_text as signer_text
from muniment.config import normalised as normalised
from muniment.errors import VerificationError as VerificationError
from muniment.files import make_folder as make_folder
from muniment.files import replacing as replacing
from muniment.ledger.canonical import canonical as canonical
from muniment.ledger.keys import KeyFormatError as KeyFormatError
from muniment.ledger.keys import PrivateKey as PrivateKey
from muniment.ledger.keys import PublicKey as PublicKey
from muniment.ledger.keys import strict_base64 as strict_base64
from muniment.plugins.discovery import COMMAND_GROUP as COMMAND_GROUP
from muniment.plugins.discovery import ENTRY_POINT_GROUP as ENTRY_POINT_GROUP
from muniment.plugins.discovery import INSTALLER as INSTALLER
from muniment.plugins.smoke_test import SmokeTestResult as SmokeTestResult
from muniment.plugins.state import CONTRACTS as CONTRACTS
from muniment.plugins.state import CORE as CORE
from muniment.plugins.state import JOURNAL as JOURNAL
from muniment.plugins.state import Distributions as Distributions
from muniment.plugins.state import InstallError as InstallError
from muniment.plugins.state import InstallEvent as InstallEvent
from muniment.plugins.state import InstallRecord as InstallRecord
from muniment.plugins.state import InstallRecords as InstallRecords
from muniment.plugins.state import InstallState as InstallState
from muniment.plugins.state import KeptWheel as KeptWheel
from muniment.plugins.state import code_digest as code_digest
from muniment.plugins.state import distributions as distributions
from muniment.plugins.state import is_plugin_group as is_plugin_group
from muniment.plugins.state import now as now
from muniment.plugins.state import plugin_names as plugin_names
from muniment.plugins.state import signer_of as signer_of
from muniment.verifier import public_key as public_key

if TYPE_CHECKING:
    from muniment.session import Session

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
    "check_plugin",
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
    from muniment.errors import StoreError
    from muniment.signing import FOLDER, KeyStore

    if not (session.home / FOLDER).is_dir():
        return None
    try:
        log = session.store.log
    except StoreError:
        return None
    return KeyStore(session.home).private_key(log)
