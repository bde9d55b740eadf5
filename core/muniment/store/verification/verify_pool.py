"""Check ranges in several processes, which all read one snapshot of the database.

Each process sends a message when it is ready, begins its transaction when it receives the
snapshot, and then does one task after the other. Each has its own pipe, because an executor cannot
address each of its processes. A process exits when its pipe is closed, which also happens when
the parent process exits or is killed.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection as Pipe, wait
from multiprocessing.process import BaseProcess
from typing import Any

from muniment.errors import MunimentError, StoreError
from muniment.store.database.engine import Database
from muniment.store.database.export_pool import no_interrupt
from muniment.store.database.raw import any_text
from muniment.store.verification.ranges import Checker, CheckOptions, Result, Task

# Objects allocated between two garbage collections. The default costs time, and the objects that
# a checker creates have no cycles.
GC_THRESHOLD = 100_000


class CheckerPool(AbstractContextManager["CheckerPool"]):
    """A context manager with checker processes, which are terminated at the end of the block."""

    def __init__(self, database: Database, options: CheckOptions, count: int) -> None:
        """Start `count` processes."""
        self._database = database
        self._processes: dict[Pipe, BaseProcess] = {}
        self.has_snapshot = False  # whether the processes read the snapshot of this process
        context = multiprocessing.get_context("spawn")  # "fork" would copy open connections
        with no_interrupt():
            for _ in range(count):
                pipe, child_pipe = context.Pipe()
                process = context.Process(
                    target=run_checker, args=(child_pipe, database, options), daemon=True
                )
                process.start()
                child_pipe.close()
                self._processes[pipe] = process

    def __exit__(self, *exception: object) -> None:
        for pipe, process in self._processes.items():
            process.terminate()  # safe at any time, since it only reads
            process.join()
            pipe.close()

    def wait_until_ready(self) -> None:
        """Wait until all processes can begin to read without delay."""
        for pipe in self._processes:
            self._receive(pipe)

    def begin_reading(self, snapshot: str) -> None:
        """Make all processes begin a transaction with a snapshot, and wait until they have."""
        for pipe in self._processes:
            self._send(pipe, snapshot)
        for pipe in self._processes:
            self._receive(pipe)
        self.has_snapshot = True

    def check_all(self, tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the results of tasks in the order in which they are finished.

        Raises StoreError if a process fails, with its message, or if a process ends.
        """
        free, busy = list(self._processes), set[Any]()
        for task in tasks:
            pipe = free.pop()
            self._send(pipe, task)
            busy.add(pipe)
            if not free:
                readable = wait(list(busy))
                free = [pipe for pipe in self._processes if pipe in readable]
                busy.difference_update(free)
                yield from map(self._receive, free)
        for pipe in busy:
            yield self._receive(pipe)

    def _send(self, pipe: Pipe, message: object) -> None:
        try:
            pipe.send(message)
        except OSError:
            raise self._process_ended_error(pipe) from None

    def _receive(self, pipe: Pipe) -> Any:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            raise self._process_ended_error(pipe) from None
        if isinstance(message, str):
            raise StoreError(self._database.url, message)
        return message

    def _process_ended_error(self, pipe: Pipe) -> StoreError:
        process = self._processes[pipe]
        process.join()
        return StoreError(
            self._database.url,
            f"a verification process ended with exit code {process.exitcode}; if it was out of "
            "memory, use --processes 1",
        )


def run_checker(pipe: Pipe, database: Database, options: CheckOptions) -> None:
    """Receive a snapshot and then tasks from a pipe, and send a result for each task.

    Before these, None is sent when the process is ready and when it has begun to read. The text of
    an error is sent instead of a result. This is the main function of each process. It returns
    when the pipe is closed.
    """
    gc.set_threshold(GC_THRESHOLD)
    try:
        pipe.send(None)
        with database.reading_snapshot(pipe.recv()) as connection, any_text(connection):
            pipe.send(None)
            checker = Checker(connection, options)
            while True:
                pipe.send(checker.check(pipe.recv()))
    except (EOFError, BrokenPipeError):  # the parent process closed the pipe or ended
        return
    except MunimentError as error:
        pipe.send(str(error))
