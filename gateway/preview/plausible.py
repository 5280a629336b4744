"""Usual values by the names of fields, for sample entries."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from gateway.preview.uses import Path
from gateway.preview.worst import NAMED
from scenario.entry import values

_BIRTHDAY: Final = "1988-03-02"
_PAST: Final = "2026-03-02 10:00:00"
_FUTURE: Final = "2030-06-01 10:00:00"
_ARTICLES: Final = frozenset({"products", "recommendations"})
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_BY_WORD: Final[tuple[tuple[frozenset[str], Any], ...]] = tuple(
    (frozenset(words.split()), value)
    for words, value in (
        ("email mail", NAMED["email"][0]),
        ("phone cellphone mobile cell msisdn tel", NAMED["cellphone"][0]),
        ("timezone", NAMED["timezone"][0]),
        ("currency", NAMED["currency"][0]),
        ("language locale lang", NAMED["language"][0]),
        ("country", "FR"),
        ("image photo picture img", "https://cdn.example.com/1.jpg"),
        ("url link href website", "https://shop.example.com/p/1"),
        ("firstname first", "Zoé"),
        ("lastname surname last", "O'Brien"),
        ("birthday birthdate birth", _BIRTHDAY),
        ("optin consent enabled active available vip is has", True),
        ("expires expiry expiration expire until end ends deadline due slot appointment starts", _FUTURE),
        ("date at time since day updated created", _PAST),
        ("price amount total cost fee value revenue tax discount shipping sum paid", 39.9),
        ("quantity qty count number nb score points rank stock age days percent size version rating", 3),
        ("city town", "Paris"),
        ("zip postcode postal", "75001"),
        ("street address", "1 rue de Rivoli"),
        ("civility gender", "mme"),
        ("id sku code ref reference token key uuid card extid", "A-1"),
    )
)
_KINDS: Final[dict[Callable[..., Any], Callable[[Any], Any]]] = {
    values.as_number: lambda value: value if isinstance(value, int | float) and not isinstance(value, bool) else 3,
    values.as_flag: lambda value: True,
    values.as_moment: lambda value: value if value == _FUTURE else _PAST,
    values.as_text: lambda value: "1" if value is True else str(value),
    values.as_id: lambda value: "A-1",
}
"""Conversions of a value to the kind that a reader expects."""


def plausible(path: Path, reader: Callable[..., Any] | None = None, *, is_date: bool = False) -> Any:
    """Return a usual value for a field of this name.

    Args:
        path: The field's path.
        reader: The function that reads the field, or None for unknown fields.
        is_date: True if the scenario waits for it, or formats it as a date.
    """
    name = path[-1]
    words = {word.lower() for word in _WORD.findall(name)} | {name.lower()}
    found = next((value for known, value in _BY_WORD if words & known), None)
    if is_date:
        return found if found in (_BIRTHDAY, _PAST) else _FUTURE
    if found is None:
        found = "Sérum éclat 30 ml" if name == "name" and _ARTICLES & {*path} else _told(path)
    return found if reader is None or reader not in _KINDS else _KINDS[reader](found)


def _told(path: Path) -> str:
    """Return a text that names its field: ``Program name``."""
    told = path[-2:] if path[-1] == "name" else path[-1:]
    return " ".join(told).replace("_", " ").capitalize()
