"""Whether many that were started came in: the store tells of the admitted, the server of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse
from temporalio.client import Client

from gateway.errors import JourneyFailed, NotEntered
from gateway.service.entries import AdmissionWatch, Entered
from runtime.store import AdmissionRequest, Store, StoreUnavailable
from tests.gateway.search import NOW


class Server:
    """Stands in for Temporal: journeys run until it is said how they ended."""

    def __init__(self) -> None:
        self.results: dict[str, Any] = {}
        self.asked: list[str] = []
        self.namespace = "default"
        self.workflow_service = SimpleNamespace(describe_workflow_execution=self.describe)

    async def describe(self, request: DescribeWorkflowExecutionRequest, **_: Any) -> DescribeWorkflowExecutionResponse:
        name = request.execution.workflow_id
        self.asked.append(name)
        status = WorkflowExecutionStatus.Value(
            f"WORKFLOW_EXECUTION_STATUS_{'COMPLETED' if name in self.results else 'RUNNING'}"
        )
        return DescribeWorkflowExecutionResponse(workflow_execution_info=WorkflowExecutionInfo(status=status))

    def entered(self, name: str) -> Entered:
        async def result() -> Any:
            return self.results[name]

        return Entered(name, "r1", already=False, handle=cast("Any", SimpleNamespace(result=result)))

    def refuse(self, names: Iterable[str]) -> None:
        self.results |= {name: {"outcome": "refused", "reason": f"not {name}"} for name in names}


def watching(server: Server, store: Store, silence: float = 60) -> AdmissionWatch:
    return AdmissionWatch(cast("Client", server), store, first_look=0.001, look=0.001, silence=silence)


async def admit(store: Store, name: str) -> None:
    await store.admit(AdmissionRequest("a", 3, name.partition("/")[2], None, name, "r1", "always", NOW, "order"))


async def told(watch: AdmissionWatch, server: Server, names: Iterable[str]) -> list[Any]:
    return await asyncio.gather(*(watch.known(server.entered(name)) for name in names), return_exceptions=True)


async def test_those_who_are_admitted_cost_the_server_nothing_and_others_are_told_why(store: Store) -> None:
    server = Server()
    names = [f"a/{number}" for number in range(60)]
    for name in names:
        await admit(store, name)
    watch = watching(server, store)
    assert await told(watch, server, names) == [True] * 60
    assert server.asked == []
    names = [f"b/{number}" for number in range(60)]
    server.refuse(names)
    answers = await told(watch, server, names)
    assert [str(answer) for answer in answers if isinstance(answer, NotEntered)] == [f"not {name}" for name in names]


async def test_one_that_was_refused_is_told_while_others_still_come_in(store: Store) -> None:
    """Its turn was before theirs; and those whose turn has not come are not asked about."""
    server = Server()
    server.refuse(["a/0"])
    names = [f"a/{number}" for number in range(400)]
    admitted = names[1:300]
    watch = watching(server, store)
    answers = asyncio.create_task(told(watch, server, names))
    for name in admitted:
        await admit(store, name)
    while "a/0" not in server.asked:
        await asyncio.sleep(0.001)
    for name in names[300:]:
        await admit(store, name)
    first, *rest = await answers
    assert isinstance(first, NotEntered)
    assert rest == [True] * 399


async def test_those_that_are_stuck_stand_in_nobodys_way(store: Store) -> None:
    server = Server()
    names = [f"a/{number}" for number in range(200)]
    server.refuse(names[60:])
    for name in names[40:60]:
        await admit(store, name)
    watch = watching(server, store)
    async with asyncio.timeout(60):
        answers = [asyncio.create_task(watch.known(server.entered(name))) for name in names]
        _, pending = await asyncio.wait(answers, timeout=0.01)
        while len(pending) > 40:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        assert pending == set(answers[:40])
        for stuck in pending:
            stuck.cancel()


async def test_what_a_slow_worker_says_late_counts(store: Store) -> None:
    server = Server()
    watch = watching(server, store)
    answers = asyncio.create_task(told(watch, server, ["a/0", "a/1"]))
    while not server.asked:  # nobody has looked at them yet
        await asyncio.sleep(0.001)
    await admit(store, "a/0")
    server.refuse(["a/1"])
    first, second = await answers
    assert (first, str(second)) == (True, "not a/1")


async def test_one_that_is_over_already_or_has_failed_is_known_and_without_news_none_is(store: Store) -> None:
    server = Server()
    watch = watching(server, store, silence=0.02)
    assert await told(watch, server, ["a/0", "a/1"]) == [False, False]
    server.results["a/0"] = {"outcome": "finished"}

    async def fails() -> Any:
        raise JourneyFailed("the journey a/1 failed: x")

    assert await watch.known(server.entered("a/0")) is True
    server.results["a/1"] = {}
    failed = SimpleNamespace(id="a/1", run_id="r1", verdict=fails)
    with pytest.raises(JourneyFailed, match="a/1 failed: x"):
        await watch.known(cast("Entered", failed))


async def test_a_store_that_is_gone_concerns_all_and_those_who_come_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> Any:
        raise StoreUnavailable("the store is gone")

    monkeypatch.setattr(store, "admitted", gone)
    server = Server()
    watch = watching(server, store)
    answers = await told(watch, server, ["a/0", "a/1"])
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 2
    with pytest.raises(StoreUnavailable):
        await watch.known(server.entered("a/2"))
