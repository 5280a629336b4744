"""Parts of a map, each of which knows its size and draws itself.

A part is entered at its top and left at its bottom, on one vertical line, its spine. It draws incoming edges to their
end, and returns outgoing ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from gateway.map.boxes import WIDTH, Card
from gateway.map.drawing import Area, Drawing, Edge, Label, Pill
from gateway.map.outline import Jump, Way
from gateway.map.typesetting import clipped, width_of

GAP: Final = 28.0
"""Space between a step and the next one."""
_APART: Final = 24.0  # between two columns
_INDENT: Final = 34.0  # of branches that stand below each other
_RAIL: Final = 14.0  # from a part to a line beside it
_BUS: Final = 14.0  # from a fork to the line that divides, and from its branches to the one where they meet
_BAND: Final = 50.0  # from a fork to its branches, with labels between
LABEL_SIZE: Final = 11.0
_LABEL_HEIGHT: Final = 18.0
_LABEL_WIDTH: Final = 170.0
_PADDING: Final = 7.0
PILL_HEIGHT: Final = 26.0


class Part(Protocol):
    """A part of a map.

    Attributes:
        left: Space to the left of its spine.
        right: Space to the right of its spine.
        height: Its height.
    """

    left: float
    right: float
    height: float

    def place(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> list[Edge]:
        """Draw it at its place.

        Args:
            on: The map.
            x: Its spine.
            y: Its top.
            coming: Incoming edges.

        Returns:
            Outgoing edges, drawn to its bottom.
        """
        ...


def label_of(text: str) -> tuple[str, float]:
    """Return the visible part of a way's label, and its width."""
    shown = clipped(text, _LABEL_WIDTH, LABEL_SIZE)
    return shown, width_of(shown, LABEL_SIZE) + 2 * _PADDING if shown else 0.0


def _write(on: Drawing, text: str, x: float, y: float) -> None:
    """Put a label around a point."""
    shown, width = label_of(text)
    if shown:
        on.labels.append(Label(Area(x - width / 2, y - _LABEL_HEIGHT / 2, width, _LABEL_HEIGHT), shown, text))


def pill_of(text: str) -> tuple[str, float]:
    """Return the visible part of a pill's text, and its width."""
    shown = clipped(text, _LABEL_WIDTH, LABEL_SIZE)
    return shown, max(56.0, width_of(shown, LABEL_SIZE) + 24.0)


def put_pill(on: Drawing, text: str, look: str, x: float, y: float) -> None:
    """Put a pill below a point."""
    shown, width = pill_of(text)
    on.pills.append(Pill(Area(x - width / 2, y, width, PILL_HEIGHT), shown, text, look))


class Leap:
    """A way to a step elsewhere, or to the end."""

    def __init__(self, jump: Jump) -> None:
        self._jump = jump
        self._text = "end" if jump.to is None else f"→ {jump.to}"
        self.left = self.right = pill_of(self._text)[1] / 2
        self.height = PILL_HEIGHT

    def place(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> list[Edge]:
        put_pill(on, self._text, "end" if self._jump.to is None else "jump", x, y)
        finish(on, coming, x, y, self._jump.to)
        return []


def finish(on: Drawing, coming: Sequence[Edge], x: float, y: float, target: str | None) -> None:
    """Draw edges to their targets."""
    for edge in coming:
        edge.target = target
        on.edges.append(edge.over((x, y)))


class Plain:
    """A step with at most one way."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self.left = self.right = WIDTH / 2
        self.height = card.height

    def place(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> list[Edge]:
        finish(on, coming, x, y, self._card.step.id)
        self._card.place(on, x - WIDTH / 2, y)
        return [Edge(self._card.step.id, way.key, way.label, [(x, y + self.height)]) for way in self._card.step.ways]


class Column:
    """Parts below each other, or none."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self.left = max((part.left for part in parts), default=0.0)
        self.right = max((part.right for part in parts), default=0.0)
        self.height = sum(part.height for part in parts) + GAP * max(0, len(parts) - 1)

    def place(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> list[Edge]:
        for part in self._parts:
            coming = part.place(on, x, y, coming)
            y += part.height + GAP
        return coming


class Beside:
    """A fork with its branches beside each other."""

    def __init__(self, card: Card, ways: Sequence[Way], columns: Sequence[Column], on: Sequence[bool]) -> None:
        self._card, self._ways, self._columns = card, ways, columns
        sides = [max(label_of(way.label)[1] / 2, 12.0) for way in ways]
        lefts = [max(column.left, side) for column, side in zip(columns, sides, strict=True)]
        rights = [max(column.right, side) for column, side in zip(columns, sides, strict=True)]
        self._spines = [lefts[0]]
        for right, left in zip(rights, lefts[1:], strict=False):
            self._spines.append(self._spines[-1] + right + _APART + left)
        going_on = [spine for spine, goes_on in zip(self._spines, on, strict=True) if goes_on]
        # A single way that goes on stays below the fork: the others leave it to a side.
        middle = going_on[0] if len(going_on) == 1 else (self._spines[0] + self._spines[-1]) / 2
        self._spines = [spine - middle for spine in self._spines]
        self.left = max(WIDTH / 2, lefts[0] - self._spines[0])
        self.right = max(WIDTH / 2, rights[-1] + self._spines[-1])
        self._deep = max(column.height for column in columns)
        self.height = card.height + _BAND + self._deep + (_BUS if going_on else 0.0)

    def place(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> list[Edge]:
        finish(on, coming, x, y, self._card.step.id)
        self._card.place(on, x - WIDTH / 2, y)
        foot, going = y + self._card.height, list[Edge]()
        top, bus, meeting = foot + _BAND, foot + _BUS, y + self.height
        for way, column, spine in zip(self._ways, self._columns, self._spines, strict=True):
            at = x + spine
            edge = Edge(self._card.step.id, way.key, way.label, [(x, foot), (x, bus), (at, bus)])
            _write(on, way.label, at, bus + 6.0 + _LABEL_HEIGHT / 2)
            going += [left.over((at, meeting), (x, meeting)) for left in column.place(on, at, top, [edge])]
        return going


class Below:
    """A fork with its branches below each other, because they are wide."""

    def __init__(self, card: Card, ways: Sequence[Way], columns: Sequence[Column]) -> None:
        self._card, self._ways, self._columns = card, ways, columns
        inside = max(column.left + column.right for column in columns)
        labels = max(label_of(way.label)[1] for way in ways) + 2 * _RAIL
        self.left = WIDTH / 2
        self._rail = _INDENT - WIDTH / 2 + max(inside, labels) + _RAIL
        self.right = max(WIDTH / 2, self._rail)
        self.height = card.height + sum(self._room(column) for column in columns) + _BUS

    def _room(self, column: Column) -> float:
        return _LABEL_HEIGHT + 2 * _BUS + (column.height + _BUS if column.height else 0.0)

    def place(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> list[Edge]:
        finish(on, coming, x, y, self._card.step.id)
        self._card.place(on, x - WIDTH / 2, y)
        trunk, rail, meeting = x - WIDTH / 2 + _RAIL, x + self._rail, y + self.height
        foot, going = y + self._card.height, list[Edge]()
        y = foot
        for way, column in zip(self._ways, self._columns, strict=True):
            at, bus = x - WIDTH / 2 + _INDENT + column.left, y + _BUS + _LABEL_HEIGHT / 2
            edge = Edge(self._card.step.id, way.key, way.label, [(trunk, foot), (trunk, bus)])
            _write(on, way.label, trunk + _RAIL + label_of(way.label)[1] / 2, bus)
            if column.height:
                top = y + _LABEL_HEIGHT + 2 * _BUS
                out = top + column.height + _BUS
                left = [edge.over((at, out)) for edge in column.place(on, at, top, [edge.over((at, bus))])]
            else:
                out, left = bus, [edge]
            going += [edge.over((rail, out), (rail, meeting), (x, meeting)) for edge in left]
            y += self._room(column)
        return going


class Loop:
    """A repetition: its steps below it, a line back on the left, the exit on the right."""

    def __init__(self, card: Card, back: Way, on: Way, body: Column) -> None:
        self._card, self._back, self._on, self._body = card, back, on, body
        inner, outer = label_of(back.label)[1] / 2, label_of(on.label)[1] / 2
        self._return = max(body.left, WIDTH / 2, inner) + _RAIL
        self._rail = max(body.right + _RAIL, WIDTH / 2 + _RAIL, inner + outer + _RAIL)
        self.left = self._return + _RAIL
        self.right = self._rail + max(outer, _RAIL)
        self.height = card.height + _BAND + body.height + 2 * _BUS

    def place(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> list[Edge]:
        finish(on, coming, x, y, self._card.step.id)
        self._card.place(on, x - WIDTH / 2, y)
        name, middle, foot = self._card.step.id, y + self._card.height / 2, y + self._card.height
        band = foot + 14.0 + _LABEL_HEIGHT / 2
        _write(on, self._back.label, x, band)
        back = Edge(name, self._back.key, self._back.label, [(x, foot)])
        bottom = foot + _BAND + self._body.height + _BUS
        returning = self._body.place(on, x, foot + _BAND, [back])
        for edge in returning:
            edge.target = name
            on.edges.append(
                edge.over((x, bottom), (x - self._return, bottom), (x - self._return, middle), (x - WIDTH / 2, middle))
            )
        _write(on, self._on.label, x + self._rail, band)
        rail, meeting = x + self._rail, y + self.height
        start = (x + WIDTH / 2, middle)
        return [Edge(name, self._on.key, self._on.label, [start, (rail, middle), (rail, meeting), (x, meeting)])]
