"""The tables of batch calls; see `runtime.store.batches`."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, Table, UniqueConstraint, text

from runtime.store.columns import SafeText, UtcDateTime
from runtime.store.schema import metadata, partial_index

batches = Table(
    "batches",
    metadata,
    # The id of its workflow.
    Column("id", SafeText, nullable=False),
    Column("scenario", SafeText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("step", SafeText, nullable=False),
    Column("delivery_id", SafeText, nullable=False),
    # Number of places that were given away, and bytes of their data.
    Column("places", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    # When its workflow was started.
    Column("started_at", UtcDateTime, nullable=True),
    # When it was full or frozen: no item joins it after that.
    Column("closed_at", UtcDateTime, nullable=True),
    Column("frozen_at", UtcDateTime, nullable=True),
    Column("ended_at", UtcDateTime, nullable=True),
    Column("outcome", SafeText, nullable=True),
    PrimaryKeyConstraint("id"),
    partial_index("ix_batches_open", "scenario", "version", "step", where=text("closed_at IS NULL"), unique=True),
    partial_index("ix_batches_unended", "created_at", where=text("ended_at IS NULL")),
    Index(None, "created_at"),
)
"""Batches, open or ended."""

batch_items = Table(
    "batch_items",
    metadata,
    Column("delivery_id", SafeText, nullable=False),
    Column("batch", SafeText, nullable=False),
    Column("position", Integer, nullable=False),
    Column("contact_id", SafeText, nullable=False),
    Column("workflow_id", SafeText, nullable=False),
    # The run whose activity waits for the outcome, if one waits.
    Column("waiting_run", SafeText, nullable=True),
    # The variables of its templates, encoded, and encrypted if payloads are. Null as soon as it has an outcome.
    Column("data", SafeText, nullable=True),
    # When its delivery was scheduled, by Temporal's clock: an operator's retry is later.
    Column("joined_at", UtcDateTime, nullable=False),
    # Number of requests after which the receiver wanted it later. The next request has only items of the highest one.
    Column("deferred", Integer, nullable=False),
    Column("outcome", SafeText, nullable=True),
    Column("reason", SafeText, nullable=True),
    Column("status", Integer, nullable=True),
    Column("answered_at", UtcDateTime, nullable=True),
    PrimaryKeyConstraint("delivery_id"),
    UniqueConstraint("batch", "position"),
    Index(None, "contact_id"),
    Index(None, "workflow_id"),
)
"""The items of batches, by the delivery id of the step that joined."""
