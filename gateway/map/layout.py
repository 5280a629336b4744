"""The layout of a map: a recursion over the blocks of a plan."""

from __future__ import annotations

from typing import Final

from gateway.map.boxes import WIDTH, Card
from gateway.map.drawing import Drawing, Edge, Text
from gateway.map.outline import Block, Item, Outline
from gateway.map.overlay import Overlay
from gateway.map.parts import GAP, PILL_HEIGHT, Below, Beside, Column, Leap, Loop, Part, Plain, finish, put_pill
from gateway.map.typesetting import width_of, wrapped

WIDEST: Final = 1040.0
"""Maximum width of branches beside each other; wider ones are put below each other."""
_NESTED: Final = 48.0
"""Reduction of that width for nested branches."""
_MARGIN: Final = 20.0
_SIZES: Final = {"heading": 16.0, "note": 12.0}
_LINES: Final = {"heading": 22.0, "note": 17.0}
_NARROWEST: Final = 320.0


def lay_out(
    read: Outline, title: str, *, trigger: str = "", overlay: Overlay | None = None, heading: bool = True
) -> Drawing:
    """Lay out a map.

    Args:
        read: The plan's outline.
        title: The map's title: ``post-purchase@3``.
        trigger: The trigger.
        overlay: Additions to the map.
        heading: True to draw the title.
    """
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
    put_pill(on, trigger or "start", "start", left, y)
    y += PILL_HEIGHT
    edges = course.place(on, left, y + GAP, [Edge(None, "", "", [(left, y)])])
    y += GAP + course.height
    if edges:
        put_pill(on, "end", "end", left, y + GAP)
        finish(on, edges, left, y + GAP, None)
        y += GAP + PILL_HEIGHT
    for column in aside:
        y = _head(on, ["no journey comes to:"], "note", y + GAP)
        rest = column.place(on, left, y + 8.0, [])
        y += 8.0 + column.height
        if rest:
            put_pill(on, "end", "end", left, y + GAP)
            finish(on, rest, left, y + GAP, None)
            y += GAP + PILL_HEIGHT
    if shown.removed:
        y = _head(on, [f"removed: {', '.join(shown.removed)}"], "note", y + GAP)
    on.height = y + _MARGIN
    return on


def _head(on: Drawing, lines: list[str] | tuple[str, ...], look: str, y: float) -> float:
    """Write lines over the whole width. Return their lower end."""
    size, room = _SIZES[look], on.width - 2 * _MARGIN
    for text in lines:
        for line in wrapped(text, room, size, 3, bold=look == "heading"):
            y += _LINES[look]
            on.texts.append(Text(_MARGIN, y - 5.0, line, look, width_of(line, size, bold=look == "heading")))
    return y


def _column(block: Block, shown: Overlay, room: float) -> Column:
    parts: list[Part] = [_part(item, shown, room) for item in block.items]
    return Column(parts if block.jump is None else [*parts, Leap(block.jump)])


def _part(item: Item, shown: Overlay, room: float) -> Part:
    card = Card(item.step, shown)
    if item.round is not None:
        on = next(way for way in item.step.ways if way is not item.round.way)
        return Loop(card, item.round.way, on, _column(item.round.block, shown, room - _NESTED))
    if not item.branches:
        return Plain(card)
    columns = [_column(branch.block, shown, room - _NESTED) for branch in item.branches]
    ways = [branch.way for branch in item.branches]
    beside = Beside(card, ways, columns, [branch.block.goes_on for branch in item.branches])
    return beside if beside.left + beside.right <= max(room, WIDTH) else Below(card, ways, columns)
