"""A connection to Temporal on which every call is answered in time, and every fault is logged with what to do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from google.protobuf.message import Message
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode, ServiceClient, ServiceResponse
from typing_extensions import override

from runtime.temporal_faults import NO_WORKER, Fault, fault_of, is_answer

logger = logging.getLogger(__name__)

LONGEST: Final = 7.0
"""Seconds that a call may take with its retries. Engines wait ten seconds for an answer."""
_ASKING: Final = frozenset({"update_workflow_execution", "poll_workflow_execution_update", "query_workflow"})
"""Calls that a worker answers. Whoever makes them limits their time."""


def bounded(client: Client, *, longest: float = LONGEST, noticed: Callable[[Fault], None] = lambda _: None) -> Client:
    """Return a client on the same connection whose calls end in time.

    Args:
        client: The client of a process.
        longest: Seconds that a call may take. Calls that wait for a worker or for a workflow's end are exempt.
        noticed: Called with every fault.
    """
    config = client.config()
    config["service_client"] = _BoundedCalls(client.service_client, client.namespace, longest, noticed)
    return Client(**config)


class _BoundedCalls(ServiceClient):
    def __init__(self, inner: ServiceClient, namespace: str, longest: float, noticed: Callable[[Fault], None]) -> None:
        super().__init__(inner.config)
        self._inner, self._namespace, self._longest, self._noticed = inner, namespace, longest, noticed

    @property
    @override
    def worker_service_client(self) -> Any:  # of a private type
        return self._inner.worker_service_client

    @override
    def update_rpc_metadata(self, metadata: Mapping[str, str | bytes]) -> None:
        self._inner.update_rpc_metadata(metadata)

    @override
    def update_api_key(self, api_key: str | None) -> None:
        self._inner.update_api_key(api_key)

    @override
    async def _rpc_call(
        self,
        rpc: str,
        req: Message,
        resp_type: type[ServiceResponse],
        *,
        service: str,
        retry: bool,
        metadata: Mapping[str, str | bytes],
        timeout: timedelta | None,
    ) -> ServiceResponse:
        waits = rpc in _ASKING or getattr(req, "wait_new_event", False)
        try:
            async with asyncio.timeout(None if waits else self._longest):
                return await self._inner._rpc_call(
                    rpc, req, resp_type, service=service, retry=retry, metadata=metadata, timeout=timeout
                )
        except TimeoutError:
            error = RPCError("no answer in time", RPCStatusCode.DEADLINE_EXCEEDED, b"")
        except RPCError as refused:
            error = refused
        if not (is_answer(error) or (rpc in _ASKING and error.status in NO_WORKER)):
            fault = fault_of(error, self._namespace)
            logger.log(logging.WARNING if fault.passing else logging.ERROR, "%s (%s)", fault.advice, rpc)
            self._noticed(fault)
        raise error
