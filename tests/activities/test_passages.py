"""Counts of running journeys' steps in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from activities.interface import CompletedStep, CompletedSteps
from activities.passages import PassageWriter
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
