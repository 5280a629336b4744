"""The map of a plan in all of its forms, among them Mermaid text, which GitHub draws."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from gateway.map.layout import lay_out
from gateway.map.outline import Outline, Overlay, ShownStep, Step, outline
from gateway.map.svg import svg
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
        """Return it as SVG: for a page that has `gateway.map.svg.STYLE`, or as a standalone file."""
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
_END: Final = "finish"
"""The name of the end, since `end` is a keyword."""
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
        yield f'    {names[step.id]}{before}"{_text(step)}"{after}'
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


def _text(step: Step) -> str:
    what = step.what if step.what.endswith("…") or not step.detail else f"{step.what}: {step.detail}"
    shown = (step.id, what) if step.role == "sends" else (what, step.id)
    return "<br/>".join(quoted(line) for line in shown)


def quoted(text: str) -> str:
    """Return a text for quotes, with special characters as numbers."""
    return _SPECIAL.sub(lambda found: f"#{ord(found[0])};", text)
