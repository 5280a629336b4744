"""A journal in the Temporal namespace: workflows that no worker runs, one or several a month.

Their signals are the batches. They never end, so Temporal keeps their histories. A restore of Temporal takes them back
in time with everything else there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryReverseRequest,
)
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError

from activities.journal.batch import JournalBatch, read_batch
from activities.journal.places import KEPT
from runtime.data_converter import CONVERTER
from runtime.errors import JournalUnavailable
from runtime.identity import bare
from runtime.temporal_faults import fault_of, unless_gone

NAMESPACE: Final = "namespace"
TYPE: Final = "StoreJournal"
"""The type of the workflows, and their task queue, which is never polled."""
LONGEST: Final = 4_000
"""Events after which another workflow continues the month. A server allows 10,000 signals."""
LARGEST: Final = 8 * 1024 * 1024
"""Bytes of its history, likewise. A server warns from 10 MB on."""
_SIGNAL: Final = "batch"
_NEWEST: Final = 10  # batches that are read to find the last one: processes may write concurrently
_PAGE: Final = 500
_CALL: Final = timedelta(seconds=5)
_SUMMARY: Final = "Changes that the store must not forget. No worker runs it. Leave it running."


@dataclass(frozen=True)
class _Segment:
    month: int  # counted from year 0
    part: int  # from 1

    @property
    def workflow(self) -> str:
        year, month = divmod(self.month, 12)
        return f"scenario-journal-{year}-{month + 1:02}-{self.part}"


class NamespacePlace:
    """The namespace of a client."""

    name = NAMESPACE
    is_shared = True

    def __init__(self, client: Client) -> None:
        self._client = bare(client)
        self._known = _Segment(0, 1)  # the latest one of which this process knows

    async def begin(self) -> None:
        pass

    async def append(self, batch: JournalBatch) -> None:
        with self._guarded():
            month = _month_of(batch.at)
            head = await self._head()
            if head is not None and head[0].month >= month and _has_room(head[1]):
                handle = self._client.get_workflow_handle(head[0].workflow)
                await handle.signal(_SIGNAL, batch.text, rpc_timeout=_CALL)
                return
            following = _Segment(month, 1)
            if head is not None and head[0].month >= month:  # another clock may be ahead
                following = _Segment(head[0].month, head[0].part + 1)
            await self._client.start_workflow(
                TYPE,
                id=following.workflow,
                task_queue=TYPE,
                start_signal=_SIGNAL,
                start_signal_args=[batch.text],
                static_summary=_SUMMARY,
                rpc_timeout=_CALL,
            )
            if following.part == 1:
                await self._forget(_month_of(batch.at - KEPT))

    async def last(self) -> int:
        with self._guarded():
            head = await self._head()
            if head is None:
                return 0
            request = GetWorkflowExecutionHistoryReverseRequest(
                namespace=self._client.namespace,
                execution=WorkflowExecution(workflow_id=head[0].workflow),
                maximum_page_size=_NEWEST,
            )
            call = self._client.workflow_service.get_workflow_execution_history_reverse
            response = await call(request, retry=True, timeout=_CALL)
            return max((batch.last for batch in _batches(response.history.events)), default=0)

    async def batches(self) -> AsyncIterator[JournalBatch]:
        with self._guarded():
            now = _month_of(datetime.now(UTC))
            for month in range(_month_of(datetime.now(UTC) - KEPT) - 1, now + 2):
                async for segment, _ in self._parts(_Segment(month, 1)):
                    async for batch in self._read(segment):
                        yield batch

    async def workflows(self) -> list[str]:
        """Return the ids of this month's workflows."""
        first = _Segment(_month_of(datetime.now(UTC)), 1)
        return [segment.workflow async for segment, _ in self._parts(first)]

    async def _head(self) -> tuple[_Segment, WorkflowExecutionDescription] | None:
        now = datetime.now(UTC)
        for month in range(_month_of(now) + 1, _month_of(now - KEPT) - 1, -1):
            first = self._known if month == self._known.month else _Segment(month, 1)
            if found := [one async for one in self._parts(first)]:
                self._known = found[-1][0]
                return found[-1]
        return None

    async def _parts(self, first: _Segment) -> AsyncGenerator[tuple[_Segment, WorkflowExecutionDescription]]:
        for part in count(first.part):
            segment = _Segment(first.month, part)
            described = None
            with unless_gone():
                described = await self._client.get_workflow_handle(segment.workflow).describe(rpc_timeout=_CALL)
            if described is None:
                return
            yield segment, described

    async def _read(self, segment: _Segment) -> AsyncGenerator[JournalBatch]:
        request = GetWorkflowExecutionHistoryRequest(
            namespace=self._client.namespace,
            execution=WorkflowExecution(workflow_id=segment.workflow),
            maximum_page_size=_PAGE,
        )
        while True:
            call = self._client.workflow_service.get_workflow_execution_history
            response = await call(request, retry=True, timeout=_CALL)
            for batch in _batches(response.history.events):
                yield batch
            if not response.next_page_token:
                return
            request.next_page_token = response.next_page_token

    async def _forget(self, before: int) -> None:
        """End the workflows of months that are old enough. Temporal then deletes them."""
        for month in range(before - 2, before):
            async for segment, described in self._parts(_Segment(month, 1)):
                if described.status is WorkflowExecutionStatus.RUNNING:
                    with unless_gone():
                        handle = self._client.get_workflow_handle(segment.workflow)
                        await handle.terminate(reason="it is older than the journal is kept", rpc_timeout=_CALL)

    @contextmanager
    def _guarded(self) -> Generator[None]:
        try:
            yield
        except RPCError as error:
            raise JournalUnavailable(fault_of(error, self._client.namespace).advice) from error


def _month_of(time: datetime) -> int:
    return time.year * 12 + time.month - 1


def _has_room(described: WorkflowExecutionDescription) -> bool:
    info = described.raw_info
    is_running = described.status is WorkflowExecutionStatus.RUNNING
    return is_running and info.history_length < LONGEST and info.history_size_bytes < LARGEST


def _batches(events: Iterable[HistoryEvent]) -> Iterator[JournalBatch]:
    for event in events:
        if event.HasField("workflow_execution_signaled_event_attributes"):
            payloads = event.workflow_execution_signaled_event_attributes.input.payloads
            # The signal's argument is a text that holds JSON.
            text = CONVERTER.payload_converter.from_payloads(payloads, [str])[0] if payloads else ""
            if (batch := read_batch(text)) is not None:
                yield batch
