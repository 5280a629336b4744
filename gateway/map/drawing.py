"""Elements of a map with their places, in pixels from the top left corner, and the boxes of steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from gateway.map.outline import ShownStep, Step
from gateway.map.typesetting import width_of, wrapped

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

    x: float
    """Its start."""
    y: float
    text: str
    look: str
    """The CSS class; see `gateway.map.svg`."""
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
    target: str | None = None
    """The step that it leads to; None is the end."""

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
ICON: Final = 22.0
"""Size of the icon's square at the top left."""
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
