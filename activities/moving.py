"""Arguments and results of the activities that move journeys and steps to another version."""

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
    """A journey may go on in another version of its scenario: in which one, and where does it stand there?

    Attributes:
        scenario: The scenario's name.
        version: The version that it follows.
        place: Where it stands.
        to: The version that an operator wants; None for the newest.
        names: New ids of steps by their old ones, as the operator maps them.
        follows: Nobody wants it to: it has done a step, and follows newer versions by itself.
    """

    scenario: str
    version: int
    place: Place
    to: int | None = None
    names: dict[str, str] = field(default_factory=dict[str, str])
    follows: bool = False


@dataclass(frozen=True, kw_only=True)
class Renewed:
    """The version to go on in, or why that cannot be.

    Attributes:
        version: Its number; 0 where the journey follows, and there is nothing newer.
        plan: As `scenario.plan.plan.dump_plan` writes it; empty if there is an error.
        at: The step at which the journey stands there; of one that follows, the one that comes next.
        error: Why it cannot be; empty if it can.
        unknown: What later steps read of earlier ones, and the journey does not have: ``responses.poll``, ``event``.
    """

    version: int = 0
    plan: dict[str, Any] = field(default_factory=dict[str, Any])
    at: str = ""
    error: str = ""
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """A journey goes on in another version: for those who look for it."""

    workflow_id: str
    run_id: str
    version: int


RENEW: Final = ActivityType("renew", Renewal, Renewed, instead=Renewed(error="the answer of the worker cannot be read"))
ADOPT: Final = ActivityType("adopt", Adoption, type(None))
