"""Indexes for questions about few among many: one scenario's journeys, those under way, attempts that went wrong.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0003"
down_revision = "0002"

_INDEXES: list[tuple[str, str, list[str], str | None]] = [
    ("ix_entries_scenario_admitted_at", "entries", ["scenario", "admitted_at"], None),
    ("ix_entries_under_way", "entries", ["admitted_at"], "ended_at IS NULL"),
    ("ix_deliveries_outcome_started_at", "deliveries", ["outcome", "started_at"], "outcome <> 'delivered'"),
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
