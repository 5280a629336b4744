"""Updates that wait at the server for a worker."""

from __future__ import annotations

import asyncio

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.update.v1 import UpdateRef
from temporalio.api.workflowservice.v1 import PollWorkflowExecutionUpdateRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode


async def until_admitted(client: Client, workflow_id: str, update_id: str) -> None:
    """Wait until the server has an update that no worker has seen yet."""
    reference = UpdateRef(workflow_execution=WorkflowExecution(workflow_id=workflow_id), update_id=update_id)
    request = PollWorkflowExecutionUpdateRequest(namespace=client.namespace, update_ref=reference)
    async with asyncio.timeout(60):
        while True:
            try:
                await client.workflow_service.poll_workflow_execution_update(request)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                await asyncio.sleep(0.01)
            else:
                return
