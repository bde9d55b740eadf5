"""The users of a home whose earlier feedback must not be used again."""

from __future__ import annotations

import hmac
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import muniment

_FILE = "recommendation-forgotten.json"


class ForgottenUsers:
    """Forgotten users, each with the time until which feedback is omitted.

    Recorded feedback cannot be deleted, because the ledger is only appended to. The file in the
    home has keyed hashes instead of ids. Its key is in it too, so a known id can be looked up.
    """

    def __init__(self, home: Path) -> None:
        """Read the file of a home, if there is one. Raises UsageError if it is damaged."""
        self._path = home / _FILE
        try:
            document = json.loads(self._path.read_bytes())
            self._key = bytes.fromhex(document["key"])
            self._until = {
                user: datetime.fromisoformat(until) for user, until in document["users"].items()
            }
        except FileNotFoundError:
            self._key, self._until = secrets.token_bytes(32), {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise muniment.UsageError(
                f"{self._path} cannot be read ({error}); restore it from a backup, because "
                "feedback of forgotten users would be used again without it"
            ) from None

    def __contains__(self, user: str) -> bool:
        """Return whether a user was forgotten at any time."""
        return self._hash(user) in self._until

    def has(self, user: str, at: datetime) -> bool:
        """Return whether feedback of a user at a time is omitted."""
        until = self._until.get(self._hash(user))
        return until is not None and at <= until

    def add(self, user: str) -> None:
        """Omit all feedback of a user until now. Call `save` to make it permanent."""
        self._until[self._hash(user)] = datetime.now(UTC)

    def save(self) -> None:
        """Replace the file atomically. Raises UsageError if it cannot be written."""
        document: dict[str, Any] = {
            "key": self._key.hex(),
            "users": {name: until.isoformat() for name, until in sorted(self._until.items())},
        }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with muniment.replacing(self._path) as file:
                file.write(json.dumps(document).encode())
        except OSError as error:
            raise muniment.UsageError(
                f"{self._path} cannot be written: {error.strerror}; check the folder"
            ) from None

    def _hash(self, user: str) -> str:
        return hmac.digest(self._key, user.encode(errors="surrogatepass"), "sha256").hex()
