"""An entry: one contact and the trigger's data, as a customer platform sends them, in one clean shape for templates.

The models accept what a platform's API returns unchanged (see `scenario.values`), keep fields that they do not know,
and fill those that they know and did not get with None, so that in a webhook only a misspelling is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from scenario.errors import EntryError
from scenario.model import TRIGGERS
from scenario.values import ZONE, Custom, Flag, Id, Moment, Number, Text

_LONGEST_ID: Final = 300
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Shape(BaseModel):
    """Base of the platform's objects: unknown fields are kept, as they came."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)


class WithCustom(Shape):
    """An object that has custom fields: by name, under `custom`."""

    custom: Custom = Field(
        default_factory=dict, validation_alias=AliasChoices("custom_fields", "custom"), validate_default=True
    )


class MailingList(Shape):
    """A list that a contact is on."""

    id: Id = None
    name: Text = None


class LoyaltyCard(Shape):
    """A contact's card of a loyalty program."""

    card_code: Id = None
    id_program: Id = None


class Consent(Shape):
    """What a contact allows on one channel."""

    channel: Text = None
    scope: Text = None
    enabled: Flag = None
    source: Text = None
    date: Moment = None


class Recommendation(Shape):
    """A product recommended to a contact."""

    external_id: Id = None
    name: Text = None
    price: Number = None
    url: Text = None
    image_url: Text = None


class Contact(WithCustom):
    """A contact: system fields, custom fields, lists, cards, recommendations."""

    id: Id = None
    firstname: Text = None
    lastname: Text = None
    email: Text = None
    cellphone: Text = None
    language: Text = None
    timezone: Text = None
    creation_date: Moment = None
    date_added: Moment = None
    double_optin: Any = None
    lists: list[MailingList] = Field(default_factory=list[MailingList])
    loyalty: list[LoyaltyCard] = Field(default_factory=list[LoyaltyCard])
    tracking_consent: list[Consent] = Field(default_factory=list[Consent])
    recommendations: list[Recommendation] = Field(default_factory=list[Recommendation])


class Product(WithCustom):
    """A line of an order or a cart. A cart's line says `product_id` where an order's says `external_id`: both work."""

    external_id: Id = None
    product_id: Id = None
    sku: Id = None
    name: Text = None
    description: Text = None
    brand: Text = None
    category: Text = None
    unit_price: Number = None
    quantity: Number = None
    discount_amount: Number = None
    tax_amount: Number = None
    total_line_amount: Number = None
    currency: Text = None
    url: Text = None
    image_url: Text = None

    @model_validator(mode="before")
    @classmethod
    def _one_id(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        row = cast("Mapping[str, Any]", data)
        name = row.get("external_id") or row.get("product_id")
        return {**row, "external_id": name, "product_id": row.get("product_id") or name}


class Store(Shape):
    """The shop that an order was placed in."""

    external_id: Id = None
    name: Text = None
    online: Flag = None
    store_type: Text = None
    manager: Text = None


class Order(WithCustom):
    """An order or a till receipt."""

    external_id: Id = None
    contact_id: Id = None
    card_code: Id = None
    store_external_id: Id = None
    created_at: Moment = None
    ordered_at: Moment = None
    currency: Text = None
    shipping_amount: Number = None
    discount_amount: Number = None
    tax_amount: Number = None
    total_price: Number = None
    sales_person: Text = None
    products: list[Product] = Field(default_factory=list[Product])
    loyalty: LoyaltyCard = LoyaltyCard()
    store: Store = Store()

    @model_validator(mode="before")
    @classmethod
    def _absent_parts(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        row = cast("Mapping[str, Any]", data)
        return {key: value for key, value in row.items() if value is not None or key not in ("loyalty", "store")}


class Cart(WithCustom):
    """An abandoned cart."""

    external_id: Id = None
    contact_id: Id = None
    card_code: Id = None
    store_external_id: Id = None
    ordered_at: Moment = None
    completed: Flag = None
    currency: Text = None
    shipping_amount: Number = None
    discount_amount: Number = None
    tax_amount: Number = None
    total_price: Number = None
    products: list[Product] = Field(default_factory=list[Product])


class RewardDefinition(Shape):
    """What a reward is."""

    external_id: Id = None
    name: Text = None
    monetary: Flag = None
    monetary_type: Text = None
    monetary_value: Number = None
    nqp_value: Number = None
    image_url: Text = None


class Reward(Shape):
    """A reward assigned to a contact."""

    external_id: Id = None
    loyalty_status_id: Id = None
    card_code: Id = None
    individual_id: Id = None
    program_name: Text = None
    earned_date: Moment = None
    burned_date: Moment = None
    expiration_date: Moment = None
    status: Text = None
    interaction_type: Text = None
    interaction_details: Text = None
    reason_msg: Text = None
    reason_rule_id: Id = None
    reward_definition: RewardDefinition = RewardDefinition()


class Happening(Shape):
    """An event that lets a contact in."""

    name: Text = None
    time: Moment = None
    properties: dict[str, Any] = Field(default_factory=dict)


DATA: Final[Mapping[str, tuple[str, type[Shape]]]] = {
    "order": ("order", Order),
    "ticket": ("ticket", Order),
    "abandoned_cart": ("cart", Cart),
    "reward": ("reward", Reward),
    "event": ("event", Happening),
}
"""What a trigger brings beside the contact: the name templates use, and its model."""

ALIASES: Final[Mapping[str, str]] = {"order": "ticket", "ticket": "order"}
"""A trigger's data under a second name."""


class Entry(BaseModel):
    """One contact, asking to come in.

    Attributes:
        scenario: The scenario's name, or ``name@version``.
        contact: As the platform sends it.
        trigger: ``{"type": …}`` and the trigger's data under its own name.
        key: What tells this journey from others of the same contact, where the engine names it itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    scenario: str
    contact: dict[str, Any]
    trigger: dict[str, Any]
    key: Id = None

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.scenario.partition("@")[0]

    @property
    def version(self) -> int | None:
        """The version that the entry pins, or None for the newest."""
        _, at, number = self.scenario.partition("@")
        return int(number) if at else None

    @property
    def contact_id(self) -> str:
        """The contact's id, as text."""
        return str(self.contact["id"]).strip()


_SCENARIO = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*(?:@[1-9]\d{0,8})?", re.ASCII)


def parse_entry(data: object) -> Entry:
    """Reads an entry and checks what does not depend on the platform's settings.

    Raises:
        EntryError: It cannot come in; the sentence says why, without any of the contact's data.
    """
    try:
        entry = Entry.model_validate(data)
    except ValidationError as error:
        raise EntryError(_sentence("the entry", error)) from None
    if not _SCENARIO.fullmatch(entry.scenario):
        raise EntryError("'scenario' must be a scenario's name, or a name and a version such as post-purchase@3")
    kind = entry.trigger.get("type")
    if kind not in TRIGGERS:
        raise EntryError(f"'trigger.type' must be one of {', '.join(TRIGGERS)}")
    try:
        identifier = Contact.model_validate({"id": entry.contact.get("id")}).id
    except ValidationError as error:
        raise EntryError(_sentence("contact", error)) from None
    for what, value in (("'contact.id'", identifier), ("'key'", entry.key)):
        if value is not None and len(value) > _LONGEST_ID:
            raise EntryError(f"{what} is longer than {_LONGEST_ID} characters")
    if identifier is None:
        raise EntryError("the contact has no id: give 'contact.id'")
    return entry


def is_entry(data: object) -> bool:
    """Whether an argument is an entry at all, be it a wrong one: an object that names a scenario."""
    return isinstance(data, Mapping) and isinstance(cast("Mapping[str, object]", data).get("scenario"), str)


def journey_id(entry: Entry, key: str | None) -> str:
    """The workflow id of an entry's journey: ``<scenario>/<contact id>`` or ``<scenario>/<contact id>/<key>``."""
    return "/".join(filter(None, (entry.name, entry.contact_id, key)))


def clean(entry: Entry, zone: ZoneInfo) -> dict[str, Any]:
    """The entry's data as templates see it: plain JSON values by root name.

    Args:
        entry: From `parse_entry`.
        zone: The platform's, for its zone-less dates.

    Raises:
        EntryError: The contact or the trigger's data is malformed; the sentence names the field.
    """
    context: dict[str, Any] = {"contact": _clean(Contact, entry.contact, "contact", zone)}
    kind = entry.trigger["type"]
    if kind in DATA:
        root, shape = DATA[kind]
        given = entry.trigger.get(root, entry.trigger.get(ALIASES.get(kind, root)))
        if not isinstance(given, Mapping):
            raise EntryError(f"a trigger '{kind}' needs its data under 'trigger.{root}'")
        context[root] = _clean(shape, cast("Mapping[str, Any]", given), f"trigger.{root}", zone)
        if kind in ALIASES:
            context[ALIASES[kind]] = context[root]
    return context


def patch_contact(contact: Mapping[str, Any], patch: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """A clean contact with some of its fields changed; custom fields are changed one by one.

    Raises:
        EntryError: The patch is malformed; the contact stays as it is.
    """
    changed = _clean(Contact, patch, "contact", zone)
    given = {("custom" if key == "custom_fields" else key) for key in patch} - {"id"}
    merged = {**contact, **{key: value for key, value in changed.items() if key in given}}
    if "custom" in given:
        merged["custom"] = {**contact.get("custom", {}), **changed["custom"]}
    return merged


def _clean(shape: type[Shape], data: object, where: str, zone: ZoneInfo) -> dict[str, Any]:
    try:
        return shape.model_validate(data, context={ZONE: zone}).model_dump()
    except ValidationError as error:
        raise EntryError(_sentence(where, error)) from None


def _sentence(where: str, error: ValidationError) -> str:
    """The first thing wrong, by its place and without its value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"] if not str(part).startswith(("function-", "<")))
    match first["type"]:
        case "extra_forbidden":
            known = ", ".join(Entry.model_fields)
            return f"{where} has no field '{place}': it has {known}"
        case "missing":
            return f"{where} needs '{place}'"
        case "model_type" | "dict_type":
            return f"'{place}' of {where} must be an object" if place else f"{where} must be an object"
        case _:
            message = first["msg"].removeprefix("Value error, ")
            return f"'{place}' of {where}: {message[:1].lower()}{message[1:]}" if place else f"{where}: {message}"
