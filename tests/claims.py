"""Claims on namespaces for tests: none where there is no Temporal, and freed where tests share a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Self

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


class OwnJournal:
    """Stands in for `Journal` where there is no Temporal: all entries are written."""

    @classmethod
    def configured(cls, *_: object) -> Self:
        return cls()

    async def confirm(self, _identifier: str) -> None:
        pass


@asynccontextmanager
async def own_journal(*_: object, **_options: object) -> AsyncGenerator[None]:
    """Stands in for `keeping_journal`."""
    yield


async def free(client: Client) -> None:
    claim = WorkflowExecution(workflow_id=WORKFLOW)
    with suppress(RPCError):  # there is none
        await client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=claim)
        )
    while await read_record(client) is not None:
        await asyncio.sleep(0.01)
