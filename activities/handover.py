"""Starts of journeys: ordinary ones, and those that continue an entry that a campaign began without a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast
from uuid import UUID, uuid5

from temporalio.api.enums.v1 import WorkflowIdConflictPolicy, WorkflowIdReusePolicy
from temporalio.api.errordetails.v1 import WorkflowExecutionAlreadyStartedFailure
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest
from temporalio.client import Client, Interceptor, OutboundInterceptor, StartWorkflowInput, WorkflowHandle
from temporalio.common import SearchAttributePair, TypedSearchAttributes, WorkflowIDConflictPolicy
from temporalio.converter import WorkflowSerializationContext, encode_search_attributes
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from typing_extensions import override

from activities.interface import CAMPAIGNS, JOURNEYS, priority_of
from runtime.search_attributes import CONTACT_ID, SCENARIO_NAME
from runtime.temporal_faults import is_unknown_workflow
from scenario.entry.entry import parse_entry
from scenario.type_guards import mapping_or_empty


def with_request_id(client: Client, request: UUID) -> Client:
    """Return a client on the same connection that uses `request` for every start, which makes starts idempotent."""
    config = client.config()
    config["interceptors"] = [*config["interceptors"], _RequestId(request, client)]
    return Client(**config)


class _RequestId(Interceptor):
    def __init__(self, request: UUID, client: Client) -> None:
        self._request, self._client = request, client

    @override
    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Outbound(next, self._request, self._client)


class _Outbound(OutboundInterceptor):
    def __init__(self, following: OutboundInterceptor, request: UUID, client: Client) -> None:
        super().__init__(following)
        self._request, self._client = request, client

    @override
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        request = await self._start_request(input)
        try:
            answer = await self._client.workflow_service.start_workflow_execution(
                request, retry=True, metadata=input.rpc_metadata, timeout=input.rpc_timeout
            )
        except RPCError as error:
            details = WorkflowExecutionAlreadyStartedFailure()
            known = error.status is RPCStatusCode.ALREADY_EXISTS and error.grpc_status.details
            if known and known[0].Unpack(details):
                raise WorkflowAlreadyStartedError(input.id, input.workflow, run_id=details.run_id) from None
            raise
        return WorkflowHandle[Any, Any](
            self._client,
            input.id,
            result_run_id=answer.run_id,
            first_execution_run_id=answer.first_execution_run_id or answer.run_id,
            result_type=input.ret_type,
        )

    async def _start_request(self, start: StartWorkflowInput) -> StartWorkflowExecutionRequest:
        """Return the request, with the options that starts of journeys use."""
        client = self._client
        converter = client.data_converter.with_context(WorkflowSerializationContext(client.namespace, start.id))
        request = StartWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_id=start.id,
            identity=client.identity,
            request_id=str(self._request),
            workflow_id_reuse_policy=cast("WorkflowIdReusePolicy.ValueType", int(start.id_reuse_policy)),
            workflow_id_conflict_policy=cast("WorkflowIdConflictPolicy.ValueType", int(start.id_conflict_policy)),
        )
        request.workflow_type.name, request.task_queue.name = start.workflow, start.task_queue
        request.input.payloads.extend(await converter.encode(start.args))
        request.priority.priority_key = start.priority.priority_key or 0
        if start.static_summary is not None:
            [summary] = await converter.encode([start.static_summary])
            request.user_metadata.CopyFrom(UserMetadata(summary=summary))
        if start.search_attributes is not None:
            encode_search_attributes(start.search_attributes, request.search_attributes)
        for name, value in start.headers.items():
            request.header.fields[name].CopyFrom(value)
        return request


_CAMPAIGNS: Final = UUID("0c9fae0c-55cf-4b0a-8b35-7ad4f5c1a1c5")


def campaign_root(workflow_id: str, created_at: datetime) -> str:
    """Return the root of a campaign's journey. Its delivery ids are made from it, with and without a workflow.

    The time of its creation tells a campaign from a later one of its name.
    """
    return str(uuid5(_CAMPAIGNS, f"{created_at.astimezone(UTC).isoformat()}/{workflow_id}"))


def of_campaign(entry: Mapping[str, Any], root: str, state: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the argument of a campaign's journey.

    `state` is the place at which it continues, as `workflows.state.State.dump` writes it; None at the beginning.
    """
    return {"entry": entry, "campaign": {"root": root, "state": state}}


async def start_journey(
    temporal: Client,
    argument: Mapping[str, Any],
    *,
    scenario: str,
    contact: str,
    workflow_id: str,
    summary: str,
    purpose: str,
    request: UUID | None = None,
) -> WorkflowHandle[Any, dict[str, Any]]:
    """Start a journey. Raise WorkflowAlreadyStartedError if one is running, or Erased if the contact was erased.

    Args:
        argument: The entry; or see `of_campaign`.
        purpose: A word of `activities.interface`.
        request: An id that makes the start idempotent.
    """
    temporal = temporal if request is None else with_request_id(temporal, request)
    attributes = [SearchAttributePair(SCENARIO_NAME, scenario), SearchAttributePair(CONTACT_ID, contact)]
    return await temporal.start_workflow(
        "Journey",
        argument,
        id=workflow_id,
        task_queue=JOURNEYS,
        result_type=dict,
        # Whether a contact is admitted *again* is decided by the admission: Temporal forgets closed workflows.
        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
        static_summary=summary,
        priority=priority_of(purpose),
        search_attributes=TypedSearchAttributes(attributes),
    )


async def hand_over(
    temporal: Client, *, entry: dict[str, Any], root: str, state: Mapping[str, Any], workflow_id: str, summary: str
) -> bool:
    """Start the journey that continues an entry without a workflow, at the place `state` of `of_campaign`. Idempotent.

    It takes the entry over when it is admitted, unless that has ended or another run has it. Return False if another
    workflow of this id is running. Raise Erased if the contact was erased.
    """
    parsed = parse_entry(entry)
    try:
        await start_journey(
            temporal,
            of_campaign(entry, root, state),
            scenario=parsed.name,
            contact=parsed.contact_id,
            workflow_id=workflow_id,
            summary=summary,
            purpose=CAMPAIGNS,
            request=UUID(root),
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


async def is_started(temporal: Client, workflow_id: str, root: str) -> bool:
    """Return True if the latest run of a workflow id is a journey with this root."""
    try:
        async for event in temporal.get_workflow_handle(workflow_id).fetch_history_events(page_size=1):
            given = event.workflow_execution_started_event_attributes.input.payloads
            argument = mapping_or_empty((await temporal.data_converter.decode(given))[0])
            carried = mapping_or_empty(argument.get("campaign")) or mapping_or_empty(argument.get("state"))
            return root in (carried.get("root"), carried.get("campaign_root"))
    except RPCError as error:
        if not is_unknown_workflow(error):
            raise
    return False
