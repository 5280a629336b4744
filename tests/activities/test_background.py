"""What a worker does beside its tasks: it counts steps of running journeys, and keeps the schedule of retention."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from temporalio.service import RPCError, RPCStatusCode

from activities import retention
from activities.interface import CompletedStep, CompletedSteps
from activities.passages import PassageWriter
from activities.retention import SCHEDULE, keep_schedule
from runtime.encryption.codec import contact_of
from runtime.errors import StoreUnavailable
from runtime.store import Passage, Store

NOW = "2026-03-03T10:00:00+00:00"


class Counts:
    def __init__(self) -> None:
        self.counted: list[tuple[str, list[str]]] = []
        self.away = False

    async def count_passages(self, journey: str, _run: str, _first: int, passed: Sequence[Passage], **_: Any) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.counted.append((journey, [one.step for one in passed]))


def report(journey: str, *steps: str) -> CompletedSteps:
    passed = [CompletedStep(version=1, step=step, outcome="waited", at=NOW) for step in steps]
    return CompletedSteps(workflow_id=journey, run_id="r", passed=passed, now=NOW)


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def writer(counts: Counts) -> PassageWriter:
    return PassageWriter(cast("Store", counts))


async def test_the_latest_report_of_a_journey_is_counted_unless_it_departs_first(
    writer: PassageWriter, counts: Counts
) -> None:
    for one in (report("a/1", "x"), report("a/2", "x"), report("a/1", "x", "y")):
        writer.put(one)
    await writer.flush(after=60)
    assert counts.counted == []
    writer.withdraw(report("a/2"))
    await writer.flush()
    await writer.flush()
    assert counts.counted == [("a/1", ["x", "y"])]


async def test_reports_wait_for_a_store_that_is_away_and_are_bounded(writer: PassageWriter, counts: Counts) -> None:
    writer.room, counts.away = 1, True
    writer.put(report("a/1", "x"))
    with pytest.raises(StoreUnavailable):
        await writer.flush()
    writer.put(report("a/2", "x"))
    counts.away = False
    await writer.flush()
    assert counts.counted == [("a/1", ["x"])]


async def test_a_worker_counts_by_itself_and_what_is_pending_when_it_stops(
    writer: PassageWriter, counts: Counts
) -> None:
    writer.after = 0.0
    async with writer, asyncio.timeout(60):
        writer.put(report("a/1", "x"))
        while not counts.counted:
            await asyncio.sleep(0.01)
        writer.after = 60.0
        writer.put(report("a/2", "x"))
    assert counts.counted == [("a/1", ["x"]), ("a/2", ["x"])]


class Refusing:
    def __init__(self, status: RPCStatusCode | None) -> None:
        self._status = status

    async def create_schedule(self, *_: Any) -> None:
        if self._status is None:
            await asyncio.Event().wait()
        raise RPCError("no", self._status or RPCStatusCode.OK, b"")

    def get_schedule_handle(self, _: str) -> Refusing:
        return self

    delete = create_schedule


async def kept_of(caplog: pytest.LogCaptureFixture, retention: str | None, status: RPCStatusCode | None) -> list[str]:
    await keep_schedule(cast("Any", Refusing(status)), retention)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("status", [RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED])
async def test_a_worker_that_may_not_says_so_and_goes_on(
    caplog: pytest.LogCaptureFixture, status: RPCStatusCode
) -> None:
    assert await kept_of(caplog, "entries=2y", status) == [
        f"the schedule scenario-retention is not kept: the Temporal server refused it ({status.name}); "
        "have 'scenario prune' run by other means"
    ]


async def test_a_server_that_does_not_answer_is_not_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_PATIENCE", 0.01)
    [line] = await kept_of(caplog, "entries=2y", None)
    assert "the Temporal server did not answer within 0.01 s" in line


async def test_where_none_is_wanted_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert await kept_of(caplog, None, RPCStatusCode.PERMISSION_DENIED) == []
    assert contact_of(f"{SCHEDULE}-2026-11-27T02:41:07Z") is None, "its workflows are encrypted by no contact's key"
