"""The request for a held step of another version of its scenario, and the answer.

Histories hold these classes as they hold those of `activities.interface`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from activities.call import ActivityType


@dataclass(frozen=True, kw_only=True)
class Amendment:
    """An operator wants a held step to be tried again with the templates of another version.

    Attributes:
        scenario: The scenario's name.
        version: Its version; None for the newest.
        step: The step's id.
        kind: The step's kind, which must be the same.
    """

    scenario: str
    version: int | None
    step: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Amended:
    """The step as that version has it, or why it cannot be used.

    Attributes:
        step: Its row of the plan, as `scenario.plan.plan.dump_plan` writes it.
        error: Why there is none; empty where there is.
    """

    version: int = 0
    step: dict[str, Any] = field(default_factory=dict[str, Any])
    error: str = ""


AMEND: Final = ActivityType(
    "amend", Amendment, Amended, instead=Amended(error="the answer of the worker cannot be read")
)
