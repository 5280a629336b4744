"""Consent to a channel's marketing: the contact's lists and tracking consent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from scenario.model.parts import Model, optional
from scenario.type_guards import is_mapping, list_or_empty

LISTS: Final = ("contact", "lists")
TRACKING: Final = ("contact", "tracking_consent")


def _list(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).strip():
        raise ValueError("a list is its id or its name, such as 51 or Newsletter")
    return str(value).strip()


ListName = Annotated[str, BeforeValidator(_list), WithJsonSchema({"type": ["string", "integer"]})]
"""A list of the platform, by its id or name."""


class Agreement(Model):
    """The consent that a channel's marketing needs."""

    mailing_list: ListName | None = optional("The list that the contact must be on, by its id or name.", alias="list")
    tracking: str | None = optional(
        "The scope of the contact's tracking_consent on this channel that must be enabled.",
        alias="tracking_consent",
        min_length=1,
    )

    @model_validator(mode="after")
    def _something(self) -> Agreement:
        if self.mailing_list is None and self.tracking is None:
            raise ValueError("write the 'list' that the contact must be on, or a scope of 'tracking_consent', or both")
        return self

    @property
    def fields(self) -> tuple[tuple[str, ...], ...]:
        return (LISTS,) * (self.mailing_list is not None) + (TRACKING,) * (self.tracking is not None)

    def missing(self, channel: str, contact: Mapping[str, Any]) -> str:
        """Return the missing part of the contact's consent, or an empty text."""
        if self.mailing_list is not None:
            wanted = self.mailing_list.casefold()
            named = [row.get(key) for row in _rows(contact, LISTS) for key in ("id", "name")]
            if not any(str(name or "").strip().casefold() == wanted for name in named):
                return f"the contact is not on the list {self.mailing_list}"
        if self.tracking is not None and not any(
            row.get("channel") == channel and row.get("scope") == self.tracking and row.get("enabled") is True
            for row in _rows(contact, TRACKING)
        ):
            return f"the contact has not agreed to {self.tracking} by {channel}"
        return ""


class _Short:
    """Allows a list alone in the schema."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": ["string", "integer"], "examples": ["Newsletter", 51]}, handler(core)]}


def _asked(value: object) -> object:
    return value if is_mapping(value) or isinstance(value, Agreement) else {"list": value}


Subscription = dict[str, Annotated[Agreement, BeforeValidator(_asked), _Short]]
"""Required consent by channel. Other channels need none."""


def nowhere(subscription: Subscription, contact: Mapping[str, Any]) -> str:
    """Return why a contact consents to none of the channels, or an empty text."""
    reasons = [asked.missing(channel, contact) for channel, asked in subscription.items()]
    return reasons[0] if reasons and all(reasons) else ""


def _rows(contact: Mapping[str, Any], field: Sequence[str]) -> Iterable[Mapping[str, Any]]:
    return filter(is_mapping, list_or_empty(contact.get(field[-1])))
