from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, timedelta
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from runtime.api_keys import ApiKey
from runtime.store import AcceptedEntry, NamespaceClaim, Passage, Store, connect
from runtime.store.api_access import ClaimedRequest
from runtime.store.campaign_lines import LineEnd, StoredAudience
from runtime.store.campaigns import CampaignItem
from runtime.store.contact_keys import WrappedKey
from runtime.store.retention import PruningJob
from runtime.store.schema import metadata
from scenario.policies.caps import Cap
from tests.factories import NOW, admission_request, cap_claim, stored_campaign, stored_entry, stored_operation
from tests.fakes import ERASURE
from tests.runtime.store.conftest import Server

ASKING = admission_request(key="A1", again="when_finished")
LAST = stored_entry(key="A1")
PLACE = (NOW, 1, "msg_1")
PASSED = Passage(1, "mail", "delivered", NOW)
OPERATION = stored_operation()
CAMPAIGN = stored_campaign(scenario="a")
CLAIM = cap_claim()
CAPS = [Cap(name="week", at_most=4, per=timedelta(days=7)), Cap(name="sms", channels=("sms",), at_most=1, per="day")]

ABOUT: dict[str, Any] = {"subject": "a/7", "scenario": "a", "contact_id": "7", "data": {}}

Statement = tuple[str, Any]


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        yield store


@pytest.fixture
def statements(file: Store) -> Iterator[list[Statement]]:
    sent: list[Statement] = []

    def note(_connection: Connection, _cursor: object, sql: str, parameters: Any, *_: object) -> None:
        sent.append((sql, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    yield sent
    event.remove(Engine, "before_cursor_execute", note)


QUESTIONS: list[tuple[Callable[[Store], Awaitable[object]], str]] = [
    (lambda store: store.newest("welcome"), "(scenario=?)"),
    (lambda store: store.version("welcome", 1), "(scenario=? AND version=?)"),
    (lambda store: store.publish("welcome", {}, {}, "digest"), "(scenario=? AND digest=?)"),
    (lambda store: store.admit(ASKING), "(workflow_id=? AND run_id=?)"),
    (lambda store: store.admit(ASKING), "(contact_id=? AND scenario=? AND key=?"),
    (lambda store: store.depart("welcome/7/A1", "run-1", "finished", None, NOW), "(workflow_id=? AND run_id=?)"),
    (lambda store: store.running("7"), "(contact_id=?)"),
    (lambda store: store.running_by_use("7", "click"), "(contact_id=?)"),
    (lambda store: store.running_by_use("7", "click"), "(scenario=? AND version=?)"),
    (lambda store: store.expect_earlier("welcome/7/A1", "run-1"), "(workflow_id=? AND run_id=?)"),
    (lambda store: store.has_entered("7"), "(contact_id=?)"),
    (lambda store: store.entry("welcome/7/A1"), "(workflow_id=?)"),
    (lambda store: store.entry_after(LAST), "(workflow_id=?)"),
    (lambda store: store.admitted([("welcome/7/A1", "run-1"), ("b", "c")]), "(workflow_id=? AND run_id=?)"),
    (lambda store: store.find_running(["welcome/7/A1", "b"]), "(workflow_id=?)"),
    (lambda store: store.entries(contact_id="7"), "(contact_id=?)"),
    (lambda store: store.entries(contact_id="7", scenario="welcome"), "(contact_id=?)"),
    (lambda store: store.entries(contact_id="7", running=True), "(contact_id=?)"),
    (lambda store: store.entries(since=NOW), "(admitted_at>?)"),
    (lambda store: store.entries(running=True, after=LAST), "ix_entries_under_way (admitted_at<?)"),
    (lambda store: store.entries(scenario="rare"), "ix_entries_scenario_admitted_at (scenario=?)"),
    (lambda store: store.entries(scenario="rare", since=NOW), "(scenario=? AND admitted_at>?)"),
    (lambda store: store.deliveries("welcome/7/A1"), "(workflow_id=?)"),
    (lambda store: store.deliveries("a", since=NOW, before=NOW), "(workflow_id=? AND started_at>? AND started_at<?)"),
    (lambda store: store.deliveries(delivery_id="msg_1"), "(delivery_id=?)"),
    (lambda store: store.deliveries(destination="mail", since=NOW), "(destination=? AND started_at>?)"),
    (lambda store: store.deliveries(contact_id="7", channel="sms", since=NOW), "(contact_id=? AND started_at>?)"),
    (lambda store: store.deliveries(since=NOW), "(started_at>?)"),
    (lambda store: store.deliveries(scenario="a", after=PLACE), "(scenario=? AND started_at<?)"),
    (lambda store: store.deliveries(scenario="a", contact_id="7"), "(contact_id=?)"),
    (lambda store: store.deliveries("welcome/7/A1", scenario="a"), "(workflow_id=?)"),
    (lambda store: store.deliveries(scenario="a", destination="wax"), "(destination=?)"),
    (lambda store: store.deliveries(scenario="a", outcome="unknown"), "ix_deliveries_outcome_started_at (outcome=?)"),
    (
        lambda store: store.deliveries(scenarios=["a", "b"], since=NOW - timedelta(days=7), after=PLACE),
        "ix_deliveries_started_at (started_at>? AND started_at<?)",
    ),
    (lambda store: store.attempt_counts("a", since=NOW), "(scenario=? AND started_at>?)"),
    (lambda store: store.passage_counts("a", NOW), "(scenario=?)"),
    (lambda store: store.deliveries(outcome="unknown"), "ix_deliveries_outcome_started_at (outcome=?)"),
    (lambda store: store.deliveries(after=PLACE), "(started_at<?)"),
    (lambda store: store.deliveries(outcome="retry", after=PLACE), "(outcome=? AND started_at<?)"),
    (lambda store: store.between_attempts("wax", since=NOW), "(destination=? AND next_try_at>?)"),
    (lambda store: store.between_attempts("wax", since=NOW), "(delivery_id=?)"),
    (lambda store: store.between_attempts("wax", since=NOW), "(workflow_id=?)"),
    (lambda store: store.claim(CLAIM, CAPS, UTC), "(contact_id=? AND claimed_at>?)"),
    (lambda store: store.claim(CLAIM, CAPS, UTC), "(delivery_id=?)"),
    (lambda store: store.claims_of("7", NOW), "(contact_id=? AND claimed_at>?)"),
    (lambda store: store.keep("msg_1"), "(delivery_id=?)"),
    (lambda store: store.release("msg_1"), "(delivery_id=?)"),
    (
        lambda store: store.items("op", outcome="not_asked", after=(3, "a")),
        "ix_operation_items_to_do (operation_id=? AND (number,workflow_id)>(?,?))",
    ),
    (lambda store: store.items("op", after=(3, "a")), "(operation_id=? AND (number,workflow_id)>(?,?))"),
    (lambda store: store.record_answer("op", "a", "accepted", None, NOW), "(operation_id=? AND workflow_id=?)"),
    (lambda store: store.item_counts(["op"]), "(operation_id=?)"),
    (lambda store: store.campaign_chunk("sale", None, 3, 9), "(campaign=? AND due_at=? AND place>? AND place<?)"),
    (lambda store: store.campaign_chunk("sale", NOW, 3, 9), "(campaign=? AND due_at=? AND place>? AND place<?)"),
    (lambda store: store.campaign_groups("sale"), "(campaign=?)"),
    (lambda store: store.newest_audience("ann", "people.csv"), "(owner=? AND name=?)"),
    (lambda store: store.campaign_items("sale", outcome="refused", after=3), "(campaign=? AND outcome=? AND line>?)"),
    (lambda store: store.campaign_items("sale", after=3), "(campaign=? AND line>?)"),
    (lambda store: store.campaign_counts(["sale"]), "(campaign=?)"),
    (lambda store: store.campaign_journeys("sale", after=3, limit=9), "(campaign=? AND line>?)"),
    (lambda store: store.count_campaign_journeys("sale"), "(workflow_id=?)"),
    (
        lambda store: store.end_campaign_lines("sale", [LineEnd(3, "entered"), LineEnd(4, "entered")], NOW),
        "(campaign=? AND outcome=? AND line=?)",
    ),
    (lambda store: store.refuse_campaign_entry("sale", "7", "a/7/sale", "why", NOW), "(contact_id=? AND campaign=?)"),
    (lambda store: store.end_campaign("sale", "stopped", NOW), "(campaign=? AND outcome=?)"),
    (lambda store: store.end_campaign("sale", "stopped", NOW), "ix_entries_running (scenario=?)"),
    (lambda store: store.stored_campaigns(is_open=True, after=CAMPAIGN), "ix_campaigns_open"),
    (lambda store: store.entries(running=True, scenario="a"), "ix_entries_running (scenario=?)"),
    (lambda store: store.entries(running=True, scenario="a", version=2), "ix_entries_"),
    (lambda store: store.entries(scenario="a", version=2), "ix_entries_scenario_version_admitted_at (scenario=? AND v"),
    (lambda store: store.entries(outcome="lost"), "ix_entries_outcome_admitted_at (outcome=?)"),
    (lambda store: store.entries(outcome="lost", running=False, after=LAST), "(outcome=? AND admitted_at<?)"),
    (lambda store: store.deliveries(error="capped"), "ix_deliveries_error_started_at (error=?)"),
    (lambda store: store.outcomes(since=NOW), "(started_at>?)"),
    (lambda store: store.awaiting_retry(since=NOW, each=20), "ix_deliveries_"),
    (lambda store: store.journey_counts("a"), "(scenario=?)"),
    (lambda store: store.goal_counts("a", NOW), "(scenario=?)"),
    (lambda store: store.open_goals("7", NOW), "ix_entries_goal_open (contact_id=?)"),
    (lambda store: store.reach("welcome/7/A1", "run-1", NOW), "(workflow_id=? AND run_id=?)"),
    (lambda store: store.adopt("welcome/7/A1", "run-1", 2), "(workflow_id=? AND run_id=?)"),
    (lambda store: store.count_passages("welcome/7/A1", "run-1", 0, [PASSED]), "(workflow_id=? AND run_id=?)"),
    (lambda store: store.suppressed("email", ["hash"]), "(channel=? AND address_hash=?)"),
    (lambda store: store.suppressed("email", ["hash", "of another key"]), "(channel=? AND address_hash=?)"),
    (lambda store: store.suppressions(since=NOW), "(suppressed_at>?)"),
    (lambda store: store.record_soft_bounce("email", ["hash"], "msg_1", NOW), "(channel=? AND address_hash=?)"),
    (lambda store: store.known_provider_events(["hash"]), "(event_hash=?)"),
    (lambda store: store.sent_deliveries(["msg_1", "msg_2"]), "(delivery_id=?)"),
    (lambda store: store.prune_answers(NOW), "(requested_at<?)"),
    (lambda store: store.contact_key_of("hmac"), "(owner=?)"),
    (lambda store: store.destroyed(["hmac", "another"]), "(owner=?)"),
    (lambda store: store.contact_key("id"), "(key_id=?)"),
    (lambda store: store.wrapped_keys(), "(key_id>?)"),
    (lambda store: store.stored_operations(is_open=True, after=OPERATION), "ix_operations_open"),
    (lambda store: store.journeys_of("7"), "(contact_id=?)"),
    (lambda store: store.outgoing_events(7, types=["journey.held"]), "ix_outgoing_events_position (position>? AND"),
    (lambda store: store.report_event("journey.held", "e1", NOW, **ABOUT), "(contact_id=?)"),
    (lambda store: store.due_sends("crm", NOW, 9), "(subscription=? AND subject=? AND position<?)"),
    (lambda store: store.pending_subjects("crm", ["a/7"]), "(subscription=? AND subject=?)"),
    *(
        (methodcaller("delete_some", PruningJob(table, table, NOW, "a")), index)
        for table, index in {
            "responses": "ix_deliveries_answered (started_at>? AND started_at<?)",
            "deliveries": "ix_deliveries_started_at (started_at>? AND started_at<?)",
            "entries": "ix_entries_scenario_admitted_at (scenario=? AND admitted_at>? AND admitted_at<?)",
            "claims": "ix_claims_claimed_at (claimed_at>? AND claimed_at<?)",
            "soft_bounces": "ix_soft_bounces_bounced_at (bounced_at>? AND bounced_at<?)",
            "provider_events": "ix_provider_events_seen_at (seen_at>? AND seen_at<?)",
            "passages": "ix_passages_hour (hour>? AND hour<?)",
            "operation_items": "ix_operations_created_at (created_at<?)",
            "operations": "ix_operations_created_at (created_at>? AND created_at<?)",
            "campaign_items": "ix_campaigns_created_at (created_at<?)",
            "campaigns": "ix_campaigns_created_at (created_at>? AND created_at<?)",
            "answers": "ix_api_answers_requested_at (requested_at>? AND requested_at<?)",
            "events": "ix_outgoing_events_recorded_at (recorded_at>? AND recorded_at<?)",
        }.items()
    ),
]
"""What the program asks of tables that grow, and the index by which SQLite answers."""


async def test_a_question_is_answered_from_an_index(file: Store, statements: list[Statement], tmp_path: Path) -> None:
    """All of them in one store, whose making takes longer than they do."""

    def plans(connection: Connection) -> list[str]:
        return [
            row.detail
            for sql, parameters in sent
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)
        ]

    database, wrong = connect(f"sqlite:///{tmp_path}/store.db"), list[str]()
    for ask, index in QUESTIONS:
        await file.admit(ASKING)  # so that the next admission takes the long way
        await file.claim(CLAIM, CAPS, UTC)  # and the next claim
        statements.clear()
        await ask(file)
        sent = list(statements)
        found = await database.inspect(plans)
        whole = [step for step in found for name in metadata.tables if step.startswith(f"SCAN {name}")]
        if whole or not any(index in step for step in found):
            wrong.append(f"by {index}: {found}")
    await database.close()
    assert wrong == [], "\n".join(wrong)


async def test_an_entry_its_end_and_a_place_under_caps_cost_one_statement_each(
    file: Store, statements: list[Statement]
):
    await file.admit(ASKING)
    await file.depart("welcome/7/A1", "run-1", "finished", None, NOW)
    await file.claim(CLAIM, CAPS, UTC)
    assert len(statements) == 3


RARE: list[tuple[Callable[[Store], Awaitable[object]], str]] = [
    (lambda store: store.entries(scenario="rare"), "ix_entries_scenario_"),
    (lambda store: store.entries(running=True, scenario="rare"), "ix_entries_"),
    (lambda store: store.entries(running=True), "ix_entries_under_way"),
    (lambda store: store.deliveries(outcome="unknown"), "ix_deliveries_outcome_started_at"),
    (lambda store: store.deliveries(scenario="rare"), "ix_deliveries_scenario_started_at"),
    (lambda store: store.admitted([("a/7", "r7"), ("a/9", "r0")]), "pk_entries"),
    (lambda store: store.find_running(["a/7", "a/9"]), "entries"),
    (lambda store: store.entries(contact_id="7", scenario="a"), "uq_entries_"),
]


API_KEY = ApiKey("k", "digest", ["read"], ["a"], 1.5, "", NOW, "ann", None, None)
REQUEST = ClaimedRequest("k", "key", NOW, NOW)
WRAPPED = WrappedKey("k", "owner", "w", NOW)
NAMESPACE = NamespaceClaim("a", "", 1, "2026", "", "2026", "ann")
OTHERS: list[Callable[[Store], Awaitable[object]]] = [
    *map(methodcaller, ("closures", "keys", "counts", "version_summaries", "count_open_erasures", "has_claims")),
    methodcaller("add_key", API_KEY),
    methodcaller("begin_session", "a", "k", NOW, NOW),
    methodcaller("add_contact_key", WRAPPED),
    methodcaller("key_holders", NOW),
    methodcaller("add_operation", OPERATION),
    methodcaller("add_campaign", CAMPAIGN),
    methodcaller("add_campaign_items", "sale", [CampaignItem(line=3, contact_id="7")]),
    methodcaller("survey_campaign", "sale", {"lines": 9}),
    methodcaller("complete_campaign", "sale", NOW),
    methodcaller("schedule_campaign", "sale", NOW),
    methodcaller("withdraw_campaign", "sale"),
    methodcaller("add_audience", StoredAudience(id="a", name="p.csv", owner="ann", created_at=NOW)),
    methodcaller("add_audience_part", "a", 0, "text"),
    methodcaller("audience_part", "a", 0),
    methodcaller("delete_audience", "a"),
    methodcaller("delete_audiences", NOW),
    methodcaller("complete_audience", "a", "sha", 4, 1, NOW),
    methodcaller("pause_campaign", "sale", "ann", "look"),
    methodcaller("set_campaign_rate", "sale", 7.5),
    methodcaller("stored_campaign", "sale"),
    methodcaller("add_erasure", ERASURE),
    methodcaller("stored_erasures", is_open=True, after=ERASURE),
    methodcaller("open_erasures", 9),
    methodcaller("set_erasure_trouble", "e1", "no worker answers"),
    methodcaller("begin_clearing", "e1", {"entries": 1}),
    methodcaller("claim_namespace", "a", NAMESPACE, replace=True),
    methodcaller("claim_namespace", "a", NAMESPACE, replace=False),
    *(methodcaller(name, "a") for name in ("closure", "version_summaries", "key", "stored_operation")),
    methodcaller("has_open_erasure", "a"),
    methodcaller("key_of_session", "a", NOW),
    methodcaller("give_up_request", REQUEST),
    methodcaller("rewrap", "k", "w", "x"),
    methodcaller("destroy_contact_key", WRAPPED),
    methodcaller("has_entered", "7", ["welcome"]),
    methodcaller("reopen", "welcome/7", "run-1"),
    methodcaller("complete_survey", "op1", {}, NOW),
    methodcaller("set_operation_trouble", "op1", "no worker answers"),
    methodcaller("withdraw_operation", "op1"),
    methodcaller("finish_erasure", "e1", "0123", NOW),
    methodcaller("revoke_key", "k", NOW),
    methodcaller("end_session", "a"),
    methodcaller("wanted_events"),
    methodcaller("outgoing_cursor", "crm", 7),
    methodcaller("pending_counts", "crm"),
    methodcaller("held_sends", "crm"),
    methodcaller("drop_sends", "crm", [7]),
    methodcaller("forget_subscription", "crm"),
    methodcaller("pending_page", AcceptedEntry("welcome/7", "run-1", "7", NOW), 9),
]
"""Statements on small tables, or few of them, that PostgreSQL must understand too and that no other test runs there."""


LARGE = (
    *("entries", "deliveries", "claims", "passages", "operation_items"),
    *("soft_bounces", "suppressions", "contact_keys"),
)
CROWD = """
INSERT INTO entries SELECT 'c/' || n, 'r' || n, CASE n % 1000 WHEN 0 THEN 'rare' ELSE 'c' || n % 50 END, 1, n, '', 1,
    'order', {past}, CASE n % 500 WHEN 7 THEN NULL ELSE {past} END, 'finished' FROM generate_series(1, 3000) n;
INSERT INTO deliveries (delivery_id, attempt, started_at, workflow_id, run_id, scenario, version, step, channel,
    destination, contact_id, milliseconds, outcome, status, error, next_try_at, response)
    SELECT 'm' || n, 1, {past}, 'c/' || n, 'r' || n, 'c' || n % 50, 1, 'hook', 'webhook',
    'd' || n % 50, n, 12, CASE n % 1000 WHEN 0 THEN 'unknown' ELSE 'delivered' END, 200,
    CASE n % 1000 WHEN 0 THEN 'timeout' END, NULL, CASE n % 4 WHEN 0 THEN 'thanks' END FROM generate_series(1, 3000) n;
INSERT INTO claims SELECT 'm' || n, n, 'sms', '', 'c', {past}, 1 FROM generate_series(1, 3000) n;
INSERT INTO passages SELECT 'c' || n % 50, 1, 'mail', 'delivered', {past}, 7 FROM generate_series(1, 3000) n;
INSERT INTO operations SELECT n, 'skip', '{{}}', 'ann', 'why', {past}, {past}, {past} FROM generate_series(1, 1000) n;
INSERT INTO operation_items (operation_id, number, workflow_id)
    SELECT n % 1000, n, 'c/' || n FROM generate_series(1, 3000) n;
INSERT INTO soft_bounces SELECT 'email', n, 'm' || n, {past} FROM generate_series(1, 3000) n;
INSERT INTO suppressions SELECT 'email', n, 'unsub', {past}, '', '' FROM generate_series(1, 3000) n;
INSERT INTO contact_keys SELECT n, 'c' || n, 'wrapped', {past} FROM generate_series(1, 3000) n;
ANALYZE;
""".format(past="timestamptz '2026-03-28 00:00Z' - n * interval '1 h'")


@pytest.fixture
async def crowd(postgresql_url: str, postgresql: Server) -> AsyncIterator[Store]:
    """A store in PostgreSQL in which what is asked for is rare."""
    async with Store.open(postgresql_url) as store:
        with postgresql.connect() as connection:
            connection.execute(f"SET search_path = {postgresql_url.rpartition('%3D')[2]}; {CROWD}".encode())
        yield store


async def test_postgresql_finds_what_is_rare_by_an_index_and_understands_every_statement(
    crowd: Store, postgresql_url: str
) -> None:
    """None of the questions has it read a table that grows from its beginning to its end."""
    sent: list[Statement] = []

    def note(_connection: Connection, _cursor: object, sql: str, parameters: Any, *_: object) -> None:
        sent.append((sql, parameters))

    def plans(connection: Connection) -> list[str]:
        explained = [connection.exec_driver_sql(f"EXPLAIN {sql}", parameters) for sql, parameters in sent]
        return ["\n".join(row[0] for row in rows) for rows in explained]

    database, whole = connect(postgresql_url), list[str]()
    for ask, index in [*RARE, *((ask, "") for ask, _ in QUESTIONS)]:
        sent.clear()
        event.listen(Engine, "before_cursor_execute", note)
        try:
            await ask(crowd)
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        found = "\n".join(await database.inspect(plans))
        assert index in found, found
        whole += [found for name in LARGE if f"Seq Scan on {name}" in found]
    await database.close()
    assert whole == [], "\n\n".join(whole)
    for ask in OTHERS:
        await ask(crowd)
