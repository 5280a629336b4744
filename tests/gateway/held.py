"""A stand-in for Temporal's search over held journeys, which also takes note of workflows that are started."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final

from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionResponse
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from gateway.service.held import HeldGroupKey
from runtime.search_attributes import DESTINATION, HELD_REASON, JOURNEY_STATE, LAST_HELD, SCENARIO_NAME, STEP_ID

NOW: Final = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)
COLUMNS: Final = ("ScenarioName", "StepId", "Destination", "HeldReason")


@dataclass
class Search:
    """Temporal's client, with SQL for its search: SQLite understands the same clauses."""

    database: sqlite3.Connection = field(default_factory=lambda: sqlite3.connect(":memory:"))
    listed: int = 0
    counted: int = 0
    started: dict[str, Any] = field(default_factory=dict[str, Any])
    signals: list[tuple[str, str, Any]] = field(default_factory=list[tuple[str, str, Any]])
    namespace: str = "default"
    data_converter: DataConverter = DataConverter.default

    def __post_init__(self) -> None:
        self.database.execute(
            "CREATE TABLE held (WorkflowId, at, WorkflowType DEFAULT 'Journey', ExecutionStatus DEFAULT 'Running', "
            f"JourneyState DEFAULT 'held', {', '.join(COLUMNS)})"
        )

    def hold(self, at: HeldGroupKey, times: int = 1, *, since: datetime | None = NOW) -> None:
        """Holds journeys, one a second."""
        (known,) = self.database.execute("SELECT count(*) FROM held").fetchone()
        rows = [
            (f"{at.scenario}/{known + n}", since and (since + timedelta(seconds=n)).isoformat(), *at)
            for n in range(times)
        ]
        self.database.executemany(
            f"INSERT INTO held (WorkflowId, at, {', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?)", rows
        )

    async def count_workflows(self, query: str, **_: Any) -> Any:
        self.counted += 1
        return SimpleNamespace(count=self.database.execute(f"SELECT count(*) FROM held WHERE {query}").fetchone()[0])

    async def list_workflows(
        self, query: str, *, limit: int | None = 1000, page_size: int = 1000, **_: Any
    ) -> AsyncIterator[Any]:
        columns = ", ".join(("WorkflowId", "at", *COLUMNS))
        found = self.database.execute(
            f"SELECT {columns} FROM held WHERE {query} ORDER BY rowid DESC LIMIT {limit or -1}"
        )
        for row in found:
            self.listed += 1
            yield Found(*row)

    async def start_workflow(self, name: str, argument: Any, **given: Any) -> None:
        self.started[given["id"]] = argument

    def get_workflow_handle(self, name: str) -> Any:
        return _Handle(self, name)

    @property
    def workflow_service(self) -> Any:
        async def describe(_request: Any, **_: Any) -> DescribeWorkflowExecutionResponse:
            raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")

        return SimpleNamespace(describe_workflow_execution=describe)


@dataclass
class _Handle:
    search: Search
    name: str

    async def describe(self) -> Any:
        return SimpleNamespace(
            status=WorkflowExecutionStatus.RUNNING, raw_description=DescribeWorkflowExecutionResponse()
        )

    async def signal(self, name: str, argument: Any) -> None:
        self.search.signals.append((self.name, name, argument))


class Found:
    """What search finds."""

    def __init__(self, identifier: str, at: str | None, *values: str | None) -> None:
        self.id, self._at, self.run_id, self.start_time = identifier, at, "r1", NOW
        self.status = WorkflowExecutionStatus.RUNNING
        keys = (SCENARIO_NAME, STEP_ID, DESTINATION, HELD_REASON)
        pairs = [SearchAttributePair(key, value) for key, value in zip(keys, values, strict=True) if value]
        self.typed_search_attributes = TypedSearchAttributes([*pairs, SearchAttributePair(JOURNEY_STATE, "held")])

    async def memo(self) -> dict[str, Any]:
        return {LAST_HELD: {"at": self._at, "reason": f"since {self._at}", "status": 422}} if self._at else {}
