"""When two values are equal, and which of two comes first."""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal
from typing import Final, TypeGuard

from liquid.builtin.expressions import Nil
from liquid.builtin.expressions.primitive import Blank, Empty
from liquid.undefined import Undefined

from scenario.liquid.engine.values import exact

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
