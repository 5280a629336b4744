"""The case file as pydantic models: exactly what an author may write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, create_model, model_validator

from scenario.model.json_schema import DIALECT, tidied
from scenario.model.parts import Model
from scenario.model.scalars import Duration, EventName, StepId
from scenario.steps.registry import KINDS
from scenario.time.timing import ENTRY_YEARS


def _moment(value: str) -> str:
    try:
        year = datetime.fromisoformat(value).year
    except ValueError:
        raise ValueError(f"'{value[:40]}' is not a date and time: write 2026-03-02T09:00") from None
    if not ENTRY_YEARS[0] <= year <= ENTRY_YEARS[1]:
        raise ValueError(f"a year must be from {ENTRY_YEARS[0]} to {ENTRY_YEARS[1]}")
    return value


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"'{value[:40]}' is not a regular expression: {error}") from None
    return value


def _form(value: object) -> str:
    return "<part>" if isinstance(value, Mapping | TextPart) else "<text>"


def _entry_form(value: object) -> str:
    return "<entry>" if isinstance(value, Mapping) else "<file>"


Moment = Annotated[str, AfterValidator(_moment), Field(examples=["2026-03-02T09:00"])]
"""A date and time; without a zone, in the contact's zone."""


class TextPart(Model):
    """Parts that a text contains."""

    contains: str | None = Field(default=None, min_length=1, description="It has this text in it.")
    lacks: str | None = Field(default=None, min_length=1, description="It does not have this text in it.")
    matches: Annotated[str, AfterValidator(_pattern)] | None = Field(
        default=None, description="This regular expression is found in it."
    )


Text = Annotated[Annotated[str, Tag("<text>")] | Annotated[TextPart, Tag("<part>")], Discriminator(_form)]
"""A whole text, or parts that it contains."""
Entry = Annotated[Annotated[str, Tag("<file>")] | Annotated[dict[str, Any], Tag("<entry>")], Discriminator(_entry_form)]
"""An entry, inline or in a JSON file."""


class ReceiverAnswer(Model):
    """A receiver's answer to an attempt."""

    status: int | None = Field(
        default=None, strict=True, ge=100, le=599, description="Its reply code; by default that all is well."
    )
    headers: dict[str, str] = Field(default_factory=dict, description="Header fields of a webhook's response.")
    body: Any = Field(default=None, description="A webhook's response: JSON or text.")
    error: str | None = Field(default=None, description="Instead of a reply, what went wrong: connect_refused.")
    times: Annotated[int, Field(strict=True, ge=1, le=10_000)] | Literal["always"] = Field(
        default=1, description="How often it answers so."
    )


class Occurrence(Model):
    """Something that reaches the journey from outside, after a duration or at a time."""

    after: Duration | None = Field(default=None, description="Time since the contact came in.")
    at: Moment | None = Field(default=None, description="The moment.")

    @model_validator(mode="after")
    def _once(self) -> Self:
        if (self.after is None) == (self.at is None):
            raise ValueError("say when: 'after' a time since the contact came in, or 'at' a moment")
        return self


class CaseEvent(Occurrence):
    """An event of the contact."""

    name: EventName
    properties: dict[str, Any] = Field(default_factory=dict, description="What templates see as event.…")


class ContactChange(Occurrence):
    """A change of the contact's fields."""

    contact: dict[str, Any] = Field(min_length=1, description="The fields, as the platform sends them.")


VERBS: Final = ("retry", "skip", "leave", "pause", "resume")


class CaseOperation(Occurrence):
    """An operator's action: one of these."""

    retry: StepId | None = Field(default=None, description="Tries this step again, which is held.")
    skip: StepId | None = Field(default=None, description="Gives this step up.")
    leave: str | None = Field(default=None, min_length=1, description="Ends the journey, for this reason.")
    pause: str | None = Field(default=None, min_length=1, description="Pauses the journey, for this reason.")
    resume: str | None = Field(default=None, min_length=1, description="Lets it go on, for this reason.")
    now: bool = Field(
        default=False, strict=True, description="With retry: whatever the hour, and whatever caps say; also what waits."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(getattr(self, verb) is not None for verb in VERBS) != 1:
            raise ValueError("an operation is one of retry, skip, leave, pause or resume")
        if self.now and self.retry is None:
            raise ValueError("'now' goes with 'retry'")
        return self

    @property
    def verb(self) -> str:
        """Its name."""
        return next(verb for verb in VERBS if getattr(self, verb) is not None)

    @property
    def says(self) -> str:
        """The step, or the reason."""
        return getattr(self, self.verb)


class Expected(Model):
    """An expected step. Its first key is the step's kind, with its id."""

    outcome: str | None = Field(default=None, description="How it went: delivered, waited, timeout, then, else, …")
    way: str | None = Field(default=None, description="The way that was taken, where its outcome does not say: a case.")
    at: Annotated[str, AfterValidator(_moment)] | None = Field(
        default=None, description="When it was over, on the contact's clock, to the minute or the second."
    )
    reason: Text | None = Field(default=None, description="Why it went so.")
    note: Text | None = Field(default=None, description="A remark.")
    attempts: int | None = Field(default=None, strict=True, ge=0, description="How many attempts it took.")
    status: int | None = Field(default=None, strict=True, description="The receiver's last reply code.")
    to: Text | None = Field(default=None, description="The address or number that it goes to.")
    sender: Text | None = Field(default=None, alias="from", description="Who sends the e-mail.")
    reply_to: Text | None = Field(default=None, description="Where answers to the e-mail go.")
    subject: Text | None = None
    text: Text | None = None
    html: Text | None = None
    method: str | None = None
    url: Text | None = None
    headers: dict[str, Text] = Field(default_factory=dict, description="Some of the header fields.")
    body: Any = Field(default=None, description="A part of the body: keys that are left out do not matter.")
    body_is: Any = Field(default=None, description="The whole body.")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError("an expected step has one kind, with the step's id: 'email: thank-you'")
        return self

    @property
    def kind(self) -> str:
        """The step's kind."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def id(self) -> str:
        """The step's id."""
        return getattr(self, self.kind)


if TYPE_CHECKING:
    Step = Expected
else:
    _ID = (StepId | None, Field(default=None, description="The step's id."))
    Step = create_model("Step", __base__=Expected, __doc__=Expected.__doc__, **dict.fromkeys(KINDS, _ID))
    """`Expected`, with a key for each kind of step."""

Ends = Literal["finished", "exited", "control", "holdout", "held", "paused", "waiting"]
"""The state of a journey when nothing more happens."""


class Expectation(Model):
    """Everything that a case expects."""

    refused: Text | None = Field(default=None, description="Why the contact is not admitted.")
    steps: list[Step] | None = Field(
        default=None, description="Steps in this order: all that send something; others may be left out."
    )
    ends: Ends | None = Field(default=None, description="How the journey ends, or stands when nothing more happens.")
    reason: Text | None = Field(default=None, description="Why it ended so.")
    never: list[str] = Field(default_factory=list, description="Ids or kinds of steps that send nothing.")

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.refused is not None and len(self.model_fields_set) > 1:
            raise ValueError("a contact that is refused takes no steps: write 'refused' alone")
        if not self.model_fields_set:
            raise ValueError("a case needs an expectation: steps, ends, never or refused")
        return self


class SentBefore(Occurrence):
    """A message of another journey that counts under caps."""

    after: Duration | None = Field(default=None, description="Time since the contact came in.")
    before: Duration | None = Field(default=None, description="Time before the contact came in.")
    by: str = Field(min_length=1, description="The channel, or the destination of a webhook.")

    @model_validator(mode="after")
    def _once(self) -> Self:
        if sum(one is not None for one in (self.after, self.before, self.at)) != 1:
            raise ValueError("say when: 'before' or 'after' the contact comes in by how much, or 'at' a moment")
        return self


class CaseInputs(Model):
    """The circumstances of a case, or of all cases of a file."""

    entry: Entry | None = Field(default=None, description="The entry, or the path of its JSON file.")
    at: Moment | None = Field(default=None, description="When the contact comes in, on its own clock.")
    answers: dict[str, list[ReceiverAnswer]] = Field(
        default_factory=dict, description="What receivers answer, one attempt after the other, by the step's id."
    )

    sent: list[SentBefore] = Field(
        default_factory=list[SentBefore], description="Messages of other journeys that caps count."
    )
    suppressed: dict[str, str] = Field(
        default_factory=dict, description="Suppressed channels with their sources: {sms: stop}."
    )


class Case(CaseInputs):
    """One contact's way through the scenario, and its expectations."""

    changed: dict[str, Any] = Field(
        default_factory=dict, alias="with", description="Fields of the entry that are otherwise; null takes one away."
    )
    events: list[CaseEvent] = Field(default_factory=list[CaseEvent], description="What happens to the contact.")
    changes: list[ContactChange] = Field(
        default_factory=list[ContactChange], description="What changes of the contact."
    )
    operations: list[CaseOperation] = Field(default_factory=list[CaseOperation], description="Operations.")
    expect: Expectation | None = Field(default=None, description="The expectations.")


class CaseFile(CaseInputs):
    """The cases of one scenario."""

    scenario: str | None = Field(
        default=None, min_length=1, description="The scenario's file; by default the one beside, without '.test'."
    )
    destinations: str | None = Field(default=None, min_length=1, description="The path of destinations.yaml.")
    policies: str | None = Field(default=None, min_length=1, description="The path of policies.yaml.")
    cases: dict[str, Case] = Field(min_length=1, description="The cases, by name.")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a case file (draft 2020-12)."""
    made = CaseFile.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": DIALECT, **tidied(made)}
