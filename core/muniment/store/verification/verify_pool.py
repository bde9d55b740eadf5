"""Processes that check ranges beside one another, all in one state of the database.

Each says when it is ready, begins to read when it is told to, and then answers one task after the
other. A pool cannot tell each of its processes to begin, so each has a pipe of its own. When the
process that started them goes, in whatever way, so do they: they find the pipe closed.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any

from muniment.errors import MunimentError, StoreError
from muniment.store.database.engine import Database
from muniment.store.database.export_pool import no_interrupt
from muniment.store.database.raw import any_text
from muniment.store.verification.ranges import Answer, Checker, CheckOptions, Task

GARBAGE = 100_000  # objects made before cycles are looked for: what is read here has none


class CheckerPool:
    """Some processes, which are ended when the block is left."""

    def __init__(self, database: Database, asked: CheckOptions, number: int) -> None:
        """Start them; they open the database and wait."""
        self._database = database
        self._processes: dict[Pipe, BaseProcess] = {}
        self.begun = False
        context = multiprocessing.get_context("spawn")  # nothing that is open here is open there
        with no_interrupt():
            for _ in range(number):
                pipe, theirs = context.Pipe()
                process = context.Process(target=work, args=(theirs, database, asked), daemon=True)
                process.start()
                theirs.close()
                self._processes[pipe] = process

    def __enter__(self) -> CheckerPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for pipe, process in self._processes.items():
            process.terminate()  # at any moment: it only reads
            process.join()
            pipe.close()

    def ready(self) -> None:
        """Wait until all of them can begin at once."""
        for pipe in self._processes:
            self._receive(pipe)

    def begin(self, state: str) -> None:
        """Let all of them begin to read a state of the database; return when they have."""
        for pipe in self._processes:
            self._send(pipe, state)
        for pipe in self._processes:
            self._receive(pipe)
        self.begun = True

    def each(self, tasks: Iterable[Task]) -> Iterator[Answer]:
        """Yield the answers to tasks, as they come.

        Raises StoreError where a process failed, with what it said.
        """
        free, busy = list(self._processes), set[Any]()
        for task in tasks:
            pipe = free.pop()
            self._send(pipe, task)
            busy.add(pipe)
            if not free:
                done = wait(list(busy))
                free = [pipe for pipe in self._processes if pipe in done]
                busy.difference_update(free)
                yield from map(self._receive, free)
        for pipe in busy:
            yield self._receive(pipe)

    def _send(self, pipe: Pipe, message: object) -> None:
        try:
            pipe.send(message)
        except OSError:
            raise self._gone(pipe) from None

    def _receive(self, pipe: Pipe) -> Any:
        try:
            answer = pipe.recv()
        except (EOFError, OSError):
            raise self._gone(pipe) from None
        if isinstance(answer, Failure):
            raise StoreError(self._database.url, answer.sentence)
        return answer

    def _gone(self, pipe: Pipe) -> StoreError:
        process = self._processes[pipe]
        process.join()
        return StoreError(
            self._database.url,
            f"a process that verified the store was ended (code {process.exitcode}); if memory was "
            "short, verify with --processes 1",
        )


class Failure:
    """A process could not go on; `sentence` says why."""

    def __init__(self, sentence: str) -> None:
        self.sentence = sentence


def work(pipe: Pipe, database: Database, asked: CheckOptions) -> None:
    """Do what each process does, to its end."""
    gc.set_threshold(GARBAGE)
    try:
        pipe.send("ready")
        with database.reading_snapshot(pipe.recv()) as connection, any_text(connection):
            pipe.send("begun")
            checker = Checker(connection, asked)
            while True:
                pipe.send(checker.check(pipe.recv()))
    except (EOFError, BrokenPipeError):  # nobody is there any more
        return
    except MunimentError as error:
        pipe.send(Failure(str(error)))
