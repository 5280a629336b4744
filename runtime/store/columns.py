"""Column types that behave the same on SQLite and PostgreSQL, and lists of rows as one parameter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

# PostgreSQL stores no NUL in a text, and neither engine half a surrogate pair. Both can arrive from outside
# (a response's body, a key made by a template) and must never make an insert fail.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def storable(text: str) -> str:
    """Return a text as it will be read back: U+FFFD replaces characters that a database cannot store."""
    return _UNSTORABLE.sub("\ufffd", text) if _UNSTORABLE.search(text) else text


class SafeText(TypeDecorator[str]):
    """Text of any length and origin. U+FFFD replaces characters that a database cannot store."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else storable(value)


class UtcDateTime(TypeDecorator[datetime]):
    """A time with microseconds: aware and in UTC in Python, whatever the engine and its session's time zone.

    SQLite stores ``2026-03-29 01:30:00.000000``, so that text order is time order.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Convert to UTC. Raise ValueError if the time has no zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("The store takes only times with a time zone: give this one its zone.")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def day_of(moment: sa.ColumnElement[datetime], *, on_sqlite: bool) -> sa.ColumnElement[str]:
    """Return the day of a time in UTC, ISO 8601, as the column ``day``."""
    if on_sqlite:
        return sa.func.substr(sa.cast(moment, sa.Text), sa.literal_column("1"), sa.literal_column("10")).label("day")
    in_utc = sa.func.timezone(sa.literal_column("'UTC'"), moment)
    return sa.func.to_char(in_utc, sa.literal_column("'YYYY-MM-DD'")).label("day")


class Flag(TypeDecorator[bool]):
    """A truth value, stored as 0 or 1."""

    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value: bool | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else int(value)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> bool | None:
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

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        """Write compact JSON, and None as NULL. Raise ValueError if a number is not finite."""
        if value is None:
            return None
        return json_text(value)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        return None if value is None else json.loads(value)


ColumnType = Literal["text", "integer", "timestamptz"]


def column_type(column: sa.Column[Any]) -> ColumnType:
    """Return the type of a table's column."""
    match column.type:
        case UtcDateTime():
            return "timestamptz"
        case sa.Integer() | Flag():
            return "integer"
        case _:
            return "text"


class RowList:
    """Many rows as one parameter of a statement: a list in JSON, which the database unpacks.

    As separate parameters, each value is processed on its own, and each number of rows is another statement to compile.

    Attributes:
        names: The names, separated by commas.
    """

    def __init__(self, columns: Mapping[str, ColumnType]) -> None:
        self._columns = columns
        self.names = ", ".join(f'"{name}"' for name in columns)

    def source(self, parameter: str, *, on_sqlite: bool) -> str:
        """Return a subquery with the rows of a parameter, such as ``:rows``."""
        typed = ("text", "timestamptz") if on_sqlite else ("text",)  # types of the values as they come
        columns = (
            f'{value} AS "{name}"' if kind in typed else f'CAST({value} AS {kind}) AS "{name}"'
            for number, (name, kind) in enumerate(self._columns.items())
            for value in [f"value ->> {number}"]
        )
        table = f"json_each({parameter})" if on_sqlite else f"jsonb_array_elements(CAST({parameter} AS jsonb))"
        return " ".join(("(SELECT", ", ".join(columns), "FROM", f"{table})"))

    def dump(self, rows: Iterable[Iterable[Any]], *, on_sqlite: bool) -> str:
        """Return the parameter's value, from rows with their values in the order of the columns."""
        zone = "" if on_sqlite else "+00"

        def moment(value: datetime) -> str:  # as SQLite stores it
            return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds") + zone

        plain = [[storable(value) if isinstance(value, str) else value for value in row] for row in rows]
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), default=moment)
