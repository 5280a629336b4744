"""Elements of a map with their places, in pixels from the top left corner, and the boxes of steps.

The reader's font is unknown, so widths are those of DejaVu Sans, rounded up: it is the widest common "sans-serif".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from authoring.map.outline import ShownStep, Step

Point = tuple[float, float]


@dataclass(frozen=True)
class Area:
    """A rectangle that nothing else may cover."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Text:
    """A line of text."""

    x: float  # its start
    y: float
    text: str
    look: str  # the CSS class; see `authoring.map.map`
    width: float


@dataclass(frozen=True)
class Label:
    """A short text with a frame.

    It is the label of a way, a pill (the entry, the end, or a jump), or a badge (a number or a mark in a step's box).
    """

    area: Area
    text: str
    whole: str
    look: str = "label"


@dataclass(frozen=True)
class Box:
    """A step with everything shown in it."""

    area: Area
    shown: ShownStep
    texts: tuple[Text, ...]
    badges: tuple[Label, ...]


@dataclass
class Edge:
    """A way from a step, or from the entry (None), to the next step."""

    source: str | None
    way: str
    label: str
    points: list[Point]
    target: str | None = None  # the step that it leads to; None is the end

    def over(self, *points: Point) -> Edge:
        self.points += points
        return self


@dataclass
class Drawing:
    """A map with all places."""

    title: str
    boxes: list[Box] = field(default_factory=list["Box"])
    labels: list[Label] = field(default_factory=list["Label"])
    edges: list[Edge] = field(default_factory=list["Edge"])
    pills: list[Label] = field(default_factory=list["Label"])
    texts: list[Text] = field(default_factory=list["Text"])
    width: float = 0.0
    height: float = 0.0


WIDTH: Final = 232.0
ICON: Final = 22.0  # size of the icon's square at the top left
PADDING: Final = 11.0
SIZES: Final = {"title": 13.0, "id": 11.0, "detail": 11.0, "badge": 10.5, "heading": 16.0, "note": 12.0}
"""Font sizes in pixels, by look."""
_LINES: Final = {"title": 17.0, "id": 15.0, "detail": 15.0}
_ROOM: Final = WIDTH - 3 * PADDING - ICON
_TEXT_AT: Final = 2 * PADDING + ICON
_BADGE: Final = 17.0
_MOST: Final = {"title": 3, "detail": 2, "id": 2}


class Card:
    """A step's box without a place."""

    def __init__(self, shown: ShownStep) -> None:
        self.step, self._shown = shown.step, shown
        self._lines = list(_lines(shown.step))
        marks = [(shown.mark, shown.mark)] if shown.mark else []
        self._rows = list(_rows([*marks, *((word, f"{number:,} {word}") for word, number in shown.numbers.items())]))
        text = sum(_LINES[look] for look, _ in self._lines)
        self.height = 2 * PADDING - 2 + max(ICON, text) + (len(self._rows) * (_BADGE + 4.0) + 3.0 if self._rows else 0)

    def place(self, on: Drawing, x: float, y: float) -> None:
        """Put it on a map, with its top left corner at `x` and `y`."""
        texts, line = list[Text](), y + PADDING - 2
        for look, text in self._lines:
            line += _LINES[look]
            texts.append(Text(x + _TEXT_AT, line - 4.0, text, look, _ROOM))
        badges: list[Label] = []
        top = y + self.height - len(self._rows) * (_BADGE + 4.0) - PADDING + 6.0
        for row in self._rows:
            at = x + PADDING
            for look, text, width in row:
                badges.append(Label(Area(at, top, width, _BADGE), text, text, f"badge {look}"))
                at += width + 5.0
            top += _BADGE + 4.0
        on.boxes.append(Box(Area(x, y, WIDTH, self.height), self._shown, tuple(texts), tuple(badges)))


def _lines(step: Step) -> Iterator[tuple[str, str]]:
    """Yield the box's lines, a step's own name first."""
    title, below = (step.id, step.what) if step.role == "sends" else (step.what, step.id)
    detail = "" if step.what.endswith("…") else step.detail
    for look, text in (("title", title), ("detail", detail), ("id", below)):
        for line in wrapped(text, _ROOM, SIZES[look], _MOST[look], bold=look == "title"):
            yield look, line


def _rows(badges: list[tuple[str, str]]) -> Iterator[list[tuple[str, str, float]]]:
    row: list[tuple[str, str, float]] = []
    left = WIDTH - 2 * PADDING
    for look, text in badges:
        width = min(width_of(text, SIZES["badge"]) + 12.0, WIDTH - 2 * PADDING)
        if row and width > left:
            yield row
            row, left = [], WIDTH - 2 * PADDING
        row.append((look, text, width))
        left -= width + 5.0
    if row:
        yield row


_EMS: Final = {
    letter: width
    for letters, width in (
        ("'Iijl", 0.3),
        (" ,./:;\\|", 0.35),
        ("()-[]ft", 0.4),
        ("!r", 0.45),
        ('"*_`', 0.5),
        ("?csz", 0.55),
        ("FLkvxy", 0.6),
        ("$0123456789EPSTYabdeghnopqu{}", 0.65),
        ("ABCKRVXZ", 0.7),
        ("NU", 0.75),
        ("&DGHOQ", 0.8),
        ("#+<=>^w~", 0.85),
        ("M", 0.9),
        ("%@Wm…", 1.0),
    )
    for letter in letters
}
_BOLD: Final = 0.09
_OTHER: Final = 0.9
_OTHER_CAPITAL: Final = 1.15
_WIDE: Final = 1.3
ELLIPSIS: Final = "…"


@lru_cache(maxsize=4096)
def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """Return an upper bound of a text's width in pixels."""
    return size * sum(_em(letter, _BOLD if bold else 0.0) for letter in text)


def _em(letter: str, more: float) -> float:
    if (known := _EMS.get(letter)) is not None:
        return known + more
    if unicodedata.combining(letter):
        return 0.0
    if unicodedata.east_asian_width(letter) in ("W", "F"):
        return _WIDE
    base = unicodedata.normalize("NFD", letter)[0]
    if (known := _EMS.get(base)) is not None:
        return max(known, 0.4) + more
    return (_OTHER if letter.islower() else _OTHER_CAPITAL) + more


def clipped(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """Return as much of a text as fits, with an ellipsis if it is cut."""
    if width_of(text, size, bold=bold) <= width:
        return text
    left, kept = width - width_of(ELLIPSIS, size, bold=bold), 0
    for letter in text:
        left -= width_of(letter, size, bold=bold)
        if left < 0:
            break
        kept += 1
    return text[:kept].rstrip() + ELLIPSIS


def wrapped(text: str, width: float, size: float, lines: int, *, bold: bool = False) -> list[str]:
    """Return a text in lines, broken between words if possible.

    Args:
        lines: Maximum number of lines; the last one ends with an ellipsis if the text is cut.
    """
    made: list[str] = []
    rest = text.strip()
    while rest and len(made) < lines - 1 and width_of(rest, size, bold=bold) > width:
        kept, used = 0, 0.0
        while (used := used + width_of(rest[kept], size, bold=bold)) <= width:
            kept += 1
        kept = max(kept, 1)
        space, mark = rest.rfind(" ", 0, kept + 1), max(rest.rfind(mark, 0, kept) + 1 for mark in ".-_/")
        # A long word is broken rather than leave most of a line empty.
        at = space if 3 * space > kept else mark or max(space, 0) or kept
        made.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*made, clipped(rest, width, size, bold=bold)] if rest else made
