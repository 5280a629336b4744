"""Requests and results about other versions of a scenario.

See `activities.interface` for the rules of these classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from activities.call import ActivityType
from scenario.plan.migration import Place


@dataclass(frozen=True, kw_only=True)
class StepVersionRequest:
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
class StepVersion:
    """The step as that version has it, or why it cannot be used.

    Attributes:
        step: Its row of the plan, as `scenario.plan.plan.dump_plan` writes it.
        error: Why there is none; empty if there is.
    """

    version: int = 0
    step: dict[str, Any] = field(default_factory=dict[str, Any])
    error: str = ""


AMEND: Final = ActivityType(
    "amend", StepVersionRequest, StepVersion, instead=StepVersion(error="the answer of the worker cannot be read")
)


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """The request for a version in which a journey can continue.

    Attributes:
        scenario: The scenario's name.
        version: The current version.
        place: The journey's position.
        to: The operator's version; None for the newest.
        names: New ids of steps by their old ones.
        follows: True if the journey follows newer versions, without an operator.
    """

    scenario: str
    version: int
    place: Place
    to: int | None = None
    names: dict[str, str] = field(default_factory=dict[str, str])
    follows: bool = False


@dataclass(frozen=True, kw_only=True)
class Renewed:
    """The version to continue in, or why it is impossible.

    Attributes:
        version: Its number; 0 if a following journey finds nothing newer.
        plan: From `scenario.plan.plan.dump_plan`; empty with an error.
        at: The step at which the journey continues; of a following one, the next step.
        error: Why it is impossible; empty otherwise.
        unknown: Variables that later steps read and the journey lacks: ``responses.poll``, ``event``.
    """

    version: int = 0
    plan: dict[str, Any] = field(default_factory=dict[str, Any])
    at: str = ""
    error: str = ""
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """A journey's new version, for the store."""

    workflow_id: str
    run_id: str
    version: int


RENEW: Final = ActivityType("renew", Renewal, Renewed, instead=Renewed(error="the answer of the worker cannot be read"))
ADOPT: Final = ActivityType("adopt", Adoption, type(None))
