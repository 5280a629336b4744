"""Goals of entries, versions that journeys follow, places under caps, suppressed addresses.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0006"
down_revision = "0005"

_INSTANT = sa.DateTime(timezone=True)
_OPEN = "goal_until IS NOT NULL AND reached_at IS NULL"
# A statement sees what was committed before it began, and so would not see what was done by those whose lock it waited
# for. Within a VOLATILE function each statement looks anew: the second sees it all. The lock, of the contact, ends with
# the transaction, which is the statement that asks. The seed ("Claim" in ASCII) tells it from others' locks.
_CLAIMS_IN_TURN = """
CREATE FUNCTION claims_in_turn(contact text, earliest timestamptz)
RETURNS TABLE (channel text, destination text, claimed_at timestamptz) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE 'caps need the isolation level read committed';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(contact, 289581132141));
    RETURN QUERY
        SELECT c.channel, c.destination, c.claimed_at FROM claims c
        WHERE c.contact_id = contact AND c.claimed_at >= earliest;
END
$$
"""


def upgrade(op: Operations) -> None:
    """Make claims, suppressions and soft_bounces; entries learn of goals, versions of journeys that follow."""
    op.add_column("scenario_versions", sa.Column("journeys", sa.Text, nullable=False, server_default="pin"))
    op.add_column("entries", sa.Column("entered_version", sa.Integer, nullable=True))
    op.add_column("entries", sa.Column("branches", sa.Text, nullable=True))
    op.add_column("entries", sa.Column("goal_until", _INSTANT, nullable=True))
    op.add_column("entries", sa.Column("reached_at", _INSTANT, nullable=True))
    op.add_column("entries", sa.Column("goal_value", sa.Text, nullable=True))
    # New columns hold nothing yet: making it takes as long as reading the table, and holds nobody up for longer.
    where = sa.text(_OPEN)
    op.create_index("ix_entries_goal_open", "entries", ["contact_id"], sqlite_where=where, postgresql_where=where)
    op.create_table(
        "claims",
        sa.Column("delivery_id", sa.Text, nullable=False),
        sa.Column("contact_id", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("scenario", sa.Text, nullable=False),
        sa.Column("claimed_at", _INSTANT, nullable=False),
        sa.Column("kept", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", name="pk_claims"),
    )
    op.create_index("ix_claims_contact_id_claimed_at", "claims", ["contact_id", "claimed_at"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_CLAIMS_IN_TURN)
    op.create_table(
        "suppressions",
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("suppressed_at", _INSTANT, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("channel", "address", "scope", "source", name="pk_suppressions"),
    )
    op.create_index("ix_suppressions_suppressed_at", "suppressions", ["suppressed_at"])
    op.create_table(
        "soft_bounces",
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("delivery_id", sa.Text, nullable=False),
        sa.Column("bounced_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("channel", "address", "delivery_id", name="pk_soft_bounces"),
    )
