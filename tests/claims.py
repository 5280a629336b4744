"""Claims on namespaces for tests: none where there is no Temporal, and freed where tests share a server."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError

from runtime.identity import WORKFLOW, read_record


class OwnNamespace:
    """Stands in for `StoreIdentity` where there is no Temporal: the namespace belongs to the store."""

    def __init__(self, *_: object) -> None:
        pass

    async def verify(self) -> None:
        pass

    async def ensure(self, **_: object) -> None:
        pass

    async def tend(self) -> None:
        pass


async def free(client: Client) -> None:
    claim = WorkflowExecution(workflow_id=WORKFLOW)
    with suppress(RPCError):  # there is none
        await client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=claim)
        )
    while await read_record(client) is not None:
        await asyncio.sleep(0.01)
