"""Each status that Temporal may answer, and whose fault it is."""

from __future__ import annotations

import asyncio
import logging

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from temporalio.api.common.v1 import GrpcStatus
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure, NotFoundFailure
from temporalio.client import Client, WorkflowQueryFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from runtime.temporal_faults import TemporalFault, bound_calls, fault_of, is_answer, is_unknown_workflow
from tests.fakes import RefusingService


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
    RPCStatusCode.ABORTED: ("failed (ABORTED): check its log", 5, True),
    RPCStatusCode.DATA_LOSS: ("failed (DATA_LOSS): check its log", 5, True),
    RPCStatusCode.INTERNAL: ("failed (INTERNAL): check its log", 5, True),
    RPCStatusCode.UNKNOWN: ("failed (UNKNOWN): check its log", 5, True),
    RPCStatusCode.RESOURCE_EXHAUSTED: ("raise the limits of namespace shop", 10, True),
    RPCStatusCode.PERMISSION_DENIED: ("permissions in namespace shop", 30, False),
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
    exists = error(RPCStatusCode.ALREADY_EXISTS)
    assert (is_unknown_workflow(exists), is_answer(exists)) == (False, True)
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


@pytest.fixture
def server() -> RefusingService:
    return RefusingService()


async def test_a_call_that_is_not_answered_ends_in_time(server: RefusingService, caplog: pytest.LogCaptureFixture):
    noticed: list[TemporalFault] = []
    client = bound_calls(Client(server), longest=0.01, noticed=noticed.append)
    with pytest.raises(RPCError) as raised:
        await client.get_workflow_handle("a/1").describe()
    assert raised.value.status is RPCStatusCode.DEADLINE_EXCEEDED
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.WARNING,
            "the Temporal server does not answer: check that it is running, and try again "
            "(describe_workflow_execution)",
        )
    ]
    assert [fault.retry_after for fault in noticed] == [5]


async def test_calls_that_wait_for_a_worker_or_an_end_are_exempt(server: RefusingService) -> None:
    handle = bound_calls(Client(server), longest=0.0).get_workflow_handle("a/1")
    for waiting in (handle.query("progress"), handle.result()):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await waiting
    with pytest.raises(WorkflowUpdateRPCTimeoutOrCancelledError):
        async with asyncio.timeout(0.02):
            await handle.execute_update("pause")  # pyright: ignore[reportUnknownMemberType] of the SDK


@pytest.mark.parametrize(
    ("status", "call", "level"),
    [
        (RPCStatusCode.NOT_FOUND, "describe", None),
        (RPCStatusCode.UNAVAILABLE, "describe", logging.WARNING),
        (RPCStatusCode.INVALID_ARGUMENT, "describe", logging.ERROR),
        (RPCStatusCode.FAILED_PRECONDITION, "query", None),
        (RPCStatusCode.DEADLINE_EXCEEDED, "query", None),
        (RPCStatusCode.UNAVAILABLE, "query", logging.WARNING),
        (RPCStatusCode.PERMISSION_DENIED, "query", logging.ERROR),
    ],
)
async def test_faults_are_logged_and_answers_are_not(
    server: RefusingService, caplog: pytest.LogCaptureFixture, status: RPCStatusCode, call: str, level: int | None
) -> None:
    server.refuse(status)
    handle = bound_calls(Client(server)).get_workflow_handle("a/1")
    with pytest.raises((RPCError, WorkflowQueryFailedError)):
        await (handle.describe() if call == "describe" else handle.query("progress"))
    assert [record.levelno for record in caplog.records] == ([] if level is None else [level])
    assert "a contact's data" not in caplog.text


@pytest.mark.parametrize(("token", "level"), [(None, logging.ERROR), (b"forged", None)])
async def test_a_page_token_of_a_caller_is_no_fault_of_the_server(
    server: RefusingService, caplog: pytest.LogCaptureFixture, token: bytes | None, level: int | None
) -> None:
    server.refuse(RPCStatusCode.INVALID_ARGUMENT)
    noticed: list[TemporalFault] = []
    with pytest.raises(RPCError):
        await (
            bound_calls(Client(server), noticed=noticed.append)
            .list_workflows("", next_page_token=token)
            .fetch_next_page()
        )
    assert [record.levelno for record in caplog.records] == ([] if level is None else [level])
    assert len(noticed) == len(caplog.records)


def test_workers_get_the_connection_itself(server: RefusingService) -> None:
    assert bound_calls(Client(server)).service_client.worker_service_client is server
