"""The tables of outgoing events; see `runtime.store.outgoing`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, Table, text

from runtime.store.columns import Json, SafeText, UtcDateTime
from runtime.store.schema import metadata, partial_index

outgoing_types = Table(
    "outgoing_types", metadata, Column("type", SafeText, nullable=False), PrimaryKeyConstraint("type")
)
"""The types of events that somebody wants. Others are not stored."""

outgoing_events = Table(
    "outgoing_events",
    metadata,
    # Order of insertion, which on PostgreSQL is not that of commits.
    Column("number", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    # Its place for readers, given after its commit; null before.
    Column("position", BigInteger, nullable=True),
    # Random.
    Column("id", SafeText, nullable=False),
    Column("type", SafeText, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    # What it is about: a journey, a destination or a campaign. Events about the same stay in order.
    Column("subject", SafeText, nullable=False),
    Column("scenario", SafeText, nullable=True),
    Column("contact_id", SafeText, nullable=True),
    Column("data", Json, nullable=False),
    Index(None, "position"),
    # Read for erasures.
    Index(None, "contact_id"),
    Index(None, "recorded_at"),
    partial_index("ix_outgoing_events_unnumbered", "number", where=text("position IS NULL")),
)
"""Outgoing events, written by the triggers of `outgoing_triggers` and by activities."""

outgoing_cursors = Table(
    "outgoing_cursors",
    metadata,
    # A subscription of `outgoing.yaml`; "" for the last position that was given.
    Column("name", SafeText, nullable=False),
    Column("position", BigInteger, nullable=False),
    PrimaryKeyConstraint("name"),
)
"""The place up to which each subscription's events were sent, or are in `outgoing_sends`."""

outgoing_sends = Table(
    "outgoing_sends",
    metadata,
    Column("subscription", SafeText, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("subject", SafeText, nullable=False),
    # Number of attempts that the receiver did not accept.
    Column("attempts", Integer, nullable=False),
    Column("next_try_at", UtcDateTime, nullable=False),
    Column("reason", SafeText, nullable=True),
    # Since when it waits for an operator.
    Column("held_at", UtcDateTime, nullable=True),
    Column("recorded_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("subscription", "position"),
    Index(None, "subscription", "subject", "position"),
    Index(None, "recorded_at"),
)
"""Events before a subscription's cursor that were not accepted yet."""

destination_pauses = Table(
    "destination_pauses",
    metadata,
    Column("destination", SafeText, nullable=False),
    Column("paused_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("destination"),
)
"""Destinations that a worker has paused because they failed too often."""
