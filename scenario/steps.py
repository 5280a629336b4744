"""The step kinds of a scenario file as pydantic models.

A step's kind is its first key, so `Step` is a union told apart by that key.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from scenario.parts import Body, File, Model, Retry, Save, Text
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
    UrlPath,
    Weekday,
    read_clock,
)


class _Step(Model):
    id: StepId | None = Field(default=None, description="The step's name over all versions, unique in the scenario.")

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
    retry: Retry = Field(default=Retry(), description="How it is tried again.")
    timeout: Timeout = Field(default=timedelta(seconds=15), description="Time of one attempt, from 1s to 5m.")
    on_failure: OnFailure = Field(
        default="hold",
        description="When it has failed for good: hold the journey for an operator, go on, or leave.",
    )


def _is_none(value: object) -> bool:
    return value is None


_ON_UNKNOWN: Final = "When it left and no answer came: send it again (it may arrive twice), hold, or go on."


class Email(_Delivery):
    """Sends an e-mail to the contact."""

    email: Name
    subject: Template = Field(description="One line of text with Liquid.")
    html: Text | None = Field(default=None, description="HTML with Liquid; outputs are escaped.")
    text: Text | None = Field(default=None, description="Plain text with Liquid; without it, made from the HTML.")
    on_unknown: OnUnknown = Field(default="retry", description=_ON_UNKNOWN)

    @classmethod
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        """See `_Step.complaint`."""
        if given.isdisjoint(("html", "text")):
            return "email", "an e-mail needs 'html', 'text' or both"
        return None


class Sms(_Delivery):
    """Sends a text message to the contact's mobile phone."""

    sms: Name
    text: Text = Field(description="Plain text with Liquid.")
    on_unknown: OnUnknown = Field(default="hold", description=_ON_UNKNOWN)


Content = Literal["json", "form", "text"]
"""How a webhook's body is written."""


def body_fault(content: Content, body: object) -> str | None:
    """Why a body cannot be written in a way, or None where it can.

    Args:
        content: The way.
        body: Text, a mapping or a list. A reference to a file stands for the text that will take its place.
    """
    is_text = isinstance(body, str | File)
    if content == "text" and not is_text:
        return "plain text is written as text, or as {file: …}: for keys and values, 'content' is json or form"
    if content == "form" and not isinstance(body, Mapping):
        return "a form's body is written as keys with values, its fields"
    return None


class Webhook(_Delivery):
    """Sends an HTTP request to another system."""

    webhook: Name
    # What came into the language later is left out of documents where it says nothing: a scenario that was published
    # before has the same digest as ever, and is the same version when it is published again.
    url: Template | None = Field(
        default=None,
        exclude_if=_is_none,
        description="URL with Liquid behind its host; scheme, host and port are plain text.",
    )
    to: Name | None = Field(
        default=None,
        exclude_if=_is_none,
        description="Instead of a URL: a destination, by the name that operators gave.",
    )
    path: UrlPath | None = Field(
        default=None, exclude_if=_is_none, description="What follows the destination's URL, with Liquid."
    )
    method: Literal["POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[str, Template] = Field(default_factory=dict, description="Header fields, their values with Liquid.")
    content: Content = Field(
        default="json",
        exclude_if=lambda content: content == "json",
        description="How the body is written: as JSON, as a form's fields, or as plain text.",
    )
    body: Body | None = Field(
        default=None, description="JSON with Liquid: as text, or as keys and values with Liquid in its texts."
    )
    save: Save | None = Field(
        default=None, exclude_if=_is_none, description="Keeps the response for later templates and conditions."
    )
    on_unknown: OnUnknown = Field(default="retry", description=_ON_UNKNOWN)

    @classmethod
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        """See `_Step.complaint`."""
        if given.isdisjoint(("url", "to")):
            return "webhook", "a webhook needs 'url', or 'to' with the name of a destination"
        if "url" in given and "to" in given:
            return "to", "a webhook has 'url' or 'to', not both: a destination brings its own URL"
        if "path" in given and "to" not in given:
            return "path", "'path' goes with 'to': write the whole address in 'url'"
        return None

    @model_validator(mode="after")
    def _written_as(self) -> Self:
        if self.body is not None and (fault := body_fault(self.content, self.body)):
            raise PydanticCustomError("complaint", "{sentence}", {"sentence": fault})
        return self

    @property
    def own(self) -> frozenset[str]:
        """What the scenario itself sets of `timeout` and the keys of `retry`, rather than leave it to a destination."""
        timeout = {"timeout"} & self.model_fields_set
        return frozenset(timeout | (self.retry.model_fields_set if "retry" in self.model_fields_set else set()))

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Where a destination has a say, a document tells apart what was written from what is a default."""
        made: dict[str, Any] = handler(self)
        if self.to is not None:
            if "timeout" not in self.own:
                made.pop("timeout", None)
            made["retry"] = {key: value for key, value in made["retry"].items() if key in self.own}
        return made


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


class Wait(_Step):
    """Waits for a length of time, until a local time, or until a date."""

    wait: Annotated[
        Annotated[Duration, Tag("<duration>")] | Annotated[Until, Tag("<until>")], Discriminator(_wait_kind)
    ]
    on_failure: OnFailure = Field(default="hold", description="Where the date is missing: hold, go on, or leave.")


class WaitFor(_Step):
    """Waits for an event of this contact; without 'for', until it comes."""

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
        """See `_Step.complaint`."""
        if "else" in given and "for" not in given:
            return "else", "'else' is never reached without 'for'"
        return None


class If(_Step):
    """Goes one way or the other."""

    condition: Condition = Field(alias="if")
    then: list[Step] = Field(default_factory=list["Step"], description="Steps to take where the condition is true.")
    otherwise: list[Step] = Field(
        default_factory=list["Step"], alias="else", description="Steps to take where it is not."
    )

    @classmethod
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        """See `_Step.complaint`."""
        if given.isdisjoint(("then", "else")):
            return "if", "an 'if' needs 'then', 'else' or both"
        return None


class Exit(_Step):
    """Ends the journey here."""

    exit: str = Field(min_length=1, max_length=200, description="The reason that the journey's result names.")


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
