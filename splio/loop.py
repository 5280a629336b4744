"""Loops: ``{SPLIO FOREACH PRODUCT IN ORDER LIMIT="4" ORDERBY="price" DIRECTION="DESC"}``."""

from __future__ import annotations

import re
from typing import Final

from splio.condition import Unreadable
from splio.fields import LISTS, Names, field_of

_HEADER: Final = re.compile(r"(?P<item>\w+)\s+IN\s+(?P<list>\w+)\b", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(r"\s*,?\s*(?P<name>[A-Za-z_]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|“([^”]*)”|([^\s,\"']+))")
_DIRECTIONS: Final = {"ASC": False, "ASCENDING": False, "DESC": True, "DESCENDING": True}
_KNOWN: Final = ("LIMIT", "ORDERBY", "DIRECTION")


def write_loop(text: str, names: Names, trigger: str | None, name: str) -> str:
    """The tags that say the same: a ``for``, and in front of it what sorts.

    Args:
        text: What stands after FOREACH.
        names: The names of custom fields.
        trigger: See `splio.fields.field_of`.
        name: That of a variable for the sorted list, if there is one.

    Raises:
        Unreadable: Something in it means nothing here.
    """
    header = _HEADER.match(text)
    if header is None:
        raise Unreadable("a loop is written FOREACH PRODUCT IN ORDER or FOREACH PRODUCT IN BASKET")
    if header["item"].upper() != "PRODUCT":
        raise Unreadable(f"there are loops over PRODUCT only, not over {header['item'].upper()}")
    root = LISTS.get(header["list"].lower())
    if root is None:
        raise Unreadable(f"there are products in ORDER and in BASKET only, not in {header['list'].upper()}")
    if root == "order" and trigger == "abandoned_cart":
        root = "cart"
    given = _attributes(text[header.end() :])
    products, before = f"{root}.products", ""
    if "ORDERBY" in given:
        products, before = name, f"{{% assign {name} = {products}{_order(given, names)} %}}"
    elif "DIRECTION" in given:
        raise Unreadable("DIRECTION means nothing without ORDERBY")
    return f"{before}{{% for product in {products}{_limit(given)} %}}"


def _attributes(text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    at = 0
    while text[at:].strip():
        found = _ATTRIBUTE.match(text, at)
        if found is None:
            raise Unreadable(f"'{text[at:].strip()[:40]}' is not an attribute of a loop")
        name = found["name"].upper()
        if name not in _KNOWN:
            raise Unreadable(f"the attribute {name} is not known: a loop has {', '.join(_KNOWN)}")
        if name in given:
            raise Unreadable(f"the attribute {name} is there twice")
        given[name] = next(value for value in found.groups()[1:] if value is not None).strip()
        at = found.end()
    return given


def _limit(given: dict[str, str]) -> str:
    limit = given.get("LIMIT")
    if limit is None:
        return ""
    if not re.fullmatch(r"\d{1,6}", limit, re.ASCII):
        raise Unreadable("LIMIT is a whole number")
    return f" limit: {int(limit)}"


def _order(given: dict[str, str], names: Names) -> str:
    name = given["ORDERBY"].strip("$").rpartition(".")[2]
    known = field_of("product", name, names)
    if known is None or known.path.count(".") != 1:
        raise Unreadable(f"products cannot be sorted by '{name[:40]}'")
    descending = _DIRECTIONS.get(given.get("DIRECTION", "ASC").upper())
    if descending is None:
        raise Unreadable("DIRECTION is ASC or DESC")
    # Prices are numbers in our data, however they were sent, and are sorted as such.
    by = "sort_natural" if known.kind == "text" and not known.path.endswith("_id") else "sort"
    return f" | {by}: '{known.path.partition('.')[2]}'{' | reverse' if descending else ''}"
