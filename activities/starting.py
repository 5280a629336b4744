"""Idempotent starts of workflows: for a request id that it knows, Temporal returns the run that it started.

The Python SDK makes a new id for every start and takes none. An interceptor, the last one, sends the start instead.
"""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from temporalio.api.enums.v1 import WorkflowIdConflictPolicy, WorkflowIdReusePolicy
from temporalio.api.errordetails.v1 import WorkflowExecutionAlreadyStartedFailure
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.workflowservice.v1 import StartWorkflowExecutionRequest
from temporalio.client import Client, Interceptor, OutboundInterceptor, StartWorkflowInput, WorkflowHandle
from temporalio.converter import WorkflowSerializationContext, encode_search_attributes
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode
from typing_extensions import override


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
