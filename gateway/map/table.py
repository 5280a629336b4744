"""The map as a table: what the drawing shows, for those who do not see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.map.outline import Outline
from gateway.map.overlay import Mark, Overlay


@dataclass(frozen=True)
class MapRow:
    """A step.

    Attributes:
        id: Its id.
        kind: What an author calls it.
        what: It in a few words.
        detail: What these leave out.
        ways: The label of each way and the step that it leads to; None is the end.
        numbers: What is counted there, without zeros.
        mark: What became of it since another version.
        changes: What changed of it.
        link: Where it leads to.
    """

    id: str
    kind: str
    what: str
    detail: str
    ways: tuple[tuple[str, str | None], ...]
    numbers: Mapping[str, int]
    mark: Mark | None
    changes: tuple[str, ...]
    link: str | None


def table(read: Outline, overlay: Overlay | None = None) -> list[MapRow]:
    """The steps of a map in reading order, each with its ways.

    Args:
        read: The outline of the plan.
        overlay: What is shown beside it.
    """
    shown = overlay or Overlay()
    return [
        MapRow(
            step.id,
            step.kind,
            step.what,
            step.detail,
            tuple((way.label, way.to) for way in step.ways),
            dict(shown.counted(step.id)),
            shown.marks.get(step.id),
            shown.changes.get(step.id, ()),
            shown.link(step.id),
        )
        for step in read.steps
    ]
