"""Whether many that were started came in: the store tells of the admitted, the server of the others."""

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest, DescribeWorkflowExecutionResponse
from temporalio.client import Client

from gateway.errors import JourneyFailed, NotEntered
from gateway.service.entries import AdmissionWatch, Entered
from runtime.store import Store, StoreUnavailable
from tests.factories import admission_request


class Server:
    """Stands in for Temporal: journeys run until it is said how they ended."""

    namespace = "default"

    def __init__(self) -> None:
        self.results: dict[str, Any] = {}
        self.asked: list[str] = []
        self.workflow_service = SimpleNamespace(describe_workflow_execution=self.describe)

    async def describe(self, request: DescribeWorkflowExecutionRequest, **_: Any) -> DescribeWorkflowExecutionResponse:
        name = request.execution.workflow_id
        self.asked.append(name)
        status = f"WORKFLOW_EXECUTION_STATUS_{'COMPLETED' if name in self.results else 'RUNNING'}"
        info = WorkflowExecutionInfo(status=WorkflowExecutionStatus.Value(status))
        return DescribeWorkflowExecutionResponse(workflow_execution_info=info)

    def entered(self, name: str) -> Entered:
        async def result() -> Any:
            return self.results[name]

        return Entered(name, "r1", already=False, handle=cast("Any", SimpleNamespace(result=result)))

    def refuse(self, names: Iterable[str]) -> None:
        self.results |= {name: {"outcome": "refused", "reason": f"not {name}"} for name in names}


@pytest.fixture
def server() -> Server:
    return Server()


def watching(server: Server, store: Store, silence: float = 60) -> AdmissionWatch:
    return AdmissionWatch(cast("Client", server), store, first_look=0.001, look=0.001, silence=silence)


async def admit(store: Store, *names: str) -> None:
    for name in names:
        await store.admit(admission_request(name[2:], "a", workflow_id=name, run_id="r1"))


async def told(watch: AdmissionWatch, server: Server, names: Iterable[str]) -> list[Any]:
    return await asyncio.gather(*(watch.known(server.entered(name)) for name in names), return_exceptions=True)


async def test_those_who_are_admitted_cost_the_server_nothing_and_others_are_told_why(server: Server, store: Store):
    names, others = [[f"{scenario}/{number}" for number in range(60)] for scenario in "ab"]
    await admit(store, *names)
    watch = watching(server, store)
    assert (await told(watch, server, names), server.asked) == ([True] * 60, [])
    server.refuse(others)
    answers = await told(watch, server, others)
    assert [str(answer) for answer in answers if isinstance(answer, NotEntered)] == [f"not {name}" for name in others]


async def test_one_that_was_refused_is_told_while_others_still_come_in(server: Server, store: Store):
    """Its turn was before theirs; and those whose turn has not come are not asked about."""
    server.refuse(["a/0"])
    names = [f"a/{number}" for number in range(400)]
    answers = asyncio.create_task(told(watching(server, store), server, names))
    await admit(store, *names[1:300])
    while "a/0" not in server.asked:
        await asyncio.sleep(0.001)
    await admit(store, *names[300:])
    first, *rest = await answers
    assert isinstance(first, NotEntered)
    assert rest == [True] * 399


async def test_those_that_are_stuck_stand_in_nobodys_way(server: Server, store: Store):
    names = [f"a/{number}" for number in range(200)]
    server.refuse(names[60:])
    await admit(store, *names[40:60])
    watch = watching(server, store)
    async with asyncio.timeout(60):
        answers = [asyncio.create_task(watch.known(server.entered(name))) for name in names]
        _, pending = await asyncio.wait(answers, timeout=0.01)
        while len(pending) > 40:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        assert pending == set(answers[:40])
        for stuck in pending:
            stuck.cancel()


async def test_what_a_slow_worker_says_late_counts(server: Server, store: Store):
    answers = asyncio.create_task(told(watching(server, store), server, ["a/0", "a/1"]))
    while not server.asked:  # nobody has looked at them yet
        await asyncio.sleep(0.001)
    await admit(store, "a/0")
    server.refuse(["a/1"])
    first, second = await answers
    assert (first, str(second)) == (True, "not a/1")


async def test_one_that_is_over_already_or_has_failed_is_known_and_without_news_none_is(server: Server, store: Store):
    watch = watching(server, store, silence=0.02)
    assert await told(watch, server, ["a/0", "a/1"]) == [False, False]
    server.results |= {"a/0": {"outcome": "finished"}, "a/1": {}}
    assert await watch.known(server.entered("a/0")) is True
    fails = AsyncMock(side_effect=JourneyFailed("the journey a/1 failed: x"))
    with pytest.raises(JourneyFailed, match="a/1 failed: x"):
        await watch.known(cast("Entered", SimpleNamespace(id="a/1", run_id="r1", verdict=fails)))


async def test_a_store_that_is_gone_concerns_all_and_those_who_come_later(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(store, "admitted", AsyncMock(side_effect=StoreUnavailable("the store is gone")))
    watch = watching(server, store)
    answers = await told(watch, server, ["a/0", "a/1"])
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 2
    with pytest.raises(StoreUnavailable):
        await watch.known(server.entered("a/2"))
