"""Output of commands: JSON or text, tables with ids that can be copied, and progress bars."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from cli.options import Format
from cli.terminal import console, dump, note, text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_Result = TypeVar("_Result")
_APART: Final = 3  # columns between two cells
_PROSE: Final = 24  # minimum width of a column with sentences
_INDENT: Final = "  "
_BETWEEN: Final = " · "


def output(result: _Result, form: Format, show: Callable[[_Result], object], *, like_api: bool = False) -> None:
    """Print a result: by `show` for people, or as JSON for programs, with `like_api` as the HTTP API returns it."""
    if form == "text":
        show(result)
    elif like_api:
        from pydantic_core import to_jsonable_python

        dump(to_jsonable_python(result))
    else:
        dump(result)


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 journey``, ``3,000 journeys``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


class Table:
    """Rows under headings. If a table is too wide for the terminal, each row becomes a block.

    A block begins with the first column that has a heading, and those before it. Cells of columns in `prose` may be
    broken between words.
    """

    def __init__(self, *columns: str, right: Collection[str] = (), prose: Collection[str] = ()) -> None:
        self._columns, self._right, self._prose = columns, right, prose
        self._rows: list[list[Text]] = []

    def add(self, *cells: object) -> None:
        """Add a row. Texts with a style keep it; other values are converted to text."""
        from rich.text import Text

        self._rows.append([cell if isinstance(cell, Text) else text(cell) for cell in cells])

    def __len__(self) -> int:
        return len(self._rows)

    def show(self, none: str | None = None) -> None:
        """Print the rows to standard output; if there are none, only `none` to standard error."""
        if none is not None and not self._rows:
            note(none)
            return
        page = console()
        if self._fits(page.width):
            self._tabulate(page)
            return
        for cells in self._rows:
            for line in self._block(cells, page.width):
                print_line(page, line)

    def _fits(self, width: int) -> bool:
        needed = _APART * (len(self._columns) - 1)
        for index, name in enumerate(self._columns):
            cells = [row[index] for row in self._rows]
            longest = max(cell.cell_len for cell in cells) if cells else 0
            if name in self._prose:
                words = (len(word) for cell in cells for word in cell.plain.split())
                longest = min(longest, max(_PROSE, *words, 0))
            needed += max(longest, len(name))
        return needed <= width

    def _tabulate(self, page: Console) -> None:
        from rich import box
        from rich.table import Table as RichTable

        made = RichTable(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
        for name in self._columns:
            made.add_column(
                name,
                justify="right" if name in self._right else "left",
                no_wrap=name not in self._prose,
                overflow="fold",
            )
        for cells in self._rows:
            made.add_row(*cells)
        page.print(made)

    def _block(self, cells: Sequence[Text], width: int) -> Iterator[Text]:
        from rich.text import Text

        lead = next((index for index, name in enumerate(self._columns) if name), 0) + 1
        yield Text(" ").join(cell for cell in cells[:lead] if cell.plain)
        line = Text()
        for name, cell in zip(self._columns[lead:], cells[lead:], strict=True):
            if not cell.plain:
                continue
            part = Text.assemble((f"{name} " if name else "", "dim"), cell)
            if line and line.cell_len + len(_BETWEEN) + part.cell_len > width:
                yield line
                line = Text()
            line = line + _BETWEEN + part if line else Text(_INDENT) + part
            if line.cell_len > width:
                yield from _broken(line, width)
                line = Text()
        if line:
            yield line


def _broken(line: Text, width: int, indent: str = _INDENT) -> Iterator[Text]:
    """Break a line between words. A word that is longer than a line stays whole."""
    from rich.text import Text

    first, *words = line[len(indent) :].split(" ")
    made = Text(indent) + first
    for word in words:
        if made.cell_len + 1 + word.cell_len > width:
            yield made
            made = Text(indent + _INDENT) + word
        else:
            made = made + " " + word
    yield made


def print_line(page: Console, line: Text) -> None:
    """Print a line without breaking it, so that an id or command in it can be copied. The terminal wraps it."""
    page.print(line, soft_wrap=True)


def print_prose(page: Console, line: Text) -> None:
    """Print a line, broken between words if it is too long."""
    for part in _broken(line, page.width, ""):
        print_line(page, part)


@dataclass(frozen=True)
class _LiveText:
    """A text that is computed each time it is drawn."""

    count: Callable[[], str]

    def __rich__(self) -> str:
        return self.count()


@contextmanager
def progress(label: str, total: int | None, count: Callable[[], str] | None = None) -> Generator[Callable[[], None]]:
    """Show a progress bar on standard error if it is a terminal. Yield a function that advances it by one.

    `count` returns further text each time the bar is drawn. Without `total`, the number of items is not known.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, RenderableColumn, TextColumn, TimeRemainingColumn

    columns = [TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    columns += [RenderableColumn(_LiveText(count))] if count else []
    # Lines for the same terminal appear above the bar.
    with Progress(
        *columns, console=console(err=True), transient=True, redirect_stdout=sys.stdout.isatty(), redirect_stderr=True
    ) as bar:
        task = bar.add_task(label, total=total)
        yield lambda: bar.advance(task)
