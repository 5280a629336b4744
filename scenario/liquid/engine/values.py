"""Values as text and as JSON, and their comparison; the same for all output formats.

A list prints its items one after the other, as in Liquid. Nil prints as nothing, also inside a list. A mapping prints
as JSON.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeGuard

from liquid.builtin.expressions import Nil
from liquid.builtin.expressions.primitive import Blank, Empty
from liquid.builtin.tags.for_tag import ForLoop
from liquid.builtin.tags.tablerow_tag import TableRow
from liquid.exceptions import LiquidTypeError
from liquid.undefined import Undefined

from scenario.dates import is_day, parse_date
from scenario.errors import DateError, NumberError
from scenario.liquid.engine.access import StrictMissing
from scenario.liquid.engine.limits import MAX_DEPTH, BoundReached, check_range
from scenario.numbers import parse_number
from scenario.type_guards import is_mapping, is_sequence

Number = int | float | Decimal

_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_LONGEST: Final = 10**300
_EXACT: Final = 2**53


class RawJson(str):
    """Text that is JSON, from ``| json``. It is not encoded again."""

    __slots__ = ()


class InString(str):
    """Text that is escaped for the inside of a JSON string, from ``| json_escape``."""

    __slots__ = ()


class PercentEncoded(str):
    """Percent-encoded text, from ``| url_encode`` and similar filters."""

    __slots__ = ()


class JsonValueError(ValueError):
    """A value that JSON cannot represent. The message is for authors and quotes no data."""


def replace_surrogates(text: str) -> str:
    """Return text that UTF-8 can encode: surrogate pairs are joined, lone surrogates become U+FFFD."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def to_text(value: object, depth: int = 0) -> str:
    """Return the text that a template prints for a value."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if not -_LONGEST < value < _LONGEST:
            raise BoundReached("a number has more than 300 digits")
        return int.__str__(value)
    if isinstance(value, Decimal):
        # Not str(), which writes 100 as 1E+2.
        return format(value, "f") if value.is_finite() and -50 < value.adjusted() < 50 else str(value)
    if is_sequence(value):
        if depth > MAX_DEPTH:
            raise BoundReached(f"a list is nested more than {MAX_DEPTH} levels deep")
        return "".join(to_text(item, depth + 1) for item in value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, range):
        return f"{value.start}..{value.stop - 1}"
    if isinstance(value, Mapping) and not isinstance(value, Undefined | ForLoop | TableRow):
        return _encode(to_json(value))  # pyright: ignore[reportUnknownArgumentType]
    return str(value)


def json_text(value: object) -> str:
    """Return the value as compact JSON. ``RawJson`` stays unchanged. Raises as ``to_json`` does."""
    return value if type(value) is RawJson else _encode(to_json(value))


def to_json(value: object, depth: int = 0) -> Any:
    """Return a new value of the types that ``json`` writes.

    A ``Decimal`` becomes a number if a double represents it exactly, else text, so that no digit is lost. Dates become
    ISO 8601 text.

    Raises:
        JsonValueError: JSON cannot represent the value, such as NaN, infinity or bytes.
        BoundReached: The value exceeds ``MAX_DEPTH`` levels, or a number exceeds 300 digits.
        UndefinedError: A required value is missing.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return json.loads(value) if isinstance(value, RawJson) else str(value)
    if isinstance(value, int):
        if not -_LONGEST < value < _LONGEST:
            raise BoundReached("a number has more than 300 digits")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise JsonValueError("JSON has no infinite numbers and no NaN")
        return float(value)
    if isinstance(value, Decimal):
        return _decimal_to_json(value)
    if isinstance(value, Undefined):
        if isinstance(value, StrictMissing):
            value.raise_missing()
        return None
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Nil | Empty | Blank):
        return None if isinstance(value, Nil) else ""
    if isinstance(value, ForLoop | TableRow):
        raise JsonValueError("JSON cannot hold a loop's state: use one of its fields, such as forloop.index")
    if depth > MAX_DEPTH:
        raise BoundReached(f"a value is nested more than {MAX_DEPTH} levels deep")
    if is_mapping(value):
        return {to_text(key): to_json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, range):
        check_range(value)
        return list(value)
    if is_sequence(value):
        return [to_json(item, depth + 1) for item in value]
    raise JsonValueError(f"JSON cannot hold a value of type {type(value).__name__}")


def _decimal_to_json(value: Decimal) -> int | float | str:
    if not value.is_finite():
        raise JsonValueError("JSON has no infinite numbers and no NaN")
    if value == value.to_integral_value() and abs(value) < _EXACT:
        return int(value)
    double = float(value)
    return double if math.isfinite(double) and Decimal(repr(double)) == value else str(value)


def to_exact_decimal(number: Number) -> Decimal:
    """Return the number in its printed form: 0.1 for the double 0.1."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def describe_type(value: object) -> str:
    """Return the type of a value in an author's words, for messages that must not quote data."""
    if value is None or isinstance(value, Undefined | Nil):
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, int | float | Decimal):
        return "a number"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return "a date"
    return "a list" if isinstance(value, Sequence) else "a value"


_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_ISO_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d(?!\d)", re.ASCII)
# With a year of four digits, unlike versions such as 1.2.10.
_NUMBERED_DAY: Final = re.compile(r"\s*\d{1,2}([./-])\d{1,2}\1\d{4}(?!\d)", re.ASCII)


def are_equal(left: object, right: object) -> bool:
    """Compare two values as ``==`` and ``when`` do.

    Nil, false, whitespace and empty lists equal ``blank``. ``0`` is not ``false``. A ``Decimal`` of 19.90 equals the
    double 19.9. Two times are equal if they are the same instant.
    """
    if isinstance(left, Blank | Empty) or isinstance(right, Blank | Empty):
        keyword, value = (left, right) if isinstance(left, Blank | Empty) else (right, left)
        if isinstance(keyword, Blank):
            return _is_blank(value)
        return isinstance(value, Empty) or (isinstance(value, list | dict | str) and not value)
    left, right = _as_json_value(left), _as_json_value(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool) and left == right
    if isinstance(left, str) and isinstance(right, str):
        if left == right:
            return True
        left, right = _spell_dates(left, right)
        if _are_times(left, right):
            left, right = _parse_times(left, right)
        return left == right
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return _is_number(left) and _is_number(right) and to_exact_decimal(left) == to_exact_decimal(right)
    return left == right


def _is_number(value: object) -> TypeGuard[float | Decimal]:
    """Return True for a comparable number. NaN is not comparable, and a signalling NaN raises."""
    if isinstance(value, Decimal):
        return not value.is_nan()
    return isinstance(value, int) or (isinstance(value, float) and not math.isnan(value))


def _is_blank(value: object) -> bool:
    if value is None or value is False or isinstance(value, Undefined | Nil | Blank):
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    return isinstance(value, list | dict) and not value


def _as_json_value(value: object) -> object:
    if type(value) is str:
        return value
    if isinstance(value, dt.date):
        return value.isoformat()
    return None if isinstance(value, Undefined | Nil) else value


def precedes(left: object, right: object, *, or_equal: bool) -> bool | None:
    """Return True if one value is less than another, or None if they have no order, such as a text and a number.

    Two times are compared as instants, independent of their UTC offsets, and two texts that are numbers as numbers.
    """
    left, right = _as_json_value(left), _as_json_value(right)
    if isinstance(left, str) and isinstance(right, str):
        left, right = _spell_dates(left, right)
        if _are_times(left, right):
            left, right = _parse_times(left, right)
        elif (numbers := _parse_numbers(left, right)) is not None:
            left, right = numbers
        return left <= right if or_equal else left < right  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
    if isinstance(left, int | float | Decimal) and isinstance(right, int | float | Decimal):
        if not _is_number(left) or not _is_number(right):
            return False
        if isinstance(left, Decimal) != isinstance(right, Decimal):
            left, right = to_exact_decimal(left), to_exact_decimal(right)
        return left <= right if or_equal else left < right  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
    if left is None or right is None or isinstance(left, Blank | Empty) or isinstance(right, Blank | Empty):
        return False
    return None


def _spell_dates(left: str, right: str) -> tuple[str, str]:
    """Return two dates in ISO 8601, so that they can be compared. Other texts are returned unchanged.

    Raises:
        LiquidTypeError: One is a date with several meanings.
    """
    is_left, is_right = bool(_ISO_DAY.match(left)), bool(_ISO_DAY.match(right))
    if is_left and is_right:
        return left, right
    if not is_left and not is_right and not (_NUMBERED_DAY.match(left) and _NUMBERED_DAY.match(right)):
        return left, right
    try:
        first, second = left if is_left else _spell_date(left), right if is_right else _spell_date(right)
    except DateError as error:
        raise LiquidTypeError(str(error), token=None) from None
    return (first, second) if first and second else (left, right)


def _spell_date(text: str) -> str | None:
    at = parse_date(text)
    if at is None:
        return None
    return at.date().isoformat() if is_day(text, at) else at.isoformat()


def _parse_numbers(left: str, right: str) -> tuple[int | Decimal, int | Decimal] | None:
    """Return two texts as numbers, or None if one is no number.

    Raises:
        LiquidTypeError: One is a number with several meanings.
    """
    try:
        first, second = parse_number(left), parse_number(right)
    except NumberError as error:
        raise LiquidTypeError(str(error), token=None) from None
    return None if first is None or second is None else (first, second)


def _are_times(left: str, right: str) -> bool:
    return left[4:5] == right[4:5] == "-" and bool(_TIME.match(left) and _TIME.match(right))


def _parse_times(left: str, right: str) -> tuple[str, str] | tuple[dt.datetime, dt.datetime]:
    """Return two times as datetimes. Their texts do not sort correctly if their UTC offsets differ."""
    try:
        return _in_utc(dt.datetime.fromisoformat(left)), _in_utc(dt.datetime.fromisoformat(right))
    except ValueError:
        return left, right


def _in_utc(at: dt.datetime) -> dt.datetime:
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
