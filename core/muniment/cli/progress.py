"""Progress bars and spinners on stderr, disabled when stderr is not a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from muniment.cli.output import on_terminal, printable, write_data, write_note

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn


class Progress:
    """A running progress bar, or a substitute without a display."""

    def __init__(
        self,
        advance: Callable[[int], None] = lambda step: None,
        write: Callable[[str], None] = write_data,
        note: Callable[[str], None] = write_note,
    ) -> None:
        self.advance = advance
        self.write = write  # prints a line of data above the bar
        self.note = note  # prints a message above the bar


@contextlib.contextmanager
def counting(what: str, total: int | None) -> Iterator[Progress]:
    """Show the number of items done, the rate and the remaining time."""
    if not on_terminal("stderr"):
        yield Progress()
        return
    from rich import progress
    from rich.text import Text

    class Rate(progress.ProgressColumn):
        def render(self, task: progress.Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.2f}/s", style="progress.data.speed")

    bar = _bar(progress.MofNCompleteColumn(), Rate())
    with _displayed(bar):
        task = bar.add_task(what, total=total)

        def above(text: str) -> None:
            bar.console.print(Text(printable(text)), soft_wrap=True)

        write = above if on_terminal() else write_data
        yield Progress(lambda step: bar.advance(task, step), write, above)


@contextlib.contextmanager
def fraction(what: str) -> Iterator[Callable[[str, float], None]]:
    """Show a fraction and yield a function that updates it, given a step's name and fraction."""
    if not on_terminal("stderr"):
        yield lambda step, done: None
        return
    from rich import progress

    bar = _bar(progress.TaskProgressColumn())
    with _displayed(bar):
        task = bar.add_task(what, total=1.0)
        yield lambda step, done: bar.update(task, description=step, completed=done)


@contextlib.contextmanager
def waiting(what: str) -> Iterator[Callable[[], None]]:
    """Show a spinner until the yielded function is called or the block ends."""
    if not on_terminal("stderr"):
        yield lambda: None
        return
    from rich.console import Console
    from rich.text import Text

    with _displayed(Console(stderr=True).status(Text(what))) as end:
        yield end


def write_waiting(text: str, show: Callable[[str, float], None]) -> None:
    """Show a reason to wait in the bar of `fraction`, or print it when there is no terminal."""
    if on_terminal("stderr"):
        show(text, 0.0)
    else:
        write_note(text)


class _Display(Protocol):
    """A bar or a spinner of rich."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


_displays: list[_Display] = []  # started ones, of which only the last is on the screen


@contextlib.contextmanager
def _displayed(display: _Display) -> Iterator[Callable[[], None]]:
    """Show a display until the function is called or the block ends, and suspend an outer one."""

    def end() -> None:
        if display in _displays:
            _displays.remove(display)
            display.stop()

    with suspended():
        _displays.append(display)
        display.start()
        try:
            yield end
        finally:
            end()


@contextlib.contextmanager
def suspended() -> Iterator[None]:
    """Take the display off the screen for a message or another display."""
    display = _displays[-1] if _displays else None
    if display is not None:
        display.stop()
    try:
        yield
    finally:
        if display in _displays:
            display.start()


def _bar(*columns: ProgressColumn) -> RichProgress:
    """Return a bar on stderr with these columns before the remaining time."""
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        *columns,
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        redirect_stdout=False,
        redirect_stderr=False,
        transient=True,
    )
