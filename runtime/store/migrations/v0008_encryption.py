"""Keys of contacts.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0008"
down_revision = "0007"

_INSTANT = sa.DateTime(timezone=True)


def upgrade(op: Operations) -> None:
    """Make contact_keys."""
    op.create_table(
        "contact_keys",
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("contact", sa.Text, nullable=False),
        sa.Column("wrapped", sa.Text, nullable=False),
        sa.Column("made_at", _INSTANT, nullable=False),
        sa.Column("destroyed_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("key_id", name="pk_contact_keys"),
        sa.UniqueConstraint("contact", name="uq_contact_keys_contact"),
    )
