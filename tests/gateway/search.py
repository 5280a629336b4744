"""A stand-in for Temporal's search, and for the journeys that it finds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from runtime.search_attributes import (
    CONTACT_ID,
    DESTINATION,
    HELD_REASON,
    JOURNEY_STATE,
    LAST_HELD,
    SCENARIO_VERSION,
    STEP_ID,
)

NOW: Final = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)


@dataclass
class Execution:
    """What search finds."""

    id: str
    run_id: str = "r9"
    start_time: datetime = NOW
    state: str = "held"
    destination: str = "wax"
    reason: str = "permanent"
    noted: dict[str, Any] | None = None
    status: WorkflowExecutionStatus = WorkflowExecutionStatus.RUNNING

    async def memo(self) -> dict[str, Any]:
        return {LAST_HELD: self.noted} if self.noted else {}

    @property
    def typed_search_attributes(self) -> TypedSearchAttributes:
        pairs = {SCENARIO_VERSION: "a@3", CONTACT_ID: "7", STEP_ID: "hook", JOURNEY_STATE: self.state}
        if self.state == "held":
            pairs |= {DESTINATION: self.destination, HELD_REASON: self.reason}
        return TypedSearchAttributes([SearchAttributePair(key, value) for key, value in pairs.items()])


@dataclass
class Temporal:
    """Stands in for Temporal's client: finds what the test says, lets journeys answer what it says."""

    found: list[Execution]
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    asked: list[str] = field(default_factory=list[str])
    queries: list[str] = field(default_factory=list[str])
    described: list[str] = field(default_factory=list[str])
    error: RPCError | None = None
    sending: dict[str, PendingActivityInfo] = field(default_factory=dict[str, PendingActivityInfo])
    namespace: str = "default"
    data_converter: DataConverter = DataConverter.default

    async def list_workflows(self, query: str, page_size: int = 1000, **_: Any) -> AsyncIterator[Execution]:
        self.queries.append(query)
        if self.error:
            raise self.error
        for execution in self.found:
            yield execution

    def get_workflow_handle(self, name: str, run_id: str | None = None) -> Any:
        answers, asked = self.answers, self.asked

        class Handle:
            async def query(self, *_: Any, **__: Any) -> dict[str, Any]:
                asked.append(name)
                if name not in answers:
                    raise RPCError("no poller", RPCStatusCode.FAILED_PRECONDITION, b"")
                return answers[name]

        return Handle()

    @property
    def workflow_service(self) -> Any:
        sending, described = self.sending, self.described

        class Service:
            async def describe_workflow_execution(self, request: Any, **_: Any) -> DescribeWorkflowExecutionResponse:
                name = request.execution.workflow_id
                described.append(name)
                if name not in sending:
                    raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")
                return DescribeWorkflowExecutionResponse(pending_activities=[sending[name]])

        return Service()


def client(temporal: Temporal) -> Client:
    """The stand-in, as what it stands in for."""
    return cast("Client", temporal)
