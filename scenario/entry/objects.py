"""The platform's objects as its API sends them, in clean shapes for templates.

The models accept raw values (see `scenario.entry.values`) and keep unknown fields. Missing known fields become None,
so that in a webhook only a misspelling is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar, Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from scenario.entry.values import Custom, Flag, Id, Moment, Number, Text, as_custom
from scenario.type_guards import is_mapping


class Shape(BaseModel):
    """The base of the platform's objects. Unknown fields are kept.

    A missing list or object may be null, ``""``, or ``[]`` as PHP writes it.
    """

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)
    second: ClassVar[Mapping[str, str]] = {}
    """Second names of fields, from the platform's old template syntax or from some of its objects.

    Templates may use either.
    """

    @model_validator(mode="before")
    @classmethod
    def _both_names(cls, data: Any) -> Any:
        if not cls.second or not is_mapping(data):
            return data
        row = {**data}
        for other, name in cls.second.items():
            if row.get(name) in (None, ""):
                row[name] = row.get(other)
        for other, name in cls.second.items():
            if row.get(other) in (None, ""):
                row[other] = row[name]
        return row

    @model_validator(mode="before")
    @classmethod
    def _absent(cls, data: Any) -> Any:
        if not is_mapping(data):
            return data
        parts = _parts(cls)
        return {key: value for key, value in data.items() if key not in parts or value not in (None, "", [])}


@cache
def _parts(shape: type[Shape]) -> frozenset[str]:
    """Return the fields that hold a list or an object."""
    names: set[str] = set()
    for name, field in shape.model_fields.items():
        if field.get_default(call_default_factory=True, validated_data={}) is not None:
            names.add(name)
            if isinstance(field.validation_alias, AliasChoices):
                names.update(str(choice) for choice in field.validation_alias.choices)
    return frozenset(names)


class WithCustom(Shape):
    """An object with custom fields, by name, under `custom`."""

    custom: Custom = Field(
        default_factory=dict, validation_alias=AliasChoices("custom_fields", "custom"), validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _one_custom(cls, data: Any, info: ValidationInfo) -> Any:
        """Accept one of two spellings, and drop the other."""
        if not is_mapping(data):
            return data
        if "custom" not in data or "custom_fields" not in data:
            return data
        both = {**as_custom(data["custom"] or None, info), **as_custom(data["custom_fields"] or None, info)}
        return {**{key: value for key, value in data.items() if key != "custom"}, "custom_fields": both}


class External(Shape):
    """An object with the id that the customer's own system gave it."""

    second: ClassVar[Mapping[str, str]] = {"extid": "external_id"}

    external_id: Id = None
    extid: Id = None


class MailingList(Shape):
    """A mailing list of a contact."""

    id: Id = None
    name: Text = None


class LoyaltyCard(Shape):
    """A contact's card of a loyalty program."""

    card_code: Id = None
    id_program: Id = None


class Consent(Shape):
    """A contact's consent on one channel."""

    channel: Text = None
    scope: Text = None
    enabled: Flag = None
    source: Text = None
    date: Moment = None


class Recommendation(Shape):
    """A product recommended to a contact."""

    second: ClassVar[Mapping[str, str]] = {"extid": "external_id", "img_url": "image_url"}

    external_id: Id = None
    name: Text = None
    price: Number = None
    url: Text = None
    image_url: Text = None
    extid: Id = None
    img_url: Text = None


class Contact(WithCustom):
    """A contact."""

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
    """A line of an order or a cart. `product_id` and `external_id` are the same field."""

    second: ClassVar[Mapping[str, str]] = {
        "product_id": "external_id",
        "extid": "external_id",
        "price": "unit_price",
        "img_url": "image_url",
    }

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
    extid: Id = None
    price: Number = None
    img_url: Text = None


class Store(External):
    """The shop of an order."""

    name: Text = None
    online: Flag = None
    store_type: Text = None
    manager: Text = None


class Order(External, WithCustom):
    """An order or a receipt."""

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


class Cart(External, WithCustom):
    """An abandoned cart."""

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


class RewardDefinition(External):
    """A reward's definition."""

    second: ClassVar[Mapping[str, str]] = {**External.second, "img_url": "image_url"}

    name: Text = None
    monetary: Flag = None
    monetary_type: Text = None
    monetary_value: Number = None
    nqp_value: Number = None
    image_url: Text = None
    img_url: Text = None


class Reward(External):
    """A reward assigned to a contact."""

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


class TriggerEvent(Shape):
    """An event that starts a journey."""

    name: Text = None
    time: Moment = None
    properties: dict[str, Any] = Field(default_factory=dict)


DATA: Final[Mapping[str, tuple[str, type[Shape]]]] = {
    "order": ("order", Order),
    "ticket": ("ticket", Order),
    "abandoned_cart": ("cart", Cart),
    "reward": ("reward", Reward),
    "event": ("event", TriggerEvent),
}
"""Data of each trigger: its name in templates, and its model."""

ALIASES: Final[Mapping[str, str]] = {"order": "ticket", "ticket": "order"}


TRIGGER: Final = "trigger"
OBJECTS: Final = tuple(sorted({root for root, _ in DATA.values()} - {"event"}))
"""Names of trigger data that exist for the whole journey."""
_OF_EVENT: Final = ("name", "time", "properties")


def trigger_root(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of `trigger` that are stored nowhere else: its type, and its event from the clean data."""
    event = {name: data["event"][name] for name in _OF_EVENT} if "event" in data else {}
    return {"type": kind, **event}


def with_trigger(data: Mapping[str, Any]) -> dict[str, Any]:
    trigger = {**data.get(TRIGGER, {}), **{name: data[name] for name in OBJECTS if name in data}}
    return {**data, TRIGGER: trigger} if trigger else dict(data)


def handed_as(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return the path in a journey's data for a path in a template: `trigger.order.…` is `order.…`."""
    return path[1:] if path[:1] == (TRIGGER,) and path[1:2] and path[1] in OBJECTS else path


def event_root(name: str, time: str | None, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variable `event`: properties directly and under `properties`.

    ``event.order_id`` works, and ``event.properties.name`` reaches a property that `name` or `time` would hide.
    """
    return {**properties, "name": name, "time": time, "properties": dict(properties)}
