"""The map of a plan as SVG, with all texts escaped, with its style sheet; and as Mermaid text, which GitHub draws.

Elements have no inline styles, so a page's policy can forbid them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from authoring.map.drawing import ICON, PADDING, SIZES, Area, Box, Drawing, Edge, Label, Point, Text
from authoring.map.layout import LABEL_SIZE, lay_out
from authoring.map.outline import Outline, Overlay, ShownStep, outline
from scenario.plan.plan import Plan
from scenario.steps.base import Role


@dataclass(frozen=True)
class ScenarioMap:
    """A map."""

    plan: Plan
    title: str
    trigger: str = ""
    overlay: Overlay = field(default_factory=Overlay)

    @cached_property
    def outline(self) -> Outline:
        return outline(self.plan)

    @property
    def rows(self) -> list[ShownStep]:
        """The steps in reading order, for a table with the map's content."""
        return [self.overlay.of(step) for step in self.outline.steps]

    def svg(self, *, standalone: bool = False) -> str:
        """Return it as SVG: for a page that has `authoring.map.map.STYLE`, or as a standalone file."""
        drawing = lay_out(self.outline, self.title, trigger=self.trigger, overlay=self.overlay, heading=standalone)
        return svg(drawing, standalone=standalone)

    def mermaid(self) -> str:
        return "".join(f"{line}\n" for line in _lines(self.outline, self.trigger, self.overlay))


_SHAPES: Final[dict[Role, tuple[str, str]]] = {
    "acts": ("[", "]"),
    "sends": ("[", "]"),
    "waits": ("([", "])"),
    "divides": ("{{", "}}"),
    "repeats": ("[[", "]]"),
    "ends": ("([", "])"),
}
_SPECIAL: Final = re.compile(r"[^\w .,:→…=!/-]|(?<!\w)_|_(?!\w)|[.-](?=[ -]|$)|:(?=//)")
"""Characters with a meaning in Mermaid, HTML, or Markdown."""
_START: Final = "start"
_END: Final = "finish"  # the name of the end, since `end` is a keyword
_MARKS: Final = {
    "added": "stroke:#1a7f43,stroke-width:2px",
    "changed": "stroke:#8a5a00,stroke-width:2px,stroke-dasharray:5 3",
}


def _lines(read: Outline, trigger: str, shown: Overlay) -> Iterator[str]:
    steps = read.steps
    names = {step.id: f"s{number}" for number, step in enumerate(steps, 1)}
    yield "flowchart TD"
    yield f'    {_START}(["{quoted(trigger or _START)}"])'
    for step in steps:
        before, after = _SHAPES[step.role]
        what = step.what if step.what.endswith("…") or not step.detail else f"{step.what}: {step.detail}"
        caption = (step.id, what) if step.role == "sends" else (what, step.id)
        yield f'    {names[step.id]}{before}"{"<br/>".join(map(quoted, caption))}"{after}'
    if any(way.to is None for step in steps for way in step.ways):
        yield f'    {_END}(["end"])'
    if steps:
        yield f"    {_START} --> {names[steps[0].id]}"
    for step in steps:
        for way in step.ways:
            label = f'|"{quoted(way.label)}"|' if way.label else ""
            target = _END if way.to is None else names.get(way.to)
            if target is not None:
                yield f"    {names[step.id]} -->{label} {target}"
    if read.notes:
        yield f'    notes["{"<br/>".join(quoted(note) for note in read.notes)}"]'
    for mark, look in _MARKS.items():
        if marked := [names[step.id] for step in steps if shown.marks.get(step.id) == mark]:
            yield f"    classDef {mark} {look}"
            yield f"    class {','.join(marked)} {mark}"
    if shown.removed:
        yield f'    removed["removed: {quoted(", ".join(shown.removed))}"]'


def quoted(text: str) -> str:
    """Return a text for quotes, with special characters as numbers."""
    return _SPECIAL.sub(lambda found: f"#{ord(found[0])};", text)


FONT: Final = 'ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

STYLE: Final = Path(__file__).with_name("map.css").read_text(encoding="utf-8")
"""Colours are custom properties, which a page may override; all rules are below the class ``map``."""


_ILLEGAL: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot contain (XML 1.0, §2.2)."""
_CORNER: Final = 7.0
_HEAD: Final = 5.0
_ICONS: Final[dict[Role, str]] = {  # lines in a square of 22 by 22
    "acts": "M11 5.5v11M5.5 11h11",
    "sends": "M17.5 4.5 10 12M17.5 4.5l-4.7 13-2.8-5.5-5.5-2.8z",
    "waits": "M11 4.5a6.5 6.5 0 1 0 .01 0M11 7.5V11l2.5 1.8",
    "divides": "M11 4v4M11 8 5.5 12.5V17M11 8l5.5 4.5V17",
    "repeats": "M5 10.5a6 6 0 0 1 11-3.2M16.5 4v3.5H13M17 11.5a6 6 0 0 1-11 3.2M5.5 18v-3.5H9",
    "ends": "M6.5 6.5h9v9h-9z",
}


def svg(drawing: Drawing, *, standalone: bool = False) -> str:
    """Write a map.

    Args:
        standalone: True to include style sheet and background.
    """
    width, height = _number(drawing.width), _number(drawing.height)
    has_links = any(box.shown.link for box in drawing.boxes)
    title, count = f"Map of {drawing.title}", len(drawing.boxes)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="map" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="{"group" if has_links else "img"}" aria-label="{escaped(title)}" '
        f'font-family="{escaped(FONT)}">',
        f"<title>{escaped(title)}</title>",
        f"<desc>{count} step{'' if count == 1 else 's'}, from where contacts come in to the end.</desc>",
    ]
    if standalone:
        lines.append(f"<style>\n{STYLE}</style>")
        lines.append(f'<rect class="ground" width="{width}" height="{height}"/>')
    lines += (_text(text) for text in drawing.texts)
    lines += (line for edge in drawing.edges for line in _edge(edge))
    lines += (_label(label, 9) for label in drawing.labels)
    lines += (_label(pill, 13) for pill in drawing.pills)
    lines += (line for box in drawing.boxes for line in _step(box))
    return "\n".join((*lines, "</svg>", ""))


def escaped(text: str) -> str:
    """Return a text for an element or a quoted attribute."""
    return html.escape(_ILLEGAL.sub("\ufffd", text)).replace("&#x27;", "&#39;")


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _rect(area: Area, radius: float, look: str = "") -> str:
    named = f'class="{look}" ' if look else ""
    return (
        f'<rect {named}x="{_number(area.x)}" y="{_number(area.y)}" width="{_number(area.width)}" '
        f'height="{_number(area.height)}" rx="{_number(radius)}"/>'
    )


def _text(text: Text) -> str:
    weight = ' font-weight="600"' if text.look in ("title", "heading") else ""
    x, y, size = _number(text.x), _number(text.y), _number(SIZES[text.look])
    return f'<text class="{text.look}" x="{x}" y="{y}" font-size="{size}"{weight}>{escaped(text.text)}</text>'


def _label(label: Label, radius: float, size: float = LABEL_SIZE) -> str:
    hint = f"<title>{escaped(label.whole)}</title>" if label.text != label.whole else ""
    x, y = label.area.x + label.area.width / 2, label.area.y + label.area.height / 2 + size * 0.35
    return (
        f'<g class="{label.look}">{hint}{_rect(label.area, radius)}<text x="{_number(x)}" y="{_number(y)}" '
        f'font-size="{_number(size)}" text-anchor="middle">{escaped(label.text)}</text></g>'
    )


def _edge(edge: Edge) -> Iterator[str]:
    points = _corners(edge.points)
    ends = {"from": edge.source, "way": edge.way, "label": edge.label, "to": edge.target}
    data = "".join(f' data-{name}="{escaped(value)}"' for name, value in ends.items() if value is not None)
    yield f'<path class="edge" d="{_rounded(points)}"{data}/>'
    (x0, y0), (x, y) = points[-2:]
    if y == y0:
        side = -_HEAD if x > x0 else _HEAD
        yield f'<path class="head" d="M{_number(x)} {_number(y)}l{_number(side * 1.4)} -4v8z"/>'
    else:
        yield f'<path class="head" d="M{_number(x)} {_number(y)}l-4 {_number(-_HEAD * 1.4)}h8z"/>'


def _corners(points: list[Point]) -> list[Point]:
    """Return the points at which a line starts, turns and ends."""
    kept: list[Point] = []
    for point in points:
        if kept and point == kept[-1]:
            continue
        if len(kept) > 1 and (kept[-2][0] == kept[-1][0] == point[0] or kept[-2][1] == kept[-1][1] == point[1]):
            kept.pop()
        kept.append(point)
    return kept


def _rounded(points: list[Point]) -> str:
    made = [f"M{_number(points[0][0])} {_number(points[0][1])}"]
    for before, at, after in zip(points, points[1:], points[2:], strict=False):
        into, out = _toward(at, before), _toward(at, after)
        made.append(f"L{_number(into[0])} {_number(into[1])}")
        made.append(f"Q{_number(at[0])} {_number(at[1])} {_number(out[0])} {_number(out[1])}")
    made.append(f"L{_number(points[-1][0])} {_number(points[-1][1])}")
    return "".join(made)


def _toward(start: Point, end: Point) -> Point:
    """Return a point at the corner's radius, or half way if that is nearer."""
    across, down = end[0] - start[0], end[1] - start[1]
    length = abs(across) + abs(down)
    part = min(_CORNER, length / 2) / length
    return start[0] + across * part, start[1] + down * part


def _step(box: Box) -> Iterator[str]:
    shown, step, area = box.shown, box.shown.step, box.area
    looks = " ".join(("step", step.role, *((shown.mark,) if shown.mark else ())))
    tag, link = ("g", "") if shown.link is None else ("a", f' href="{escaped(shown.link)}"')
    yield f'<{tag} class="{looks}" data-step="{escaped(step.id)}" data-kind="{escaped(step.kind)}"{link}>'
    yield f"<title>{escaped(_tooltip(shown))}</title>"
    yield _rect(area, 10, "box")
    yield _rect(Area(area.x + PADDING, area.y + PADDING, ICON, ICON), 6, "tile")
    at = f"translate({_number(area.x + PADDING)} {_number(area.y + PADDING)})"
    yield f'<path class="icon" transform="{at}" d="{_ICONS[step.role]}"/>'
    yield from (_text(text) for text in box.texts)
    yield from (_label(badge, 8, SIZES["badge"]) for badge in box.badges)
    yield f"</{tag}>"


def _tooltip(shown: ShownStep) -> str:
    lines = [f"{shown.step.id}: {shown.step.what}", shown.step.detail]
    lines += [f"{number:,} {word}" for word, number in shown.numbers.items()]
    if shown.mark is not None:
        lines.append(f"{shown.mark}: {', '.join(shown.changes)}" if shown.changes else shown.mark)
    return "\n".join(line for line in lines if line)
