"""Classification of Temporal's errors: an answer about a workflow, or a fault that is never the caller's.

The ways in check a request before they ask Temporal. Whatever Temporal refuses is therefore a matter of its state, of
this process's rights, or a mistake of this program: the same request may succeed later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.service import RPCError, RPCStatusCode

from runtime import search_attributes

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
class Fault:
    """A fault of Temporal or of this installation.

    Attributes:
        advice: One sentence for operators: the fault, and what to do. It quotes nothing of a request.
        retry_after: Seconds after which the same request may succeed.
        passing: True if it may pass without an operator.
        lacks_attributes: True if the namespace lacks search attributes of journeys.
    """

    advice: str
    retry_after: int
    passing: bool = True
    lacks_attributes: bool = False


_AWAY: Final = Fault("the Temporal server does not answer: check that it is running, and try again", 5)
_BROKEN: Final = Fault("the Temporal server failed ({status}): look at its log, and try again", 5)
_BUSY: Final = Fault(
    "the Temporal server has too much to do: try again in a moment, or raise the limits of namespace {namespace}", 10
)
_DENIED: Final = Fault(
    "the Temporal server does not let this process do it: check TEMPORAL_API_KEY or the client certificate, and what "
    "the account may do in namespace {namespace}",
    30,
    passing=False,
)
_REFUSED: Final = Fault(
    "the Temporal server refused a call ({status}): check that its version is supported, and report it with what "
    "SCENARIO_DEBUG=1 shows",
    30,
    passing=False,
)
_NO_NAMESPACE: Final = Fault(
    "the Temporal server has no namespace {namespace}: set TEMPORAL_NAMESPACE, or create it again with `temporal "
    "operator namespace create --namespace {namespace}`",
    30,
    passing=False,
)
_NO_ATTRIBUTES: Final = Fault(
    "namespace {namespace} lacks the search attributes of journeys: start a worker, or register them with `{command}`",
    5,
    passing=False,
    lacks_attributes=True,
)
_FAULTS: Final[Mapping[RPCStatusCode, Fault]] = {
    RPCStatusCode.CANCELLED: _AWAY,  # what the SDK calls a call whose time is over
    RPCStatusCode.DEADLINE_EXCEEDED: _AWAY,
    RPCStatusCode.UNAVAILABLE: _AWAY,
    RPCStatusCode.ABORTED: _BROKEN,
    RPCStatusCode.DATA_LOSS: _BROKEN,
    RPCStatusCode.INTERNAL: _BROKEN,
    RPCStatusCode.UNKNOWN: _BROKEN,
    RPCStatusCode.RESOURCE_EXHAUSTED: _BUSY,
    RPCStatusCode.PERMISSION_DENIED: _DENIED,
    RPCStatusCode.UNAUTHENTICATED: _DENIED,
    RPCStatusCode.ALREADY_EXISTS: _REFUSED,
    RPCStatusCode.FAILED_PRECONDITION: _REFUSED,
    RPCStatusCode.INVALID_ARGUMENT: _REFUSED,
    RPCStatusCode.NOT_FOUND: _REFUSED,
    RPCStatusCode.OUT_OF_RANGE: _REFUSED,
    RPCStatusCode.UNIMPLEMENTED: _REFUSED,
}


def is_unknown_workflow(error: RPCError) -> bool:
    """Return True if there is no such workflow or run, or if it has ended; False if the namespace is missing."""
    return error.status is RPCStatusCode.NOT_FOUND and not _lacks_namespace(error)


def is_answer(error: RPCError) -> bool:
    """Return True if the error is an answer about a workflow, and no fault."""
    return error.status is RPCStatusCode.ALREADY_EXISTS or is_unknown_workflow(error)


def fault_of(error: RPCError, namespace: str) -> Fault:
    """Return the fault that an error reports.

    Args:
        error: Temporal's.
        namespace: The namespace that was asked.
    """
    if _lacks_namespace(error):
        fault = _NO_NAMESPACE
    elif error.status is RPCStatusCode.INVALID_ARGUMENT and "search attribute" in error.message.lower():
        fault = _NO_ATTRIBUTES
    else:
        fault = _FAULTS[error.status]
    command = search_attributes.command(namespace)
    return replace(fault, advice=fault.advice.format(namespace=namespace, status=error.status.name, command=command))


def _lacks_namespace(error: RPCError) -> bool:
    return any(detail.Is(NamespaceNotFoundFailure.DESCRIPTOR) for detail in error.grpc_status.details)
