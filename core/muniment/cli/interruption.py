"""Messages that name recorded generations when a command ends early."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import muniment
from muniment.cli.context import Interrupted
from muniment.cli.error_handler import detach_stdout
from muniment.cli.output import short_id
from muniment.errors import MunimentError, StoreError
from muniment.ids import new_id


@contextlib.contextmanager
def new_run(session: muniment.Session) -> Iterator[str]:
    """Yield the id of a new run, which is the argument `run_id` of `Session.run`.

    If Ctrl-C ends the block, the message names the command that shows the run's generations.
    """
    run = new_id()
    try:
        yield run
    except KeyboardInterrupt:
        raise Interrupted(recorded_in(session, run)) from None


def recorded_in(session: muniment.Session, run: str) -> str:
    """Return the command that shows what was recorded of a run that ended early.

    An interruption while a file was written leaves no interrupted generation.
    """
    if interrupted := interrupted_in(session, run):
        return interrupted
    recorded: list[muniment.Generation] = []
    with contextlib.suppress(StoreError):  # the signal came before anything was recorded
        recorded = list(session.store.generations(muniment.Query(run=run, limit=2)))
    if not recorded:
        return ""
    if len(recorded) > 1:
        return f"the generations are recorded, run `muniment audit list --run {run}` for them"
    identifier = short_id(recorded[0].id, "stderr")
    return f"the generation is recorded, run `muniment audit get {identifier}` to get its output"


def interrupted_in(session: muniment.Session, run: str) -> str:
    """Return the command that shows the interrupted generations of a run, or an empty text."""
    query = muniment.Query(run=run, status="interrupted", limit=2)
    recorded: list[muniment.Generation] = []
    with contextlib.suppress(StoreError):  # the signal came before anything was recorded
        recorded = list(session.store.generations(query))
    if not recorded:
        return ""
    if len(recorded) > 1:
        return f"run `muniment audit list --run {run} --status interrupted` for its generations"
    return f"run `muniment audit show {short_id(recorded[0].id, 'stderr')}` for its record"


@contextlib.contextmanager
def full_disk_as_error(id: str) -> Iterator[None]:
    """Raise MunimentError with the id of a generation if the block cannot write to stdout."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        detach_stdout()  # otherwise the plugin's redirection would print the buffer on stderr
        raise MunimentError(
            f"cannot write to standard output: {error.strerror}; the generation is recorded, run "
            f"`muniment audit get {short_id(id, 'stderr')}` to get its output"
        ) from None
