"""Values as text and as JSON.

One definition of what a value looks like, for every sink: a list prints as its items one after the other (as in
Liquid), nil prints as nothing also inside a list, a mapping prints as JSON.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any, Final, TypeGuard, cast

from liquid.builtin.expressions import Nil
from liquid.builtin.expressions.primitive import Blank, Empty
from liquid.builtin.tags.for_tag import ForLoop
from liquid.builtin.tags.tablerow_tag import TableRow
from liquid.undefined import Undefined

from scenario.liquid.engine.access import StrictMissing
from scenario.liquid.engine.limits import MAX_DEPTH, BoundReached, check_range

Number = int | float | Decimal

_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_LONGEST: Final = 10**300
_EXACT: Final = 2**53


class RawJson(str):
    """Text that is JSON already: the result of ``| json``, which is not encoded a second time."""

    __slots__ = ()


class InString(str):
    """Text that is escaped already for the inside of a JSON string: the result of ``| json_escape``."""

    __slots__ = ()


class PercentEncoded(str):
    """Text that is percent-encoded already: the result of ``| url_encode`` and its like."""

    __slots__ = ()


class NoJson(ValueError):
    """A value that JSON cannot hold. The message is fit for people and quotes no data."""


def clean(text: str) -> str:
    """Text that UTF-8 can encode: surrogate pairs are joined, lone surrogates become U+FFFD."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def to_text(value: object, depth: int = 0) -> str:
    """The text of a value, as a template prints it.

    Args:
        value: Any value that a template can get hold of.
        depth: Levels of lists around the value.

    Raises:
        NoJson: A mapping holds what JSON cannot.
        BoundReached: The number has more than 300 digits, or lists are nested too deeply.
        UndefinedError: The value is missing where it must not be.
    """
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
        # Not str(): that writes 100 as 1E+2.
        return format(value, "f") if value.is_finite() and -50 < value.adjusted() < 50 else str(value)
    if isinstance(value, list | tuple):
        if depth > MAX_DEPTH:
            raise BoundReached(f"a list is nested more than {MAX_DEPTH} levels deep")
        return "".join(to_text(item, depth + 1) for item in cast("Sequence[object]", value))
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, range):
        return f"{value.start}..{value.stop - 1}"
    if isinstance(value, Mapping) and not isinstance(value, Undefined | ForLoop | TableRow):
        return _encode(to_json(cast("Mapping[Any, Any]", value)))
    return str(value)


def json_text(value: object) -> str:
    """The value as compact JSON text; text that is JSON already (``RawJson``) as it is.

    Raises:
        NoJson, BoundReached, UndefinedError: As ``to_json``.
    """
    # Asked one by one, and without casts, which are calls: this is what each output of a body runs through.
    if type(value) is str:
        return encode_basestring(value)
    if value is None:
        return "null"
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float and math.isfinite(value):
        return repr(value)
    if type(value) is int and -_EXACT < value < _EXACT:
        return repr(value)
    if type(value) is RawJson:
        return value
    return _encode(to_json(value))


def to_json(value: object, depth: int = 0) -> Any:
    """The value in the types that ``json`` writes.

    Args:
        value: Any value that a template can get hold of.
        depth: Levels of mappings and lists around the value.

    Returns:
        A new value of dict, list, str, int, float, bool and None. A ``Decimal`` becomes a number when a double holds
        it exactly, else a text, so that no digit is lost in silence. Dates become ISO 8601 text.

    Raises:
        NoJson: NaN, an infinity, bytes or another type that JSON has no form for.
        BoundReached: More than ``MAX_DEPTH`` levels, or a number of more than 300 digits.
        UndefinedError: The value is missing where it must not be.
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
            raise NoJson("JSON has no infinite numbers and no NaN")
        return float(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    if isinstance(value, Undefined):
        if isinstance(value, StrictMissing):
            value.refuse()
        return None
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Nil | Empty | Blank):
        return None if isinstance(value, Nil) else ""
    if isinstance(value, ForLoop | TableRow):
        raise NoJson("JSON cannot hold a loop's state: use one of its fields, such as forloop.index")
    if depth > MAX_DEPTH:
        raise BoundReached(f"a value is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return {to_text(key): to_json(item, depth + 1) for key, item in pairs}
    if isinstance(value, range):
        check_range(value)
        return list(value)
    if isinstance(value, list | tuple):
        return [to_json(item, depth + 1) for item in cast("Sequence[Any]", value)]
    raise NoJson(f"JSON cannot hold a value of type {type(value).__name__}")


def _decimal(value: Decimal) -> int | float | str:
    if not value.is_finite():
        raise NoJson("JSON has no infinite numbers and no NaN")
    if value == value.to_integral_value() and abs(value) < _EXACT:
        return int(value)
    double = float(value)
    return double if math.isfinite(double) and Decimal(repr(double)) == value else str(value)


def exact(number: Number) -> Decimal:
    """The number that a person reads: of the double 0.1, 0.1."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def describe(value: object) -> str:
    """What kind of value it is, in a template author's words, for messages that must not quote data."""
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


def same(left: object, right: object) -> bool:
    """Whether two values are equal, as ``==`` and ``when`` see it.

    Nil, false, blanks and empty lists equal ``blank``; ``0`` is not ``false``; a ``Decimal`` of 19.90 equals the
    double 19.9; two times (ISO 8601) are equal where they are the same moment.
    """
    if isinstance(left, Blank | Empty) or isinstance(right, Blank | Empty):
        keyword, value = (left, right) if isinstance(left, Blank | Empty) else (right, left)
        return _is_blank(value) if isinstance(keyword, Blank) else _is_empty(value)
    left, right = _plain(left), _plain(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool) and left == right
    if isinstance(left, str) and isinstance(right, str):
        if left != right and _are_times(left, right):
            left, right = _instants(left, right)
        return left == right
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return _is_number(left) and _is_number(right) and exact(left) == exact(right)
    return left == right


def _is_number(value: object) -> TypeGuard[float | Decimal]:
    """Whether it is a number that can be compared: NaN cannot, and a signalling NaN refuses."""
    if isinstance(value, Decimal):
        return not value.is_nan()
    return isinstance(value, int) or (isinstance(value, float) and not math.isnan(value))


def _is_blank(value: object) -> bool:
    if value is None or value is False or isinstance(value, Undefined | Nil | Blank):
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    return isinstance(value, list | dict) and not value


def _is_empty(value: object) -> bool:
    return isinstance(value, Empty) or (isinstance(value, list | dict | str) and not value)


def _plain(value: object) -> object:
    """The value as it would be in data that came as JSON."""
    if type(value) is str:
        return value
    if isinstance(value, dt.date):
        return value.isoformat()
    return None if isinstance(value, Undefined | Nil) else value


def precedes(left: object, right: object, *, or_equal: bool) -> bool | None:
    """Whether one value is less than another; None where they have no order, such as a text and a number.

    Two texts that are times (ISO 8601) are compared as times, whatever their offsets from UTC.
    """
    left, right = _plain(left), _plain(right)
    if isinstance(left, str) and isinstance(right, str):
        if _are_times(left, right):
            left, right = _instants(left, right)
        return left <= right if or_equal else left < right  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
    if isinstance(left, int | float | Decimal) and isinstance(right, int | float | Decimal):
        if not _is_number(left) or not _is_number(right):
            return False
        if isinstance(left, Decimal) != isinstance(right, Decimal):
            left, right = exact(left), exact(right)
        return left <= right if or_equal else left < right  # pyright: ignore[reportOperatorIssue, reportUnknownVariableType]
    if left is None or right is None or isinstance(left, Blank | Empty) or isinstance(right, Blank | Empty):
        return False
    return None


def _are_times(left: str, right: str) -> bool:
    return left[4:5] == right[4:5] == "-" and bool(_TIME.match(left) and _TIME.match(right))


def _instants(left: str, right: str) -> tuple[str, str] | tuple[dt.datetime, dt.datetime]:
    """Two times as what they are: their texts are not in order where their offsets from UTC differ."""
    try:
        return _aware(dt.datetime.fromisoformat(left)), _aware(dt.datetime.fromisoformat(right))
    except ValueError:
        return left, right


def _aware(at: dt.datetime) -> dt.datetime:
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
