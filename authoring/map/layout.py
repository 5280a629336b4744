"""The layout of a map: a recursion over the blocks of a plan.

Each part of a map knows its size and draws itself. It is entered at its top and left at its bottom, on one vertical
line, its spine. It draws incoming edges to their end, and returns outgoing ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from authoring.map.drawing import (
    SIZES,
    WIDTH,
    Area,
    Card,
    Drawing,
    Edge,
    Label,
    Point,
    Text,
    clipped,
    width_of,
    wrapped,
)
from authoring.map.outline import Block, Jump, Outline, OutlineItem, Overlay, Way

GAP: Final = 28.0  # space between a step and the next one
_APART: Final = 24.0  # between two columns
_INDENT: Final = 34.0  # of branches below each other
_RAIL: Final = 14.0  # from a part to a line beside it
_BUS: Final = 14.0  # from a fork to the line that divides, and from its branches to the one where they meet
_BAND: Final = 50.0  # from a fork to its branches, with labels between
LABEL_SIZE: Final = 11.0
_LABEL_HEIGHT: Final = 18.0
_LABEL_WIDTH: Final = 170.0
_PADDING: Final = 7.0
PILL_HEIGHT: Final = 26.0


class MapPart(Protocol):
    """A part of a map, with space to the left and to the right of its spine."""

    left: float
    right: float
    height: float

    def place(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> list[Edge]:
        """Draw it with its spine at `x` and its top at `y`, and the incoming edges. Return the outgoing ones."""
        ...


def _label_of(text: str) -> tuple[str, float]:
    shown = clipped(text, _LABEL_WIDTH, LABEL_SIZE)
    return shown, width_of(shown, LABEL_SIZE) + 2 * _PADDING if shown else 0.0


def _write(on: Drawing, text: str, x: float, y: float) -> None:
    shown, width = _label_of(text)
    if shown:
        on.labels.append(Label(Area(x - width / 2, y - _LABEL_HEIGHT / 2, width, _LABEL_HEIGHT), shown, text))


def _pill_of(text: str) -> tuple[str, float]:
    shown = clipped(text, _LABEL_WIDTH, LABEL_SIZE)
    return shown, max(56.0, width_of(shown, LABEL_SIZE) + 24.0)


def _put_pill(on: Drawing, text: str, look: str, x: float, y: float) -> None:
    shown, width = _pill_of(text)
    on.pills.append(Label(Area(x - width / 2, y, width, PILL_HEIGHT), shown, text, f"pill {look}"))


class JumpPart:
    """A way to a step elsewhere, or to the end."""

    def __init__(self, jump: Jump) -> None:
        self._jump = jump
        self._text = "end" if jump.to is None else f"→ {jump.to}"
        self.left = self.right = _pill_of(self._text)[1] / 2
        self.height = PILL_HEIGHT

    def place(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> list[Edge]:
        _put_pill(on, self._text, "end" if self._jump.to is None else "jump", x, y)
        _finish(on, coming, x, y, self._jump.to)
        return []


def _finish(on: Drawing, coming: Sequence[Edge], x: float, y: float, target: str | None) -> None:
    for edge in coming:
        edge.target = target
        on.edges.append(edge.over((x, y)))


class StepPart:
    """A step with at most one way."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self.left = self.right = WIDTH / 2
        self.height = card.height

    def place(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> list[Edge]:
        foot = self._enter(on, x, y, coming)
        return [self._edge(way, (x, foot)) for way in self._card.step.ways]

    def _enter(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> float:
        """Draw the step's box and the edges to it. Return the box's lower end."""
        _finish(on, coming, x, y, self._card.step.id)
        self._card.place(on, x - WIDTH / 2, y)
        return y + self._card.height

    def _edge(self, way: Way, *points: Point) -> Edge:
        return Edge(self._card.step.id, way.key, way.label, [*points])


class Column:
    """Parts below each other, or none."""

    def __init__(self, parts: Sequence[MapPart]) -> None:
        self._parts = parts
        self.left = max((part.left for part in parts), default=0.0)
        self.right = max((part.right for part in parts), default=0.0)
        self.height = sum(part.height for part in parts) + GAP * max(0, len(parts) - 1)

    def place(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> list[Edge]:
        for part in self._parts:
            coming = part.place(on, x, y, coming)
            y += part.height + GAP
        return coming


class ForkAcross(StepPart):
    """A fork with its branches beside each other."""

    def __init__(self, card: Card, ways: Sequence[Way], columns: Sequence[Column], on: Sequence[bool]) -> None:
        super().__init__(card)
        self._ways, self._columns = ways, columns
        sides = [max(_label_of(way.label)[1] / 2, 12.0) for way in ways]
        lefts = [max(column.left, side) for column, side in zip(columns, sides, strict=True)]
        rights = [max(column.right, side) for column, side in zip(columns, sides, strict=True)]
        self._spines = [lefts[0]]
        for right, left in zip(rights, lefts[1:], strict=False):
            self._spines.append(self._spines[-1] + right + _APART + left)
        going_on = [spine for spine, goes_on in zip(self._spines, on, strict=True) if goes_on]
        # A single way that continues stays below the fork. The others leave it to a side.
        middle = going_on[0] if len(going_on) == 1 else (self._spines[0] + self._spines[-1]) / 2
        self._spines = [spine - middle for spine in self._spines]
        self.left = max(WIDTH / 2, lefts[0] - self._spines[0])
        self.right = max(WIDTH / 2, rights[-1] + self._spines[-1])
        self._deep = max(column.height for column in columns)
        self.height = card.height + _BAND + self._deep + (_BUS if going_on else 0.0)

    def place(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> list[Edge]:
        foot, going = self._enter(on, x, y, coming), list[Edge]()
        top, bus, meeting = foot + _BAND, foot + _BUS, y + self.height
        for way, column, spine in zip(self._ways, self._columns, self._spines, strict=True):
            at = x + spine
            edge = self._edge(way, (x, foot), (x, bus), (at, bus))
            _write(on, way.label, at, bus + 6.0 + _LABEL_HEIGHT / 2)
            going += [left.over((at, meeting), (x, meeting)) for left in column.place(on, at, top, [edge])]
        return going


class ForkDown(StepPart):
    """A fork with its branches below each other, because they are wide."""

    def __init__(self, card: Card, ways: Sequence[Way], columns: Sequence[Column]) -> None:
        super().__init__(card)
        self._ways, self._columns = ways, columns
        inside = max(column.left + column.right for column in columns)
        labels = max(_label_of(way.label)[1] for way in ways) + 2 * _RAIL
        self.left = WIDTH / 2
        self._rail = _INDENT - WIDTH / 2 + max(inside, labels) + _RAIL
        self.right = max(WIDTH / 2, self._rail)
        self.height = card.height + sum(self._room(column) for column in columns) + _BUS

    def _room(self, column: Column) -> float:
        return _LABEL_HEIGHT + 2 * _BUS + (column.height + _BUS if column.height else 0.0)

    def place(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> list[Edge]:
        foot, going = self._enter(on, x, y, coming), list[Edge]()
        trunk, rail, meeting = x - WIDTH / 2 + _RAIL, x + self._rail, y + self.height
        y = foot
        for way, column in zip(self._ways, self._columns, strict=True):
            at, bus = x - WIDTH / 2 + _INDENT + column.left, y + _BUS + _LABEL_HEIGHT / 2
            edge = self._edge(way, (trunk, foot), (trunk, bus))
            _write(on, way.label, trunk + _RAIL + _label_of(way.label)[1] / 2, bus)
            if column.height:
                top = y + _LABEL_HEIGHT + 2 * _BUS
                out = top + column.height + _BUS
                left = [edge.over((at, out)) for edge in column.place(on, at, top, [edge.over((at, bus))])]
            else:
                out, left = bus, [edge]
            going += [edge.over((rail, out), (rail, meeting), (x, meeting)) for edge in left]
            y += self._room(column)
        return going


class LoopPart(StepPart):
    """A repetition: its steps below it, a line back on the left, the exit on the right."""

    def __init__(self, card: Card, back: Way, on: Way, body: Column) -> None:
        super().__init__(card)
        self._back, self._on, self._body = back, on, body
        inner, outer = _label_of(back.label)[1] / 2, _label_of(on.label)[1] / 2
        self._return = max(body.left, WIDTH / 2, inner) + _RAIL
        self._rail = max(body.right + _RAIL, WIDTH / 2 + _RAIL, inner + outer + _RAIL)
        self.left = self._return + _RAIL
        self.right = self._rail + max(outer, _RAIL)
        self.height = card.height + _BAND + body.height + 2 * _BUS

    def place(self, on: Drawing, x: float, y: float, coming: list[Edge]) -> list[Edge]:
        foot, middle = self._enter(on, x, y, coming), y + self._card.height / 2
        band = foot + 14.0 + _LABEL_HEIGHT / 2
        _write(on, self._back.label, x, band)
        bottom, left = foot + _BAND + self._body.height + _BUS, x - self._return
        for edge in self._body.place(on, x, foot + _BAND, [self._edge(self._back, (x, foot))]):
            edge.over((x, bottom), (left, bottom), (left, middle))
            _finish(on, [edge], x - WIDTH / 2, middle, self._card.step.id)
        _write(on, self._on.label, x + self._rail, band)
        rail, meeting = x + self._rail, y + self.height
        return [self._edge(self._on, (x + WIDTH / 2, middle), (rail, middle), (rail, meeting), (x, meeting))]


WIDEST: Final = 1040.0  # maximum width of branches beside each other; wider ones are put below each other
_NESTED: Final = 48.0  # reduction of that width for nested branches
_MARGIN: Final = 20.0
_LINES: Final = {"heading": 22.0, "note": 17.0}
_NARROWEST: Final = 320.0


def lay_out(
    read: Outline, title: str, *, trigger: str = "", overlay: Overlay | None = None, heading: bool = True
) -> Drawing:
    shown = overlay or Overlay()
    on = Drawing(title)
    course = _column(read.course, shown, WIDEST)
    aside = [_column(block, shown, WIDEST) for block in read.aside]
    left = max(column.left for column in (course, *aside)) + _MARGIN
    on.width = max(left + max(column.right for column in (course, *aside)) + _MARGIN, _NARROWEST)
    left = max(left, on.width / 2) if on.width == _NARROWEST else left
    y = _head(on, [title] if heading else [], "heading", _MARGIN)
    y = _head(on, read.notes, "note", y)
    y += 10.0
    _put_pill(on, trigger or "start", "start", left, y)
    y += PILL_HEIGHT
    edges = course.place(on, left, y + GAP, [Edge(None, "", "", [(left, y)])])
    y += GAP + course.height
    y = _end(on, edges, left, y)
    for column in aside:
        y = _head(on, ["no journey reaches:"], "note", y + GAP)
        rest = column.place(on, left, y + 8.0, [])
        y = _end(on, rest, left, y + 8.0 + column.height)
    if shown.removed:
        y = _head(on, [f"removed: {', '.join(shown.removed)}"], "note", y + GAP)
    on.height = y + _MARGIN
    return on


def _end(on: Drawing, edges: list[Edge], x: float, y: float) -> float:
    """Draw the end below a part that journeys leave. Return its lower end."""
    if not edges:
        return y
    _put_pill(on, "end", "end", x, y + GAP)
    _finish(on, edges, x, y + GAP, None)
    return y + GAP + PILL_HEIGHT


def _head(on: Drawing, lines: list[str] | tuple[str, ...], look: str, y: float) -> float:
    """Write lines over the whole width. Return their lower end."""
    size, room = SIZES[look], on.width - 2 * _MARGIN
    for text in lines:
        for line in wrapped(text, room, size, 3, bold=look == "heading"):
            y += _LINES[look]
            on.texts.append(Text(_MARGIN, y - 5.0, line, look, width_of(line, size, bold=look == "heading")))
    return y


def _column(block: Block, shown: Overlay, room: float) -> Column:
    parts: list[MapPart] = [_part(item, shown, room) for item in block.items]
    return Column(parts if block.jump is None else [*parts, JumpPart(block.jump)])


def _part(item: OutlineItem, shown: Overlay, room: float) -> MapPart:
    card = Card(shown.of(item.step))
    if item.round is not None:
        on = next(way for way in item.step.ways if way is not item.round.way)
        return LoopPart(card, item.round.way, on, _column(item.round.block, shown, room - _NESTED))
    if not item.branches:
        return StepPart(card)
    columns = [_column(branch.block, shown, room - _NESTED) for branch in item.branches]
    ways = [branch.way for branch in item.branches]
    beside = ForkAcross(card, ways, columns, [branch.block.goes_on for branch in item.branches])
    return beside if beside.left + beside.right <= max(room, WIDTH) else ForkDown(card, ways, columns)
