"""Column types that behave the same on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Dialect, Integer, Text, cast, func, literal_column
from sqlalchemy.types import TypeDecorator

# PostgreSQL stores no NUL in a text, and neither engine half a surrogate pair. Both can arrive from outside
# (a response's body, a key made by a template) and must never make an insert fail.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Return a text as it will be read back: U+FFFD replaces characters that a database cannot store."""
    return _UNSTORABLE.sub("\ufffd", text) if _UNSTORABLE.search(text) else text


class SafeText(TypeDecorator[str]):
    """Text of any length and origin. U+FFFD replaces characters that a database cannot store."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class UtcDateTime(TypeDecorator[datetime]):
    """A time with microseconds: aware and in UTC in Python, whatever the engine and its session's time zone.

    SQLite stores ``2026-03-29 01:30:00.000000``, so that text order is time order.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC. Raise ValueError if the time has no zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("The store takes only times with a time zone: give this one its zone.")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def day_of(moment: ColumnElement[datetime], *, on_sqlite: bool) -> ColumnElement[str]:
    """Return the day of a time in UTC, ISO 8601, as the column ``day``."""
    if on_sqlite:
        return func.substr(cast(moment, Text), literal_column("1"), literal_column("10")).label("day")
    return func.to_char(func.timezone(literal_column("'UTC'"), moment), literal_column("'YYYY-MM-DD'")).label("day")


class Flag(TypeDecorator[bool]):
    """A truth value, stored as 0 or 1."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> bool | None:
        return None if value is None else bool(value)


def json_text(value: Any) -> str:
    """Return the stored form of a JSON value. Raise ValueError if a number is not finite."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # A lone surrogate is legal in JSON as an escape only; such a document is written in ASCII.
    return json.dumps(value, allow_nan=False) if _UNSTORABLE.search(text) else text


class Json(TypeDecorator[Any]):
    """A JSON value, stored as text.

    PostgreSQL's ``jsonb`` would reorder a document's keys and refuse an escaped NUL. Cast with ``document::json`` to
    query it.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Write compact JSON, and None as NULL. Raise ValueError if a number is not finite."""
        if value is None:
            return None
        return json_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)
