"""What a map is drawn of: boxes, labels and edges with their places, in pixels from the top left corner."""

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
        """Whether two have more than an edge in common."""
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
        x: Where it begins, or its middle where it is `centred`.
        y: Its base line.
        text: What it says.
        look: The class that says how it looks; see `gateway.map.style`.
        width: Its width at most.
    """

    x: float
    y: float
    text: str
    look: str
    width: float
    centred: bool = False


@dataclass(frozen=True)
class Badge:
    """A number, or a mark, in a step's box."""

    area: Area
    text: str
    look: str


@dataclass(frozen=True)
class Box:
    """A step, and all that is shown in it."""

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
    """What is written at a way.

    Attributes:
        area: Its place.
        text: As much of it as there is room for.
        whole: All of it.
    """

    area: Area
    text: str
    whole: str


@dataclass(frozen=True)
class Pill:
    """Where contacts come in, the end, or a way to a step that stands elsewhere."""

    area: Area
    text: str
    whole: str
    look: str


@dataclass
class Edge:
    """A way from a step to the next, or from where contacts come in (None).

    Attributes:
        source: The step that it leads out of.
        way: The key of the way.
        label: What is written at it.
        target: The step that it leads to; None is the end.
        points: Its corners.
    """

    source: str | None
    way: str
    label: str
    points: list[Point]
    target: str | None = None

    def over(self, *points: Point) -> Edge:
        """The same, drawn further."""
        self.points += points
        return self


@dataclass
class Drawing:
    """A map with the place of everything on it."""

    title: str
    boxes: list[Box] = field(default_factory=list["Box"])
    labels: list[Label] = field(default_factory=list["Label"])
    edges: list[Edge] = field(default_factory=list["Edge"])
    pills: list[Pill] = field(default_factory=list["Pill"])
    texts: list[Text] = field(default_factory=list["Text"])
    width: float = 0.0
    height: float = 0.0
