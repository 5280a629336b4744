"""Value types of the platform's objects, converted to clean JSON values.

A platform sends numbers as text, ids as numbers, booleans as ``"0"`` and ``"1"``, missing dates as ``"0000-00-00"``,
and dates without an offset. The types below return numbers, text ids, None, and ISO 8601 times with an offset. How the
platform writes dates is in pydantic's validation context, under `PLATFORM`.

Messages never contain a value, which may be personal data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, ValidationInfo
from pydantic.fields import FieldInfo

from scenario.dates import DateOrder, is_day, needs_order, parse_date
from scenario.errors import EntryError
from scenario.time import parse_moment, zone_of
from scenario.type_guards import is_mapping, is_sequence

PLATFORM: Final = "platform"
"""Key of `PlatformDates` in the validation context."""


@dataclass(frozen=True)
class PlatformDates:
    """How the platform writes dates. A journey keeps what was true at its admission.

    Attributes:
        zone: IANA zone of dates without an offset.
        order: The order of dates with slashes or hyphens in the platform's objects. Without it, an ambiguous one is an
            error.
    """

    zone: str = "UTC"
    order: DateOrder | None = None

    @property
    def tzinfo(self) -> tzinfo:
        return zone_of(self.zone)

    def read(self, text: str) -> datetime | None:
        """Return the moment of a date, or None for no date. Raises as `parse_moment` does."""
        return parse_moment(text, self.tzinfo, self.order)


DEFAULT_PLATFORM: Final = PlatformDates()

_INTEGER = re.compile(r"[-+]?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[-+]?(?:\d{1,18}(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?", re.ASCII)
_LARGEST: Final = 10**19
"""Largest whole number. Beyond some 300 digits it would not fit into a float."""
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TRUE: Final = ("true", "1", "yes")
_FALSE: Final = ("false", "0", "no")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def reader_of(field: FieldInfo) -> Callable[..., Any] | None:
    """Return the function by which a field of an object reads its value, or None if it has parts."""
    return next((mark.func for mark in field.metadata if isinstance(mark, BeforeValidator)), None)


def as_id(value: object) -> str | None:
    """Return an id as text, or None if there is none."""
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a language with floats only wrote 3028687.0
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("an id must be text or a whole number")  # noqa: TRY004 pydantic's way
    text = str(value).strip()
    if _CONTROL.search(text):
        raise ValueError("an id cannot hold control characters or halves of characters")
    return text or None


def as_text(value: object) -> str | None:
    """Return text; numbers become digits."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be text")  # noqa: TRY004 pydantic's way
    return str(value)


def as_number(value: object) -> int | float | None:
    """Return a number, also from a text; None for None and ``""``."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        text = value.strip()
        if _INTEGER.fullmatch(text):
            return int(text)
        if not _DECIMAL.fullmatch(text):
            raise ValueError("must be a number, with a point before its decimals")
        value = float(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")  # noqa: TRY004 pydantic's way
    if isinstance(value, int):
        if not -_LARGEST < value < _LARGEST:
            raise ValueError("must be a number that fits into 64 bits")
    elif not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def as_flag(value: object) -> bool | None:
    """Return a boolean, also from ``"true"``, ``"1"``, ``0`` and the like."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError("must be true or false")


def as_moment(value: object, info: ValidationInfo) -> str | None:
    """Return a date unchanged, a date and time as ISO 8601 with an offset, or None if there is no date."""
    if value is None:
        return None
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise ValueError("must be a date")  # noqa: TRY004 pydantic's way
    if isinstance(value, str) and (day := _day(value.strip())) is not None:
        return day
    platform = _platform(info.context)
    try:
        moment = platform.read(str(value))
    except EntryError as error:
        raise ValueError(str(error)) from error
    return None if moment is None else _written(str(value), moment, platform)


def _written(text: str, moment: datetime, platform: PlatformDates) -> str:
    """Return a date in ISO 8601: a day, which is the same in every zone, or a time with its offset."""
    at = parse_date(text, platform.order)
    return at.date().isoformat() if at is not None and is_day(text, at) else moment.isoformat()


def _day(text: str) -> str | None:
    """Return a date without a time, which is the same day in every zone, or None."""
    try:
        return text if _DAY.fullmatch(text) and date.fromisoformat(text) > date.min else None
    except ValueError:
        return None


def as_custom(value: object, info: ValidationInfo) -> dict[str, Any]:
    """Return custom fields by name, from a list of ``{id, name, value, data_type}`` or a mapping.

    A field without a name is called ``c<id>``. A value that does not fit its data type is kept, so that a typing
    mistake keeps no contact out. If the platform's order of dates is known, dates in that order become ISO 8601, also
    in fields without a data type.
    """
    if value is None:
        return {}
    if is_mapping(value):
        return {str(key): _typed(item, "", _platform(info.context)) for key, item in value.items()}
    if not is_sequence(value):
        raise ValueError("custom fields must be a list or a mapping")
    fields: dict[str, Any] = {}
    for item in value:
        if not is_mapping(item):
            raise ValueError("a custom field must be an object with 'name' and 'value'")
        name = item.get("name") or (f"c{item['id']}" if "id" in item else None)
        if name is None:
            raise ValueError("a custom field needs a 'name'")
        fields[str(name)] = _typed(item.get("value"), str(item.get("data_type") or ""), _platform(info.context))
    return fields


def _typed(value: Any, data_type: str, platform: PlatformDates) -> Any:
    try:
        match data_type.lower():
            case "integer" | "int" | "number" | "float" | "decimal" | "double":
                return as_number(value)
            case "boolean" | "bool":
                return as_flag(value)
            case "date" if isinstance(value, str):
                moment = platform.read(value)
                return None if moment is None else moment.date().isoformat()
            case "datetime" | "timestamp" if isinstance(value, str):
                moment = platform.read(value)
                return None if moment is None else moment.isoformat()
            case "" if platform.order and isinstance(value, str) and needs_order(value):
                moment = platform.read(value)
                return None if moment is None else _written(value, moment, platform)
            case _:
                return value
    except (ValueError, EntryError):
        return value


def _platform(context: Mapping[str, Any] | None) -> PlatformDates:
    platform = (context or {}).get(PLATFORM)
    return platform if isinstance(platform, PlatformDates) else DEFAULT_PLATFORM


Id = Annotated[str | None, BeforeValidator(as_id)]
Text = Annotated[str | None, BeforeValidator(as_text)]
Number = Annotated[int | float | None, BeforeValidator(as_number)]
Flag = Annotated[bool | None, BeforeValidator(as_flag)]
Moment = Annotated[str | None, BeforeValidator(as_moment)]
Custom = Annotated[dict[str, Any], BeforeValidator(as_custom)]
