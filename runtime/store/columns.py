"""Column types that mean the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, Text
from sqlalchemy.types import TypeDecorator

# PostgreSQL keeps no NUL in a text, and neither engine keeps half a surrogate pair. Both can come in from outside
# (a response's body, a key made by a template) and must never make an insert fail for good.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """The text as it will be read back: what no database can keep becomes U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", text) if _UNSTORABLE.search(text) else text


class SafeText(TypeDecorator[str]):
    """Text of any length and origin. What no database can keep becomes U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Make a text storable."""
        return None if value is None else storable(value)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, to the microsecond: aware and in UTC in Python, whatever the engine and its session's zone.

    SQLite keeps it as ``2026-03-29 01:30:00.000000``, so that text order is time order.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC.

        Raises:
            ValueError: For a time without a zone, which could mean any moment of a day.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("The store takes only times with a time zone: give this one its zone.")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give back an aware time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Json(TypeDecorator[Any]):
    """A JSON value, kept as text.

    Not PostgreSQL's ``jsonb``, which would reorder a document's keys and refuse an escaped NUL; a person who wants
    to look inside casts with ``document::json``.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Write compactly; None as NULL.

        Raises:
            ValueError: For a number that is not finite.
        """
        if value is None:
            return None
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        # A lone surrogate is legal in JSON as an escape only; such a document is written in ASCII.
        return json.dumps(value, allow_nan=False) if _UNSTORABLE.search(text) else text

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Read."""
        return None if value is None else json.loads(value)
