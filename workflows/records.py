"""What a journey's state is made of: events, steps that are over, holds, operations. All of it is plain data.

Journeys in flight carry these in their histories: fields may be added, with a default, and never renamed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Protocol, TypeVar


class _Plain(Protocol):
    """A dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


MARKS: Final = {"failed": "✗", "unknown": "?", "left": "■", "exited": "■", "skipped": "–", "timeout": "⌛"}
"""How outcomes are shown that are not what was hoped for."""
Made = TypeVar("Made", bound=_Plain)


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """How one step went.

    Attributes:
        id: The step's.
        kind: Its kind.
        outcome: ``delivered``, ``skipped``, ``failed``, ``unknown``; ``waited``, ``event``, ``timeout``; ``then``,
            ``case``, ``else``; the branch of a ``split``; ``round``, ``until``, ``ended``; ``exited``; ``left`` where
            the journey ended during it.
        at: When it was over, ISO 8601 in UTC.
        reason: Why, where that is not plain.
        status: The receiver's reply code.
        attempts: How many attempts it took.
        note: What a person should know all the same: that it was rendered again, that a response was not kept.
        way: The way that was taken, where its outcome does not say: the case of a ``switch``.
    """

    id: str
    kind: str
    outcome: str
    at: str
    reason: str | None = None
    status: int | None = None
    attempts: int | None = None
    note: str | None = None
    way: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON, without what is not known."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Held:
    """Why the journey waits for a person.

    Attributes:
        step: The step that failed.
        kind: The failure's kind, one of `activities.failures.FailureKind` or ``StepFailed``.
        reason: One sentence.
        at: Since when, ISO 8601 in UTC.
        destination: What was sent to.
        status: The receiver's reply code.
        attempts: How many attempts were made.
        excerpt: The first 2 KB of the reply, redacted.
        cause: The kind in one word that people search by: ``permanent``, ``exhausted`` (attempts or time ran out),
            ``unknown``, ``unconfigured``, ``template``, ``capped``.
    """

    step: str
    kind: str
    reason: str
    at: str
    destination: str = ""
    status: int | None = None
    attempts: int | None = None
    excerpt: str = ""
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What an operator did.

    Attributes:
        name: The update.
        operator: Who.
        reason: Why.
        at: When, ISO 8601 in UTC.
        step: The step it was about.
        details: What else it said: ``{"version": "post-purchase@4"}``, ``{"retry": {…}}``.
    """

    name: str
    operator: str
    reason: str
    at: str
    step: str | None = None
    details: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON; without `details` where there are none."""
        return {key: value for key, value in asdict(self).items() if key != "details" or value is not None}


@dataclass(frozen=True, kw_only=True)
class Override:
    """The present step as another version has it: as an operator asked, until the step is over.

    Attributes:
        version: The number of that version.
        step: Its row of the plan, as `scenario.plan.plan.dump_plan` writes it.
    """

    version: int
    step: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Migration:
    """Another version, in which the journey goes on as soon as nothing of the present step is under way.

    A run that is asked to hand on to the next goes on in it first: this is never carried along.

    Attributes:
        version: Its number.
        plan: As `scenario.plan.plan.dump_plan` writes it.
        at: The present step, as it is called there.
        names: New ids of steps by their old ones.
        restarts: Whether a wait begins anew, rather than keep its start.
    """

    version: int
    plan: dict[str, Any]
    at: str
    names: dict[str, str]
    restarts: bool = False


@dataclass(frozen=True, kw_only=True)
class PassedOver:
    """Something that came, or was to be evaluated, and could not be used.

    Attributes:
        what: ``event``, ``contact_changed``, ``exit rule order.returned``, ``step wait_for-3``, ``goal order.placed``.
        reason: Why, the last time; without any of the contact's data.
        at: When that was, ISO 8601 in UTC.
        count: How often it happened.
    """

    what: str
    reason: str
    at: str
    count: int = 1


def made(cls: type[Made], data: dict[str, Any]) -> Made:
    """One of these, without the fields that only a newer version knows."""
    known = cls.__dataclass_fields__
    return cls(**{key: value for key, value in data.items() if key in known})
