"""The commands that make the store's tables and that compare it with Temporal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from gateway.cli import session
from gateway.reconcile.reconcile import Discrepancy, Kind, MissingVersion, Reconciliation
from gateway.terminal import local
from runtime.store import Store
from runtime.store.migrations import HEAD
from tests.gateway.cli.conftest import Run

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

    def __call__(self, _: Any, **given: Any) -> Comparison:
        self.given = given
        self.result.repair = given["repair"]
        return self

    async def run(self) -> Reconciliation:
        for finding in self.found:
            self.given["found"](finding)
            self.result.add(finding)
        return self.result


@pytest.fixture
def comparison(monkeypatch: pytest.MonkeyPatch) -> Comparison:
    made = Comparison()
    monkeypatch.setattr(session, "connected", connected)
    monkeypatch.setattr("gateway.reconcile.reconcile.Reconciler", made)
    return made


@asynccontextmanager
async def connected() -> AsyncGenerator[None]:
    yield


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


def revision(file: Path) -> str:
    engine = create_engine(f"sqlite:///{file}")
    try:
        with engine.connect() as connection:
            return str(connection.execute(text("SELECT version_num FROM scenario_store_version")).scalar())
    finally:
        engine.dispose()


def test_it_makes_the_tables_and_does_nothing_the_second_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "store.db"
    monkeypatch.setenv("SCENARIO_STORE", f"sqlite:///{file}")
    for _ in range(2):
        ran = run("store", "upgrade")
        assert (ran.status, ran.out, ran.err) == (0, f"the store {file} has the tables of this release\n", "")
    assert revision(file) == HEAD

    async def look() -> list[object]:
        async with Store.open(f"sqlite:///{file}", migrate=False) as store:
            return list(await store.scenarios())

    assert asyncio.run(look()) == []


def test_a_database_that_is_away_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCENARIO_STORE", "postgresql://user:s3cr3t@127.0.0.1:1/scenario")
    ran = run("store", "upgrade")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("scenario: the store 127.0.0.1:1/scenario cannot be used now (nothing listens there)")
    assert "s3cr3t" not in ran.err
