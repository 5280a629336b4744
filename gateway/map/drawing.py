"""Elements of a map with their places: boxes, labels and edges, in pixels from the top left corner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.map.outline import Step
from gateway.map.overlay import Mark

Point = tuple[float, float]


@dataclass(frozen=True)
class Area:
    """A rectangle that nothing else may cover."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Area) -> bool:
        """Return True if two areas share more than an edge."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


@dataclass(frozen=True)
class Text:
    """A line of text.

    Attributes:
        x: Its start, or its centre if it is `centred`.
        y: Its base line.
        text: The text.
        look: The CSS class; see `gateway.map.style`.
        width: Its maximum width.
    """

    x: float
    y: float
    text: str
    look: str
    width: float
    centred: bool = False


@dataclass(frozen=True)
class Badge:
    """A number or a mark in a step's box."""

    area: Area
    text: str
    look: str


@dataclass(frozen=True)
class Box:
    """A step with everything shown in it."""

    area: Area
    step: Step
    texts: tuple[Text, ...]
    badges: tuple[Badge, ...]
    numbers: Mapping[str, int]
    mark: Mark | None
    changes: tuple[str, ...]
    link: str | None


@dataclass(frozen=True)
class Label:
    """The label of a way.

    Attributes:
        area: Its place.
        text: The visible part.
        whole: The whole text.
    """

    area: Area
    text: str
    whole: str


@dataclass(frozen=True)
class Pill:
    """The entry, the end, or a jump to a step elsewhere."""

    area: Area
    text: str
    whole: str
    look: str


@dataclass
class Edge:
    """A way from a step, or from the entry (None), to the next step.

    Attributes:
        source: The step that it leaves.
        way: The key of the way.
        label: Its label.
        target: The step that it leads to; None is the end.
        points: Its corners.
    """

    source: str | None
    way: str
    label: str
    points: list[Point]
    target: str | None = None

    def over(self, *points: Point) -> Edge:
        """Return the edge extended by points."""
        self.points += points
        return self


@dataclass
class Drawing:
    """A map with all places."""

    title: str
    boxes: list[Box] = field(default_factory=list["Box"])
    labels: list[Label] = field(default_factory=list["Label"])
    edges: list[Edge] = field(default_factory=list["Edge"])
    pills: list[Pill] = field(default_factory=list["Pill"])
    texts: list[Text] = field(default_factory=list["Text"])
    width: float = 0.0
    height: float = 0.0
