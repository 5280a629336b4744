"""Commands about the store: its tables, keys, what is old in it, held events, and its comparison with Temporal."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from gateway.reconcile.reconcile import Discrepancy, Kind, MissingVersion, Reconciliation
from gateway.terminal import local
from runtime.api_keys import ApiKey, parse_token
from runtime.store import Store
from runtime.store.migrations import HEAD
from runtime.store.retention import PrunedBatch, PruningJob
from tests.factories import admission_request, attempt, present
from tests.fakes import Ran
from tests.gateway.cli.conftest import Client, Run, Stored
from tests.gateway.service.test_outgoing import NOW as MOMENT
from tests.gateway.service.test_outgoing import held
from tests.runtime.store.test_batches import BATCH, item
from tests.runtime.store.test_batches import NOW as JOINED
from tests.runtime.store.test_memberships import VIP, membership

AT = datetime(2026, 3, 31, 8, tzinfo=UTC)
LEFT = Discrepancy(kind=Kind.LOST, id="wishes/9/K9", run="r1", store="running")
LOST = LEFT.model_copy(update={"repaired": True})
UNADMITTED = Discrepancy(kind=Kind.UNADMITTED, id="wishes/8/K8", run="r2", store="acknowledged", repaired=True)
UNREADABLE = Discrepancy(kind=Kind.UNKNOWN, id="wishes/7/K7", run="r3", temporal="running", trouble="it is unreadable")
COMPARED = (
    "compared 1,204 running journeys of the store, 1,200 of Temporal's namespace default, and 3 that have ended there "
    f"since {local(AT)}\n"
)


class Comparison:
    """A comparison with the result that a test gives."""

    def __init__(self) -> None:
        self.found: list[Discrepancy] = []
        self.result = Reconciliation(
            namespace="default",
            repair=False,
            since=AT,
            running_in_store=1204,
            running_in_temporal=1200,
            ended_in_temporal=3,
        )
        self.given: dict[str, Any] = {}

    def __call__(self, _: Any, **given: Any) -> "Comparison":
        self.given = given
        self.result.repair = given["repair"]
        return self

    async def run(self) -> Reconciliation:
        for finding in self.found:
            self.given["found"](finding)
            self.result.add(finding)
        return self.result


@pytest.fixture
def comparison(client: Client, monkeypatch: pytest.MonkeyPatch) -> Comparison:
    made = Comparison()
    monkeypatch.setattr("gateway.reconcile.reconcile.Reconciler", made)
    return made


def test_sides_that_agree_are_one_line(run: Run, comparison: Comparison):
    ran = run("store", "reconcile", "--since", AT.isoformat(), "--rate", 5)
    assert (ran.status, ran.out, ran.err) == (0, f"{COMPARED}nothing differs\n", "")
    assert (comparison.given["since"], comparison.given["rate"], comparison.given["repair"]) == (AT, 5, False)


def test_differences_are_counted_and_nothing_is_changed(run: Run, comparison: Comparison):
    comparison.found = [LEFT, LEFT]
    comparison.result.missing_versions = [MissingVersion(version="wishes@4", journeys=12)]
    ran = run("store", "reconcile")
    assert ran.status == 1
    assert ran.out == (
        f"{COMPARED}2 journeys that run in the store, and that Temporal does not have\n"
        "wishes@4 is not in the store, and 12 journeys follow it: publish it again\n"
    )
    assert ran.err.startswith("scenario: nothing was changed: --repair repairs what differs\n")


def test_a_repair_lists_what_needs_somebody(run: Run, comparison: Comparison):
    comparison.found = [LOST, LEFT, UNADMITTED, UNREADABLE]
    ran = run("store", "reconcile", "--repair")
    assert ran.status == 1
    assert ran.out == (
        "unadmitted: wishes/8/K8: acknowledged in the store, none in Temporal\n"
        "unknown: wishes/7/K7: it is unreadable\n"
        f"{COMPARED}1 acknowledged entries that Temporal has lost: forgotten: send them again\n"
        "2 journeys that run in the store, and that Temporal does not have: 1 ended as 'lost'\n"
        "1 journeys that Temporal has, and the store does not\n"
    )
    assert ran.err.startswith("scenario: 2 were not repaired: each is listed with the reason\n")


def test_a_repair_of_everything_succeeds_and_lists_it_on_request(run: Run, comparison: Comparison):
    comparison.found = [LOST]
    ran = run("store", "reconcile", "--repair", "--verbose")
    assert (ran.status, ran.out.splitlines()[0]) == (0, "lost: wishes/9/K9: running in the store, none in Temporal")


def test_json_is_one_object_a_line(run: Run, comparison: Comparison):
    comparison.found = [LOST, UNREADABLE]
    ran = run("store", "reconcile", "--format", "json")
    *found, result = map(json.loads, ran.out.splitlines())
    assert ran.status == 1
    assert found == [LOST.model_dump(mode="json"), UNREADABLE.model_dump(mode="json")]
    assert result["counts"] == {"lost": 1, "unknown": 1}
    assert "suppressions" in "".join(result["not_compared"])


def test_it_makes_the_tables_and_does_nothing_the_second_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "store.db"
    monkeypatch.setenv("SCENARIO_STORE", f"sqlite:///{file}")
    for _ in range(2):
        assert run("store", "upgrade") == Ran(0, f"the store {file} has the tables of this release\n", "")
    with create_engine(f"sqlite:///{file}").connect() as connection:
        assert connection.execute(text("SELECT version_num FROM scenario_store_version")).scalar() == HEAD


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
    first, _ = stored(lambda store: held(store, "7", "8"))
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


def cells(printed: str) -> list[list[str]]:
    """Return the rows of a printed table, without its heading and its line."""
    return [[cell.strip() for cell in row.split("   ") if cell.strip()] for row in printed.splitlines()[2:]]


def test_subscriptions_and_the_feed_are_printed(run: Run, stored: Stored):
    first, second = stored(lambda store: held(store, "7", "8"))
    [row] = cells(run("outgoing", "list").out)
    assert row == ["crm", "held", "2", "0", "0", "0", local(MOMENT), "crm answered 422"]
    shown = run("outgoing", "show", "crm").out
    assert "  held: 2, failing: 0, waiting: 0, behind: 0\n" in shown
    assert [row[0] for row in cells(shown)[-2:]] == [first, second]
    assert [json.loads(line)["id"] for line in run("feed").out.splitlines()] == [first, second]


def test_audiences_are_printed(run: Run, stored: Stored):
    async def changed(store: Store) -> None:
        for contact in ("a", "b", "c"):
            await store.record_membership(membership(contact))
        await store.freeze_audience_batch(*VIP, "1", 2)
        await store.refuse_members("add-1", ["id-b"], "bad_hash")
        await store.settle_audience_batch("add-1")
        await store.record_audience_trouble(*VIP, "the terms are not accepted", JOINED)

    stored(changed)
    assert cells(run("audience", "list").out) == [["vip", "meta", "held", "1", "1", "1", "the terms are not accepted"]]
    said = "vip at meta: held\n  members: 1, changes that wait: 1\n  refused (bad_hash): 1\n"
    assert run("audience", "show", "vip") == Ran(0, said, "scenario: the terms are not accepted\n")
    again = run("audience", "retry", "vip", "--reason", "accepted", "--operator", "ann")
    assert again.out == "vip at meta: waiting\n  members: 1, changes that wait: 2\n"
    assert again.err == "scenario: ann (terminal) has it sent again: accepted\n"


def test_batch_calls_are_printed(run: Run, stored: Stored):
    async def sent(store: Store) -> None:
        await store.open_batch(BATCH)
        for number in (1, 2):
            await store.join_batch(item(number))
        await store.freeze_batch(BATCH.id, JOINED)
        await store.record_item_outcomes(BATCH.id, "refused", JOINED, positions=[2], reason="unknown", status=207)

    stored(sent)
    times = local(JOINED), local(BATCH.due_at)
    assert cells(run("batch", "list").out) == [["batch-1", "sync@2", "crm", "sending", "1 pending, 1 refused", *times]]
    shown = run("batch", "show", "batch-1").out
    assert shown.startswith("batch-1: sync@2, crm, sending\n  1 pending, 1 refused; delivery msg_b\n")
    assert cells(shown)[-2:] == [["1", "c1", "sync/c1", "pending"], ["2", "c2", "sync/c2", "refused", "207", "unknown"]]
    [refused] = run("batch", "show", "batch-1", "--outcome", "refused", "--format", "json").json["items"]
    assert (refused["contact"], refused["status"], refused["reason"]) == ("c2", 207, "unknown")
