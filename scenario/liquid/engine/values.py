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
from typing import Any, Final, cast

from liquid.builtin.expressions import Nil
from liquid.builtin.expressions.primitive import Blank, Empty
from liquid.builtin.tags.for_tag import ForLoop
from liquid.builtin.tags.tablerow_tag import TableRow
from liquid.undefined import Undefined

from scenario.liquid.engine.limits import MAX_DEPTH, BoundReached, check_range
from scenario.liquid.engine.undefined import StrictMissing

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
