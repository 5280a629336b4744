"""The steps that send something, as pydantic models: e-mails, text messages and webhooks."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from scenario.parts import Body, File, Model, Retry, Save, Text
from scenario.terms import Name, OnFailure, OnUnknown, StepId, Template, Timeout, UrlPath

if TYPE_CHECKING:
    from scenario.liquid import Kind


def is_given(value: object) -> bool:
    """Whether a key with this value says anything: nothing and an empty list do not."""
    return value is not None and value != []


class BaseStep(Model):
    """What all steps have.

    Attributes:
        id: See `scenario.outline.Written.id`.
        branches: The keys under which it has steps of its own.
        templates: What the output of a template becomes, by the key under which it stands alone.
        texts: The keys whose text may be in a file of its own.
    """

    branches: ClassVar[tuple[str, ...]] = ()
    templates: ClassVar[Mapping[str, Kind]] = {}
    texts: ClassVar[tuple[str, ...]] = ()

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

    @classmethod
    def ways(cls, keys: Mapping[str, Any]) -> tuple[str, ...] | None:
        """The branches through which contacts may come to what stands behind the step; none where nobody does.

        Args:
            keys: The step's keys and values as an author writes them.

        Returns:
            None where there are no branches between.
        """
        del keys
        return None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        fields = type(self).model_fields.items()
        if found := self.complaint({field.alias or name for name, field in fields if is_given(getattr(self, name))}):
            raise PydanticCustomError("complaint", "{sentence}", {"sentence": found[1]})
        return self


class _Delivery(BaseStep):
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

    templates: ClassVar[Mapping[str, Kind]] = {"subject": "line", "html": "html", "text": "text"}
    texts: ClassVar[tuple[str, ...]] = ("html", "text")

    email: Name
    subject: Template = Field(description="One line of text with Liquid.")
    html: Text | None = Field(default=None, description="HTML with Liquid; outputs are escaped.")
    text: Text | None = Field(default=None, description="Plain text with Liquid; without it, made from the HTML.")
    on_unknown: OnUnknown = Field(default="retry", description=_ON_UNKNOWN)

    @classmethod
    def complaint(cls, given: Set[str]) -> tuple[str, str] | None:
        """See `BaseStep.complaint`."""
        if given.isdisjoint(("html", "text")):
            return "email", "an e-mail needs 'html', 'text' or both"
        return None


class Sms(_Delivery):
    """Sends a text message to the contact's mobile phone."""

    templates: ClassVar[Mapping[str, Kind]] = {"text": "text"}
    texts: ClassVar[tuple[str, ...]] = ("text",)

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

    templates: ClassVar[Mapping[str, Kind]] = {"url": "url", "path": "path"}
    texts: ClassVar[tuple[str, ...]] = ("body",)

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
        """See `BaseStep.complaint`."""
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
