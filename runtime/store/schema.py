"""The tables, as the newest migration leaves them.

``migrations/`` makes them; a test compares the two. Every column that is not said to be nullable is not. The tables of
the API are in `api_access`.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, MetaData, PrimaryKeyConstraint, Table, UniqueConstraint, text

from runtime.store.columns import Json, SafeText, UtcDateTime

# Named by rule, so that a later migration can drop a constraint by its name on either engine.
metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

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
    # Whether its journeys stay with it (pin), or go on in newer versions (follow).
    Column("journeys", SafeText, nullable=False, server_default="pin"),
    PrimaryKeyConstraint("scenario", "version"),
    # The same content is the same version, also when two publishers race.
    UniqueConstraint("scenario", "digest"),
)
"""Published scenarios. A row never changes and is never deleted: journeys under way depend on it."""

closed = Table(
    "closed_scenarios",
    metadata,
    Column("scenario", SafeText, nullable=False),
    Column("closed_at", UtcDateTime, nullable=False),
    Column("closed_by", SafeText, nullable=False),
    Column("reason", SafeText, nullable=False),
    PrimaryKeyConstraint("scenario"),
)
"""Scenarios that admit nobody."""

_UNDER_WAY = text("ended_at IS NULL")
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
    # "" where the scenario has no key: NULLs are distinct in a unique constraint, and would let two in.
    Column("key", SafeText, nullable=False),
    # The contact's first, second, … entry under this scenario and key. See entries.py: this is what makes
    # admission atomic without a lock.
    Column("ordinal", Integer, nullable=False),
    Column("trigger", SafeText, nullable=False),
    Column("admitted_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, nullable=True),
    Column("outcome", SafeText, nullable=True),
    Column("reason", SafeText, nullable=True),
    # The version that let it in, where it follows another one by now: what is measured is measured by that.
    Column("entered_version", Integer, nullable=True),
    # The branch of each split, by the split's id, as it was drawn when the contact came in.
    Column("branches", Json, nullable=True),
    # Until when the scenario's goal counts; when it was reached, and its value, a decimal number.
    Column("goal_until", UtcDateTime, nullable=True),
    Column("reached_at", UtcDateTime, nullable=True),
    Column("goal_value", SafeText, nullable=True),
    # How many of its passages are counted in `passages`: told again, none counts twice.
    Column("counted_passages", Integer, nullable=False, server_default="0"),
    # Those of them that the journey may still report otherwise, and when it reported them, as JSON.
    Column("revisable_passages", SafeText, nullable=True),
    PrimaryKeyConstraint("workflow_id", "run_id"),
    # The contact first, so that the same index answers "which journeys of this contact are under way?".
    UniqueConstraint("contact_id", "scenario", "key", "ordinal"),
    Index(None, "admitted_at"),
    Index(None, "scenario", "admitted_at"),
    # Of millions that are over, few are under way.
    Index("ix_entries_under_way", "admitted_at", sqlite_where=_UNDER_WAY, postgresql_where=_UNDER_WAY),
    # The version last: one scenario's are in their order, and its versions are told apart without the table.
    Index(
        "ix_entries_running",
        *("scenario", "admitted_at", "version"),
        sqlite_where=_UNDER_WAY,
        postgresql_where=_UNDER_WAY,
    ),
    Index(None, "scenario", "version", "admitted_at"),
    # Most journeys are finished in the end.
    Index(None, "outcome", "admitted_at", sqlite_where=_NOT_FINISHED, postgresql_where=_NOT_FINISHED),
    # Asked with every event that is told.
    Index("ix_entries_goal_open", "contact_id", sqlite_where=_GOAL_OPEN, postgresql_where=_GOAL_OPEN),
)
"""One row a journey, running (``ended_at`` is null) or over."""

accepted_entries = Table(
    "accepted_entries",
    metadata,
    Column("contact_id", SafeText, nullable=False),
    Column("workflow_id", SafeText, nullable=False),
    Column("run_id", SafeText, nullable=False),
    Column("accepted_at", UtcDateTime, nullable=False),
    # The contact first: "which of this contact's entries are pending?" is asked with every event.
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
    # Who sent it to try a step out; such a row is of no journey.
    Column("test_by", SafeText, nullable=True),
    # An operator's retry starts counting attempts again: the time tells its first attempt from the first of all.
    PrimaryKeyConstraint("delivery_id", "attempt", "started_at"),
    Index(None, "workflow_id", "started_at"),
    Index(None, "destination", "started_at"),
    Index(None, "contact_id", "started_at"),
    Index(None, "scenario", "started_at"),
    Index(None, "started_at"),
    # Partial, so that it holds only what is of use: most deliveries succeed at once.
    Index(None, "destination", "next_try_at", sqlite_where=_TO_COME, postgresql_where=_TO_COME),
    Index(None, "outcome", "started_at", sqlite_where=_WENT_WRONG, postgresql_where=_WENT_WRONG),
    Index(None, "error", "started_at", sqlite_where=_IN_ERROR, postgresql_where=_IN_ERROR),
    # Responses are forgotten sooner than attempts.
    Index("ix_deliveries_answered", "started_at", sqlite_where=_ANSWERED, postgresql_where=_ANSWERED),
)
"""One row an attempt of a delivery."""

claims = Table(
    "claims",
    metadata,
    Column("delivery_id", SafeText, nullable=False),
    Column("contact_id", SafeText, nullable=False),
    Column("channel", SafeText, nullable=False),
    Column("destination", SafeText, nullable=False),
    Column("scenario", SafeText, nullable=False),
    Column("claimed_at", UtcDateTime, nullable=False),
    # 1 where something may have arrived: then nobody gives it back.
    Column("permanent", Integer, nullable=False),
    # 1 where it was given back: it counts all the same if the log of attempts says that the message arrived.
    Column("released", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("delivery_id"),
    Index(None, "contact_id", "claimed_at"),
    Index(None, "claimed_at"),
)
"""Places under caps: one row a delivery, reserved before it is sent."""

suppressions = Table(
    "suppressions",
    metadata,
    Column("channel", SafeText, nullable=False),
    # An HMAC of it, never the address itself.
    Column("address_hash", SafeText, nullable=False),
    # The list, by its id or name; "" is all.
    Column("scope", SafeText, nullable=False),
    Column("source", SafeText, nullable=False),
    Column("suppressed_at", UtcDateTime, nullable=False),
    Column("evidence", SafeText, nullable=False),
    # The address first of what is asked for: one read before each attempt.
    PrimaryKeyConstraint("channel", "address_hash", "scope", "source"),
    Index(None, "suppressed_at"),
)
"""Addresses that must not be written to, and why."""

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
"""Passing troubles with an address: too many within days suppress it."""

passages = Table(
    "passages",
    metadata,
    Column("scenario", SafeText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("step", SafeText, nullable=False),
    Column("outcome", SafeText, nullable=False),
    # Its beginning.
    Column("hour", UtcDateTime, nullable=False),
    Column("total", Integer, nullable=False),
    # The hour before the step: what is asked for are the last hours of one scenario.
    PrimaryKeyConstraint("scenario", "version", "hour", "step", "outcome"),
    Index(None, "hour"),
)
"""How many people passed a step in an hour, and with which outcome."""

operations = Table(
    "operations",
    metadata,
    Column("id", SafeText, nullable=False),
    Column("verb", SafeText, nullable=False),
    # Which journeys, at which rate, whether only to look, and what else the operation takes.
    Column("request", Json, nullable=False),
    Column("operator", SafeText, nullable=False),
    Column("reason", SafeText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # When all its journeys were found.
    Column("surveyed_at", UtcDateTime, nullable=True),
    Column("ended_at", UtcDateTime, nullable=True),
    Column("outcome", SafeText, nullable=True),
    # What is in its way, or why it failed: a sentence.
    Column("trouble", SafeText, nullable=True),
    Column("stopped_by", SafeText, nullable=True),
    Column("stop_reason", SafeText, nullable=True),
    PrimaryKeyConstraint("id"),
    Index(None, "created_at"),
    Index("ix_operations_open", "created_at", sqlite_where=_UNDER_WAY, postgresql_where=_UNDER_WAY),
)
"""Operations on many journeys, under way or over."""

_NOT_YET = text("outcome IS NULL")

operation_items = Table(
    "operation_items",
    metadata,
    Column("operation_id", SafeText, nullable=False),
    # Gives them an order; two that look for journeys at the same time may use one twice.
    Column("number", Integer, nullable=False),
    Column("workflow_id", SafeText, nullable=False),
    # The step that it was found at, if that matters.
    Column("step", SafeText, nullable=True),
    # Null as long as it has not answered.
    Column("outcome", SafeText, nullable=True),
    # Why it refused; without an outcome, why there was no answer.
    Column("reason", SafeText, nullable=True),
    Column("answered_at", UtcDateTime, nullable=True),
    # However often it is looked for, a journey is in an operation once.
    PrimaryKeyConstraint("operation_id", "workflow_id"),
    Index(None, "operation_id", "number", "workflow_id"),
    Index(
        "ix_operation_items_to_do",
        *("operation_id", "number", "workflow_id"),
        sqlite_where=_NOT_YET,
        postgresql_where=_NOT_YET,
    ),
)
"""The journeys of an operation, and what each answered."""

contact_keys = Table(
    "contact_keys",
    metadata,
    Column("key_id", SafeText, nullable=False),
    # An HMAC of the contact's id; or a word for a key that is nobody's.
    Column("owner", SafeText, nullable=False),
    # The key, wrapped by one of SCENARIO_ENCRYPTION_KEYS; "" once it is destroyed.
    Column("wrapped_key", SafeText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("destroyed_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("key_id"),
    UniqueConstraint("owner"),
)
"""Contacts' keys. The row of an erased contact stays, lest a new key is made for what comes in late."""

leases = Table(
    "leases",
    metadata,
    Column("name", SafeText, nullable=False),
    # A process, by a name of its own.
    Column("holder", SafeText, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("name"),
)
"""Which process does, for all of them, what one is enough for."""

key_holders = Table(
    "key_holders",
    metadata,
    # A name for people, such as "worker on host-1 (12-5f3a)".
    Column("process", SafeText, nullable=False),
    # Names of the keys of SCENARIO_ENCRYPTION_KEYS that it knows.
    Column("keys", Json, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("process"),
)
"""The running processes, and which keys they know: contacts' keys may be wrapped by a key that all know."""

_OPEN = text("finished_at IS NULL")

erasures = Table(
    "erasures",
    metadata,
    Column("id", SafeText, nullable=False),
    # An HMAC of the contact's id.
    Column("contact_hash", SafeText, nullable=False),
    # The contact's id while the erasure is open; then nothing holds it any more.
    Column("contact_id", SafeText, nullable=True),
    Column("operator", SafeText, nullable=False),
    Column("reason", SafeText, nullable=False),
    # 1 if the contact's payloads were encrypted.
    Column("encrypted", Integer, nullable=False),
    # 1 if the contact had been erased before.
    Column("before", Integer, nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("state", SafeText, nullable=False),
    # Journeys that were running, and runs that Temporal had.
    Column("ended", Integer, nullable=False),
    Column("histories", Integer, nullable=False),
    # Runs that Temporal still has.
    Column("remaining", Integer, nullable=False),
    # Rows of the store that were cleared, by table.
    Column("rows", Json, nullable=False),
    # Channels and destinations that may hold messages; known once it is finished.
    Column("sent_to", Json, nullable=True),
    Column("trouble", SafeText, nullable=True),
    # When Temporal was first found to have none of the runs.
    Column("confirmed_at", UtcDateTime, nullable=True),
    Column("finished_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("id"),
    Index(None, "requested_at", "id"),
    # One contact has one open erasure: this decides which of two requests begins it.
    Index("ix_erasures_open", "contact_hash", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
)
"""Erasures of contacts, open and finished. A row is never deleted: it is the record of what was done."""

erasure_runs = Table(
    "erasure_runs",
    metadata,
    Column("erasure_id", SafeText, nullable=False),
    Column("workflow_id", SafeText, nullable=False),
    Column("run_id", SafeText, nullable=False),
    # 1 if the run was found running.
    Column("running", Integer, nullable=False),
    # 1 if Temporal does not have it any more.
    Column("gone", Integer, nullable=False),
    PrimaryKeyConstraint("erasure_id", "workflow_id", "run_id"),
)
"""The runs that an open erasure has found in Temporal. Their ids name the contact, so they go when it is finished."""
