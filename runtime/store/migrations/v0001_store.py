"""The store's tables.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

from alembic.operations import Operations

from runtime.store.outgoing_triggers import outgoing_triggers

revision = "0001"
down_revision = None

# A statement sees rows committed before it began, so it would miss the claims of those whose lock it waited for.
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

_TABLES = """
CREATE TABLE scenario_versions (
    scenario TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL, document TEXT NOT NULL,
    plan TEXT NOT NULL, published_at {instant} NOT NULL, published_by TEXT NOT NULL,
    journeys TEXT DEFAULT 'pin' NOT NULL,
    CONSTRAINT pk_scenario_versions PRIMARY KEY (scenario, version),
    CONSTRAINT uq_scenario_versions_scenario_digest UNIQUE (scenario, digest)
);

CREATE TABLE closed_scenarios (
    scenario TEXT NOT NULL, closed_at {instant} NOT NULL, closed_by TEXT NOT NULL, reason TEXT NOT NULL,
    CONSTRAINT pk_closed_scenarios PRIMARY KEY (scenario)
);

CREATE TABLE entries (
    workflow_id TEXT NOT NULL, run_id TEXT NOT NULL, scenario TEXT NOT NULL, version INTEGER NOT NULL,
    contact_id TEXT NOT NULL, key TEXT NOT NULL, ordinal INTEGER NOT NULL, trigger TEXT NOT NULL,
    admitted_at {instant} NOT NULL, ended_at {instant}, outcome TEXT, reason TEXT, entered_version INTEGER,
    branches TEXT, goal_until {instant}, reached_at {instant}, goal_value TEXT,
    counted_passages INTEGER DEFAULT '0' NOT NULL, revisable_passages TEXT, root TEXT,
    CONSTRAINT pk_entries PRIMARY KEY (workflow_id, run_id),
    CONSTRAINT uq_entries_contact_id_scenario_key_ordinal UNIQUE (contact_id, scenario, key, ordinal)
);
CREATE INDEX ix_entries_admitted_at ON entries (admitted_at);
CREATE INDEX ix_entries_goal_open ON entries (contact_id) WHERE goal_until IS NOT NULL AND reached_at IS NULL;
CREATE INDEX ix_entries_outcome_admitted_at ON entries (outcome, admitted_at) WHERE outcome <> 'finished';
CREATE INDEX ix_entries_scenario_admitted_at ON entries (scenario, admitted_at);
CREATE INDEX ix_entries_scenario_version_admitted_at ON entries (scenario, version, admitted_at);
CREATE INDEX ix_entries_ended_at ON entries (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX ix_entries_under_way ON entries (admitted_at) WHERE ended_at IS NULL;
-- The last: of two indexes that serve alike, SQLite uses the newer.
CREATE INDEX ix_entries_running ON entries (scenario, admitted_at, version) WHERE ended_at IS NULL;

CREATE TABLE accepted_entries (
    contact_id TEXT NOT NULL, workflow_id TEXT NOT NULL, run_id TEXT NOT NULL, accepted_at {instant} NOT NULL,
    CONSTRAINT pk_accepted_entries PRIMARY KEY (contact_id, workflow_id, run_id)
);
CREATE INDEX ix_accepted_entries_accepted_at ON accepted_entries (accepted_at);

CREATE TABLE deliveries (
    delivery_id TEXT NOT NULL, attempt INTEGER NOT NULL, started_at {instant} NOT NULL,
    workflow_id TEXT NOT NULL, run_id TEXT NOT NULL, scenario TEXT NOT NULL, version INTEGER NOT NULL,
    step TEXT NOT NULL, channel TEXT NOT NULL, destination TEXT NOT NULL, contact_id TEXT NOT NULL,
    milliseconds INTEGER NOT NULL, outcome TEXT NOT NULL, status INTEGER, error TEXT, next_try_at {instant},
    response TEXT, trace_id TEXT, now TEXT, test_by TEXT, recipient TEXT,
    CONSTRAINT pk_deliveries PRIMARY KEY (delivery_id, attempt, started_at)
);
CREATE INDEX ix_deliveries_answered ON deliveries (started_at) WHERE response IS NOT NULL;
CREATE INDEX ix_deliveries_contact_id_started_at ON deliveries (contact_id, started_at);
CREATE INDEX ix_deliveries_destination_next_try_at
    ON deliveries (destination, next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX ix_deliveries_destination_started_at ON deliveries (destination, started_at);
CREATE INDEX ix_deliveries_error_started_at ON deliveries (error, started_at) WHERE error IS NOT NULL;
CREATE INDEX ix_deliveries_outcome_started_at ON deliveries (outcome, started_at) WHERE outcome <> 'delivered';
CREATE INDEX ix_deliveries_scenario_started_at ON deliveries (scenario, started_at);
CREATE INDEX ix_deliveries_started_at ON deliveries (started_at);
CREATE INDEX ix_deliveries_workflow_id_started_at ON deliveries (workflow_id, started_at);

CREATE TABLE claims (
    delivery_id TEXT NOT NULL, contact_id TEXT NOT NULL, channel TEXT NOT NULL, destination TEXT NOT NULL,
    scenario TEXT NOT NULL, claimed_at {instant} NOT NULL, permanent INTEGER NOT NULL,
    released INTEGER DEFAULT '0' NOT NULL,
    CONSTRAINT pk_claims PRIMARY KEY (delivery_id)
);
CREATE INDEX ix_claims_claimed_at ON claims (claimed_at);
CREATE INDEX ix_claims_contact_id_claimed_at ON claims (contact_id, claimed_at);

CREATE TABLE suppressions (
    channel TEXT NOT NULL, address_hash TEXT NOT NULL, scope TEXT NOT NULL, source TEXT NOT NULL,
    suppressed_at {instant} NOT NULL, evidence TEXT NOT NULL,
    CONSTRAINT pk_suppressions PRIMARY KEY (channel, address_hash, scope, source)
);
CREATE INDEX ix_suppressions_suppressed_at ON suppressions (suppressed_at);

CREATE TABLE soft_bounces (
    channel TEXT NOT NULL, address_hash TEXT NOT NULL, delivery_id TEXT NOT NULL,
    bounced_at {instant} NOT NULL,
    CONSTRAINT pk_soft_bounces PRIMARY KEY (channel, address_hash, delivery_id)
);
CREATE INDEX ix_soft_bounces_bounced_at ON soft_bounces (bounced_at);

CREATE TABLE provider_events (
    event_hash TEXT NOT NULL, seen_at {instant} NOT NULL,
    CONSTRAINT pk_provider_events PRIMARY KEY (event_hash)
);
CREATE INDEX ix_provider_events_seen_at ON provider_events (seen_at);

CREATE TABLE api_keys (
    id TEXT NOT NULL, digest TEXT NOT NULL, scopes TEXT NOT NULL, scenarios TEXT, rate FLOAT,
    note TEXT NOT NULL, created_at {instant} NOT NULL, created_by TEXT NOT NULL, expires_at {instant},
    revoked_at {instant},
    CONSTRAINT pk_api_keys PRIMARY KEY (id)
);

CREATE TABLE key_holders (
    process TEXT NOT NULL, keys TEXT NOT NULL, expires_at {instant} NOT NULL,
    CONSTRAINT pk_key_holders PRIMARY KEY (process)
);

CREATE TABLE sessions (
    digest TEXT NOT NULL, key_id TEXT NOT NULL, ends_at {instant} NOT NULL,
    CONSTRAINT pk_sessions PRIMARY KEY (digest)
);
CREATE INDEX ix_sessions_ends_at ON sessions (ends_at);

CREATE TABLE api_answers (
    key_id TEXT NOT NULL, idempotency_key TEXT NOT NULL, digest TEXT NOT NULL, requested_at {instant} NOT NULL,
    started_at {instant} NOT NULL, renewed_at {instant} NOT NULL, status INTEGER, answer TEXT,
    CONSTRAINT pk_api_answers PRIMARY KEY (key_id, idempotency_key)
);
CREATE INDEX ix_api_answers_requested_at ON api_answers (requested_at);

CREATE TABLE passages (
    scenario TEXT NOT NULL, version INTEGER NOT NULL, step TEXT NOT NULL, outcome TEXT NOT NULL,
    hour {instant} NOT NULL, total INTEGER NOT NULL,
    CONSTRAINT pk_passages PRIMARY KEY (scenario, version, hour, step, outcome)
);
CREATE INDEX ix_passages_hour ON passages (hour);

CREATE TABLE operations (
    id TEXT NOT NULL, verb TEXT NOT NULL, request TEXT NOT NULL, operator TEXT NOT NULL, reason TEXT NOT NULL,
    created_at {instant} NOT NULL, surveyed_at {instant}, ended_at {instant}, outcome TEXT, trouble TEXT,
    stopped_by TEXT, stop_reason TEXT,
    CONSTRAINT pk_operations PRIMARY KEY (id)
);
CREATE INDEX ix_operations_created_at ON operations (created_at);
CREATE INDEX ix_operations_open ON operations (created_at) WHERE ended_at IS NULL;

CREATE TABLE operation_items (
    operation_id TEXT NOT NULL, number INTEGER NOT NULL, workflow_id TEXT NOT NULL, step TEXT, outcome TEXT,
    reason TEXT, answered_at {instant},
    CONSTRAINT pk_operation_items PRIMARY KEY (operation_id, workflow_id)
);
CREATE INDEX ix_operation_items_operation_id_number_workflow_id ON operation_items (operation_id, number, workflow_id);
CREATE INDEX ix_operation_items_to_do ON operation_items (operation_id, number, workflow_id) WHERE outcome IS NULL;

CREATE TABLE campaigns (
    name TEXT NOT NULL, scenario TEXT NOT NULL, version INTEGER NOT NULL, audience TEXT NOT NULL, file TEXT NOT NULL,
    digest TEXT NOT NULL, encoding TEXT, accept INTEGER NOT NULL, survey TEXT, rate FLOAT NOT NULL,
    operator TEXT NOT NULL, created_at {instant} NOT NULL, starts_at {instant}, local_start TEXT, loaded_at {instant},
    confirmed_at {instant}, paused_by TEXT, pause_reason TEXT, ended_at {instant}, outcome TEXT, trouble TEXT,
    stopped_by TEXT, stop_reason TEXT, gear TEXT NOT NULL, gear_reason TEXT NOT NULL,
    destination TEXT NOT NULL, progressed_at {instant},
    CONSTRAINT pk_campaigns PRIMARY KEY (name)
);
CREATE INDEX ix_campaigns_created_at ON campaigns (created_at);
CREATE INDEX ix_campaigns_open ON campaigns (created_at) WHERE ended_at IS NULL;

CREATE TABLE campaign_items (
    campaign TEXT NOT NULL, line INTEGER NOT NULL, place INTEGER, due_at {instant}, contact_id TEXT NOT NULL,
    journey TEXT, entry TEXT, outcome TEXT, reason TEXT, answered_at {instant}, marked INTEGER DEFAULT '0' NOT NULL,
    CONSTRAINT pk_campaign_items PRIMARY KEY (campaign, line)
);
CREATE INDEX ix_campaign_items_campaign_due_at_place ON campaign_items (campaign, due_at, place);
CREATE INDEX ix_campaign_items_campaign_outcome_line ON campaign_items (campaign, outcome, line);
CREATE INDEX ix_campaign_items_contact_id_campaign ON campaign_items (contact_id, campaign);

CREATE TABLE audiences (
    id TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, digest TEXT NOT NULL, bytes BIGINT NOT NULL,
    parts INTEGER NOT NULL, created_at {instant} NOT NULL, completed_at {instant},
    CONSTRAINT pk_audiences PRIMARY KEY (id)
);
CREATE INDEX ix_audiences_created_at ON audiences (created_at);
CREATE INDEX ix_audiences_owner_name_created_at ON audiences (owner, name, created_at);

CREATE TABLE audience_parts (
    audience TEXT NOT NULL, number INTEGER NOT NULL, content TEXT NOT NULL,
    CONSTRAINT pk_audience_parts PRIMARY KEY (audience, number)
);

CREATE TABLE audience_memberships (
    id TEXT NOT NULL, destination TEXT NOT NULL, audience TEXT NOT NULL, contact_id TEXT NOT NULL,
    wanted INTEGER NOT NULL, wanted_at {instant} NOT NULL, member TEXT NOT NULL, digest TEXT NOT NULL,
    is_member INTEGER NOT NULL, email TEXT, phone TEXT, sent_member TEXT, sent_digest TEXT, sent_email TEXT,
    sent_phone TEXT, batch TEXT, refused TEXT, erased TEXT,
    CONSTRAINT pk_audience_memberships PRIMARY KEY (id),
    CONSTRAINT uq_audience_memberships_destination_audience_contact_id UNIQUE (destination, audience, contact_id)
);
CREATE INDEX ix_audience_memberships_contact_id ON audience_memberships (contact_id);
CREATE INDEX ix_audience_memberships_erased ON audience_memberships (erased) WHERE erased IS NOT NULL;
CREATE INDEX ix_audience_memberships_batch ON audience_memberships (batch) WHERE batch IS NOT NULL;
CREATE INDEX ix_audience_memberships_differing ON audience_memberships (destination, audience)
    WHERE (batch IS NOT NULL OR (refused IS NULL AND (is_member <> wanted OR digest <> sent_digest)));
CREATE INDEX ix_audience_memberships_refused ON audience_memberships (wanted_at) WHERE refused IS NOT NULL;
CREATE INDEX ix_audience_memberships_no_member ON audience_memberships (wanted_at) WHERE is_member = 0;
CREATE INDEX ix_audience_memberships_email ON audience_memberships (destination, audience, email)
    WHERE email IS NOT NULL;
CREATE INDEX ix_audience_memberships_phone ON audience_memberships (destination, audience, phone)
    WHERE phone IS NOT NULL;

CREATE TABLE audience_syncs (
    destination TEXT NOT NULL, audience TEXT NOT NULL, synced_at {instant}, unnamed INTEGER NOT NULL, trouble TEXT,
    held_at {instant},
    CONSTRAINT pk_audience_syncs PRIMARY KEY (destination, audience)
);

CREATE TABLE batches (
    id TEXT NOT NULL, scenario TEXT NOT NULL, version INTEGER NOT NULL, step TEXT NOT NULL, delivery_id TEXT NOT NULL,
    places INTEGER NOT NULL, size INTEGER NOT NULL, created_at {instant} NOT NULL, due_at {instant} NOT NULL,
    started_at {instant}, closed_at {instant}, frozen_at {instant}, ended_at {instant}, outcome TEXT,
    CONSTRAINT pk_batches PRIMARY KEY (id)
);
CREATE UNIQUE INDEX ix_batches_open ON batches (scenario, version, step) WHERE closed_at IS NULL;
CREATE INDEX ix_batches_unended ON batches (created_at) WHERE ended_at IS NULL;
CREATE INDEX ix_batches_created_at ON batches (created_at);

CREATE TABLE batch_items (
    delivery_id TEXT NOT NULL, batch TEXT NOT NULL, position INTEGER NOT NULL, contact_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL, waiting_run TEXT, data TEXT, joined_at {instant} NOT NULL, deferred INTEGER NOT NULL,
    outcome TEXT, reason TEXT, status INTEGER, answered_at {instant},
    CONSTRAINT pk_batch_items PRIMARY KEY (delivery_id),
    CONSTRAINT uq_batch_items_batch_position UNIQUE (batch, position)
);
CREATE INDEX ix_batch_items_contact_id ON batch_items (contact_id);
CREATE INDEX ix_batch_items_workflow_id ON batch_items (workflow_id);

CREATE TABLE contact_keys (
    key_id TEXT NOT NULL, owner TEXT NOT NULL, wrapped_key TEXT NOT NULL, created_at {instant} NOT NULL,
    destroyed_at {instant},
    CONSTRAINT pk_contact_keys PRIMARY KEY (key_id),
    CONSTRAINT uq_contact_keys_owner UNIQUE (owner)
);

CREATE TABLE leases (
    name TEXT NOT NULL, holder TEXT NOT NULL, expires_at {instant} NOT NULL,
    CONSTRAINT pk_leases PRIMARY KEY (name)
);

CREATE TABLE queue_shards (
    queue TEXT NOT NULL, most INTEGER NOT NULL,
    CONSTRAINT pk_queue_shards PRIMARY KEY (queue)
);

CREATE TABLE erasures (
    id TEXT NOT NULL, contact_hash TEXT NOT NULL, contact_id TEXT, operator TEXT NOT NULL,
    reason TEXT NOT NULL, encrypted INTEGER NOT NULL, before INTEGER NOT NULL, requested_at {instant} NOT NULL,
    state TEXT NOT NULL, ended INTEGER NOT NULL, histories INTEGER NOT NULL, remaining INTEGER NOT NULL,
    rows TEXT NOT NULL, sent_to TEXT, trouble TEXT, confirmed_at {instant}, finished_at {instant},
    CONSTRAINT pk_erasures PRIMARY KEY (id)
);
CREATE INDEX ix_erasures_requested_at_id ON erasures (requested_at, id);
CREATE UNIQUE INDEX ix_erasures_open ON erasures (contact_hash) WHERE finished_at IS NULL;

CREATE TABLE erasure_runs (
    erasure_id TEXT NOT NULL, workflow_id TEXT NOT NULL, run_id TEXT NOT NULL, running INTEGER NOT NULL,
    gone INTEGER NOT NULL,
    CONSTRAINT pk_erasure_runs PRIMARY KEY (erasure_id, workflow_id, run_id)
);

CREATE TABLE outgoing_types (
    type TEXT NOT NULL,
    CONSTRAINT pk_outgoing_types PRIMARY KEY (type)
);

CREATE TABLE outgoing_events (
    number {serial}, position BIGINT, id TEXT NOT NULL, type TEXT NOT NULL, at {instant} NOT NULL,
    recorded_at {instant} NOT NULL, subject TEXT NOT NULL, scenario TEXT, contact_id TEXT, data TEXT NOT NULL
);
CREATE INDEX ix_outgoing_events_position ON outgoing_events (position);
CREATE INDEX ix_outgoing_events_contact_id ON outgoing_events (contact_id);
CREATE INDEX ix_outgoing_events_recorded_at ON outgoing_events (recorded_at);
CREATE INDEX ix_outgoing_events_unnumbered ON outgoing_events (number) WHERE position IS NULL;

CREATE TABLE outgoing_cursors (
    name TEXT NOT NULL, position BIGINT NOT NULL,
    CONSTRAINT pk_outgoing_cursors PRIMARY KEY (name)
);

CREATE TABLE outgoing_sends (
    subscription TEXT NOT NULL, position BIGINT NOT NULL, subject TEXT NOT NULL, attempts INTEGER NOT NULL,
    next_try_at {instant} NOT NULL, reason TEXT, held_at {instant}, recorded_at {instant} NOT NULL,
    CONSTRAINT pk_outgoing_sends PRIMARY KEY (subscription, position)
);
CREATE INDEX ix_outgoing_sends_subscription_subject_position ON outgoing_sends (subscription, subject, position);
CREATE INDEX ix_outgoing_sends_recorded_at ON outgoing_sends (recorded_at);

CREATE TABLE destination_pauses (
    destination TEXT NOT NULL, paused_at {instant} NOT NULL,
    CONSTRAINT pk_destination_pauses PRIMARY KEY (destination)
);

CREATE TABLE namespace_claims (
    namespace TEXT NOT NULL, token TEXT NOT NULL, claim TEXT NOT NULL,
    CONSTRAINT pk_namespace_claims PRIMARY KEY (namespace)
);
"""


def upgrade(op: Operations) -> None:
    """Make all tables, indexes and triggers."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    instant = "TIMESTAMP WITH TIME ZONE" if is_postgresql else "DATETIME"
    serial = (
        "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"
        if is_postgresql
        else "INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL"
    )
    for statement in _TABLES.replace("{instant}", instant).replace("{serial}", serial).split(";\n"):
        if statement.strip():
            op.execute(statement)
    if is_postgresql:
        op.execute(_CLAIMS_IN_TURN)
    for statement in outgoing_triggers(is_postgresql=is_postgresql):
        op.execute(statement)
