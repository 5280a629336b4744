"""The types of columns, which behave the same on SQLite and PostgreSQL, and the tables of several modules.

Tables that one module uses are defined in that module, beside the dataclass of their row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeDecorator, TypeEngine

from runtime.store.admission import StoredEntry

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


# Named by rule, so that a later migration can drop a constraint by its name on either engine.
metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def partial_index(name: str | None, *columns: str, where: str, unique: bool = False) -> sa.Index:
    condition = sa.text(where)
    return sa.Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


_TYPES: Final[Mapping[str, type[TypeEngine[Any]]]] = {
    "str": SafeText,
    "int": sa.Integer,
    "float": sa.Float,
    "bool": Flag,
    "datetime": UtcDateTime,
}


def table_of(table: str, row: type[Any] | Mapping[str, str], *parts: SchemaItem, **options: Any) -> sa.Table:
    """Return the table of a dataclass, whose fields describe its columns, or of columns and their types.

    A column is nullable if its field may be None. Values of other types are stored as JSON. `parts` are constraints,
    indexes, and columns that are in no field, or not as their field says.
    """
    given: dict[str, sa.Column[Any]] = {part.name: part for part in parts if isinstance(part, sa.Column)}
    types = row if isinstance(row, Mapping) else {one.name: str(one.type) for one in fields(row)}
    columns = [given.pop(name) if name in given else _column(name, kind) for name, kind in types.items()]
    others = [part for part in parts if not isinstance(part, sa.Column)]
    return sa.Table(table, metadata, *columns, *given.values(), *others, **options)


def _column(name: str, annotation: str) -> sa.Column[Any]:
    kind, _, none = annotation.partition(" | ")
    return sa.Column(name, _TYPES.get(kind, Json), nullable=none == "None")


def erased_name(name: str) -> str:
    """Return the pseudonym in rows of an erased contact, made from the HMAC of its id."""
    return f"erased:{name}"


_UNDER_WAY: Final = "ended_at IS NULL"

entries = table_of(
    "entries",
    StoredEntry,
    # "" if the scenario has no key: NULLs are distinct in a unique constraint, and would admit two journeys.
    sa.Column("key", SafeText, nullable=False),
    # Number of its steps counted in `passages`: a repeated report counts none twice.
    sa.Column("counted_passages", sa.Integer, nullable=False, server_default="0"),
    # Those that a later report may replace, and the time of their report, as JSON.
    sa.Column("revisable_passages", SafeText, nullable=True),
    sa.PrimaryKeyConstraint("workflow_id", "run_id"),
    # The contact first, so that the same index serves the search for a contact's running journeys.
    sa.UniqueConstraint("contact_id", "scenario", "key", "ordinal"),
    sa.Index(None, "admitted_at"),
    sa.Index(None, "scenario", "admitted_at"),
    partial_index(None, "ended_at", where="ended_at IS NOT NULL"),
    # Few of millions are running.
    partial_index("ix_entries_under_way", "admitted_at", where=_UNDER_WAY),
    # The version last: a scenario's journeys are in order, and their versions are read from the index.
    partial_index("ix_entries_running", "scenario", "admitted_at", "version", where=_UNDER_WAY),
    sa.Index(None, "scenario", "version", "admitted_at"),
    # Most journeys end as finished.
    partial_index(None, "outcome", "admitted_at", where="outcome <> 'finished'"),
    # Queried for every event.
    partial_index("ix_entries_goal_open", "contact_id", where="goal_until IS NOT NULL AND reached_at IS NULL"),
)
"""One row a journey, running (``ended_at`` is null) or ended."""

soft_bounces = table_of(
    "soft_bounces",
    {"channel": "str", "address_hash": "str", "delivery_id": "str", "bounced_at": "datetime"},
    sa.PrimaryKeyConstraint("channel", "address_hash", "delivery_id"),
    sa.Index(None, "bounced_at"),
)
"""Temporary delivery failures of an address: several within days suppress it."""

provider_events = table_of(
    "provider_events",
    {"event_hash": "str", "seen_at": "datetime"},
    sa.PrimaryKeyConstraint("event_hash"),
    sa.Index(None, "seen_at"),
)
"""Providers' events that had their effect, by a hash of the provider's name and its id. A repetition has none."""

passages = table_of(
    "passages",
    {"scenario": "str", "version": "int", "step": "str", "outcome": "str", "hour": "datetime", "total": "int"},
    # The hour before the step: queries read the last hours of one scenario.
    sa.PrimaryKeyConstraint("scenario", "version", "hour", "step", "outcome"),
    sa.Index(None, "hour"),
)
"""Number of journeys that completed a step in an hour, by its start and by outcome."""

ErasureState = Literal["requested", "ending", "deleting", "clearing", "waiting", "finished"]
"""The phase of an erasure: journeys are ended, histories deleted, rows cleared. It then waits for the next pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredErasure:
    """An erasure."""

    id: str
    contact_hash: str  # an HMAC of the contact's id
    contact_id: str | None  # the contact's id while the erasure is open
    operator: str
    reason: str
    encrypted: bool  # True if the contact's payloads were encrypted
    before: bool  # True if the contact had been erased before
    requested_at: datetime
    state: ErasureState = "requested"
    ended: int = 0  # number of journeys that were running
    histories: int = 0  # number of runs that Temporal had; `remaining`, that it still has
    remaining: int = 0
    rows: Mapping[str, int] = field(default_factory=dict[str, int])
    """Numbers of rows of the store that were cleared, by table."""
    sent_to: Sequence[Mapping[str, str]] | None = None
    """Channels and destinations that may hold messages; None until it is finished."""
    trouble: str | None = None
    confirmed_at: datetime | None = None  # when Temporal first had none of the runs
    finished_at: datetime | None = None


erasures = table_of(
    "erasures",
    StoredErasure,
    sa.Column("state", SafeText, nullable=False),
    sa.PrimaryKeyConstraint("id"),
    sa.Index(None, "requested_at", "id"),
    # A contact has one open erasure: of two concurrent requests, one creates it.
    partial_index("ix_erasures_open", "contact_hash", unique=True, where="finished_at IS NULL"),
)
"""Erasures of contacts, open and finished. A row is never deleted: it is the audit record."""


erasure_runs = table_of(
    "erasure_runs",
    {"erasure_id": "str", "workflow_id": "str", "run_id": "str", "running": "bool", "gone": "bool"},
    sa.PrimaryKeyConstraint("erasure_id", "workflow_id", "run_id"),
)
"""Runs that an open erasure has found in Temporal, `running` or not, and whether they are `gone` from there.

Their ids name the contact; they are deleted when it is finished.
"""
