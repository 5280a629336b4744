"""Classification of Temporal's errors: an answer about a workflow, or a fault that is never the caller's.

The surfaces validate a request before they call Temporal. So an error is due to Temporal's state, to this process's
permissions or to a bug, and the same request may succeed later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from google.protobuf.message import Message
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode, ServiceClient, ServiceResponse
from typing_extensions import override

from runtime import search_attributes

logger = logging.getLogger(__name__)

NO_WORKER: Final = frozenset(
    {
        RPCStatusCode.CANCELLED,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.FAILED_PRECONDITION,
        RPCStatusCode.INVALID_ARGUMENT,
        RPCStatusCode.RESOURCE_EXHAUSTED,
    }
)
"""Statuses of a query or an update that no worker answers in time, or that its workflow cannot answer now."""


@dataclass(frozen=True)
class TemporalFault:
    """A fault of Temporal or of this installation."""

    advice: str
    """One sentence for operators: the fault, and what to do. It quotes nothing of a request."""
    retry_after: int  # seconds after which the same request may succeed
    passing: bool = True
    lacks_attributes: bool = False


_AWAY: Final = TemporalFault("the Temporal server does not answer: check that it is running, and try again", 5)
_BROKEN: Final = TemporalFault("the Temporal server failed ({status}): check its log, and try again", 5)
_BUSY: Final = TemporalFault(
    "the Temporal server is overloaded: try again in a moment, or raise the limits of namespace {namespace}", 10
)
_DENIED: Final = TemporalFault(
    "the Temporal server denies this call: check TEMPORAL_API_KEY or the client certificate, and the account's "
    "permissions in namespace {namespace}",
    30,
    passing=False,
)
_REFUSED: Final = TemporalFault(
    "the Temporal server refused a call ({status}): check that its version is supported, and report it with the output "
    "of SCENARIO_DEBUG=1",
    30,
    passing=False,
)
_NO_NAMESPACE: Final = TemporalFault(
    "the Temporal server has no namespace {namespace}: set TEMPORAL_NAMESPACE, or create it again with `temporal "
    "operator namespace create --namespace {namespace}`",
    30,
    passing=False,
)
_NO_ATTRIBUTES: Final = TemporalFault(
    "namespace {namespace} lacks the search attributes of journeys: start a worker, or register them with `{command}`",
    5,
    passing=False,
    lacks_attributes=True,
)
_FAULTS: Final[Mapping[RPCStatusCode, TemporalFault]] = {
    RPCStatusCode.CANCELLED: _AWAY,  # the SDK's status of a timeout
    RPCStatusCode.DEADLINE_EXCEEDED: _AWAY,
    RPCStatusCode.UNAVAILABLE: _AWAY,
    RPCStatusCode.ABORTED: _BROKEN,
    RPCStatusCode.DATA_LOSS: _BROKEN,
    RPCStatusCode.INTERNAL: _BROKEN,
    RPCStatusCode.UNKNOWN: _BROKEN,
    RPCStatusCode.RESOURCE_EXHAUSTED: _BUSY,
    RPCStatusCode.PERMISSION_DENIED: _DENIED,
    RPCStatusCode.UNAUTHENTICATED: _DENIED,
}
"""Faults by status. Every other status is `_REFUSED`."""


def is_unknown_workflow(error: RPCError) -> bool:
    """Return True if there is no such workflow or run, or if it has ended; False if the namespace is missing."""
    return error.status is RPCStatusCode.NOT_FOUND and not _lacks_namespace(error)


class unless_gone(AbstractContextManager[None, bool]):  # noqa: N801 - as `contextlib.suppress`
    """A block that ends early if Temporal does not have a workflow or run, or if the run has ended."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object, /) -> bool:
        return isinstance(error, RPCError) and is_unknown_workflow(error)


def is_answer(error: RPCError) -> bool:
    """Return True if the error is an answer about a workflow instead of a fault."""
    return error.status is RPCStatusCode.ALREADY_EXISTS or is_unknown_workflow(error)


def is_unknown_token(error: RPCError) -> bool:
    """Return True if an error may mean that a page token is not the server's. It may be a fault as well."""
    return error.status in (RPCStatusCode.UNKNOWN, RPCStatusCode.INVALID_ARGUMENT)


def fault_of(error: RPCError, namespace: str) -> TemporalFault:
    """Return the fault that an error reports."""
    if _lacks_namespace(error):
        fault = _NO_NAMESPACE
    elif error.status is RPCStatusCode.INVALID_ARGUMENT and "search attribute" in error.message.lower():
        fault = _NO_ATTRIBUTES
    else:
        fault = _FAULTS.get(error.status, _REFUSED)
    command = search_attributes.command(namespace)
    return replace(fault, advice=fault.advice.format(namespace=namespace, status=error.status.name, command=command))


def _lacks_namespace(error: RPCError) -> bool:
    return any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details)


LONGEST: Final = 7.0
"""Timeout of a call with its retries, in seconds. Clients wait ten seconds for a response."""
_ASKING: Final = frozenset({"update_workflow_execution", "poll_workflow_execution_update", "query_workflow"})
"""Calls that a worker answers. Their callers set the timeout."""


def bound_calls(
    client: Client, *, longest: float = LONGEST, noticed: Callable[[TemporalFault], None] = lambda _: None
) -> Client:
    """Return a client on the same connection that limits the time of calls, and logs faults with advice.

    Calls that wait for a worker or for a workflow's end may take longer.
    """
    config = client.config()
    config["service_client"] = _BoundedCalls(client.service_client, client.namespace, longest, noticed)
    return Client(**config)


class _BoundedCalls(ServiceClient):
    def __init__(
        self, inner: ServiceClient, namespace: str, longest: float, noticed: Callable[[TemporalFault], None]
    ) -> None:
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
        is_reply = is_answer(error) or (rpc in _ASKING and error.status in NO_WORKER)
        if not is_reply and not (getattr(req, "next_page_token", b"") and is_unknown_token(error)):
            fault = fault_of(error, self._namespace)
            logger.log(logging.WARNING if fault.passing else logging.ERROR, "%s (%s)", fault.advice, rpc)
            self._noticed(fault)
        raise error
