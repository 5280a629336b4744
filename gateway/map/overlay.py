"""Additions to a map: people, changes, links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from scenario.plan.difference import VersionDifference

Mark = Literal["added", "changed"]
NUMBERS: Final = ("waiting", "held", "paused", "running", "passed", "failed", "skipped")
"""Counts at steps, in their order."""


def _nowhere(step: str) -> str | None:
    del step
    return None


@dataclass(frozen=True)
class Overlay:
    """Additions to a map.

    Attributes:
        numbers: Numbers of people at each step: `{"thank-you": {"waiting": 3}}`, with words of `NUMBERS`.
        marks: Changes of steps since another version.
        changes: Changed keys of steps: `{"thank-you": ("subject", "html")}`.
        removed: Steps of the other version only.
        link: Returns a step's URL, or None.
    """

    numbers: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    marks: Mapping[str, Mark] = field(default_factory=dict[str, Mark])
    changes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    removed: tuple[str, ...] = ()
    link: Callable[[str], str | None] = _nowhere

    def counted(self, step: str) -> list[tuple[str, int]]:
        """Return the counts of a step without zeros."""
        found = self.numbers.get(step, {})
        return [(word, number) for word in NUMBERS if (number := found.get(word, 0))]


def since(
    difference: VersionDifference,
    numbers: Mapping[str, Mapping[str, int]] | None = None,
    link: Callable[[str], str | None] = _nowhere,
) -> Overlay:
    """Return the overlay that marks differences from another version.

    Args:
        difference: From that version to the drawn one.
        numbers: As in `Overlay`.
        link: As in `Overlay`.
    """
    marks: dict[str, Mark] = {
        **dict.fromkeys(difference.changed, "changed"),
        **dict.fromkeys(difference.added, "added"),
    }
    return Overlay(numbers or {}, marks, difference.changed, difference.removed, link)
