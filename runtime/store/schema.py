"""The tables, as the newest migration creates them.

A test compares them with ``migrations/``. Columns are not nullable unless stated. The tables of the API are in
`api_access`, those of campaigns in `campaigns`.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    TextClause,
    UniqueConstraint,
    text,
)

from runtime.store.columns import Flag, Json, SafeText, UtcDateTime

# Named by rule, so that a later migration can drop a constraint by its name on either engine.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def partial_index(name: str | None, *columns: str, where: TextClause, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


versions = Table(
    "scenario_versions",
    metadata,
    Column("scenario", SafeText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", SafeText, nullable=False),
    Column("document", Json, nullable=False),
    Column("plan", Json, nullable=False),
    Column("published_at", UtcDateTime, nullable=False),
    Column("published_by", SafeText, nullable=False),
    # pin: journeys stay with this version. follow: they move to newer versions.
    Column("journeys", SafeText, nullable=False, server_default="pin"),
    PrimaryKeyConstraint("scenario", "version"),
    # Equal content is one version, also if two publishers race.
    UniqueConstraint("scenario", "digest"),
)
"""Published scenarios. A row never changes and is never deleted: running journeys depend on it."""

closed = Table(
    "closed_scenarios",
    metadata,
    Column("scenario", SafeText, nullable=False),
    Column("closed_at", UtcDateTime, nullable=False),
    Column("closed_by", SafeText, nullable=False),
    Column("reason", SafeText, nullable=False),
    PrimaryKeyConstraint("scenario"),
)
"""Scenarios that are closed to new entries."""

_UNDER_WAY = text("ended_at IS NULL")
_ENDED = text("ended_at IS NOT NULL")
_GOAL_OPEN = text("goal_until IS NOT NULL AND reached_at IS NULL")
_NOT_FINISHED = text("outcome <> 'finished'")

entries = Table(
    "entries",
    metadata,
    Column("workflow_id", SafeText, nullable=False),
    Column("run_id", SafeText, nullable=False),
    Column("scenario", SafeText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("contact_id", SafeText, nullable=False),
    # "" if the scenario has no key: NULLs are distinct in a unique constraint, and would admit two journeys.
    Column("key", SafeText, nullable=False),
    # The contact's first, second, … entry under this scenario and key. See entries.py: this is what makes
    # admission atomic without a lock.
    Column("ordinal", Integer, nullable=False),
    Column("trigger", SafeText, nullable=False),
    Column("admitted_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, nullable=True),
    Column("outcome", SafeText, nullable=True),
    Column("reason", SafeText, nullable=True),
    # The version that admitted it, if it has moved to another one: results are measured by it.
    Column("entered_version", Integer, nullable=True),
    # Branch of each split, by the split's id, drawn at admission.
    Column("branches", Json, nullable=True),
    # End of the goal's window; when the goal was reached, and its value, a decimal number.
    Column("goal_until", UtcDateTime, nullable=True),
    Column("reached_at", UtcDateTime, nullable=True),
    Column("goal_value", SafeText, nullable=True),
    # Number of its steps counted in `passages`: a repeated report counts none twice.
    Column("counted_passages", Integer, nullable=False, server_default="0"),
    # Those that a later report may replace, and the time of their report, as JSON.
    Column("revisable_passages", SafeText, nullable=True),
    # For a campaign's journey, what its delivery ids are made from. Equal to run_id while it has no workflow.
    Column("root", SafeText, nullable=True),
    PrimaryKeyConstraint("workflow_id", "run_id"),
    # The contact first, so that the same index serves the search for a contact's running journeys.
    UniqueConstraint("contact_id", "scenario", "key", "ordinal"),
    Index(None, "admitted_at"),
    Index(None, "scenario", "admitted_at"),
    partial_index(None, "ended_at", where=_ENDED),
    # Few of millions are running.
    partial_index("ix_entries_under_way", "admitted_at", where=_UNDER_WAY),
    # The version last: a scenario's journeys are in order, and their versions are read from the index.
    partial_index("ix_entries_running", "scenario", "admitted_at", "version", where=_UNDER_WAY),
    Index(None, "scenario", "version", "admitted_at"),
    # Most journeys end as finished.
    partial_index(None, "outcome", "admitted_at", where=_NOT_FINISHED),
    # Queried for every event.
    partial_index("ix_entries_goal_open", "contact_id", where=_GOAL_OPEN),
)
"""One row a journey, running (``ended_at`` is null) or ended."""

accepted_entries = Table(
    "accepted_entries",
    metadata,
    Column("contact_id", SafeText, nullable=False),
    Column("workflow_id", SafeText, nullable=False),
    Column("run_id", SafeText, nullable=False),
    Column("accepted_at", UtcDateTime, nullable=False),
    # The contact first: a contact's pending entries are queried for every event.
    PrimaryKeyConstraint("contact_id", "workflow_id", "run_id"),
    Index(None, "accepted_at"),
)
"""Entries that a gateway has acknowledged. One is pending while `entries` lacks its run; see accepted_entries.py."""

_TO_COME = text("next_try_at IS NOT NULL")
_WENT_WRONG = text("outcome <> 'delivered'")
_ANSWERED = text("response IS NOT NULL")
_IN_ERROR = text("error IS NOT NULL")

deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", SafeText, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("workflow_id", SafeText, nullable=False),
    Column("run_id", SafeText, nullable=False),
    Column("scenario", SafeText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("step", SafeText, nullable=False),
    Column("channel", SafeText, nullable=False),
    Column("destination", SafeText, nullable=False),
    Column("contact_id", SafeText, nullable=False),
    Column("milliseconds", Integer, nullable=False),
    Column("outcome", SafeText, nullable=False),
    Column("status", Integer, nullable=True),
    Column("error", SafeText, nullable=True),
    Column("next_try_at", UtcDateTime, nullable=True),
    Column("response", SafeText, nullable=True),
    Column("trace_id", SafeText, nullable=True),
    Column("now", SafeText, nullable=True),
    # Sender of a test message; such a row belongs to no journey.
    Column("test_by", SafeText, nullable=True),
    # An operator's retry restarts the attempt numbers, so the time is part of the key.
    PrimaryKeyConstraint("delivery_id", "attempt", "started_at"),
    Index(None, "workflow_id", "started_at"),
    Index(None, "destination", "started_at"),
    Index(None, "contact_id", "started_at"),
    Index(None, "scenario", "started_at"),
    Index(None, "started_at"),
    # Partial, since most deliveries succeed at their first attempt.
    partial_index(None, "destination", "next_try_at", where=_TO_COME),
    partial_index(None, "outcome", "started_at", where=_WENT_WRONG),
    partial_index(None, "error", "started_at", where=_IN_ERROR),
    # Responses have a shorter retention than attempts.
    partial_index("ix_deliveries_answered", "started_at", where=_ANSWERED),
)
"""One row a delivery attempt."""

claims = Table(
    "claims",
    metadata,
    Column("delivery_id", SafeText, nullable=False),
    Column("contact_id", SafeText, nullable=False),
    Column("channel", SafeText, nullable=False),
    Column("destination", SafeText, nullable=False),
    Column("scenario", SafeText, nullable=False),
    Column("claimed_at", UtcDateTime, nullable=False),
    # True if the message may have arrived: the slot is not released.
    Column("permanent", Flag, nullable=False),
    # True if it was released. It still counts if the log of attempts records an arrival.
    Column("released", Flag, nullable=False, server_default="0"),
    PrimaryKeyConstraint("delivery_id"),
    Index(None, "contact_id", "claimed_at"),
    Index(None, "claimed_at"),
)
"""Slots under caps: one row a delivery, claimed before it is sent."""

suppressions = Table(
    "suppressions",
    metadata,
    Column("channel", SafeText, nullable=False),
    # An HMAC of it, never the address itself.
    Column("address_hash", SafeText, nullable=False),
    # Id or name of the list; "" for all.
    Column("scope", SafeText, nullable=False),
    Column("source", SafeText, nullable=False),
    Column("suppressed_at", UtcDateTime, nullable=False),
    Column("evidence", SafeText, nullable=False),
    # The address first: read before each attempt.
    PrimaryKeyConstraint("channel", "address_hash", "scope", "source"),
    Index(None, "suppressed_at"),
)
"""Suppressed addresses, and the reasons."""

soft_bounces = Table(
    "soft_bounces",
    metadata,
    Column("channel", SafeText, nullable=False),
    Column("address_hash", SafeText, nullable=False),
    Column("delivery_id", SafeText, nullable=False),
    Column("bounced_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("channel", "address_hash", "delivery_id"),
    Index(None, "bounced_at"),
)
"""Temporary delivery failures of an address: several within days suppress it."""

provider_events = Table(
    "provider_events",
    metadata,
    # A hash of the provider's name and its id of the event.
    Column("event_hash", SafeText, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("event_hash"),
    Index(None, "seen_at"),
)
"""Providers' events that had their effect: a repetition has none."""

passages = Table(
    "passages",
    metadata,
    Column("scenario", SafeText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("step", SafeText, nullable=False),
    Column("outcome", SafeText, nullable=False),
    # Start of the hour.
    Column("hour", UtcDateTime, nullable=False),
    Column("total", Integer, nullable=False),
    # The hour before the step: queries read the last hours of one scenario.
    PrimaryKeyConstraint("scenario", "version", "hour", "step", "outcome"),
    Index(None, "hour"),
)
"""Number of journeys that completed a step in an hour, by outcome."""

operations = Table(
    "operations",
    metadata,
    Column("id", SafeText, nullable=False),
    Column("verb", SafeText, nullable=False),
    # Filter, rate, dry run, and the operation's own arguments.
    Column("request", Json, nullable=False),
    Column("operator", SafeText, nullable=False),
    Column("reason", SafeText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # When the search for its journeys was complete.
    Column("surveyed_at", UtcDateTime, nullable=True),
    Column("ended_at", UtcDateTime, nullable=True),
    Column("outcome", SafeText, nullable=True),
    # Why it makes no progress, or why it failed: a sentence.
    Column("trouble", SafeText, nullable=True),
    Column("stopped_by", SafeText, nullable=True),
    Column("stop_reason", SafeText, nullable=True),
    PrimaryKeyConstraint("id"),
    Index(None, "created_at"),
    partial_index("ix_operations_open", "created_at", where=_UNDER_WAY),
)
"""Operations on many journeys, open or ended."""

_NOT_YET = text("outcome IS NULL")

operation_items = Table(
    "operation_items",
    metadata,
    Column("operation_id", SafeText, nullable=False),
    # Order of the items; not unique if two processes search concurrently.
    Column("number", Integer, nullable=False),
    Column("workflow_id", SafeText, nullable=False),
    # Step of the journey when it was found, if relevant.
    Column("step", SafeText, nullable=True),
    # Null until the journey answers.
    Column("outcome", SafeText, nullable=True),
    # Why it refused; without an outcome, why it did not answer.
    Column("reason", SafeText, nullable=True),
    Column("answered_at", UtcDateTime, nullable=True),
    # A journey is in an operation once, also if it is found twice.
    PrimaryKeyConstraint("operation_id", "workflow_id"),
    Index(None, "operation_id", "number", "workflow_id"),
    partial_index("ix_operation_items_to_do", "operation_id", "number", "workflow_id", where=_NOT_YET),
)
"""The journeys of an operation, and their answers."""

contact_keys = Table(
    "contact_keys",
    metadata,
    Column("key_id", SafeText, nullable=False),
    # An HMAC of the contact's id, or the name of a key that belongs to no contact.
    Column("owner", SafeText, nullable=False),
    # The key, wrapped by one of SCENARIO_ENCRYPTION_KEYS; "" once it is destroyed.
    Column("wrapped_key", SafeText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("destroyed_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("key_id"),
    UniqueConstraint("owner"),
)
"""Encryption keys of contacts. The row of an erased contact stays, so that late data does not create a new key."""

leases = Table(
    "leases",
    metadata,
    Column("name", SafeText, nullable=False),
    # Unique name of a process.
    Column("holder", SafeText, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("name"),
)
"""The process that does some work on behalf of all."""

queue_shards = Table(
    "queue_shards",
    metadata,
    # The name of the first of the task queues.
    Column("queue", SafeText, nullable=False),
    Column("most", Integer, nullable=False),
    PrimaryKeyConstraint("queue"),
)
"""The highest number of task queues that deliveries were ever divided among: tasks may wait in each of them."""

key_holders = Table(
    "key_holders",
    metadata,
    # A name for people, such as "worker on host-1 (12-5f3a)".
    Column("process", SafeText, nullable=False),
    # Names of the keys of SCENARIO_ENCRYPTION_KEYS that it has.
    Column("keys", Json, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("process"),
)
"""Running processes and the keys they have: contacts' keys may be wrapped by a key that all processes have."""

_OPEN = text("finished_at IS NULL")

erasures = Table(
    "erasures",
    metadata,
    Column("id", SafeText, nullable=False),
    # An HMAC of the contact's id.
    Column("contact_hash", SafeText, nullable=False),
    # The contact's id while the erasure is open.
    Column("contact_id", SafeText, nullable=True),
    Column("operator", SafeText, nullable=False),
    Column("reason", SafeText, nullable=False),
    # True if the contact's payloads were encrypted.
    Column("encrypted", Flag, nullable=False),
    # True if the contact had been erased before.
    Column("before", Flag, nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("state", SafeText, nullable=False),
    # Journeys that were running, and runs that Temporal had.
    Column("ended", Integer, nullable=False),
    Column("histories", Integer, nullable=False),
    # Runs that Temporal still has.
    Column("remaining", Integer, nullable=False),
    # Rows of the store that were cleared, by table.
    Column("rows", Json, nullable=False),
    # Channels and destinations that may hold messages; null until it is finished.
    Column("sent_to", Json, nullable=True),
    Column("trouble", SafeText, nullable=True),
    # When Temporal first had none of the runs.
    Column("confirmed_at", UtcDateTime, nullable=True),
    Column("finished_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("id"),
    Index(None, "requested_at", "id"),
    # A contact has one open erasure: of two concurrent requests, one creates it.
    partial_index("ix_erasures_open", "contact_hash", unique=True, where=_OPEN),
)
"""Erasures of contacts, open and finished. A row is never deleted: it is the audit record."""

erasure_runs = Table(
    "erasure_runs",
    metadata,
    Column("erasure_id", SafeText, nullable=False),
    Column("workflow_id", SafeText, nullable=False),
    Column("run_id", SafeText, nullable=False),
    # True if the run was found running.
    Column("running", Flag, nullable=False),
    # True if Temporal no longer has it.
    Column("gone", Flag, nullable=False),
    PrimaryKeyConstraint("erasure_id", "workflow_id", "run_id"),
)
"""Runs that an open erasure has found in Temporal. Their ids name the contact; they are deleted when it is finished."""
