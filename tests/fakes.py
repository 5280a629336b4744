"""What stands in for clocks, terminals, stores and Temporal's server, for the tests of several packages."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from google.protobuf.message import Message
from temporalio import activity
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.enums.v1 import PendingActivityState, WorkflowExecutionStatus
from temporalio.api.failure.v1 import Failure, TimeoutFailureInfo
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.workflow.v1 import PendingActivityInfo, PendingWorkflowTaskInfo, WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryReverseRequest,
    GetWorkflowExecutionHistoryReverseResponse,
    SignalWorkflowExecutionRequest,
)
from temporalio.client import Client
from temporalio.common import RawValue
from temporalio.converter import DataConverter
from temporalio.service import ConnectConfig, RPCError, RPCStatusCode, ServiceClient
from temporalio.testing import ActivityEnvironment
from typing_extensions import override

from activities.attempt import Log
from activities.channel import WorkerContext
from activities.content import Content
from activities.gate import OutgoingMessage
from activities.interface import DELIVERY_DELAYED
from activities.webhook.limiter import Limiter
from activities.webhook.platform import PlatformCalls
from activities.webhook.route import Direct
from runtime.data_converter import CONVERTER
from runtime.store import Attempt
from runtime.store.schema import StoredErasure
from runtime.store.versions import StoredVersion, Versions
from scenario.policies.order import Ruling, Skip
from scenario.policies.suppression import AddressVerdict
from tests.factories import NOW


class Clock:
    """A clock that goes where it is told."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A terminal at which somebody types, or looks."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Ran:
    """What a command did: its exit status, and what it wrote to standard output and error."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class RefusingService(ServiceClient):
    """A Temporal server that refuses each call with one error, or answers none."""

    def __init__(self) -> None:
        super().__init__(ConnectConfig(target_host="here:1"))
        self._error: RPCError | None = None

    def refuse(self, status: RPCStatusCode, message: str = "a contact's data", detail: Message | None = None) -> None:
        told = GrpcStatus(code=status)
        if detail is not None:
            told.details.add().Pack(detail)
        self._error = RPCError(message, status, told.SerializeToString())

    @property
    @override
    def worker_service_client(self) -> Any:
        return self

    @override
    def update_rpc_metadata(self, metadata: Mapping[str, str | bytes]) -> None: ...

    @override
    def update_api_key(self, api_key: str | None) -> None: ...

    @override
    async def _rpc_call(self, *call: Any, **options: Any) -> Any:
        if self._error is None:
            await asyncio.Event().wait()
        else:
            raise self._error


class Shelf(Versions):
    """Published versions, of which there is one: ``post-purchase@3``.

    Args:
        steps: Its steps, as they stand in the document.
        more: What else stands there.
    """

    def __init__(self, *steps: Mapping[str, Any], **more: Any) -> None:
        document = {"scenario": "post-purchase", "trigger": "order", **more, "steps": list(steps)}
        self._only = StoredVersion("post-purchase", 3, document, {}, "", NOW)

    @override
    async def newest(self, scenario: str) -> int | None:
        return self._only.version if scenario == self._only.scenario else None

    @override
    async def version(self, scenario: str, version: int | None = None) -> StoredVersion | None:
        return self._only if (scenario, version) == (self._only.scenario, self._only.version) else None


class Rows(list[Attempt]):
    """Attempts on record, in the order in which they were made."""

    def put(self, attempt: Attempt) -> None:
        self.append(attempt)

    async def delivered(self, delivery_id: str) -> Attempt | None:
        return next((one for one in self if (one.delivery_id, one.outcome) == (delivery_id, "delivered")), None)


class OpenGate:
    async def check(self, message: OutgoingMessage) -> Ruling:
        return None

    def recipient(self, message: OutgoingMessage) -> str | None:
        return None

    async def rejected(self, message: OutgoingMessage, verdict: AddressVerdict) -> Skip | None:
        return None

    async def not_delivered(self, message: OutgoingMessage, *, uncertain: bool) -> None: ...


def worker_context(content: Content, log: Log, **given: Any) -> WorkerContext:
    """The services of a worker that sends, of which only those that are given are there."""
    services: dict[str, Any] = {"callbacks": None, "unsubscribing": None, "return_paths": None, "transport": None}
    services |= {"gate": OpenGate(), "routes": Direct(), "secrets": dict, "limiter": Limiter()}
    services |= {"memberships": None, "batches": None, **given}
    calls = PlatformCalls(services["transport"], services["secrets"], services["limiter"])
    return WorkerContext(calls=calls, content=content, log=log, **services)


ERASURE: Final = StoredErasure(
    id="e1",
    contact_hash="0123",
    contact_id="7",
    operator="ann",
    reason="request 4711",
    encrypted=True,
    before=False,
    requested_at=datetime(2026, 3, 3, 10, tzinfo=UTC),
)
"""An erasure that was just asked for."""

UNHURRIED: Mapping[str, Any] = {
    "start_to_close_timeout": timedelta(hours=1),
    "schedule_to_close_timeout": timedelta(days=3),
}
"""What Temporal gives an attempt, where a test is about something else: more than any step's time-out."""


class Marks(list[tuple[Any, ...]]):
    """The marks of one delivery, in the order in which they came.

    Attributes:
        noted: Those of them that were on the server before the attempt went on.
        refusal: What the server says instead of noting one.
        before: How the attempt before failed, as the server has it.
        asked: How long each question about the journey may have taken.
        slow: How long the server takes to answer, and to note a mark.
        over: The journey has ended.
        state: The delivery's, as the server has it.
        behind: The journey was told something that it has yet to act on.
        task: The journey's pending workflow task, if the journey is `behind`.
        events: Its history, the oldest event first.
        delays: Reports to the journey that the delivery is delayed, with their request ids.
    """

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[Any, ...]] = []
        self.refusal: Exception | None = None
        self.before: Failure | RPCError = Failure(timeout_failure_info=TimeoutFailureInfo())
        self.asked: list[timedelta] = []
        self.delays: list[tuple[str, dict[str, Any]]] = []
        self.slow = timedelta(0)
        self.over = self.behind = False
        self.task = PendingWorkflowTaskInfo()
        self.events: list[HistoryEvent] = []
        self.state = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED

    async def signalled(self) -> None:
        """Take a signal; a test may replace this."""

    def answer(self, patience: timedelta) -> None:
        """Answer, unless that takes too long."""
        if patience < self.slow:
            raise RPCError("deadline", RPCStatusCode.DEADLINE_EXCEEDED, b"")

    def environment(self) -> ActivityEnvironment:
        environment = ActivityEnvironment(client=cast("Client", _Client(self)))
        environment.info = replace(environment.info, **UNHURRIED)
        environment.on_heartbeat = lambda *details: self.append(_read(details))
        return environment


def _read(details: Iterable[RawValue]) -> tuple[Any, ...]:
    """Return heartbeat details as the next attempt reads them."""
    return tuple(CONVERTER.payload_converter.from_payload(one.payload) for one in details)


@dataclass(frozen=True)
class _Client:
    """What an attempt asks of its client, and of the handle that it gets; the names are those of `temporalio`."""

    marks: Marks
    namespace = "default"
    identity = "worker"
    data_converter = DataConverter.default

    def get_async_activity_handle(self, *, task_token: bytes) -> _Client:
        assert task_token
        return self

    @property
    def workflow_service(self) -> _Client:
        return self

    async def describe_workflow_execution(
        self,
        asked: DescribeWorkflowExecutionRequest,
        *,
        timeout: timedelta,  # noqa: ASYNC109 - the name is Temporal's
    ) -> DescribeWorkflowExecutionResponse:
        assert asked.execution.workflow_id
        self.marks.asked.append(timeout)
        self.marks.answer(timeout)
        if isinstance(before := self.marks.before, RPCError):
            raise before
        mine = PendingActivityInfo(activity_id=activity.info().activity_id, last_failure=before, state=self.marks.state)
        others = PendingActivityInfo(activity_id="another", last_failure=Failure())
        status = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED
        if not self.marks.over:
            status = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
        return DescribeWorkflowExecutionResponse(
            workflow_execution_info=WorkflowExecutionInfo(status=status),
            pending_activities=[others, mine],
            pending_workflow_task=self.marks.task if self.marks.behind else None,
        )

    async def get_workflow_execution_history_reverse(
        self,
        asked: GetWorkflowExecutionHistoryReverseRequest,
        *,
        timeout: timedelta,  # noqa: ASYNC109 - the name is Temporal's
    ) -> GetWorkflowExecutionHistoryReverseResponse:
        assert asked.execution.workflow_id
        self.marks.answer(timeout)
        events = self.marks.events[::-1][: asked.maximum_page_size]
        return GetWorkflowExecutionHistoryReverseResponse(history=History(events=events))

    async def signal_workflow_execution(self, given: SignalWorkflowExecutionRequest, *, retry: bool) -> None:
        assert (given.workflow_execution.run_id, given.signal_name, retry) == ("run", DELIVERY_DELAYED, True)
        await self.marks.signalled()
        [report] = await self.data_converter.decode(given.input.payloads)
        self.marks.delays.append((given.request_id, report))

    async def heartbeat(self, *details: Any, rpc_timeout: timedelta) -> None:
        self.marks.answer(rpc_timeout)
        if self.marks.refusal is not None:
            raise self.marks.refusal
        self.marks.append(_read(details))
        self.marks.noted.append(_read(details))
