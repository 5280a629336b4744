"""The time that an attempt's templates saw as `now`, for a journey that is reset to before it.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0004"
down_revision = "0003"


def upgrade(op: Operations) -> None:
    """Add the column; of older attempts it is not known."""
    op.add_column("deliveries", sa.Column("now", sa.Text(), nullable=True))
