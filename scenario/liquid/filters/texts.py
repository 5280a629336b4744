"""Texts: replacements that cannot explode, and names in title case."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import phonenumbers
from liquid.filter import string_filter
from liquid.undefined import is_undefined

from scenario.liquid.bounds import MAX_TEXT, BoundReached
from scenario.liquid.call import Unfit
from scenario.liquid.values import to_text

_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


@string_filter
def replace(text: str, old: object, new: object = "") -> str:
    """Each occurrence of a text replaced by another.

    Raises:
        BoundReached: The result would be too long.
    """
    old, new = to_text(old), to_text(new)
    if len(text) + text.count(old) * (len(new) - len(old)) > MAX_TEXT:
        raise BoundReached(f"'replace' makes a text of more than {MAX_TEXT:,} characters")
    return text.replace(old, new)


@string_filter
def titlecase(text: str) -> str:
    """Each word with a capital: what a shouted ``MARIE-CLAIRE`` needs."""
    return _WORD.sub(lambda word: word[0][:1].upper() + word[0][1:].lower(), text)


def string(value: object) -> str:
    """The value's text, so that it is written to JSON in quotes."""
    return to_text(value)


def phone_e164(value: object, region: object = None) -> str | None:
    """A phone number in its international form, ``+33612345678``.

    Args:
        value: The number as somebody wrote it.
        region: The two-letter country of national numbers, such as ``FR``.

    Returns:
        The number, or nothing where it is no possible number, so that ``if … != blank`` decides.

    Raises:
        Unfit: There is no such country.
    """
    if value is None or is_undefined(value) or value == "":
        return None
    country = to_text(region).upper() or None
    if country is not None and country not in phonenumbers.SUPPORTED_REGIONS:
        raise Unfit("'phone_e164' takes a country of two letters, such as 'FR'")
    try:
        number = phonenumbers.parse(to_text(value), country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "phone_e164": phone_e164,
    "replace": replace,
    "string": string,
    "titlecase": titlecase,
}
