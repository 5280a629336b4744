"""The map as a table with the same content, for accessibility."""

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
        kind: Its kind.
        what: A short description.
        detail: Further details.
        ways: Labels of its ways with their targets; None is the end.
        numbers: Its counts without zeros.
        mark: Its change since another version.
        changes: Its changed keys.
        link: Its URL.
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
    """Return the steps of a map in reading order, each with its ways.

    Args:
        read: The plan's outline.
        overlay: Additions to the map.
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
