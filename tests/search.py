"""A stand-in for Temporal: its search, and the journeys that it finds."""

import asyncio
import json
import re
import sqlite3
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final, cast

from temporalio.api.taskqueue.v1 import PollerInfo
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
    DescribeWorkflowExecutionResponse,
)
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from runtime.search_attributes import ALL, LAST_HELD
from service.held import HeldGroupKey

NOW: Final = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)


@dataclass
class Search:
    """Temporal's client, with SQL for its search: SQLite understands the same clauses. Notes what is asked.

    `queues` are the workers of task queues and the tasks that wait; the others have one worker, and nothing to do.
    Journeys answer queries as `answers` says, and have the deliveries in `sending` under way. `most` counts were made
    at the same time; `patience` is the timeout of the last list. Workflows start, unless there is a `refusal`, after
    `before`. They run, unless their status is `known`; `strict`, there are no others but those that were started. All
    are described as `described`, and take each update unless they have words to refuse it.
    """

    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    sending: dict[str, list[PendingActivityInfo]] = field(default_factory=dict[str, list[PendingActivityInfo]])
    asked: list[str] = field(default_factory=list[str])
    listed: int = 0
    counted: int = 0
    at_once: int = 0
    most: int = 0
    queries: list[str] = field(default_factory=list[str])
    error: RPCStatusCode | None = None
    known: dict[str, WorkflowExecutionStatus] = field(default_factory=dict[str, WorkflowExecutionStatus])
    strict: bool = False
    refusal: Exception | None = None
    before: Callable[[], Awaitable[None]] | None = None
    described: DescribeWorkflowExecutionResponse = field(default_factory=DescribeWorkflowExecutionResponse)
    updates: list[tuple[str, str, Any, str | None]] = field(default_factory=list[tuple[str, str, Any, "str | None"]])
    refuses: str | None = None
    patience: timedelta | None = None
    queues: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    started: dict[str, Any] = field(default_factory=dict[str, Any])
    signals: list[tuple[str, str, Any]] = field(default_factory=list[tuple[str, str, Any]])
    namespace: str = "shop"
    data_converter: DataConverter = DataConverter.default
    database: sqlite3.Connection = field(default_factory=lambda: sqlite3.connect(":memory:", check_same_thread=False))

    def __post_init__(self) -> None:
        weakref.finalize(self, self.database.close)
        self.database.execute(
            "CREATE TABLE journeys (WorkflowId PRIMARY KEY, noted, WorkflowType DEFAULT 'Journey', "
            f"ExecutionStatus DEFAULT 'Running', StartTime DEFAULT '{NOW.isoformat()}', "
            f"{', '.join(key.name for key in ALL)})"
        )

    @property
    def client(self) -> Client:
        """The stand-in, as what it stands in for."""
        return cast("Client", self)

    def add(self, identifier: str, noted: Mapping[str, Any] | None = None, /, **attributes: str | None) -> None:
        """Has a running journey be found by its attributes, or by others than before; `noted` is its latest hold."""
        values = {"WorkflowId": identifier, "noted": noted and json.dumps(noted), **attributes}
        places = ", ".join("?" * len(values))
        self.database.execute(f"REPLACE INTO journeys ({', '.join(values)}) VALUES ({places})", (*values.values(),))

    def put(self, identifier: str, state: str = "held", noted: Mapping[str, Any] | None = None) -> None:
        """Adds a journey of contact 7 in a@3 at the step hook; if it is held, because of wax."""
        known = {"ScenarioName": "a", "ScenarioVersion": "a@3", "ContactId": "7", "StepId": "hook"}
        held = {"Destination": "wax", "HeldReason": "permanent"} if state == "held" else {}
        self.add(identifier, noted, JourneyState=state, **known, **held)

    def hold(self, at: HeldGroupKey, times: int = 1, *, since: datetime | None = NOW) -> None:
        """Holds journeys, one a second."""
        (known,) = self.database.execute("SELECT count(*) FROM journeys").fetchone()
        attributes = {"ScenarioName": at.scenario, "StepId": at.step, "Destination": at.destination}
        for number in range(times):
            moment = since and (since + timedelta(seconds=number)).isoformat()
            noted = {"at": moment, "reason": f"since {moment}", "status": 422} if moment else None
            name = f"{at.scenario}/{known + number}"
            self.add(name, noted, JourneyState="held", HeldReason=at.cause, **attributes)

    def find(self, query: str, what: str = "*", limit: int = -1, offset: int = 0) -> list[Any]:
        """The rows that fit, the newest first."""
        self.queries.append(query)
        if self.error is not None:
            raise RPCError("no", self.error, b"")
        where = re.sub(r"\\(.)", lambda found: "''" if found[1] == "'" else found[1], query)
        return self.database.execute(
            f"SELECT {what} FROM journeys WHERE {where} ORDER BY rowid DESC LIMIT {limit} OFFSET {offset}"
        ).fetchall()

    async def count_workflows(self, query: str, **_: Any) -> Any:
        self.counted += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return SimpleNamespace(count=self.find(query, "count(*)")[0][0])

    def list_workflows(self, query: str, *, rpc_timeout: timedelta | None = None, **more: Any) -> "Listed":
        self.patience = rpc_timeout
        return Listed(self, query, more.get("limit"), more.get("page_size", 1000), more.get("next_page_token"))

    async def start_workflow(self, name: str, argument: Any, **given: Any) -> Any:
        if self.before is not None:
            await self.before()
        if self.refusal is not None:
            raise self.refusal
        self.started[given["id"]] = argument
        return SimpleNamespace(first_execution_run_id="r")

    def get_workflow_handle(self, name: str, **_: Any) -> Any:
        async def describe() -> Any:
            if self.error is not None:
                raise RPCError("no", self.error, b"")
            if self.strict and name not in (*self.known, *self.started):
                raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")
            status = self.known.get(name, WorkflowExecutionStatus.RUNNING)
            return SimpleNamespace(status=status, raw_description=self.described)

        async def execute_update(verb: str, argument: Any, **more: Any) -> dict[str, Any]:
            if self.refuses:
                raise WorkflowUpdateFailedError(ApplicationError(self.refuses))
            self.updates.append((name, verb, argument, more["id"]))
            return {"state": "running", "at": "hook"}

        async def signal(signal: str, argument: Any) -> None:
            self.signals.append((name, signal, argument))

        async def query(*_: Any, **__: Any) -> Any:
            self.asked.append(name)
            if name not in self.answers:
                raise RPCError("no poller", RPCStatusCode.FAILED_PRECONDITION, b"")
            return self.answers[name]

        return SimpleNamespace(describe=describe, signal=signal, query=query, execute_update=execute_update)

    @property
    def workflow_service(self) -> Any:
        async def describe(request: Any, **_: Any) -> DescribeWorkflowExecutionResponse:
            name = request.execution.workflow_id
            if name not in self.sending:
                raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")
            return DescribeWorkflowExecutionResponse(pending_activities=self.sending[name])

        async def describe_queue(request: DescribeTaskQueueRequest, **_: Any) -> DescribeTaskQueueResponse:
            workers, tasks = self.queues.get(request.task_queue.name, (1, 0))
            answer = DescribeTaskQueueResponse(pollers=[PollerInfo() for _ in range(workers)])
            for poller in answer.pollers:
                poller.last_access_time.GetCurrentTime()
            answer.stats.approximate_backlog_count = tasks
            return answer

        return SimpleNamespace(describe_workflow_execution=describe, describe_task_queue=describe_queue)


class Listed:
    """What search finds, page by page; the names are those of `temporalio`."""

    def __init__(self, search: Search, query: str, limit: int | None, size: int, token: bytes | None) -> None:
        self._search, self._query, self._limit, self._size = search, query, limit, size
        self._start = int(token or b"0")
        self.current_page: list[Found] | None = None
        self.next_page_token: bytes | None = None

    async def fetch_next_page(self, *, page_size: int | None = None) -> None:
        size = page_size or self._size
        found = self._search.find(self._query, limit=size, offset=self._start)
        self._start += len(found)
        self.current_page = [Found(*row) for row in found]
        self.next_page_token = str(self._start).encode() if len(found) == size else None

    async def __aiter__(self) -> AsyncIterator["Found"]:
        for row in self._search.find(self._query, limit=self._limit or -1):
            self._search.listed += 1
            yield Found(*row)


class Found:
    """A row, under the names of `temporalio`."""

    def __init__(
        self, identifier: str, noted: str | None, _type: str, _status: str, _start: str, *values: str | None
    ) -> None:
        self.id, self._noted, self.run_id, self.start_time = identifier, noted, "r9", NOW
        self.status = WorkflowExecutionStatus.RUNNING
        pairs = [SearchAttributePair(key, value) for key, value in zip(ALL, values, strict=True) if value]
        self.typed_search_attributes = TypedSearchAttributes(pairs)

    async def memo(self) -> dict[str, Any]:
        return {LAST_HELD: json.loads(self._noted)} if self._noted else {}
