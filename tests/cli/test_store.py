"""Commands about the store: its tables, keys, what is old in it, held events, and its comparison with Temporal."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runtime.api_keys import ApiKey, parse_token
from runtime.store import Store
from runtime.store.migrations import HEAD
from runtime.store.retention import PrunedBatch, PruningJob
from tests.cli.conftest import Run, Stored
from tests.cli.test_printed import hold_audience
from tests.factories import admission_request, attempt, present
from tests.fakes import Ran
from tests.service.test_outgoing import held


def test_it_makes_the_tables_and_does_nothing_the_second_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "store.db"
    monkeypatch.setenv("SCENARIO_STORE", f"sqlite:///{file}")
    for _ in range(2):
        assert run("store", "upgrade") == Ran(0, f"the store {file} has the tables of this release\n", "")
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version_num FROM scenario_store_version").fetchone() == (HEAD,)


def test_a_database_that_is_away_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCENARIO_STORE", "postgresql://user:s3cr3t@127.0.0.1:1/scenario")
    ran = run("store", "upgrade")
    assert (ran.status, ran.out, "s3cr3t" in ran.err) == (1, "", False)
    assert ran.err.startswith("scenario: the store 127.0.0.1:1/scenario cannot be used now (nothing listens there)")


@pytest.fixture
def empty(stored: Stored) -> None:
    stored(lambda store: store.scenarios())


def kept(stored: Stored, identifier: str) -> ApiKey:
    return present(stored(lambda store: store.key(identifier)))


@pytest.mark.usefixtures("empty")
def test_a_key_is_alone_on_the_output_and_its_secret_is_not_kept(run: Run, stored: Stored, tmp_path: Path):
    begun = datetime.now(UTC)
    ran = run(
        *("keys", "create", "--scope", "enter", "--scope", "events", "--scope", "enter", "--scenario", "sale"),
        *("--expires", "90d", "--rate", "500/s", "--note", "the engine"),
    )
    identifier, secret = present(parse_token(ran.out.removesuffix("\n")))
    assert ran.err == f"key {identifier} is shown this once: keep it where secrets are kept\n"
    key = kept(stored, identifier)
    assert key.fits(secret)
    assert (key.scopes, key.scenarios, key.rate, key.note) == (["enter", "events"], ["sale"], 500.0, "the engine")
    assert timedelta(days=90) <= present(key.expires_at) - begun < timedelta(days=90, minutes=5)
    for path in tmp_path.glob("store.db*"):
        assert secret.encode() not in path.read_bytes()


@pytest.mark.usefixtures("empty", "paris")
def test_a_key_is_by_default_for_all_scenarios_and_may_end_on_a_date(run: Run, stored: Stored):
    for options, ends in (((), None), (("--expires", "2036-03-31"), datetime(2036, 3, 30, 22, tzinfo=UTC))):
        key = kept(stored, run("keys", "create", "--scope", "read", *options).out.split("_")[1])
        assert (key.scenarios, key.rate, key.expires_at, key.note) == (None, None, ends, "")


@pytest.mark.usefixtures("empty")
def test_they_are_listed_with_what_became_of_them(run: Run, stored: Stored):
    token = run("keys", "create", "--scope", "read").out.strip()
    first, second = token.split("_")[1], run("keys", "create", "--scope", "operate").out.split("_")[1]
    assert run("keys", "revoke", token).out == f"key {first} is revoked\n"
    assert run("keys", "revoke", first).out == f"key {first} was revoked already\n"
    states = {item["id"]: item["state"] for item in run("keys", "list", "--format", "json").json}
    assert states == {first: "revoked", second: "good"}


NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def filled(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with three attempts, and a journey that may come in once only."""

    async def fill(store: Store) -> None:
        await store.publish("once", {"entry": {"again": "never"}}, {}, "digest")
        await store.admit(admission_request("7", "once", run_id="run", again="never", now=NOW - 900 * DAY))
        await store.depart("once/7", "run", "finished", None, NOW - 899 * DAY)
        await store.record(
            [
                attempt(f"msg_{days}", started_at=NOW - days * DAY, status=200, response="thanks")
                for days in (200, 100, 10)
            ]
        )

    stored(fill)
    monkeypatch.delenv("SCENARIO_RETENTION", raising=False)


def attempts(stored: Stored) -> list[str]:
    return [f"{item.delivery_id} {item.response}" for item in stored(lambda store: store.deliveries())]


@pytest.mark.usefixtures("filled")
def test_it_deletes_what_is_older_and_says_what_remains(run: Run, stored: Stored):
    ran = run("prune", "--deliveries", "180d", "--responses", "30d", "--entries", "2y")
    assert (ran.status, ran.out) == (0, "deleted 1 deliveries, 1 responses\n")
    assert ran.err.splitlines() == [
        "scenario: once keeps all its entries: a version of it says 'again: never'",
        "scenario: the space of deleted rows is used again, and its bytes remain in the files until VACUUM "
        "(SQLite), or autovacuum and VACUUM FULL (PostgreSQL)",
    ]
    assert attempts(stored) == ["msg_100 None", "msg_10 thanks"]
    assert run("prune", "--deliveries", "180d") == Ran(0, "nothing is old enough\n", "")


@pytest.mark.usefixtures("filled")
def test_a_dry_run_deletes_nothing(run: Run, stored: Stored):
    assert run("prune", "--deliveries", "12w", "--dry-run") == Ran(0, "2 deliveries: nothing was deleted\n", "")
    assert len(attempts(stored)) == 3


@pytest.mark.usefixtures("filled")
def test_without_ages_it_takes_those_of_the_setting(run: Run, stored: Stored, monkeypatch: pytest.MonkeyPatch):
    assert run("prune").out == "nothing is old enough\n"
    monkeypatch.setenv("SCENARIO_RETENTION", "responses=30d")
    told = run("prune", "--format", "json").json
    assert (told["rows"], told["dry_run"], told["finished"], told["kept"]) == ({"responses": 2}, False, True, [])
    assert "VACUUM" in told["vacuum"]
    assert attempts(stored) == ["msg_200 None", "msg_100 None", "msg_10 thanks"]


@pytest.mark.usefixtures("filled")
def test_ctrl_c_stops_it_and_what_is_gone_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, stored: Stored):
    delete_some = Store.delete_some

    async def interrupted(self: Store, job: PruningJob, since: datetime) -> PrunedBatch:
        if job.table == "responses":
            raise KeyboardInterrupt
        return await delete_some(self, job, since)

    monkeypatch.setattr(Store, "delete_some", interrupted)
    ran = run("prune", "--deliveries", "180d", "--responses", "30d")
    assert ran == Ran(130, "deleted 1 deliveries\n", "scenario: stopped: run it again to go on\n")
    monkeypatch.setattr(Store, "delete_some", delete_some)
    assert run("prune", "--deliveries", "180d", "--responses", "30d").out == "deleted 1 responses\n"
    assert len(attempts(stored)) == 2


def test_operations_on_held_events_name_the_operator_and_a_reason(run: Run, stored: Stored):
    first, second = stored(lambda store: held(store, "7", "8"))
    assert [json.loads(line)["id"] for line in run("feed").out.splitlines()] == [first, second]
    assert "--reason" in run("outgoing", "retry", "crm").err
    why = ("--reason", "it is repaired", "--operator", "ann")
    assert run("outgoing", "skip", "crm", "--event", first, *why).out == "1 event skipped\n"
    assert run("outgoing", "retry", "crm", *why).out == "1 event sent again\n"
    assert run("outgoing", "replay", "crm", "--after", "0", *why).out.startswith("crm gets the last 2 events")
    assert run("outgoing", "list", "--format", "json").json[0]["behind"] == 2
    assert run("outgoing", "forget", "crm", *why).out == "crm is forgotten, with 2 pending events\n"
    found = stored(lambda store: store.stored_operations())
    assert [(one.verb, one.operator) for one in found] == [
        (verb, "ann (terminal)") for verb in ("forget", "replay", "retry", "skip")
    ]


def test_an_audience_is_sent_again(run: Run, stored: Stored):
    stored(hold_audience)
    again = run("audience", "retry", "vip", "--reason", "accepted", "--operator", "ann")
    assert again.out == "vip at meta: waiting\n  members: 1, changes that wait: 2\n"
    assert again.err == "scenario: ann (terminal) has it sent again: accepted\n"
