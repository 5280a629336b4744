"""A progress bar, on terminals only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.terminal import console


@dataclass(frozen=True)
class _LiveText:
    """A text that is computed each time it is drawn."""

    count: Callable[[], str]

    def __rich__(self) -> str:
        return self.count()


@contextmanager
def progress(label: str, total: int | None, count: Callable[[], str] | None = None) -> Generator[Callable[[], None]]:
    """Show a progress bar on standard error if it is a terminal.

    Args:
        label: The name of the task.
        total: The number of items, or None if it is not known.
        count: Returns further text each time the bar is drawn.

    Yields:
        A function that advances the bar by one.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, RenderableColumn, TextColumn, TimeRemainingColumn

    columns = [TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    columns += [RenderableColumn(_LiveText(count))] if count else []
    # Lines that go to the same terminal are written above the bar; those that go to a file go there.
    with Progress(
        *columns, console=console(err=True), transient=True, redirect_stdout=sys.stdout.isatty(), redirect_stderr=True
    ) as bar:
        task = bar.add_task(label, total=total)
        yield lambda: bar.advance(task)
