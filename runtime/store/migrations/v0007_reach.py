"""Keys of the HTTP API and its answers, people per step, operations on many journeys; attempts by scenario.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0007"
down_revision = "0006"

_INSTANT = sa.DateTime(timezone=True)
_OPEN = "ended_at IS NULL"
_TO_DO = "outcome IS NULL"


def upgrade(op: Operations) -> None:
    """Make api_keys, api_answers, passages, operations and operation_items; entries learn what was counted of them."""
    _index_deliveries(op)
    op.add_column("entries", sa.Column("counted", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("scenarios", sa.Text, nullable=True),
        sa.Column("rate", sa.Float, nullable=True),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=True),
        sa.Column("revoked_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_table(
        "api_answers",
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("begun_at", _INSTANT, nullable=False),
        sa.Column("taken_at", _INSTANT, nullable=False),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("headers", sa.Text, nullable=True),
        sa.Column("body", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("key_id", "idempotency_key", name="pk_api_answers"),
    )
    op.create_index("ix_api_answers_begun_at", "api_answers", ["begun_at"])
    op.create_table(
        "passages",
        sa.Column("scenario", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("hour", _INSTANT, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("scenario", "version", "hour", "step", "outcome", name="pk_passages"),
    )
    op.create_index("ix_passages_hour", "passages", ["hour"])
    op.create_table(
        "operations",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("surveyed_at", _INSTANT, nullable=True),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.Column("outcome", sa.Text, nullable=True),
        sa.Column("trouble", sa.Text, nullable=True),
        sa.Column("stopped_by", sa.Text, nullable=True),
        sa.Column("stop_reason", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_operations"),
    )
    op.create_index("ix_operations_created_at", "operations", ["created_at"])
    where = sa.text(_OPEN)
    op.create_index("ix_operations_open", "operations", ["created_at"], sqlite_where=where, postgresql_where=where)
    op.create_table(
        "operation_items",
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("workflow_id", sa.Text, nullable=False),
        sa.Column("step", sa.Text, nullable=True),
        sa.Column("outcome", sa.Text, nullable=True),
        sa.Column("reason", sa.Text, nullable=True),
        sa.Column("answered_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("operation", "workflow_id", name="pk_operation_items"),
    )
    order = ["operation", "number", "workflow_id"]
    op.create_index("ix_operation_items_operation_number_workflow_id", "operation_items", order)
    where = sa.text(_TO_DO)
    op.create_index(
        "ix_operation_items_to_do",
        "operation_items",
        order,
        sqlite_where=where,
        postgresql_where=where,
    )


def _index_deliveries(op: Operations) -> None:
    """Make the index of attempts by scenario, on PostgreSQL without keeping anybody from writing meanwhile."""
    name, concurrently = "ix_deliveries_scenario_started_at", op.get_bind().dialect.name == "postgresql"
    if concurrently:  # which PostgreSQL does outside of a transaction only
        op.get_bind().exec_driver_sql("COMMIT")
    try:
        if concurrently:  # one whose making was broken off is there, and of no use
            op.drop_index(name, "deliveries", if_exists=True, postgresql_concurrently=True)
        op.create_index(name, "deliveries", ["scenario", "started_at"], postgresql_concurrently=concurrently)
    finally:
        if concurrently:
            op.get_bind().exec_driver_sql("BEGIN")
