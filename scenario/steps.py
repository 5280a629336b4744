"""The step kinds of a scenario file as pydantic models.

A step's kind is its first key, so `Step` is a union told apart by that key.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from scenario.terms import (
    Condition,
    Duration,
    EventName,
    Name,
    Offset,
    OnFailure,
    OnUnknown,
    StepId,
    Template,
    Timeout,
    Weekday,
    read_clock,
)


class Model(BaseModel):
    """Base of everything in the file: unknown keys are mistakes, nothing is changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)


class File(Model):
    """A text kept beside the scenario; its content takes the reference's place when the scenario is published."""

    file: Annotated[str, Field(min_length=1, description="path relative to the scenario file")]


def _text_form(value: object) -> str | None:
    match value:
        case str():
            return "<text>"
        case File() | Mapping():
            return "<file>"
        case _:
            return None


def _body_form(value: object) -> str | None:
    match value:
        case str():
            return "<text>"
        case File():
            return "<file>"
        case Mapping():
            return "<file>" if set(cast("Mapping[object, object]", value)) == {"file"} else "<mapping>"
        case list():
            return "<list>"
        case _:
            return None


Text = Annotated[Annotated[Template, Tag("<text>")] | Annotated[File, Tag("<file>")], Discriminator(_text_form)]
"""A text, here or in a file of its own."""
Body = Annotated[
    Annotated[Template, Tag("<text>")]
    | Annotated[File, Tag("<file>")]
    | Annotated[dict[str, Any], Tag("<mapping>")]
    | Annotated[list[Any], Tag("<list>")],
    Discriminator(_body_form),
]
"""A webhook's body: JSON with Liquid as text, here or in a file, or a structure with Liquid in its leaves."""


class Retry(Model):
    """How a delivery is tried again, in Temporal's own words."""

    initial_interval: Duration = timedelta(seconds=5)
    backoff_coefficient: Annotated[float, Field(strict=True, ge=1, le=100)] = 3.0
    maximum_interval: Duration = timedelta(hours=6)
    deadline: Duration = Field(default=timedelta(days=3), description="time over all attempts")
    maximum_attempts: Annotated[int, Field(strict=True, ge=0, description="0: as many as the deadline allows")] = 0

    @model_validator(mode="after")
    def _whole(self) -> Retry:
        if not self.initial_interval:
            raise ValueError("initial_interval must be longer than nothing")
        if not self.deadline:
            raise ValueError("deadline must be longer than nothing")
        if self.maximum_interval < self.initial_interval:
            raise ValueError("maximum_interval is shorter than initial_interval")
        return self


class _Step(Model):
    id: StepId | None = Field(default=None, description="stable id of the step, unique in the scenario")

    @classmethod
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        """What is wrong with a step that has these keys and no others, whatever their values.

        Args:
            given: The step's keys as an author writes them.

        Returns:
            The key to point at and the sentence, or None.
        """
        del given
        return None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        fields = type(self).model_fields.items()
        if found := self.complaint({field.alias or name for name, field in fields if is_given(getattr(self, name))}):
            raise PydanticCustomError("complaint", "{sentence}", {"sentence": found[1]})
        return self


class _Delivery(_Step):
    retry: Retry = Retry()
    timeout: Timeout = Field(default=timedelta(seconds=15), description="of one attempt, 1s to 5m")
    on_failure: OnFailure = "hold"


class Email(_Delivery):
    """Sends an e-mail to the contact."""

    email: Name
    subject: Template
    html: Text | None = None
    text: Text | None = None
    on_unknown: OnUnknown = "retry"

    @classmethod
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        """See `_Step.complaint`."""
        if given.isdisjoint(("html", "text")):
            return "email", "an e-mail needs 'html', 'text' or both"
        return None


class Sms(_Delivery):
    """Sends a text message to the contact's mobile phone."""

    sms: Name
    text: Text
    on_unknown: OnUnknown = "hold"


class Webhook(_Delivery):
    """Sends an HTTP request to another system."""

    webhook: Name
    url: Template
    method: Literal["POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[str, Template] = Field(default_factory=dict)
    body: Body | None = None
    on_unknown: OnUnknown = "retry"


class Until(Model):
    """A moment to wait for: a local time of day, or a date that the contact or the trigger carries."""

    until: str = Field(description='"10:00", or a date such as "{{ reward.expiration_date }}"')
    on: Annotated[list[Weekday], Field(min_length=1)] | None = None
    offset: Offset = timedelta(0)

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Until:
        if self.is_date:
            if self.on is not None:
                raise ValueError("'on' goes with a time of day, not with a date")
        else:
            read_clock(self.until)
            if self.offset:
                raise ValueError("'offset' goes with a date, not with a time of day")
        return self

    @property
    def is_date(self) -> bool:
        """Whether `until` is a template that gives a date, rather than a time of day."""
        return "{{" in self.until or "{%" in self.until


def _wait_kind(value: object) -> str:
    return "<until>" if isinstance(value, Mapping | Until) else "<duration>"


class Wait(_Step):
    """Waits for a length of time, until a local time, or until a date."""

    wait: Annotated[
        Annotated[Duration, Tag("<duration>")] | Annotated[Until, Tag("<until>")], Discriminator(_wait_kind)
    ]
    on_failure: OnFailure = Field(default="hold", description="what to do where the date is missing")


class WaitFor(_Step):
    """Waits for an event of this contact; without 'for', until it comes."""

    wait_for: EventName
    condition: Condition | None = Field(default=None, alias="if")
    timeout: Duration | None = Field(default=None, alias="for")
    since: Literal["entry", "now"] = Field(default="entry", description="'now' ignores events that came earlier")
    then: list[Step] = Field(default_factory=list["Step"])
    otherwise: list[Step] = Field(default_factory=list["Step"], alias="else")

    @classmethod
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        """See `_Step.complaint`."""
        if "else" in given and "for" not in given:
            return "else", "'else' is never reached without 'for'"
        return None


class If(_Step):
    """Goes one way or the other."""

    condition: Condition = Field(alias="if")
    then: list[Step] = Field(default_factory=list["Step"])
    otherwise: list[Step] = Field(default_factory=list["Step"], alias="else")

    @classmethod
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        """See `_Step.complaint`."""
        if given.isdisjoint(("then", "else")):
            return "if", "an 'if' needs 'then', 'else' or both"
        return None


class Exit(_Step):
    """Ends the journey here."""

    exit: Annotated[str, Field(min_length=1, max_length=200, description="the reason that the result names")]


KINDS: Final[Mapping[str, type[_Step]]] = {
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


def is_given(value: object) -> bool:
    """Whether a key with this value says anything: nothing and an empty list do not."""
    return value is not None and value != []


def kind_of(step: object) -> str | None:
    """The kind of a step (its tag in the union): its first key that names one, or None where none does."""
    if isinstance(step, _Step):
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
