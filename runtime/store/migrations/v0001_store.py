"""The store's tables, and the triggers that report their rows as outgoing events and hand changes to the journal.

Both are written in the transaction that writes the row, by whatever statement. Without anybody who wants its type, an
event is not stored.

Until the first release, the tables are those of the `metadata` in `runtime.store.schema`. For the release, write out
their statements here, as `sqlalchemy.create_mock_engine` prints them: the schema changes later, and this migration
must not.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic.operations import Operations
from sqlalchemy.schema import CreateIndex, CreateTable

from runtime.store.schema import metadata

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
            SELECT 1 FROM deliveries d
            WHERE d.delivery_id = c.delivery_id AND d.outcome IN ('delivered', 'refused_answer', 'unknown')
        ));
END
$$
"""

_REPORT: Final = """
INSERT INTO outgoing_events (id, type, at, recorded_at, subject, scenario, contact_id, data)
SELECT {id}, {type}, {at}, {now}, {subject}, {scenario}, {contact}, {data}
WHERE EXISTS (SELECT 1 FROM outgoing_types WHERE type = {type}) AND ({condition});
"""


def _report(
    type_: str,
    at: str,
    *data: str,
    subject: str = "NEW.workflow_id",
    scenario: str = "NEW.scenario",
    contact: str = "NEW.contact_id",
    condition: str = "1 = 1",
) -> str:
    """Return the statement that reports a row. `data` are the columns that the event repeats."""
    named = ", ".join(f"'{name}', NEW.{name}" for name in data)
    given = {"type": type_, "at": at, "subject": subject, "scenario": scenario, "contact": contact}
    return _REPORT.format(**given, condition=condition, id="{id}", now="{now}", data=f"{{object}}({named}){{as_text}}")


_ENDED: Final = _report("'journey.ended'", "NEW.ended_at", "version", "outcome", condition="NEW.ended_at IS NOT NULL")
_RECOVERED: Final = """
DELETE FROM destination_pauses
WHERE destination = NEW.destination AND paused_at < NEW.started_at AND NEW.outcome = 'delivered';
"""
_OF_CAMPAIGN: Final = {"subject": "NEW.name", "contact": "NULL"}
_OF_DESTINATION: Final = {"scenario": "NULL", "contact": "NULL"}
_JOURNAL: Final = """
INSERT INTO journal_outbox (id, kind, recorded_at, data) SELECT {id}, '{kind}', {now}, {data}
WHERE NOT EXISTS (SELECT 1 FROM journal_state WHERE behind = 1);
"""


def _journaled(kind: str, id_: str = "{id}", row: str = "NEW", **data: str) -> str:
    """Return the statement that hands a change to the journal. `data` are columns by their names in the journal."""
    named = ", ".join(f"'{name}', {row}.{column}" for name, column in data.items())
    return _JOURNAL.format(id=id_, kind=kind, now="{now}", data=f"{{object}}({named}){{as_text}}")


_ADDRESS: Final = {"channel": "channel", "address": "address_hash", "scope": "scope", "source": "source"}
_TRIGGERS: Final = {
    "entry_journaled": ("DELETE ON journal_outbox", "1 = 1", "UPDATE journal_state SET position = position + 1;"),
    "contact_erased": ("INSERT ON erasures", "1 = 1", _journaled("erased", id_="NEW.id", contact="contact_hash")),
    "address_suppressed": (
        "INSERT ON suppressions",
        "NEW.imported = 0",
        _journaled("suppressed", **_ADDRESS, suppressed_at="suppressed_at"),
    ),
    "address_unsuppressed": ("DELETE ON suppressions", "1 = 1", _journaled("unsuppressed", row="OLD", **_ADDRESS)),
    "scenario_closed": (
        "INSERT ON closed_scenarios",
        "1 = 1",
        _journaled("closed", scenario="scenario", closed_at="closed_at"),
    ),
    "scenario_opened": ("DELETE ON closed_scenarios", "1 = 1", _journaled("opened", row="OLD", scenario="scenario")),
    # A campaign may withdraw an entry that it has admitted, and admit it again.
    "entries_inserted": (
        "INSERT ON entries",
        "1 = 1",
        _report(
            "'journey.entered'",
            "NEW.admitted_at",
            "version",
            "trigger",
            condition="COALESCE(NEW.root, '') <> NEW.run_id OR NOT EXISTS (SELECT 1 FROM outgoing_events WHERE "
            "contact_id = NEW.contact_id AND subject = NEW.workflow_id AND type = 'journey.entered')",
        )
        + _ENDED,
    ),
    # Also if a later report of the journey's end differs.
    "entries_ended": (
        "UPDATE OF ended_at, outcome ON entries",
        "NEW.ended_at IS NOT NULL AND (OLD.ended_at IS NULL OR COALESCE(OLD.outcome, '') <> COALESCE(NEW.outcome, ''))",
        _ENDED,
    ),
    "entries_reached": (
        "UPDATE OF reached_at ON entries",
        "OLD.reached_at IS NULL AND NEW.reached_at IS NOT NULL",
        _report("'goal.reached'", "NEW.reached_at", "version"),
    ),
    # Neither test messages nor the request of a batch call, which has its own id in the place of a contact's.
    "deliveries_inserted": (
        "INSERT ON deliveries",
        "NEW.test_by IS NULL AND NEW.contact_id <> NEW.workflow_id AND NEW.contact_id NOT LIKE 'erased:%' AND "
        "(NEW.outcome IN ('delivered', 'failed', 'refused_answer', 'skipped')"
        " OR NEW.outcome IN ('retry', 'unknown') AND NEW.next_try_at IS NULL)",
        _report(
            "(CASE NEW.outcome WHEN 'delivered' THEN 'delivery.delivered' WHEN 'skipped' THEN 'delivery.skipped' "
            "ELSE 'delivery.failed' END)",
            "NEW.started_at",
            *("version", "step", "channel", "destination", "delivery_id", "attempt", "outcome", "status", "error"),
            # A worker may be lost after it has sent a message, which is then sent again under the same id.
            condition="NEW.outcome <> 'delivered' OR NOT EXISTS (SELECT 1 FROM deliveries WHERE "
            "delivery_id = NEW.delivery_id AND outcome = 'delivered' "
            "AND NOT (attempt = NEW.attempt AND started_at = NEW.started_at))",
        )
        + _RECOVERED,
    ),
    "campaigns_started": (
        "UPDATE OF progressed_at ON campaigns",
        "OLD.progressed_at IS NULL AND NEW.progressed_at IS NOT NULL",
        _report("'campaign.started'", "NEW.progressed_at", "version", "gear", **_OF_CAMPAIGN),
    ),
    "campaigns_ended": (
        "UPDATE OF ended_at ON campaigns",
        "OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL AND NEW.confirmed_at IS NOT NULL",
        _report("'campaign.finished'", "NEW.ended_at", "version", "outcome", **_OF_CAMPAIGN),
    ),
    "campaign_items_refused": (
        "UPDATE OF outcome ON campaign_items",
        "NEW.outcome = 'refused' AND COALESCE(OLD.outcome, '') <> 'refused' AND NEW.journey IS NOT NULL",
        _report(
            "'journey.refused'",
            "NEW.answered_at",
            "campaign",
            subject="NEW.journey",
            scenario="(SELECT scenario FROM campaigns WHERE name = NEW.campaign)",
        ),
    ),
    "destination_paused": (
        "INSERT ON destination_pauses",
        "1 = 1",
        _report("'destination.paused'", "NEW.paused_at", subject="NEW.destination", **_OF_DESTINATION),
    ),
    "destination_recovered": (
        "DELETE ON destination_pauses",
        "1 = 1",
        _report("'destination.recovered'", "{now}", subject="OLD.destination", **_OF_DESTINATION),
    ),
}
"""The triggers, by name: the event of a table, its condition, and the statements."""
_POSTGRESQL: Final = {
    "id": "replace(CAST(gen_random_uuid() AS text), '-', '')",
    "now": "clock_timestamp()",
    "object": "CAST(json_build_object",
    "as_text": " AS text)",
}
_SQLITE: Final = {
    "id": "lower(hex(randomblob(16)))",
    "now": "strftime('%Y-%m-%d %H:%M:%f000', 'now')",
    "object": "json_object",
    "as_text": "",
}


def upgrade(op: Operations) -> None:
    """Make all tables, indexes and triggers."""
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for table in metadata.sorted_tables:
        op.execute(CreateTable(table))
        for index in sorted(table.indexes, key=_order):
            op.execute(CreateIndex(index))
    if is_postgresql:
        op.execute(_CLAIMS_IN_TURN)
    words = _POSTGRESQL if is_postgresql else _SQLITE
    for name, (event, when, body) in _TRIGGERS.items():
        # Twice: `at` may be `now`.
        work = f"BEGIN {body.format(**words).format(**words)}"
        trigger = f"CREATE TRIGGER {name} AFTER {event} FOR EACH ROW WHEN ({when})"
        if is_postgresql:
            op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ {work} RETURN NULL; END $$")
            op.execute(f"{trigger} EXECUTE FUNCTION {name}()")
        else:
            op.execute(f"{trigger} {work} END")


def _order(index: sa.Index) -> tuple[bool, int, str]:
    # Of two indexes that serve alike, SQLite uses the newer: a partial one, or the one with more columns.
    return index.dialect_options["sqlite"]["where"] is not None, len(index.columns), str(index.name)
