"""The tables, as the newest migration creates them.

Tables of several modules are here. The others stand beside the dataclass of their row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from datetime import datetime
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeEngine

from runtime.store.admission import StoredEntry
from runtime.store.columns import Flag, Json, SafeText, UtcDateTime

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


def table_of(name: str, row: type[Any], *parts: SchemaItem, **options: Any) -> sa.Table:
    """Return the table of a dataclass, whose fields describe its columns.

    A column is nullable if its field may be None. Values of other types are stored as JSON.

    Args:
        parts: Constraints, indexes, and columns that are in no field, or not as their field says.
    """
    given: dict[str, sa.Column[Any]] = {part.name: part for part in parts if isinstance(part, sa.Column)}
    columns = [given.pop(one.name) if one.name in given else _column(one) for one in fields(row)]
    others = [part for part in parts if not isinstance(part, sa.Column)]
    return sa.Table(name, metadata, *columns, *given.values(), *others, **options)


def _column(field: Field[Any]) -> sa.Column[Any]:
    kind, _, none = str(field.type).partition(" | ")
    return sa.Column(field.name, _TYPES.get(kind, Json), nullable=none == "None")


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

soft_bounces = sa.Table(
    "soft_bounces",
    metadata,
    sa.Column("channel", SafeText, nullable=False),
    sa.Column("address_hash", SafeText, nullable=False),
    sa.Column("delivery_id", SafeText, nullable=False),
    sa.Column("bounced_at", UtcDateTime, nullable=False),
    sa.PrimaryKeyConstraint("channel", "address_hash", "delivery_id"),
    sa.Index(None, "bounced_at"),
)
"""Temporary delivery failures of an address: several within days suppress it."""

provider_events = sa.Table(
    "provider_events",
    metadata,
    # A hash of the provider's name and its id of the event.
    sa.Column("event_hash", SafeText, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
    sa.PrimaryKeyConstraint("event_hash"),
    sa.Index(None, "seen_at"),
)
"""Providers' events that had their effect: a repetition has none."""

passages = sa.Table(
    "passages",
    metadata,
    sa.Column("scenario", SafeText, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("step", SafeText, nullable=False),
    sa.Column("outcome", SafeText, nullable=False),
    # Start of the hour.
    sa.Column("hour", UtcDateTime, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    # The hour before the step: queries read the last hours of one scenario.
    sa.PrimaryKeyConstraint("scenario", "version", "hour", "step", "outcome"),
    sa.Index(None, "hour"),
)
"""Number of journeys that completed a step in an hour, by outcome."""

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", SafeText, nullable=False),
    # Unique name of a process.
    sa.Column("holder", SafeText, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.PrimaryKeyConstraint("name"),
)
"""The process that does some work on behalf of all."""

queue_shards = sa.Table(
    "queue_shards",
    metadata,
    # The name of the first of the task queues.
    sa.Column("queue", SafeText, nullable=False),
    sa.Column("most", sa.Integer, nullable=False),
    sa.PrimaryKeyConstraint("queue"),
)
"""The highest number of task queues that deliveries were ever divided among: tasks may wait in each of them."""

ErasureState = Literal["requested", "ending", "deleting", "clearing", "waiting", "finished"]
"""The phase of an erasure: journeys are ended, histories deleted, rows cleared. It then waits for the next pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredErasure:
    """An erasure."""

    id: str
    contact_hash: str
    """An HMAC of the contact's id."""
    contact_id: str | None
    """The contact's id while the erasure is open."""
    operator: str
    reason: str
    encrypted: bool
    """True if the contact's payloads were encrypted."""
    before: bool
    """True if the contact had been erased before."""
    requested_at: datetime
    state: ErasureState = "requested"
    ended: int = 0
    """Number of journeys that were running."""
    histories: int = 0
    """Number of runs that Temporal had; `remaining`, that it still has."""
    remaining: int = 0
    rows: Mapping[str, int] = field(default_factory=dict[str, int])
    """Numbers of rows of the store that were cleared, by table."""
    sent_to: Sequence[Mapping[str, str]] | None = None
    """Channels and destinations that may hold messages; None until it is finished."""
    trouble: str | None = None
    confirmed_at: datetime | None = None
    """When Temporal first had none of the runs."""
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


erasure_runs = sa.Table(
    "erasure_runs",
    metadata,
    sa.Column("erasure_id", SafeText, nullable=False),
    sa.Column("workflow_id", SafeText, nullable=False),
    sa.Column("run_id", SafeText, nullable=False),
    # True if the run was found running.
    sa.Column("running", Flag, nullable=False),
    # True if Temporal no longer has it.
    sa.Column("gone", Flag, nullable=False),
    sa.PrimaryKeyConstraint("erasure_id", "workflow_id", "run_id"),
)
"""Runs that an open erasure has found in Temporal. Their ids name the contact; they are deleted when it is finished."""
