"""The store's first tables.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0001"
down_revision = None


def upgrade(op: Operations) -> None:
    """Make scenario_versions, entries and deliveries."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "scenario_versions",
        sa.Column("scenario", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("published_at", moment, nullable=False),
        sa.Column("published_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("scenario", "version", name="pk_scenario_versions"),
        sa.UniqueConstraint("scenario", "digest", name="uq_scenario_versions_scenario_digest"),
    )
    op.create_table(
        "entries",
        sa.Column("workflow_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("scenario", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("contact_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("nth", sa.Integer, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("admitted_at", moment, nullable=False),
        sa.Column("ended_at", moment, nullable=True),
        sa.Column("outcome", sa.Text, nullable=True),
        sa.Column("reason", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("workflow_id", "run_id", name="pk_entries"),
        sa.UniqueConstraint("contact_id", "scenario", "key", "nth", name="uq_entries_contact_id_scenario_key_nth"),
    )
    op.create_index("ix_entries_admitted_at", "entries", ["admitted_at"])
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("workflow_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("scenario", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("contact_id", sa.Text, nullable=False),
        sa.Column("milliseconds", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("error", sa.Text, nullable=True),
        sa.Column("next_try_at", moment, nullable=True),
        sa.Column("response", sa.Text, nullable=True),
        sa.Column("trace_id", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("delivery_id", "attempt", "started_at", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_workflow_id_started_at", "deliveries", ["workflow_id", "started_at"])
    op.create_index("ix_deliveries_destination_started_at", "deliveries", ["destination", "started_at"])
    op.create_index("ix_deliveries_contact_id_started_at", "deliveries", ["contact_id", "started_at"])
    op.create_index("ix_deliveries_started_at", "deliveries", ["started_at"])
