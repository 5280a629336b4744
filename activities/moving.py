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
    """An operator wants a held step to be tried again with the templates of another version."""

    scenario: str
    version: int | None  # its version; None for the newest
    step: str
    kind: str  # the step's kind, which must be the same


@dataclass(frozen=True, kw_only=True)
class StepVersion:
    """The step as that version has it, or why it cannot be used."""

    version: int = 0
    step: dict[str, Any] = field(default_factory=dict[str, Any])  # from `scenario.plan.plan.dump_plan`
    error: str = ""  # why there is none; empty if there is


AMEND: Final = ActivityType(
    "amend", StepVersionRequest, StepVersion, instead=StepVersion(error="the answer of the worker cannot be read")
)


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """The request for a version in which a journey can continue."""

    scenario: str
    version: int
    place: Place
    to: int | None = None  # the operator's version; None for the newest
    names: dict[str, str] = field(default_factory=dict[str, str])  # new ids of steps by their old ones
    follows: bool = False  # True if the journey follows newer versions, without an operator


@dataclass(frozen=True, kw_only=True)
class Renewed:
    """The version to continue in, or why it is impossible."""

    version: int = 0  # its number; 0 if a following journey finds nothing newer
    plan: dict[str, Any] = field(default_factory=dict[str, Any])  # from `dump_plan`; empty with an error
    at: str = ""  # the step at which the journey continues; of a following one, the next step
    error: str = ""  # why it is impossible; empty otherwise
    unknown: tuple[str, ...] = ()  # variables that later steps read and the journey lacks: ``responses.poll``


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """A journey's new version, for the store."""

    workflow_id: str
    run_id: str
    version: int


RENEW: Final = ActivityType("renew", Renewal, Renewed, instead=Renewed(error="the answer of the worker cannot be read"))
ADOPT: Final = ActivityType("adopt", Adoption, type(None))
