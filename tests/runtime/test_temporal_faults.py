"""Each status that Temporal may answer, and whose fault it is."""

from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure, NotFoundFailure
from temporalio.service import RPCError, RPCStatusCode

from runtime.temporal_faults import fault_of, is_answer, is_unknown_workflow


def error(status: RPCStatusCode, message: str = "a contact's data", detail: Message | None = None) -> RPCError:
    packed = AnyMessage()
    if detail is not None:
        packed.Pack(detail)
    details = [] if detail is None else [packed]
    return RPCError(message, status, GrpcStatus(code=status, details=details).SerializeToString())


CASES = {
    RPCStatusCode.CANCELLED: ("does not answer: check that it is running", 5, True),
    RPCStatusCode.DEADLINE_EXCEEDED: ("does not answer: check that it is running", 5, True),
    RPCStatusCode.UNAVAILABLE: ("does not answer: check that it is running", 5, True),
    RPCStatusCode.ABORTED: ("failed (ABORTED): look at its log", 5, True),
    RPCStatusCode.DATA_LOSS: ("failed (DATA_LOSS): look at its log", 5, True),
    RPCStatusCode.INTERNAL: ("failed (INTERNAL): look at its log", 5, True),
    RPCStatusCode.UNKNOWN: ("failed (UNKNOWN): look at its log", 5, True),
    RPCStatusCode.RESOURCE_EXHAUSTED: ("raise the limits of namespace shop", 10, True),
    RPCStatusCode.PERMISSION_DENIED: ("what the account may do in namespace shop", 30, False),
    RPCStatusCode.UNAUTHENTICATED: ("check TEMPORAL_API_KEY", 30, False),
    RPCStatusCode.ALREADY_EXISTS: ("refused a call (ALREADY_EXISTS)", 30, False),
    RPCStatusCode.FAILED_PRECONDITION: ("refused a call (FAILED_PRECONDITION)", 30, False),
    RPCStatusCode.INVALID_ARGUMENT: ("refused a call (INVALID_ARGUMENT)", 30, False),
    RPCStatusCode.NOT_FOUND: ("refused a call (NOT_FOUND)", 30, False),
    RPCStatusCode.OUT_OF_RANGE: ("refused a call (OUT_OF_RANGE)", 30, False),
    RPCStatusCode.UNIMPLEMENTED: ("refused a call (UNIMPLEMENTED)", 30, False),
}


@pytest.mark.parametrize("status", [status for status in RPCStatusCode if status is not RPCStatusCode.OK])
def test_each_status_is_a_fault_with_advice(status: RPCStatusCode) -> None:
    advice, retry_after, passing = CASES[status]
    fault = fault_of(error(status), "shop")
    assert advice in fault.advice
    assert (fault.retry_after, fault.passing, fault.lacks_attributes) == (retry_after, passing, False)
    assert "a contact's data" not in fault.advice


def test_a_missing_namespace_is_no_missing_workflow() -> None:
    gone = error(RPCStatusCode.NOT_FOUND, detail=NotFoundFailure())
    assert (is_unknown_workflow(gone), is_answer(gone)) == (True, True)
    namespace = error(RPCStatusCode.NOT_FOUND, detail=NamespaceNotFoundFailure(namespace="shop"))
    assert (is_unknown_workflow(namespace), is_answer(namespace)) == (False, False)
    assert "temporal operator namespace create --namespace shop" in fault_of(namespace, "shop").advice


@pytest.mark.parametrize(
    "message",
    [
        "Namespace default has no mapping defined for search attribute ContactId",
        "invalid query: invalid search attribute: ContactId",
    ],
)
def test_missing_search_attributes_are_told_from_other_refusals(message: str) -> None:
    fault = fault_of(error(RPCStatusCode.INVALID_ARGUMENT, message), "shop")
    assert fault.lacks_attributes
    assert "temporal operator search-attribute create --namespace shop --name ScenarioName" in fault.advice


def test_a_workflow_that_exists_is_an_answer() -> None:
    assert is_answer(error(RPCStatusCode.ALREADY_EXISTS))
    assert not is_unknown_workflow(error(RPCStatusCode.ALREADY_EXISTS))
