"""Filters of texts, with bounded results."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from liquid.undefined import is_undefined

from scenario.liquid.engine.instrument import FilterValueError, by_name
from scenario.liquid.engine.limits import MAX_TEXT, BoundReached
from scenario.liquid.engine.values import InString, PercentEncoded, RawJson, describe_type, to_text
from scenario.type_guards import is_sequence

_LETTERS: Final = r"(?:[^\W_]|[\u0300-\u036f])+"  # accents may be separate characters
_WORD: Final = re.compile(rf"{_LETTERS}(?:['’]{_LETTERS})*")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,18}")


def replace(value: object, old: object, new: object = "") -> str:
    text, old, new = to_text(value), to_text(old), to_text(new)
    if len(text) + text.count(old) * (len(new) - len(old)) > MAX_TEXT:
        raise BoundReached(f"'replace' makes a text of more than {MAX_TEXT:,} characters")
    return text.replace(old, new)


def replace_last(value: object, old: object, new: object) -> str:
    """Replace the last occurrence of a text. The last occurrence of an empty text is at the end."""
    text, old, new = to_text(value), to_text(old), to_text(new)
    if not old:
        return text + new
    before, found, after = text.rpartition(old)
    return before + new + after if found else text


def remove_last(value: object, old: object) -> str:
    return replace_last(value, old, "")


def split(value: object, separator: object) -> list[str]:
    """Split a text at separators, without empty parts at its end. Without a separator, return its characters."""
    text, between = to_text(value), to_text(separator)
    if not between:
        return list(text)
    parts = text.split(None if between == " " else between)
    while parts and not parts[-1]:
        parts.pop()
    return parts


def truncate(value: object, length: object = 50, end: object = "...") -> str:
    """Shorten the text so that it has at most the given number of characters, including the end."""
    text, end, most = to_text(value), to_text(end), _to_integer("truncate", length)
    return text if len(text) <= most else f"{text[: max(most - len(end), 0)]}{end}"


def truncatewords(value: object, number: object = 15, end: object = "...") -> str:
    """Shorten the text to a number of words, at least one."""
    text, most = to_text(value), max(_to_integer("truncatewords", number), 1)
    words = text.split()
    return text if len(words) <= most else " ".join(words[:most]) + to_text(end)


def slice_(value: object, start: object, length: object = 1) -> str | list[Any]:
    """Return `length` elements of a text or a list from the index `start` on. A negative one counts from the end."""
    items: Sequence[Any] = value if is_sequence(value) or isinstance(value, range) else to_text(value)
    first = _to_integer("slice", start)
    count = 1 if length is None or is_undefined(length) else _to_integer("slice", length)
    if first < 0:
        first += len(items)
    part = items[first : first + count] if first >= 0 and count > 0 else items[:0]
    return part if isinstance(part, str) else list(part)


def _to_integer(name: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    raise FilterValueError(f"'{name}' needs a whole number, not {describe_type(value)}")


def titlecase(value: object) -> str:
    """Capitalize each word and lower the rest: ``MARIE-CLAIRE`` becomes ``Marie-Claire``."""
    return _WORD.sub(lambda word: word[0].capitalize(), to_text(value))


def string(value: object) -> str:
    """Return the value's text, which JSON writes in quotes even if it is JSON itself."""
    text = to_text(value)
    return str(text) if isinstance(text, RawJson | InString | PercentEncoded) else text


def phone_e164(value: object, region: object = None) -> str | None:
    """Return a phone number as ``+33612345678``, or nil if no such number is possible.

    A region such as ``FR`` is the country of national numbers.
    """
    if value is None or is_undefined(value) or value == "":
        return None
    import phonenumbers  # a slow import that few templates need

    country = to_text(region).upper() or None
    if country is not None and country not in phonenumbers.SUPPORTED_REGIONS:
        raise FilterValueError("'phone_e164' takes a country of two letters, such as 'FR'")
    try:
        number = phonenumbers.parse(to_text(value), country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    if number.italian_leading_zero and not phonenumbers.is_valid_number(number):
        # A national prefix 0 that was parsed as a digit of an incomplete number, which would reach another person.
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


FILTERS: Final = by_name(
    *(phone_e164, remove_last, replace, replace_last, slice_),
    *(split, string, titlecase, truncate, truncatewords),
)
