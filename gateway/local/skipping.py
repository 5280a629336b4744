"""Skips time for journeys on the local server (`frontend.WorkflowTimeSkippingEnabled` in `runtime.local.devserver`).

A journey's clock stays ahead afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.common.v1 import FastForwardConfig, TimeSkippingConfig, WorkflowExecution
from temporalio.api.workflow.v1 import WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import UpdateWorkflowExecutionOptionsRequest
from temporalio.client import Client
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

from gateway.service.index import JourneyFilter, query_of
from runtime.temporal_faults import is_unknown_workflow

LONG: Final = timedelta(seconds=10)  # shorter waits are not skipped
_WAITING: Final = query_of(JourneyFilter(), state="waiting")
_EVERY: Final = 0.5  # seconds between two looks
_LATER: Final = 5.0  # seconds until a journey is asked again that waits for something else, or for a moment only
_EVENT: Final = "event "
_ANSWER: Final = timedelta(seconds=5)


async def skip_time(temporal: Client, journey: str, span: timedelta | None = None) -> None:
    """Skip time of an idle journey: a span, or all, also pauses between attempts. One that has ended is left alone."""
    ahead = None
    if span is not None:
        ahead = FastForwardConfig(id=uuid4().hex)
        ahead.duration.FromTimedelta(span)
    skipping = TimeSkippingConfig(enabled=True, fast_forward_config=ahead)
    request = UpdateWorkflowExecutionOptionsRequest(
        namespace=temporal.namespace,
        workflow_execution=WorkflowExecution(workflow_id=journey),
        workflow_execution_options=WorkflowExecutionOptions(time_skipping_config=skipping),
        update_mask=FieldMask(paths=["time_skipping_config"]),
    )
    try:
        await temporal.workflow_service.update_workflow_execution_options(request)
    except RPCError as error:
        if not is_unknown_workflow(error):
            raise


async def skip_waits(temporal: Client, said: Callable[[str, str, str], None]) -> None:
    """Skip long waits for a time as journeys reach them, but never waits for events, operators or retries.

    `said` is called with the journey, the step and what happens to its wait.
    """
    loop = asyncio.get_running_loop()
    again: dict[str, float] = {}
    awaited: set[tuple[str, str]] = set()
    while True:
        with suppress(RPCError):  # the server is busy: in a moment it is asked again
            async for found in temporal.list_workflows(_WAITING):
                if loop.time() < again.get(found.run_id, 0.0):
                    continue
                again[found.run_id] = loop.time() + _LATER
                wait = await _wait_of(temporal, found.id, found.run_id)
                if wait is None:
                    continue
                if wait.event and (found.run_id, wait.since) not in awaited:
                    awaited.add((found.run_id, wait.since))
                    said(found.id, wait.step, f"waits for the event {wait.event}, which is not skipped")
                elif not wait.event and wait.left > LONG:
                    await skip_time(temporal, found.id, wait.left)
                    said(found.id, wait.step, f"skipped to {wait.until.astimezone():%a %Y-%m-%d %H:%M:%S}")
                    del again[found.run_id]
        await asyncio.sleep(_EVERY)


@dataclass(frozen=True)
class _JourneyWait:
    """A journey's wait: its step, start, end, length on its own clock, and event."""

    step: str
    since: str
    until: datetime
    left: timedelta
    event: str = ""


async def _wait_of(temporal: Client, journey: str, run: str) -> _JourneyWait | None:
    handle = temporal.get_workflow_handle(journey, run_id=run)
    try:
        progress: dict[str, Any] = await handle.query("progress", rpc_timeout=_ANSWER)
        clock = (await handle.describe()).raw_description.workflow_extended_info.time_skipping_info.current_time
    except TemporalError:  # it is over, or its worker is busy
        return None
    waiting: dict[str, Any] = progress["waiting"] or {}
    if progress["state"] != "waiting" or not waiting:  # a delivery that was put off has neither reason nor end
        return None
    now = clock.ToDatetime(UTC) if clock.seconds else datetime.now(UTC)
    until = datetime.fromisoformat(waiting["until"]) if waiting.get("until") else now
    event = str(waiting["for"]).removeprefix(_EVENT) if str(waiting["for"]).startswith(_EVENT) else ""
    return _JourneyWait(progress["at"], progress["since"], until, until - now, event)
