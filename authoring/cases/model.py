"""The case file as pydantic models: exactly what an author may write."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, Tag, create_model, model_validator

from scenario.dates import DateOrder
from scenario.model.json_schema import DIALECT, tidied
from scenario.model.parts import Duration, EventName, Model, StepId, optional, written_as
from scenario.sms_parts import Alphabet
from scenario.steps.registry import KINDS
from scenario.time import ENTRY_YEARS


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


Moment = Annotated[str, AfterValidator(_moment), Field(examples=["2026-03-02T09:00"])]
"""A date and time; without a zone, in the contact's zone."""


class TextPart(Model):
    """Parts that a text contains."""

    contains: str | None = optional("Text that it contains.", min_length=1)
    lacks: str | None = optional("Text that it does not contain.", min_length=1)
    matches: Annotated[str, AfterValidator(_pattern)] | None = optional("Regular expression that matches a part of it.")


Text = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[TextPart, Tag("<part>")], written_as("<part>", TextPart, other="<text>")
]
"""A whole text, or parts that it contains."""
Entry = Annotated[
    Annotated[str, Tag("<file>")] | Annotated[dict[str, Any], Tag("<entry>")], written_as("<entry>", other="<file>")
]


class ScriptedAnswer(Model):
    """A receiver's answer to an attempt."""

    status: int | None = optional("Reply code; by default that of success.", strict=True, ge=100, le=599)
    headers: dict[str, str] = Field(default_factory=dict, description="Header fields of a webhook's response.")
    body: Any = optional("A webhook's response: JSON or text.")
    error: str | None = optional("Instead of a reply, an error of the log of attempts: connect_refused.")
    times: Annotated[int, Field(strict=True, ge=1, le=10_000)] | Literal["always"] = Field(
        default=1, description="Number of attempts that get this answer."
    )


class Occurrence(Model):
    """Something that reaches the journey from outside, after a duration or at a time."""

    after: Duration | None = optional("Time since the entry.")
    at: Moment | None = optional("Time.")

    @model_validator(mode="after")
    def _once(self) -> Self:
        if (self.after is None) == (self.at is None):
            raise ValueError("say when: 'after' a time since the contact came in, or 'at' a moment")
        return self


class CaseEvent(Occurrence):
    """An event of the contact."""

    name: EventName
    properties: dict[str, Any] = Field(default_factory=dict, description="Properties of the event.")


class ContactChange(Occurrence):
    """A change of the contact's fields."""

    contact: dict[str, Any] = Field(min_length=1, description="The fields, as the platform sends them.")


VERBS: Final = ("retry", "skip", "leave", "pause", "resume")


class CaseOperation(Occurrence):
    """An operator's action: one of these."""

    retry: StepId | None = optional("Retry this held step.")
    skip: StepId | None = optional("Skip this step.")
    leave: str | None = optional("End the journey, for this reason.", min_length=1)
    pause: str | None = optional("Pause the journey, for this reason.", min_length=1)
    resume: str | None = optional("Resume the journey, for this reason.", min_length=1)
    now: bool = Field(
        default=False,
        strict=True,
        description="With retry: ignore hours and caps, also for a message that waits for them.",
    )

    anew: bool = Field(
        default=False, strict=True, description="With retry: under a new delivery id, after a refused response."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(getattr(self, verb) is not None for verb in VERBS) != 1:
            raise ValueError("an operation is one of retry, skip, leave, pause or resume")
        for name, value in (("now", self.now), ("anew", self.anew)):
            if value and self.retry is None:
                raise ValueError(f"'{name}' goes with 'retry'")
        return self

    @property
    def verb(self) -> str:
        return next(verb for verb in VERBS if getattr(self, verb) is not None)

    @property
    def says(self) -> str:
        """The step, or the reason."""
        return getattr(self, self.verb)


class Expected(Model):
    """An expected step. Its first key is the step's kind, with its id."""

    outcome: str | None = optional("Outcome as in a journey's result; also held, waiting, paused for the last step.")
    way: str | None = optional("The case of a switch.")
    at: Annotated[str, AfterValidator(_moment)] | None = optional(
        "Its end, in the contact's zone at that time, to the minute or second."
    )
    reason: Text | None = optional("Reason of the outcome.")
    note: Text | None = optional("Remark.")
    attempts: int | None = optional("Number of attempts.", strict=True, ge=0)
    status: int | None = optional("The receiver's last reply code.", strict=True)
    to: Text | None = optional("Address or number of the recipient.")
    sender: Text | None = optional("Sender of the e-mail.", alias="from")
    reply_to: Text | None = optional("Address for replies.")
    subject: Text | None = None
    text: Text | None = None
    characters: int | None = optional("Length of an SMS.", strict=True, ge=1)
    alphabet: Alphabet | None = optional("Alphabet of an SMS.")
    parts: int | None = optional("Number of parts of an SMS.", strict=True, ge=1)
    html: Text | None = None
    method: str | None = None
    url: Text | None = None
    headers: dict[str, Text] = Field(default_factory=dict, description="Header fields; others are ignored.")
    body: Any = optional("Part of the body: other keys are ignored, lists have equal length. Of a form, its fields.")
    body_is: Any = optional("The whole body.")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in KINDS) != 1:
            raise ValueError("an expected step has one kind, with the step's id: 'email: thank-you'")
        return self

    @property
    def kind(self) -> str:
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def id(self) -> str:
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

    refused: Text | None = optional("Reason of the refusal, instead of all others. `entry.again` is not evaluated.")
    steps: list[Step] | None = optional(
        "Steps in this order. Every step that sends must be listed; []: nothing is sent."
    )
    ends: Ends | None = optional("Outcome of the journey, or its final state.")
    reason: Text | None = optional("Reason of an exit or hold.")
    never: list[str] = Field(default_factory=list, description="Ids or kinds of steps that must not send.")

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.refused is not None and len(self.model_fields_set) > 1:
            raise ValueError("a contact that is refused takes no steps: write 'refused' alone")
        if not self.model_fields_set:
            raise ValueError("a case needs an expectation: steps, ends, never or refused")
        return self


class SentBefore(Occurrence):
    """A message of another journey that counts under caps."""

    after: Duration | None = optional("Time since the entry.")
    before: Duration | None = optional("Time before the entry.")
    by: str = Field(min_length=1, description="The channel, or the destination of a webhook.")

    @model_validator(mode="after")
    def _once(self) -> Self:
        if sum(one is not None for one in (self.after, self.before, self.at)) != 1:
            raise ValueError("say when: 'before' or 'after' the contact comes in by how much, or 'at' a moment")
        return self


class CaseInputs(Model):
    """The circumstances of a case, or of all cases of a file."""

    entry: Entry | None = optional("Entry, or the path of its JSON file, relative to the case file.")
    at: Moment | None = optional("Time of entry, in the contact's zone unless it has one.")
    dates: DateOrder | None = optional("Order of the platform's dates with slashes; else SCENARIO_PLATFORM_DATES.")
    answers: dict[str, list[ScriptedAnswer]] = Field(
        default_factory=dict, description="Answers of receivers by step id, attempt by attempt."
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
        default_factory=dict,
        alias="with",
        description="Changed fields of the entry; null removes one. Custom fields by name.",
    )
    events: list[CaseEvent] = Field(default_factory=list[CaseEvent], description="Events of the contact.")
    changes: list[ContactChange] = Field(default_factory=list[ContactChange], description="Changes of the contact.")
    operations: list[CaseOperation] = Field(default_factory=list[CaseOperation], description="Operations.")
    expect: Expectation | None = optional("The expectations.")


class CaseFile(CaseInputs):
    """The cases of one scenario."""

    scenario: str | None = optional("The scenario's file; by default the one beside, without '.test'.", min_length=1)
    destinations: str | None = optional(
        "Path of destinations.yaml; else --destinations or SCENARIO_DESTINATIONS.", min_length=1
    )
    policies: str | None = optional("Path of policies.yaml; else --policies or SCENARIO_POLICIES.", min_length=1)
    cases: dict[str, Case] = Field(min_length=1, description="The cases, by name.")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a case file (draft 2020-12)."""
    made = CaseFile.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": DIALECT, **tidied(made)}
