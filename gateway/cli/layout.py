"""Tables that stay readable, with ids that can be copied. If one is too wide, each row becomes a block."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from gateway.terminal import text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_APART: Final = 3  # columns between two cells
_PROSE: Final = 24  # columns below which a sentence cannot be read any more
_INDENT: Final = "  "
_BETWEEN: Final = " · "


class Table:
    """Rows under headings.

    Args:
        columns: The headings. A block begins with the first column that has a heading, and those before it.
        right: The columns aligned to the right.
        prose: The columns whose cells may be broken between words.
    """

    def __init__(self, *columns: str, right: Collection[str] = (), prose: Collection[str] = ()) -> None:
        self._columns, self._right, self._prose = columns, right, prose
        self._rows: list[list[Text]] = []

    def add(self, *cells: object) -> None:
        """Add a row. Texts with a style keep it; other values are converted to text."""
        from rich.text import Text

        self._rows.append([cell if isinstance(cell, Text) else text(cell) for cell in cells])

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def show(self, console: Console) -> None:
        """Print the rows: as a table if it fits, else as blocks."""
        if self._fits(console.width):
            self._tabulate(console)
            return
        for cells in self._rows:
            for line in self._block(cells, console.width):
                print_line(console, line)

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

    def _tabulate(self, console: Console) -> None:
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
        console.print(made)

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


def print_line(console: Console, line: Text) -> None:
    """Print a line without breaking it, so that an id or command in it can be copied. The terminal wraps it."""
    console.print(line, soft_wrap=True)


def print_prose(console: Console, line: Text) -> None:
    """Print a line, broken between words if it is too long."""
    for part in _broken(line, console.width, ""):
        print_line(console, part)
