"""A pool of worker processes, which divides the export of a large store among the cores.

Each worker opens the store itself and runs one call after another. Workers ignore SIGINT, because
the parent process handles Ctrl-C and ends them. They also exit when the parent process has died.
"""

# Processes instead of threads, because most of the time is spent running Python code.

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

MAX_WORKERS = 4  # more would wait for the disk, and for the one process that reads their results

_P = ParamSpec("_P")
_T = TypeVar("_T")


def cores() -> int:
    """Return the number of workers to start, or 1 if a pool would not be faster."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux reports the cores that this process may use
        available = os.cpu_count() or 1
    return min(available, MAX_WORKERS)


@contextlib.contextmanager
def worker_pool(
    database: Database, function: Callable[Concatenate[Database, _P], _T], count: int
) -> Iterator[Callable[_P, Future[_T]]]:
    """Start up to `count` workers and end them at the end of the block.

    Yield a function that starts a call of `function` in a worker, with its own database. At the
    end, running calls are waited for and pending calls are cancelled. Each worker imports the main
    module again, as `multiprocessing` does with its start method "spawn", so `function` must be in
    a module. Raise StoreError if a worker ended unexpectedly, for example when memory ran out.
    """

    def start(*args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        with no_interrupt():  # submit() may start a process
            return pool.submit(_call, function, args, kwargs)

    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, _initialize, (database,))
    try:
        yield start
    except BrokenProcessPool as error:
        raise StoreError(
            database.url,
            "a worker process ended before its work was done, possibly because memory ran out; "
            "try again",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def no_interrupt() -> Iterator[None]:
    """Block SIGINT in this thread, and in the processes that the block starts.

    A SIGINT that arrives in the block is delivered at its end. Does nothing on Windows.
    """
    if sys.platform == "win32":
        yield
        return
    resource_tracker.ensure_running()  # started inside the block, it would unblock the signal
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


_database: Database  # the database of this worker process


def _initialize(database: Database) -> None:
    global _database
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _database = database
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent: Any = multiprocessing.parent_process()
    wait([parent.sentinel])
    os._exit(1)


def _call(function: Callable[..., _T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _T:
    return function(_database, *args, **kwargs)
