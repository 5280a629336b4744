"""The store's tables.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0001"
down_revision = None

_INSTANT = sa.DateTime(timezone=True)
# A statement sees what was committed before it began, so it would miss the claims of those whose lock it waited for.
# Within a VOLATILE function each statement has its own snapshot, so the second sees them all. The lock is the contact's
# and ends with the transaction, which is the calling statement. The seed ("Claim" in ASCII) tells it from other locks.
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
        WHERE c.contact_id = contact AND c.claimed_at >= earliest
        AND (c.released = 0 OR EXISTS (
            SELECT 1 FROM deliveries d WHERE d.delivery_id = c.delivery_id AND d.outcome IN ('delivered', 'unknown')
        ));
END
$$
"""


def upgrade(op: Operations) -> None:
    """Make all tables and indexes."""
    op.create_table(
        "scenario_versions",
        sa.Column("scenario", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("published_at", _INSTANT, nullable=False),
        sa.Column("published_by", sa.Text, nullable=False),
        sa.Column("journeys", sa.Text, nullable=False, server_default="pin"),
        sa.PrimaryKeyConstraint("scenario", "version", name="pk_scenario_versions"),
        sa.UniqueConstraint("scenario", "digest", name="uq_scenario_versions_scenario_digest"),
    )
    op.create_table(
        "closed_scenarios",
        sa.Column("scenario", sa.Text, nullable=False),
        sa.Column("closed_at", _INSTANT, nullable=False),
        sa.Column("closed_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("scenario", name="pk_closed_scenarios"),
    )
    op.create_table(
        "entries",
        sa.Column("workflow_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("scenario", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("contact_id", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("admitted_at", _INSTANT, nullable=False),
        sa.Column("ended_at", _INSTANT, nullable=True),
        sa.Column("outcome", sa.Text, nullable=True),
        sa.Column("reason", sa.Text, nullable=True),
        sa.Column("entered_version", sa.Integer, nullable=True),
        sa.Column("branches", sa.Text, nullable=True),
        sa.Column("goal_until", _INSTANT, nullable=True),
        sa.Column("reached_at", _INSTANT, nullable=True),
        sa.Column("goal_value", sa.Text, nullable=True),
        sa.Column("counted_passages", sa.Integer, nullable=False, server_default="0"),
        sa.Column("revisable_passages", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("workflow_id", "run_id", name="pk_entries"),
        sa.UniqueConstraint(
            "contact_id", "scenario", "key", "ordinal", name="uq_entries_contact_id_scenario_key_ordinal"
        ),
    )
    _index(op, "ix_entries_admitted_at", "entries", ["admitted_at"])
    _index(op, "ix_entries_goal_open", "entries", ["contact_id"], "goal_until IS NOT NULL AND reached_at IS NULL")
    _index(op, "ix_entries_outcome_admitted_at", "entries", ["outcome", "admitted_at"], "outcome <> 'finished'")
    _index(op, "ix_entries_scenario_admitted_at", "entries", ["scenario", "admitted_at"])
    _index(op, "ix_entries_scenario_version_admitted_at", "entries", ["scenario", "version", "admitted_at"])
    _index(op, "ix_entries_under_way", "entries", ["admitted_at"], "ended_at IS NULL")
    # The last: of two indexes that serve alike, SQLite uses the newer.
    _index(op, "ix_entries_running", "entries", ["scenario", "admitted_at", "version"], "ended_at IS NULL")
    op.create_table(
        "accepted_entries",
        sa.Column("contact_id", sa.Text, nullable=False),
        sa.Column("workflow_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("accepted_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("contact_id", "workflow_id", "run_id", name="pk_accepted_entries"),
    )
    _index(op, "ix_accepted_entries_accepted_at", "accepted_entries", ["accepted_at"])
    op.create_table(
        "deliveries",
        sa.Column("delivery_id", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("started_at", _INSTANT, nullable=False),
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
        sa.Column("next_try_at", _INSTANT, nullable=True),
        sa.Column("response", sa.Text, nullable=True),
        sa.Column("trace_id", sa.Text, nullable=True),
        sa.Column("now", sa.Text, nullable=True),
        sa.Column("test_by", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("delivery_id", "attempt", "started_at", name="pk_deliveries"),
    )
    _index(op, "ix_deliveries_answered", "deliveries", ["started_at"], "response IS NOT NULL")
    _index(op, "ix_deliveries_contact_id_started_at", "deliveries", ["contact_id", "started_at"])
    _index(
        op,
        "ix_deliveries_destination_next_try_at",
        "deliveries",
        ["destination", "next_try_at"],
        "next_try_at IS NOT NULL",
    )
    _index(op, "ix_deliveries_destination_started_at", "deliveries", ["destination", "started_at"])
    _index(op, "ix_deliveries_error_started_at", "deliveries", ["error", "started_at"], "error IS NOT NULL")
    _index(op, "ix_deliveries_outcome_started_at", "deliveries", ["outcome", "started_at"], "outcome <> 'delivered'")
    _index(op, "ix_deliveries_scenario_started_at", "deliveries", ["scenario", "started_at"])
    _index(op, "ix_deliveries_started_at", "deliveries", ["started_at"])
    _index(op, "ix_deliveries_workflow_id_started_at", "deliveries", ["workflow_id", "started_at"])
    op.create_table(
        "claims",
        sa.Column("delivery_id", sa.Text, nullable=False),
        sa.Column("contact_id", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("scenario", sa.Text, nullable=False),
        sa.Column("claimed_at", _INSTANT, nullable=False),
        sa.Column("permanent", sa.Integer, nullable=False),
        sa.Column("released", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("delivery_id", name="pk_claims"),
    )
    _index(op, "ix_claims_claimed_at", "claims", ["claimed_at"])
    _index(op, "ix_claims_contact_id_claimed_at", "claims", ["contact_id", "claimed_at"])
    op.create_table(
        "suppressions",
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("address_hash", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("suppressed_at", _INSTANT, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("channel", "address_hash", "scope", "source", name="pk_suppressions"),
    )
    _index(op, "ix_suppressions_suppressed_at", "suppressions", ["suppressed_at"])
    op.create_table(
        "soft_bounces",
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("address_hash", sa.Text, nullable=False),
        sa.Column("delivery_id", sa.Text, nullable=False),
        sa.Column("bounced_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("channel", "address_hash", "delivery_id", name="pk_soft_bounces"),
    )
    _index(op, "ix_soft_bounces_bounced_at", "soft_bounces", ["bounced_at"])
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
        "key_holders",
        sa.Column("process", sa.Text, nullable=False),
        sa.Column("keys", sa.Text, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("process", name="pk_key_holders"),
    )
    op.create_table(
        "sessions",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("ends_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_sessions"),
    )
    _index(op, "ix_sessions_ends_at", "sessions", ["ends_at"])
    op.create_table(
        "api_answers",
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("requested_at", _INSTANT, nullable=False),
        sa.Column("started_at", _INSTANT, nullable=False),
        sa.Column("renewed_at", _INSTANT, nullable=False),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("answer", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("key_id", "idempotency_key", name="pk_api_answers"),
    )
    _index(op, "ix_api_answers_requested_at", "api_answers", ["requested_at"])
    op.create_table(
        "passages",
        sa.Column("scenario", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("hour", _INSTANT, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("scenario", "version", "hour", "step", "outcome", name="pk_passages"),
    )
    _index(op, "ix_passages_hour", "passages", ["hour"])
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
    _index(op, "ix_operations_created_at", "operations", ["created_at"])
    _index(op, "ix_operations_open", "operations", ["created_at"], "ended_at IS NULL")
    op.create_table(
        "operation_items",
        sa.Column("operation_id", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("workflow_id", sa.Text, nullable=False),
        sa.Column("step", sa.Text, nullable=True),
        sa.Column("outcome", sa.Text, nullable=True),
        sa.Column("reason", sa.Text, nullable=True),
        sa.Column("answered_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("operation_id", "workflow_id", name="pk_operation_items"),
    )
    _index(
        op,
        "ix_operation_items_operation_id_number_workflow_id",
        "operation_items",
        ["operation_id", "number", "workflow_id"],
    )
    _index(
        op, "ix_operation_items_to_do", "operation_items", ["operation_id", "number", "workflow_id"], "outcome IS NULL"
    )
    op.create_table(
        "contact_keys",
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("wrapped_key", sa.Text, nullable=False),
        sa.Column("created_at", _INSTANT, nullable=False),
        sa.Column("destroyed_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("key_id", name="pk_contact_keys"),
        sa.UniqueConstraint("owner", name="uq_contact_keys_owner"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("expires_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("contact_hash", sa.Text, nullable=False),
        sa.Column("contact_id", sa.Text, nullable=True),
        sa.Column("operator", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("encrypted", sa.Integer, nullable=False),
        sa.Column("before", sa.Integer, nullable=False),
        sa.Column("requested_at", _INSTANT, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("ended", sa.Integer, nullable=False),
        sa.Column("histories", sa.Integer, nullable=False),
        sa.Column("remaining", sa.Integer, nullable=False),
        sa.Column("rows", sa.Text, nullable=False),
        sa.Column("sent_to", sa.Text, nullable=True),
        sa.Column("trouble", sa.Text, nullable=True),
        sa.Column("confirmed_at", _INSTANT, nullable=True),
        sa.Column("finished_at", _INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
    )
    _index(op, "ix_erasures_requested_at_id", "erasures", ["requested_at", "id"])
    _index(op, "ix_erasures_open", "erasures", ["contact_hash"], "finished_at IS NULL", unique=True)
    op.create_table(
        "erasure_runs",
        sa.Column("erasure_id", sa.Text, nullable=False),
        sa.Column("workflow_id", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("running", sa.Integer, nullable=False),
        sa.Column("gone", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("erasure_id", "workflow_id", "run_id", name="pk_erasure_runs"),
    )
    op.create_table(
        "namespace_claims",
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("claim", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("namespace", name="pk_namespace_claims"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_CLAIMS_IN_TURN)


def _index(
    op: Operations, name: str, table: str, columns: list[str], where: str | None = None, *, unique: bool = False
) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)
