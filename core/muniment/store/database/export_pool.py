"""Worker processes: the work on a large store is shared among the machine's cores.

Each has the store open by itself and does one piece of work after another. They are processes,
not threads, since what takes the time is Python's own work. Ctrl-C is for the process that started
them, which ends them; they end too when that process is gone without a word.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any, Concatenate, ParamSpec, TypeVar

from muniment.errors import StoreError
from muniment.store.database.engine import Database

MOST = 4  # more would wait for the disk, and for the one process that takes what they made

_P = ParamSpec("_P")
_T = TypeVar("_T")


def cores() -> int:
    """Return how many workers there is room for on this machine; one is none."""
    try:
        free = len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux says which cores this process may use
        free = os.cpu_count() or 1
    return min(free, MOST)


class WorkerPool:
    """Processes at work; made by `workers`."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        """Take the pool."""
        self._pool = pool

    def start(
        self, work: Callable[Concatenate[Database, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> Future[_T]:
        """Have a function of a module called with a worker's own database and these arguments."""
        with no_interrupt():  # the pool starts a process when there is work for it
            return self._pool.submit(_do, work, args, kwargs)


@contextlib.contextmanager
def worker_pool(database: Database, count: int) -> Iterator[WorkerPool]:
    """Start so many workers, and end them when the block is left and what they are at is done.

    Work that none of them has taken is not done any more. The main module is imported anew in each,
    as `multiprocessing` says. Raises StoreError when a worker is gone, as where memory ran out.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, _begin, (database,))
    try:
        yield WorkerPool(pool)
    except BrokenProcessPool as error:
        raise StoreError(
            database.url,
            "a worker process ended before its work was done, as happens where memory runs out; "
            "try again",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def no_interrupt() -> Iterator[None]:
    """Let what is started here inherit that Ctrl-C is held back; it comes through afterwards."""
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # or it is started below, and takes the mask away
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_database: Database  # of a worker


def _begin(database: Database) -> None:
    global _database
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _database = database
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _do(work: Callable[..., _T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _T:
    return work(_database, *args, **kwargs)
