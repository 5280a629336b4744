"""The box of a step: its lines and numbers, and the space that they need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.map.drawing import Area, Badge, Box, Drawing, Text
from gateway.map.outline import Step
from gateway.map.overlay import Overlay
from gateway.map.typesetting import width_of, wrapped

WIDTH: Final = 232.0
"""Width of every box."""
ICON: Final = 22.0
"""Size of the icon's square at the top left."""
PADDING: Final = 11.0
SIZES: Final = {"title": 13.0, "id": 11.0, "detail": 11.0, "badge": 10.5}
"""Font sizes in pixels, by look."""
_LINES: Final = {"title": 17.0, "id": 15.0, "detail": 15.0}
_ROOM: Final = WIDTH - 3 * PADDING - ICON
_TEXT_AT: Final = 2 * PADDING + ICON
_BADGE: Final = 17.0
_MOST: Final = {"title": 3, "detail": 2, "id": 2}


class Card:
    """A step's box without a place.

    Attributes:
        step: The step.
        height: The box's height.
    """

    def __init__(self, step: Step, overlay: Overlay) -> None:
        self.step = step
        self._overlay = overlay
        self._lines = list(_lines(step))
        self._rows = list(_rows(list(self._badges())))
        text = sum(_LINES[look] for look, _ in self._lines)
        self.height = 2 * PADDING - 2 + max(ICON, text) + (len(self._rows) * (_BADGE + 4.0) + 3.0 if self._rows else 0)

    def place(self, on: Drawing, x: float, y: float) -> None:
        """Put it on a map, with its top left corner at `x` and `y`."""
        name, texts, line = self.step.id, list[Text](), y + PADDING - 2
        for look, text in self._lines:
            line += _LINES[look]
            texts.append(Text(x + _TEXT_AT, line - 4.0, text, look, _ROOM))
        badges: list[Badge] = []
        top = y + self.height - len(self._rows) * (_BADGE + 4.0) - PADDING + 6.0
        for row in self._rows:
            at = x + PADDING
            for look, text, width in row:
                badges.append(Badge(Area(at, top, width, _BADGE), text, look))
                at += width + 5.0
            top += _BADGE + 4.0
        shown = self._overlay
        on.boxes.append(
            Box(
                Area(x, y, WIDTH, self.height),
                self.step,
                tuple(texts),
                tuple(badges),
                dict(shown.counted(name)),
                shown.marks.get(name),
                shown.changes.get(name, ()),
                shown.link(name),
            )
        )

    def _badges(self) -> Iterator[tuple[str, str]]:
        if (mark := self._overlay.marks.get(self.step.id)) is not None:
            yield mark, mark
        for word, number in self._overlay.counted(self.step.id):
            yield word, f"{number:,} {word}"


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
