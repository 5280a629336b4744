"""Where a journey goes after a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Next:
    """Where the journey goes on; `step` None is the end."""

    step: str | None


@dataclass(frozen=True)
class Again:
    """Nothing is decided: continue as new, then perform the same step."""


@dataclass(frozen=True)
class Leave:
    """The journey ends here, before its end."""

    reason: str


Course: TypeAlias = Next | Again | Leave
