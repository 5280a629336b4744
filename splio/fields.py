"""The platform's old names of fields, and the fields of the scenario language.

The converter and the documentation both use this table. It lists only the names that differ. The types of the fields
(number, text, date) come from the models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from scenario.check.variables import tree_of
from scenario.entry.objects import Cart, Contact, Order, Product, Reward, Shape, Store, WithCustom
from scenario.liquid.shapes import Object, Scalar, Tree, Value
from scenario.type_guards import is_mapping, list_or_empty, mapping_or_empty

CONTACT: Final = ""  # the table of a variable without a table: ``$firstname$``


class PlatformTable(NamedTuple):
    """One of the platform's tables."""

    path: str
    model: type[Shape]
    names: Mapping[str, str]  # Old names that differ, with the new ones. A dot leads into an object.


_TRANSACTION: Final = {
    **dict.fromkeys(("extid", "id"), "external_id"),
    **dict.fromkeys(("contact", "id_contact"), "contact_id"),
    **dict.fromkeys(("id_store", "store_id", "store_extid"), "store_external_id"),
    **dict.fromkeys(("date", "date_order", "order_date"), "ordered_at"),
    "discount": "discount_amount",
    "shipping": "shipping_amount",
    "tax": "tax_amount",
    "total": "total_price",
}
_ORDER: Final = {**_TRANSACTION, "date_add": "created_at", "date_added": "created_at", "salesperson": "sales_person"}

TABLES: Final[Mapping[str, PlatformTable]] = {  # the platform's tables, by their names in variables
    CONTACT: PlatformTable(
        "contact",
        Contact,
        {
            "first_name": "firstname",
            "last_name": "lastname",
            "mail": "email",
            **dict.fromkeys(("phone", "mobile"), "cellphone"),
            "lang": "language",
            "date": "creation_date",
        },
    ),
    "order": PlatformTable("order", Order, _ORDER),
    "basket": PlatformTable("cart", Cart, _TRANSACTION),
    "cart": PlatformTable("cart", Cart, _TRANSACTION),
    "product": PlatformTable(
        "product",
        Product,
        {
            **dict.fromkeys(("extid", "id"), "external_id"),
            "price": "unit_price",
            **dict.fromkeys(("img_url", "img", "picture"), "image_url"),
            "discount": "discount_amount",
            "tax": "tax_amount",
            **dict.fromkeys(("total", "total_price"), "total_line_amount"),
        },
    ),
    "store": PlatformTable("order.store", Store, {"extid": "external_id", "id": "external_id", "type": "store_type"}),
    "reward": PlatformTable(
        "reward",
        Reward,
        {
            "extid": "external_id",
            "name": "reward_definition.name",
            "type": "reward_definition.monetary_type",
            "img_url": "reward_definition.image_url",
        },
    ),
}

LISTS: Final[Mapping[str, str]] = {"order": "order", "ticket": "order", "basket": "cart", "cart": "cart"}
"""The sources of loops over products, and the roots of their ``products``."""

_CUSTOM: Final = re.compile(r"c(\d{1,4})")
_WORD: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_QUOTABLE: Final = re.compile(r"[^'\"\\{}%\x00-\x1f\x7f-\x9f]{1,100}")


@dataclass(frozen=True)
class CustomFieldNames:
    """The names of custom fields, by table and number."""

    by_number: Mapping[str, Mapping[int, str]] = field(default_factory=dict[str, Mapping[int, str]])
    """``{"": {0: "civility"}}``, by the keys of ``TABLES``."""

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> CustomFieldNames:
        """Read the names from a contact, or from an entry with ``contact`` and optionally ``trigger``."""
        contact = data.get("contact", data)
        found: dict[str, dict[int, str]] = {CONTACT: _read_numbers(contact)}
        trigger = data.get("trigger")
        for root, table in (("order", "order"), ("ticket", "order"), ("cart", "basket")):
            bought = trigger.get(root) if is_mapping(trigger) else None
            if not is_mapping(bought):
                continue
            found.setdefault(table, {}).update(_read_numbers(bought))
            for product in list_or_empty(bought.get("products")):
                found.setdefault("product", {}).update(_read_numbers(product))
        return cls(found)


def _read_numbers(data: object) -> dict[int, str]:
    found: dict[int, str] = {}
    for row in filter(is_mapping, list_or_empty(mapping_or_empty(data).get("custom_fields"))):
        number, name = row.get("id"), row.get("name")
        if isinstance(name, str) and _QUOTABLE.fullmatch(name) and str(number).isdecimal():
            found[int(str(number))] = name
    return found


class MappedField(NamedTuple):
    """A field of the scenario language."""

    path: str  # ``contact.firstname``
    kind: Scalar | None  # its type, or None for custom fields
    number: int | None = None  # the number of a custom field without a known name


def find_field(table: str, name: str, names: CustomFieldNames, trigger: str | None = None) -> MappedField | None:
    """Return the field for an old name of one of ``TABLES``, both in any case, or None.

    The platform stores abandoned carts as orders, so in a scenario with the trigger ``abandoned_cart`` an ``order`` is
    the cart.
    """
    word, key = name.lower(), table.lower()
    if key == "order" and trigger == "abandoned_cart":
        key = "basket"
    if (known := TABLES.get(key)) is None:
        return None
    ours = known.names.get(word, word)
    if (tree := _find_value(known.model, ours)) is not None:
        return MappedField(f"{known.path}.{ours}", tree.kind)
    if not issubclass(known.model, WithCustom):
        return None
    customs = names.by_number.get("basket" if key == "cart" else key, {})
    if numbered := _CUSTOM.fullmatch(word):
        number = int(numbered[1])
        custom = customs.get(number)
        return MappedField(f"{known.path}.custom{_write_step(custom or word)}", None, None if custom else number)
    custom = next((one for one in customs.values() if one.lower() == word), None)
    return MappedField(f"{known.path}.custom{_write_step(custom)}", None) if custom else None


def _write_step(name: str) -> str:
    return f".{name}" if _WORD.fullmatch(name) else f"['{name}']"


def _find_value(model: type[Shape], path: str) -> Value | None:
    tree: Tree = tree_of(model)
    for step in path.split("."):
        if not isinstance(tree, Object) or step not in tree.fields:
            return None
        tree = tree.fields[step]
    return tree if isinstance(tree, Value) else None


@lru_cache(1_000)
def suggest_field(table: str, name: str) -> str | None:
    known = TABLES.get(table.lower())
    if known is None:
        return None
    close = get_close_matches(name.lower(), [old for old, _ in list_names(table.lower())], n=1, cutoff=0.75)
    return f"{table}.{close[0]}" if close and table else close[0] if close else None


@cache
def list_names(table: str) -> tuple[tuple[str, str], ...]:
    """Return all old names of a table with the new ones, in the order of the model's fields."""
    known, tree = TABLES[table], tree_of(TABLES[table].model)
    fields = [name for name, found in tree.fields.items() if isinstance(found, Value)]
    fields = [name for name in fields if name not in known.model.second]
    ours = dict.fromkeys((*fields, *known.names.values()))
    names = [(name, name) for name in fields if name not in known.names] + [*known.names.items()]
    return tuple((old, new) for name in ours for old, new in names if new == name)
