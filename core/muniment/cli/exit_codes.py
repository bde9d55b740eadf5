"""Exit codes of the commands, and their order of severity."""

from __future__ import annotations

from collections.abc import Iterable

from muniment.errors import MunimentError, UsageError, VerificationError

DONE = 0
FAILED = 1
USAGE = 2
BLOCKED = 3
UNVERIFIED = 4
INTERRUPTED = 130

_FROM_MILD_TO_SEVERE = (DONE, BLOCKED, FAILED, UNVERIFIED, USAGE, INTERRUPTED)

_OF_STATUS = {"completed": DONE, "blocked": BLOCKED, "failed": FAILED, "interrupted": INTERRUPTED}


def worst(codes: Iterable[int]) -> int:
    """Return the most severe of several exit codes, or DONE if there are none."""
    return max(codes, key=_FROM_MILD_TO_SEVERE.index, default=DONE)


def of_status(status: str) -> int:
    """Return the exit code for a generation's status."""
    return _OF_STATUS.get(status, FAILED)


def of_error(error: MunimentError) -> int:
    """Return the exit code for an error."""
    if isinstance(error, VerificationError):
        return UNVERIFIED
    return USAGE if isinstance(error, UsageError) else FAILED
