"""Calls of a comparison to Temporal, which the SDK repeats while the server is away."""

import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
    ListWorkflowExecutionsRequest,
    ListWorkflowExecutionsResponse,
)
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from service.reconcile.temporal import PacedTemporal

AT = datetime(2026, 3, 31, 8, tzinfo=UTC)
PAGE = 30


class Server:
    """A server that is away until a call is repeated, and finds all workflows that a query names."""

    namespace = "shop"
    data_converter = DataConverter.default

    def __init__(self, *events: HistoryEvent) -> None:
        self._events = events

    @property
    def workflow_service(self) -> Any:
        return SimpleNamespace(list_workflow_executions=self._search, get_workflow_execution_history=self._history)

    async def _search(
        self, request: ListWorkflowExecutionsRequest, *, retry: bool = False
    ) -> ListWorkflowExecutionsResponse:
        _away_unless(retry)
        names, start = re.findall(r"'(wishes/\d+)'", request.query), int(request.next_page_token or b"0")
        answer = ListWorkflowExecutionsResponse()
        for name in names[start : start + PAGE]:
            answer.executions.add().execution.workflow_id = name
        if len(names) > start + PAGE:
            answer.next_page_token = str(start + PAGE).encode()
        return answer

    async def _history(
        self, request: GetWorkflowExecutionHistoryRequest, *, retry: bool = False
    ) -> GetWorkflowExecutionHistoryResponse:
        _away_unless(retry)
        answer = GetWorkflowExecutionHistoryResponse()
        answer.history.events.extend(self._events)
        return answer


def _away_unless(retry: bool) -> None:
    if not retry:
        raise RPCError("away", RPCStatusCode.UNAVAILABLE, b"")


def paced(server: Server) -> PacedTemporal:
    return PacedTemporal(cast("Client", server), 1000)


def events(*, begun: bool) -> list[HistoryEvent]:
    started, task = HistoryEvent(event_id=1), HistoryEvent(event_id=3)
    payload = DataConverter.default.payload_converter.to_payload({"scenario": "wishes"})
    started.workflow_execution_started_event_attributes.input.payloads.append(payload)
    task.event_time.FromDatetime(AT)
    completed = HistoryEvent(event_id=4)
    completed.workflow_task_completed_event_attributes.started_event_id = 3
    return [started, task, *([completed] if begun else [])]


async def test_all_running_journeys_are_found_page_by_page() -> None:
    journeys = [f"wishes/{number}" for number in range(51)]
    assert await paced(Server()).running(journeys) == set(journeys)


@pytest.mark.parametrize("begun", [True, False])
async def test_a_run_begins_when_its_code_first_ran(begun: bool) -> None:
    server = Server(*events(begun=begun))
    assert await paced(server).beginning(WorkflowExecutionInfo()) == ({"scenario": "wishes"}, AT if begun else None)
