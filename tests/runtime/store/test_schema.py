from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from runtime.store import AdmissionRequest, Claim, Store, StoredEntry
from runtime.store.store import connect
from scenario.policies.caps import Cap
from tests.runtime.store.conftest import Server

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
ASKING = AdmissionRequest("welcome", 1, "7", "A1", "welcome/7/A1", "run-1", "when_finished", NOW)
LAST = StoredEntry("welcome/7/A1", "run-1", "welcome", 1, "7", "A1", 1, "order", NOW, None, None, None)
PLACE = (NOW, 1, "msg_1")
CLAIM = Claim("msg_1", "7", "sms", "", "welcome", NOW)
CAPS = [Cap(name="week", at_most=4, per=timedelta(days=7)), Cap(name="sms", channels=("sms",), at_most=1, per="day")]

Statement = tuple[str, Any]


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        yield store


@pytest.fixture
def statements(file: Store) -> Iterator[list[Statement]]:
    """What is sent to the database, as it is sent."""
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
    (lambda store: store.running("7", "welcome"), "(contact_id=? AND scenario=?)"),
    (lambda store: store.knows("7"), "(contact_id=?)"),
    (lambda store: store.entry("welcome/7/A1"), "(workflow_id=?)"),
    (lambda store: store.entry_after(LAST), "(workflow_id=?)"),
    (lambda store: store.admitted([("welcome/7/A1", "run-1"), ("b", "c")]), "(workflow_id=? AND run_id=?)"),
    (lambda store: store.under_way(["welcome/7/A1", "b"]), "(workflow_id=?)"),
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
    (lambda store: store.deliveries(scenarios=["a", "b"], after=PLACE), "ix_deliveries_started_at (started_at<?)"),
    (lambda store: store.attempted("a", since=NOW), "(scenario=? AND started_at>?)"),
    (lambda store: store.trying_again("a", since=NOW), "(scenario=? AND started_at>?)"),
    (lambda store: store.passed("a", NOW), "(scenario=?)"),
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
        lambda store: store.to_do("op", after=(3, "a")),
        "ix_operation_items_to_do (operation=? AND (number,workflow_id)>(?,?))",
    ),
    (lambda store: store.items("op", after=(3, "a")), "(operation=? AND (number,workflow_id)>(?,?))"),
    (lambda store: store.answered("op", "a", "accepted", None, NOW), "(operation=? AND workflow_id=?)"),
    (lambda store: store.item_counts(["op"]), "(operation=?)"),
]


@pytest.mark.parametrize(("ask", "index"), QUESTIONS)
async def test_a_question_is_answered_from_an_index(
    ask: Callable[[Store], Awaitable[object]], index: str, file: Store, statements: list[Statement], tmp_path: Path
) -> None:
    await file.admit(ASKING)  # so that the next admission takes the long way
    await file.claim(CLAIM, CAPS, UTC)  # and the next claim
    statements.clear()
    await ask(file)
    sent = list(statements)

    def plans(connection: Connection) -> list[str]:
        return [
            row.detail
            for sql, parameters in sent
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)
        ]

    database = connect(f"sqlite:///{tmp_path}/store.db")
    found = await database.inspect(plans)
    await database.close()
    scans = [step for step in found if step.startswith("SCAN")]
    assert [step for step in scans if step != "SCAN CONSTANT ROW" and not step.endswith(" VALUES CLAUSE")] == []
    assert any(index in step for step in found), found


async def test_a_first_entry_and_its_end_cost_one_statement_each(file: Store, statements: list[Statement]) -> None:
    await file.admit(ASKING)
    assert len(statements) == 1
    await file.depart("welcome/7/A1", "run-1", "finished", None, NOW)
    assert len(statements) == 2


async def test_a_place_under_caps_costs_one_statement(file: Store, statements: list[Statement]) -> None:
    await file.claim(CLAIM, CAPS, UTC)
    assert len(statements) == 1


RARE: list[tuple[Callable[[Store], Awaitable[object]], str]] = [
    (lambda store: store.entries(scenario="rare"), "ix_entries_scenario_admitted_at"),
    (lambda store: store.entries(running=True, scenario="rare"), "ix_entries_"),
    (lambda store: store.entries(running=True), "ix_entries_under_way"),
    (lambda store: store.deliveries(outcome="unknown"), "ix_deliveries_outcome_started_at"),
    (lambda store: store.deliveries(scenario="rare"), "ix_deliveries_scenario_started_at"),
    (lambda store: store.admitted([("a/7", "r7"), ("a/9", "r0")]), "pk_entries"),
    (lambda store: store.under_way(["a/7", "a/9"]), "entries"),
    (lambda store: store.entries(contact_id="7", scenario="a"), "uq_entries_"),
]


@pytest.fixture
async def crowd(postgresql_url: str, postgresql: Server) -> AsyncIterator[Store]:
    """A store in PostgreSQL in which what is asked for is rare."""
    async with Store.open(postgresql_url) as store:
        with postgresql.connect() as connection:
            connection.execute(f"SET search_path = {postgresql_url.rpartition('%3D')[2]}".encode())
            connection.execute(
                b"INSERT INTO entries SELECT 'a/' || n, 'r' || n, CASE n % 1000 WHEN 0 THEN 'rare' ELSE 'a' END, 1, n, "
                b"'', 1, 'order', now() - n * interval '1 s', CASE n % 500 WHEN 7 THEN NULL ELSE now() END "
                b"FROM generate_series(1, 5000) n"
            )
            connection.execute(
                b"INSERT INTO deliveries SELECT 'msg_' || n, 1, now() - n * interval '1 s', 'a/' || n, 'r' || n, 'a', "
                b"1, 'hook', 'webhook', 'wax', n, 12, CASE n % 1000 WHEN 0 THEN 'unknown' ELSE 'delivered' END "
                b"FROM generate_series(1, 5000) n"
            )
            connection.execute(b"ANALYZE entries, deliveries")
        yield store


async def test_what_is_rare_is_found_by_an_index_in_postgresql(crowd: Store, postgresql_url: str) -> None:
    sent: list[Statement] = []

    def note(_connection: Connection, _cursor: object, sql: str, parameters: Any, *_: object) -> None:
        sent.append((sql, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        for ask, _ in RARE:
            await ask(crowd)
    finally:
        event.remove(Engine, "before_cursor_execute", note)

    def plans(connection: Connection) -> list[str]:
        explained = [connection.exec_driver_sql(f"EXPLAIN {sql}", parameters) for sql, parameters in sent]
        return ["\n".join(row[0] for row in rows) for rows in explained]

    database = connect(postgresql_url)
    found = await database.inspect(plans)
    await database.close()
    for (_, index), plan in zip(RARE, found, strict=True):
        assert index in plan, plan
        assert "Seq Scan" not in plan, plan
