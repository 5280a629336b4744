"""The platform's old names for the fields of its objects, and ours.

The one table of names: the converter and the documentation both come from it. A name that our own model has is the same
in both, so that only the others are listed. What a field holds (number, text, date) is asked of the models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple, cast

from scenario.check.variables import tree_of
from scenario.entry.objects import Cart, Contact, Order, Product, Reward, Shape, Store, WithCustom
from scenario.liquid.shapes import Object, Scalar, Tree, Value

CONTACT: Final = ""
"""The table of a variable that names none: ``$firstname$``."""


class Table(NamedTuple):
    """One of the platform's tables.

    Attributes:
        path: What a template calls it.
        model: What its data are parsed with.
        names: Old names that differ from ours, and ours; a dot leads into an object.
    """

    path: str
    model: type[Shape]
    names: Mapping[str, str]


_TRANSACTION: Final = {
    "extid": "external_id",
    "id": "external_id",
    "contact": "contact_id",
    "id_contact": "contact_id",
    "id_store": "store_external_id",
    "store_id": "store_external_id",
    "store_extid": "store_external_id",
    "date": "ordered_at",
    "date_order": "ordered_at",
    "order_date": "ordered_at",
    "discount": "discount_amount",
    "shipping": "shipping_amount",
    "tax": "tax_amount",
    "total": "total_price",
}
_ORDER: Final = {**_TRANSACTION, "date_add": "created_at", "date_added": "created_at", "salesperson": "sales_person"}

TABLES: Final[Mapping[str, Table]] = {
    CONTACT: Table(
        "contact",
        Contact,
        {
            "first_name": "firstname",
            "last_name": "lastname",
            "mail": "email",
            "phone": "cellphone",
            "mobile": "cellphone",
            "lang": "language",
            "date": "creation_date",
        },
    ),
    "order": Table("order", Order, _ORDER),
    "basket": Table("cart", Cart, _TRANSACTION),
    "cart": Table("cart", Cart, _TRANSACTION),
    "product": Table(
        "product",
        Product,
        {
            "extid": "external_id",
            "id": "external_id",
            "price": "unit_price",
            "img_url": "image_url",
            "img": "image_url",
            "picture": "image_url",
            "discount": "discount_amount",
            "tax": "tax_amount",
            "total": "total_line_amount",
            "total_price": "total_line_amount",
        },
    ),
    "store": Table("order.store", Store, {"extid": "external_id", "id": "external_id", "type": "store_type"}),
    "reward": Table(
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
"""The platform's tables, by the name that its variables use."""

LISTS: Final[Mapping[str, str]] = {"order": "order", "ticket": "order", "basket": "cart", "cart": "cart"}
"""What a loop over products goes through, and the root whose ``products`` these are."""

_CUSTOM: Final = re.compile(r"c(\d{1,4})")
_WORD: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_QUOTABLE: Final = re.compile(r"[^'\"\\{}%\x00-\x1f\x7f-\x9f]{1,100}")


@dataclass(frozen=True)
class Names:
    """The names of custom fields, by what they belong to and their number.

    Attributes:
        by_number: ``{"": {0: "civility"}}``; the keys are those of ``TABLES``.
    """

    by_number: Mapping[str, Mapping[int, str]] = field(default_factory=dict[str, Mapping[int, str]])

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Names:
        """Learns them from a contact, or from an entry, as the platform sends it.

        Args:
            data: A contact, or an object with ``contact`` and, maybe, ``trigger``.
        """
        contact = data.get("contact", data)
        found: dict[str, dict[int, str]] = {CONTACT: _numbered(contact)}
        trigger = data.get("trigger")
        for root, table in (("order", "order"), ("ticket", "order"), ("cart", "basket")):
            given = cast("Mapping[str, Any]", trigger).get(root) if isinstance(trigger, Mapping) else None
            if not isinstance(given, Mapping):
                continue
            bought = cast("Mapping[str, Any]", given)
            found.setdefault(table, {}).update(_numbered(bought))
            products = bought.get("products")
            for product in cast("list[Any]", products) if isinstance(products, list) else []:
                found.setdefault("product", {}).update(_numbered(product))
        return cls(found)

    def number(self, table: str, number: int) -> str | None:
        """The name of a table's custom field, or None where it is not known."""
        return self.by_number.get(_same(table), {}).get(number)

    def has(self, table: str, name: str) -> str | None:
        """The custom field of a table that goes by a name, whatever its capitals."""
        known = self.by_number.get(_same(table), {}).values()
        return next((one for one in known if one.lower() == name.lower()), None)


def _same(table: str) -> str:
    return "basket" if table == "cart" else table


def _numbered(data: object) -> dict[int, str]:
    rows = cast("Mapping[str, Any]", data).get("custom_fields") if isinstance(data, Mapping) else None
    found: dict[int, str] = {}
    for row in cast("list[Any]", rows) if isinstance(rows, list) else []:
        if isinstance(row, Mapping):
            number, name = (cast("Mapping[str, Any]", row).get(key) for key in ("id", "name"))
            if isinstance(name, str) and _QUOTABLE.fullmatch(name) and str(number).isdecimal():
                found[int(str(number))] = name
    return found


class Field(NamedTuple):
    """A field as our templates name it.

    Attributes:
        path: ``contact.firstname``.
        kind: What it holds; None where nobody knows, as with custom fields.
        number: The number of a custom field whose name is not known.
    """

    path: str
    kind: Scalar | None
    number: int | None = None


def field_of(table: str, name: str, names: Names, trigger: str | None = None) -> Field | None:
    """Our name of a field.

    Args:
        table: One of ``TABLES``, in any case.
        name: The old name, in any case.
        names: Those of the custom fields, as far as known.
        trigger: That of the scenario that the template belongs to, where there is one: the platform keeps abandoned
            carts among its orders, so that with ``abandoned_cart`` an ``order`` is the cart.

    Returns:
        Our field, or None where there is none.
    """
    word, key = name.lower(), table.lower()
    if key == "order" and trigger == "abandoned_cart":
        key = "basket"
    if (known := TABLES.get(key)) is None:
        return None
    ours = known.names.get(word, word)
    if (tree := _tree(known.model, ours)) is not None:
        return Field(f"{known.path}.{ours}", tree.kind)
    if not issubclass(known.model, WithCustom):
        return None
    if numbered := _CUSTOM.fullmatch(word):
        number = int(numbered[1])
        custom = names.number(key, number)
        return Field(f"{known.path}.custom{_step(custom or word)}", None, None if custom else number)
    custom = names.has(key, name)
    return Field(f"{known.path}.custom{_step(custom)}", None) if custom else None


def _step(name: str) -> str:
    return f".{name}" if _WORD.fullmatch(name) else f"['{name}']"


def _tree(model: type[Shape], path: str) -> Value | None:
    """What a dotted path leads to: a single value, or None."""
    tree: Tree = tree_of(model)
    for step in path.split("."):
        if not isinstance(tree, Object) or step not in tree.fields:
            return None
        tree = tree.fields[step]
    return tree if isinstance(tree, Value) else None


@lru_cache(1_000)
def guess(table: str, name: str) -> str | None:
    """The old name that was probably meant, where one is close."""
    known = TABLES.get(table.lower())
    if known is None:
        return None
    close = get_close_matches(name.lower(), [old for old, _ in pairs(table.lower())], n=1, cutoff=0.75)
    return f"{table}.{close[0]}" if close and table else close[0] if close else None


@cache
def pairs(table: str) -> tuple[tuple[str, str], ...]:
    """All old names of a table with ours, in the order of the model's fields."""
    return tuple(_pairs(TABLES[table]))


def _pairs(table: Table) -> Iterator[tuple[str, str]]:
    tree = tree_of(table.model)
    others: dict[str, list[str]] = {}
    for old, ours in table.names.items():
        others.setdefault(ours, []).append(old)
    taken = set(table.names)
    for name in tree.fields:
        if not isinstance(tree.fields[name], Value) or name in table.model.second:
            continue
        if name not in taken:
            yield name, name
        yield from ((old, name) for old in others.pop(name, ()))
    for ours, olds in others.items():
        yield from ((old, ours) for old in olds)
