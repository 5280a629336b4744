"""The map of a plan in all of its forms."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from gateway.map.layout import lay_out
from gateway.map.mermaid import mermaid
from gateway.map.outline import Outline, Overlay, ShownStep, outline
from gateway.map.svg import svg
from scenario.plan.plan import Plan


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
        return mermaid(self.outline, trigger=self.trigger, overlay=self.overlay)
