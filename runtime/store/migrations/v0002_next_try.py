"""An index of the attempts that are to be followed by another, by destination.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0002"
down_revision = "0001"


def upgrade(op: Operations) -> None:
    """Index next_try_at where there is one: of most attempts there is none."""
    there_is_one = sa.text("next_try_at IS NOT NULL")
    op.create_index(
        "ix_deliveries_destination_next_try_at",
        "deliveries",
        ["destination", "next_try_at"],
        sqlite_where=there_is_one,
        postgresql_where=there_is_one,
    )
