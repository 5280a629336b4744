"""The namespace's side: a workflow with a fixed id that no worker runs.

Its history is an append-only log: the claim is the workflow's input, and each newer token is a signal. This needs no
permission that a worker lacks, works on any server and on Temporal Cloud, and is kept, since the workflow never ends.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Final
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution, WorkflowType
from temporalio.api.enums.v1 import EventType, WorkflowExecutionStatus, WorkflowIdConflictPolicy
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryReverseRequest,
    SignalWorkflowExecutionRequest,
    StartWorkflowExecutionRequest,
    TerminateWorkflowExecutionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from runtime.store import NamespaceClaim
from runtime.temporal_faults import is_unknown_workflow

WORKFLOW: Final = "scenario-store"
"""The workflow's id, and its task queue, which is never polled."""
TYPE: Final = "StoreClaim"
LONGEST: Final = 2_000
"""Events after which the workflow is restarted: rotations of 17 hours. A server allows 10,000 signals."""

_SIGNAL: Final = "token"
_NEWEST: Final = 10  # claims that are read: a process that was paused may have added an old token
_PAGE: Final = 1_000  # events of the further pages that are read if foreign signals hide the claims
_CALL: Final = timedelta(seconds=5)
_SUMMARY: Final = "The claim of the store that this namespace belongs to. No worker runs it. Leave it running."


_CLAIM: Final = TypeAdapter(NamespaceClaim)


@dataclass(frozen=True)
class ClaimRun:
    """The workflow's latest run."""

    run_id: str
    is_open: bool
    length: int


async def read_record(client: Client) -> NamespaceClaim | None:
    """Return the namespace's claim, or None if it is unclaimed."""
    service = client.workflow_service
    request = GetWorkflowExecutionHistoryReverseRequest(
        namespace=client.namespace, execution=_execution(), maximum_page_size=_NEWEST
    )
    claims: list[NamespaceClaim] = []
    while True:
        try:
            response = await service.get_workflow_execution_history_reverse(request, retry=True, timeout=_CALL)
        except RPCError as error:
            if is_unknown_workflow(error):
                return None
            raise
        claims += filter(None, map(_claim, response.history.events))
        if len(claims) >= _NEWEST or not response.next_page_token:
            # The latest rotation. Of several claims with its number, the first that arrived counts.
            return max(reversed(claims), key=lambda claim: claim.rotation, default=None)
        request.next_page_token, request.maximum_page_size = response.next_page_token, _PAGE


async def read_run(client: Client) -> ClaimRun | None:
    """Return the latest run, or None if there is none."""
    request = DescribeWorkflowExecutionRequest(namespace=client.namespace, execution=_execution())
    try:
        response = await client.workflow_service.describe_workflow_execution(request, retry=True, timeout=_CALL)
    except RPCError as error:
        if is_unknown_workflow(error):
            return None
        raise
    info = response.workflow_execution_info
    is_open = info.status == WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
    return ClaimRun(info.execution.run_id, is_open, info.history_length)


async def start(client: Client, claim: NamespaceClaim, *, replace: bool = False) -> bool:
    """Start the workflow. Return False if it is running already."""
    request = StartWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_id=WORKFLOW,
        workflow_type=WorkflowType(name=TYPE),
        task_queue=TaskQueue(name=WORKFLOW),
        input=_payloads(claim),
        request_id=str(uuid4()),
        identity=client.identity,
        workflow_id_conflict_policy=(
            WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING
            if replace
            else WorkflowIdConflictPolicy.WORKFLOW_ID_CONFLICT_POLICY_FAIL
        ),
        user_metadata=UserMetadata(summary=_payload(_SUMMARY)),
    )
    try:
        await client.workflow_service.start_workflow_execution(request, retry=True, timeout=_CALL)
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:
            return False
        raise
    return True


async def write(client: Client, run: ClaimRun, claim: NamespaceClaim) -> None:
    """Add a newer token to a run, or start another run once that one is long.

    Nothing is written if another run has replaced it: the namespace was claimed again.
    """
    service = client.workflow_service
    try:
        if run.is_open and run.length < LONGEST:
            signal = SignalWorkflowExecutionRequest(
                namespace=client.namespace,
                workflow_execution=_execution(run),
                signal_name=_SIGNAL,
                input=_payloads(claim),
                identity=client.identity,
                request_id=str(uuid4()),
            )
            await service.signal_workflow_execution(signal, retry=True, timeout=_CALL)
            return
        if run.is_open:
            end = TerminateWorkflowExecutionRequest(
                namespace=client.namespace,
                workflow_execution=_execution(run),
                reason="its history is long: another run continues",
                identity=client.identity,
            )
            await service.terminate_workflow_execution(end, retry=True, timeout=_CALL)
    except RPCError as error:
        if not is_unknown_workflow(error):
            raise
        return
    await start(client, claim)


def _execution(run: ClaimRun | None = None) -> WorkflowExecution:
    return WorkflowExecution(workflow_id=WORKFLOW, run_id=run.run_id if run else "")


def _payload(value: object) -> Payload:
    return Payload(metadata={"encoding": b"json/plain"}, data=json.dumps(value).encode())


def _payloads(claim: NamespaceClaim) -> Payloads:
    return Payloads(payloads=[_payload(asdict(claim))])


def _claim(event: HistoryEvent) -> NamespaceClaim | None:
    if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
        given = event.workflow_execution_started_event_attributes.input
    elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
        given = event.workflow_execution_signaled_event_attributes.input
    else:
        return None
    try:
        return _CLAIM.validate_json(given.payloads[0].data)
    except (ValidationError, IndexError):  # a foreign signal
        return None
