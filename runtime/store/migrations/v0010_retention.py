"""Indexes by which old rows are found for deletion, and few rows among many: of a version, an outcome, an error.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0010"
down_revision = "0009"

_INDEXES: list[tuple[str, str, list[str], str | None]] = [
    ("ix_entries_running", "entries", ["scenario", "admitted_at", "version"], "ended_at IS NULL"),
    ("ix_entries_scenario_version_admitted_at", "entries", ["scenario", "version", "admitted_at"], None),
    ("ix_entries_outcome_admitted_at", "entries", ["outcome", "admitted_at"], "outcome <> 'finished'"),
    ("ix_deliveries_answered", "deliveries", ["started_at"], "response IS NOT NULL"),
    ("ix_deliveries_error_started_at", "deliveries", ["error", "started_at"], "error IS NOT NULL"),
    ("ix_claims_claimed_at", "claims", ["claimed_at"], None),
    ("ix_soft_bounces_bounced_at", "soft_bounces", ["bounced_at"], None),
]


def upgrade(op: Operations) -> None:
    """Make the indexes, on PostgreSQL without keeping anybody from writing meanwhile, however large the tables are."""
    connection = op.get_bind()
    concurrently = connection.dialect.name == "postgresql"
    if concurrently:  # which PostgreSQL does outside of a transaction only
        connection.exec_driver_sql("COMMIT")
    try:
        for name, table, columns, where in _INDEXES:
            if concurrently:  # one whose making was broken off is there, and of no use
                op.drop_index(name, table, if_exists=True, postgresql_concurrently=True)
            some: dict[str, Any] = {f"{engine}_where": sa.text(where) for engine in ("sqlite", "postgresql") if where}
            op.create_index(name, table, columns, postgresql_concurrently=concurrently, **some)
    finally:
        if concurrently:
            connection.exec_driver_sql("BEGIN")
