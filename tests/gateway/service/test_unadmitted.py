"""A search for journeys that no worker has admitted: asked only while tasks wait, and together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from temporalio.api.workflowservice.v1 import DescribeTaskQueueResponse
from temporalio.service import RPCError, RPCStatusCode

from gateway.service import unadmitted
from gateway.service.unadmitted import UnadmittedSearch
from tests.gateway.search import NOW, Search

UNAVAILABLE = RPCError("away", RPCStatusCode.UNAVAILABLE, b"")


@dataclass
class Temporal(Search):
    """A server with so many tasks that wait; None: it does not say."""

    backlog: int | RPCError | None = 1
    looks: int = 0

    @property
    def workflow_service(self) -> Any:
        return self

    async def describe_task_queue(self, *_: Any, **__: Any) -> DescribeTaskQueueResponse:
        self.looks += 1
        if isinstance(self.backlog, RPCError):
            raise self.backlog
        answer = DescribeTaskQueueResponse()
        if self.backlog is not None:
            answer.stats.approximate_backlog_count = self.backlog
        return answer


def searching(temporal: Temporal) -> UnadmittedSearch:
    return UnadmittedSearch(temporal.client)


@pytest.mark.parametrize(("backlog", "searched"), [(0, False), (1, True), (None, True), (UNAVAILABLE, True)])
async def test_it_searches_unless_no_task_waits(backlog: int | RPCError | None, searched: bool) -> None:
    temporal = Temporal(backlog=backlog)
    temporal.add("sale/7", ContactId="7")
    found = await searching(temporal).of("7")
    assert [(one.workflow_id, one.run_id, one.accepted_at) for one in found] == (
        [("sale/7", "r9", NOW)] if searched else []
    )


async def test_it_asks_for_all_contacts_at_once_and_looks_for_waiting_tasks_once() -> None:
    temporal = Temporal()
    for number in range(120):
        temporal.add(f"sale/{number}", ContactId=str(number))
    search = searching(temporal)
    found = await asyncio.gather(*(search.of(str(number)) for number in (*range(120), 119, 999)))
    assert [one.workflow_id for some in found for one in some] == [f"sale/{number}" for number in (*range(120), 119)]
    assert len(temporal.queries) == 3, "fifty in one search"
    assert temporal.looks == 1


async def test_it_searches_for_no_id_that_a_workflow_cannot_have() -> None:
    temporal = Temporal()
    for contact in ("", "a\0b", "x" * 1001):
        assert await searching(temporal).of(contact) == []
    assert (temporal.looks, temporal.queries) == (0, [])


async def test_searches_keep_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unadmitted, "APART", 0.2)
    temporal, clock = Temporal(), asyncio.get_running_loop()
    search, began = searching(temporal), clock.time()
    for contact in "789":
        await search.of(contact)
    assert clock.time() - began >= 0.4


async def test_what_was_known_holds_while_the_server_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unadmitted, "FRESH", 0.0)
    temporal = Temporal(backlog=0, error=RPCStatusCode.UNAVAILABLE)
    search = searching(temporal)
    assert await search.of("7") == []
    temporal.backlog = UNAVAILABLE
    assert await search.of("7") == []
    monkeypatch.setattr(unadmitted, "STALE", 0.0)
    with pytest.raises(RPCError):
        await search.of("7")


async def test_a_server_without_search_finds_nothing() -> None:
    temporal = Temporal(error=RPCStatusCode.UNIMPLEMENTED)
    assert await searching(temporal).of("7") == []


async def test_it_may_be_closed_while_somebody_waits() -> None:
    temporal = Temporal()
    search = searching(temporal)
    await search.of("7")
    waiting = asyncio.create_task(search.of("8"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await search.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(temporal.queries) == 1
