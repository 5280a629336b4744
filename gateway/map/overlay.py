"""What is shown on a map beside the scenario itself: people, changes, links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from scenario.plan.difference import Difference

Mark = Literal["added", "changed"]
NUMBERS: Final = ("waiting", "held", "paused", "running", "passed", "failed", "skipped")
"""What is counted at steps, in the order in which it is shown."""


def _nowhere(step: str) -> str | None:
    del step
    return None


@dataclass(frozen=True)
class Overlay:
    """What a caller adds to a map.

    Attributes:
        numbers: How many people are counted as what at each step: `{"thank-you": {"waiting": 3}}`; words of `NUMBERS`.
        marks: What became of steps since another version.
        changes: What changed of steps: `{"thank-you": ("subject", "html")}`.
        removed: Steps that only the other version has.
        link: Where a step leads to; None for nowhere.
    """

    numbers: Mapping[str, Mapping[str, int]] = field(default_factory=dict[str, Mapping[str, int]])
    marks: Mapping[str, Mark] = field(default_factory=dict[str, Mark])
    changes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    removed: tuple[str, ...] = ()
    link: Callable[[str], str | None] = _nowhere

    def counted(self, step: str) -> list[tuple[str, int]]:
        """What is counted at a step, without zeros."""
        found = self.numbers.get(step, {})
        return [(word, number) for word in NUMBERS if (number := found.get(word, 0))]


def since(
    difference: Difference,
    numbers: Mapping[str, Mapping[str, int]] | None = None,
    link: Callable[[str], str | None] = _nowhere,
) -> Overlay:
    """The overlay that marks what is different from another version.

    Args:
        difference: From that version to the one that is drawn.
        numbers: As in `Overlay`.
        link: As in `Overlay`.
    """
    marks: dict[str, Mark] = {
        **dict.fromkeys(difference.changed, "changed"),
        **dict.fromkeys(difference.added, "added"),
    }
    return Overlay(numbers or {}, marks, difference.changed, difference.removed, link)
