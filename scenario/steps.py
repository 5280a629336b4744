"""The step kinds of a scenario file as pydantic models.

A step's kind is its first key, so `Step` is a union told apart by that key.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, cast

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from scenario.deliveries import BaseStep, Email, Sms, Webhook
from scenario.parts import Model
from scenario.terms import Condition, Duration, EventName, Offset, OnFailure, Weekday, read_clock

if TYPE_CHECKING:
    from scenario.liquid import Kind


def _moment(value: str) -> str:
    return value if _is_template(value) else read_clock(value)


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text


class Until(Model):
    """A moment to wait for: a local time of day, or a date that the contact or the trigger carries."""

    until: Annotated[str, AfterValidator(_moment)] = Field(
        description='The contact\'s local time, "10:00", or a date, "{{ reward.expiration_date }}".'
    )
    on: Annotated[list[Weekday], Field(min_length=1)] | None = Field(
        default=None, description="Days of the week on which that time counts; without it, every day."
    )
    offset: Offset = Field(default=timedelta(0), description="Time before (-3d) or after (3d) the date.")

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Until:
        if self.is_date and self.on is not None:
            raise ValueError("'on' goes with a time of day, not with a date")
        if not self.is_date and self.offset:
            raise ValueError("'offset' goes with a date, not with a time of day")
        return self

    @property
    def is_date(self) -> bool:
        """Whether `until` is a template that gives a date, rather than a time of day."""
        return _is_template(self.until)


def _wait_kind(value: object) -> str:
    return "<until>" if isinstance(value, Mapping | Until) else "<duration>"


class Wait(BaseStep):
    """Waits for a length of time, until a local time, or until a date."""

    wait: Annotated[
        Annotated[Duration, Tag("<duration>")] | Annotated[Until, Tag("<until>")], Discriminator(_wait_kind)
    ]
    on_failure: OnFailure = Field(default="hold", description="Where the date is missing: hold, go on, or leave.")


class WaitFor(BaseStep):
    """Waits for an event of this contact; without 'for', until it comes."""

    branches: ClassVar[tuple[str, ...]] = ("then", "else")
    templates: ClassVar[Mapping[str, Kind]] = {"if": "condition"}

    wait_for: EventName
    condition: Condition | None = Field(default=None, alias="if", description="Which of these events; it is `event`.")
    timeout: Duration | None = Field(default=None, alias="for", description="How long at most; without it, for ever.")
    since: Literal["entry", "now"] = Field(default="entry", description="now: events that came earlier do not count.")
    then: list[Step] = Field(default_factory=list["Step"], description="Steps to take when the event has come.")
    otherwise: list[Step] = Field(
        default_factory=list["Step"], alias="else", description="Steps to take when the time is over."
    )

    @classmethod
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        """See `BaseStep.complaint`."""
        if "else" in given and "for" not in given:
            return "else", "'else' is never reached without 'for'"
        return None

    @classmethod
    def ways(cls, keys: Mapping[str, Any]) -> tuple[str, ...] | None:
        """See `BaseStep.ways`. Without an end to the wait nobody goes the other way."""
        return cls.branches if keys.get("for") is not None else ("then",)


class If(BaseStep):
    """Goes one way or the other."""

    branches: ClassVar[tuple[str, ...]] = ("then", "else")
    templates: ClassVar[Mapping[str, Kind]] = {"if": "condition"}

    condition: Condition = Field(alias="if")
    then: list[Step] = Field(default_factory=list["Step"], description="Steps to take where the condition is true.")
    otherwise: list[Step] = Field(
        default_factory=list["Step"], alias="else", description="Steps to take where it is not."
    )

    @classmethod
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        """See `BaseStep.complaint`."""
        if given.isdisjoint(("then", "else")):
            return "if", "an 'if' needs 'then', 'else' or both"
        return None

    @classmethod
    def ways(cls, keys: Mapping[str, Any]) -> tuple[str, ...] | None:
        """See `BaseStep.ways`."""
        del keys
        return cls.branches


class Exit(BaseStep):
    """Ends the journey here."""

    exit: str = Field(min_length=1, max_length=200, description="The reason that the journey's result names.")

    @classmethod
    def ways(cls, keys: Mapping[str, Any]) -> tuple[str, ...] | None:
        """See `BaseStep.ways`."""
        del keys
        return ()


KINDS: Final[Mapping[str, type[BaseStep]]] = {
    "email": Email,
    "sms": Sms,
    "webhook": Webhook,
    "wait": Wait,
    "wait_for": WaitFor,
    "if": If,
    "exit": Exit,
}
"""Step kinds by the key that names them."""
NAMED: Final = frozenset(("email", "sms", "webhook"))
"""Kinds whose key gives the step's name."""


def kind_of(step: object) -> str | None:
    """The kind of a step (its tag in the union): its first key that names one, or None where none does."""
    if isinstance(step, BaseStep):
        return next((f"<{kind}>" for kind, model in KINDS.items() if isinstance(step, model)), None)
    if isinstance(step, Mapping):
        keys = cast("Mapping[object, object]", step)
        return next((f"<{key}>" for key in keys if key in KINDS), None)
    return None


Step = Annotated[
    Annotated[Email, Tag("<email>")]
    | Annotated[Sms, Tag("<sms>")]
    | Annotated[Webhook, Tag("<webhook>")]
    | Annotated[Wait, Tag("<wait>")]
    | Annotated[WaitFor, Tag("<wait_for>")]
    | Annotated[If, Tag("<if>")]
    | Annotated[Exit, Tag("<exit>")],
    Discriminator(kind_of),
]
"""One step. Tags stand in angle brackets so that an error's location never confuses a tag with a key."""


WaitFor.model_rebuild()
If.model_rebuild()
