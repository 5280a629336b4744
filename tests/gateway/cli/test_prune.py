"""Deleting what is old from the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runtime.store import AdmissionRequest, Attempt, Store
from runtime.store.retention import PrunedBatch, PruningJob
from tests.gateway.cli.conftest import Run, Stored

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def filled(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with three attempts, and a journey that may come in once only."""

    async def fill(store: Store) -> None:
        await store.publish("once", {"entry": {"again": "never"}}, {}, "digest")
        asking = AdmissionRequest("once", 1, "7", None, "once/7", "run", "never", NOW - 900 * DAY)
        await store.admit(asking)
        await store.depart("once/7", "run", "finished", None, NOW - 899 * DAY)
        await store.record(
            [
                Attempt(
                    *(f"msg_{days}", 1, "once/7", "run", "once", 1, "hook", "webhook", "wax", "7"),
                    *(NOW - days * DAY, 12, "delivered", 200),
                    response="thanks",
                )
                for days in (200, 100, 10)
            ]
        )

    stored(fill)
    monkeypatch.delenv("SCENARIO_RETENTION", raising=False)


def attempts(stored: Stored) -> list[str]:
    return [f"{item.delivery_id} {item.response}" for item in stored(lambda store: store.deliveries())]


def test_it_deletes_what_is_older_and_says_what_remains(run: Run, stored: Stored):
    ran = run("prune", "--deliveries", "180d", "--responses", "30d", "--entries", "2y")
    assert (ran.status, ran.out) == (0, "deleted 1 deliveries, 1 responses\n")
    assert ran.err.splitlines() == [
        "scenario: once keeps all its entries: a version of it says 'again: never'",
        "scenario: the space of deleted rows is used again, and its bytes remain in the files until VACUUM "
        "(SQLite), or autovacuum and VACUUM FULL (PostgreSQL)",
    ]
    assert attempts(stored) == ["msg_100 None", "msg_10 thanks"]
    ran = run("prune", "--deliveries", "180d")
    assert (ran.status, ran.out, ran.err) == (0, "nothing is old enough\n", "")


def test_a_dry_run_deletes_nothing(run: Run, stored: Stored):
    ran = run("prune", "--deliveries", "12w", "--dry-run")
    assert (ran.status, ran.out, ran.err) == (0, "2 deliveries: nothing was deleted\n", "")
    assert len(attempts(stored)) == 3


def test_without_ages_it_takes_those_of_the_setting(run: Run, stored: Stored, monkeypatch: pytest.MonkeyPatch):
    assert run("prune").out == "nothing is old enough\n"
    monkeypatch.setenv("SCENARIO_RETENTION", "responses=30d")
    told = run("prune", "--format", "json").json
    assert (told["rows"], told["dry_run"], told["finished"], told["kept"]) == ({"responses": 2}, False, True, [])
    assert "VACUUM" in told["vacuum"]
    assert attempts(stored) == ["msg_200 None", "msg_100 None", "msg_10 thanks"]


def test_without_a_store_there_is_nothing_to_tell(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCENARIO_STORE", "sqlite:///none.db")
    ran = run("prune", "--format", "json")
    assert (ran.status, ran.out, "there is no store at" in ran.err) == (1, "", True)


def test_ctrl_c_stops_it_and_what_is_gone_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, stored: Stored):
    delete_some = Store.delete_some

    async def interrupted(self: Store, job: PruningJob, since: datetime) -> PrunedBatch:
        if job.table == "responses":
            raise KeyboardInterrupt
        return await delete_some(self, job, since)

    monkeypatch.setattr(Store, "delete_some", interrupted)
    ran = run("prune", "--deliveries", "180d", "--responses", "30d")
    assert (ran.status, ran.out) == (130, "deleted 1 deliveries\n")
    assert ran.err == "scenario: stopped: run it again to go on\n"
    monkeypatch.setattr(Store, "delete_some", delete_some)
    assert run("prune", "--deliveries", "180d", "--responses", "30d").out == "deleted 1 responses\n"
    assert len(attempts(stored)) == 2
