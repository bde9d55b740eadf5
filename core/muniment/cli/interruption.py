"""The generations of a run that ended early, which are shown or named in messages."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator

import muniment
from muniment.cli.context import Interrupted
from muniment.cli.error_handler import detach_stdout
from muniment.cli.values import short_id
from muniment.errors import MunimentError, StoreError
from muniment.ids import new_id
from muniment.types.requests import BATCH_SIZE

FINISHED = ("completed", "blocked", "failed")
"""The statuses of generations that a resumed batch does not repeat."""


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


class Presenter:
    """Shows the generations of a run, including finished ones that Ctrl-C leaves behind."""

    def __init__(
        self,
        session: muniment.Session,
        run: str,
        show: Callable[[muniment.Generation], object],
        *,
        batch_size: int = BATCH_SIZE,
        resumed: bool = False,
    ) -> None:
        """Take the run, of which `batch_size` generations at most are in progress together."""
        self._session, self._run, self._batch_size = session, run, batch_size
        self._show, self._showing = show, False
        # The newest generations of a run are of its last two batches at most.
        self._shown: deque[str] = deque(maxlen=2 * batch_size)
        self._before = {item.id for item in self._newest(1)} if resumed else set()

    def show(self, generation: muniment.Generation) -> None:
        """Show a generation."""
        self._showing = True
        self._shown.append(generation.id)
        self._show(generation)
        self._showing = False

    @contextlib.contextmanager
    def rest(self) -> Iterator[None]:
        """Show the other finished generations, in their order, if Ctrl-C ends the block.

        Generations of one batch are finished at different times, and arrive together at its end.
        Nothing more is shown if Ctrl-C comes while one is shown, since the reader may be gone.
        """
        try:
            yield
        except KeyboardInterrupt:
            if not self._showing:
                with contextlib.suppress(KeyboardInterrupt, MunimentError, OSError):
                    for generation in self._finished():
                        self.show(generation)
            raise

    def _finished(self) -> list[muniment.Generation]:
        """Return the finished generations that were not shown, as their caller would get them."""
        from muniment.generation.pipeline import without_blocked_content

        new = itertools.takewhile(
            lambda item: item.id not in self._before, self._newest(self._batch_size)
        )
        ids = [item.id for item in new if item.status in FINISHED and item.id not in self._shown]
        recorded = map(self._session.generation, reversed(ids))
        returned = (without_blocked_content(self._session.selection(item)) for item in recorded)
        return sorted(returned, key=lambda item: item.line or 0)

    def _newest(self, limit: int) -> list[muniment.Generation]:
        try:
            query = muniment.Query(run=self._run, limit=limit)
            return list(self._session.store.generations(query))
        except StoreError:  # nothing was recorded at all
            return []


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
