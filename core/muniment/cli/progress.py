"""Progress bars and spinners on stderr, disabled when stderr is not a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

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

    with _bar(progress.MofNCompleteColumn(), Rate()) as bar:
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

    with _bar(progress.TaskProgressColumn()) as bar:
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

    with Console(stderr=True).status(Text(what)) as spinner:
        yield spinner.stop


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
