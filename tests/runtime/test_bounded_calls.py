"""Calls to Temporal that end in time, and what is logged of those that fail."""

from __future__ import annotations

import asyncio
import logging

import pytest
from temporalio.client import Client, WorkflowQueryFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from runtime.bounded_calls import bounded
from runtime.temporal_faults import Fault
from tests.fakes import RefusingService


@pytest.fixture
def server() -> RefusingService:
    return RefusingService()


async def test_a_call_that_is_not_answered_ends_in_time(
    server: RefusingService, caplog: pytest.LogCaptureFixture
) -> None:
    noticed: list[Fault] = []
    client = bounded(Client(server), longest=0.01, noticed=noticed.append)
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
    handle = bounded(Client(server), longest=0.0).get_workflow_handle("a/1")
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
        (RPCStatusCode.ALREADY_EXISTS, "describe", None),
        (RPCStatusCode.UNAVAILABLE, "describe", logging.WARNING),
        (RPCStatusCode.INVALID_ARGUMENT, "describe", logging.ERROR),
        (RPCStatusCode.PERMISSION_DENIED, "describe", logging.ERROR),
        (RPCStatusCode.FAILED_PRECONDITION, "query", None),
        (RPCStatusCode.INVALID_ARGUMENT, "query", None),
        (RPCStatusCode.DEADLINE_EXCEEDED, "query", None),
        (RPCStatusCode.UNAVAILABLE, "query", logging.WARNING),
        (RPCStatusCode.PERMISSION_DENIED, "query", logging.ERROR),
    ],
)
async def test_faults_are_logged_and_answers_are_not(
    server: RefusingService, caplog: pytest.LogCaptureFixture, status: RPCStatusCode, call: str, level: int | None
) -> None:
    server.refuse(status)
    handle = bounded(Client(server)).get_workflow_handle("a/1")
    with pytest.raises((RPCError, WorkflowQueryFailedError)):
        await (handle.describe() if call == "describe" else handle.query("progress"))
    assert [record.levelno for record in caplog.records] == ([] if level is None else [level])
    assert "a contact's data" not in caplog.text


def test_workers_get_the_connection_itself(server: RefusingService) -> None:
    assert bounded(Client(server)).service_client.worker_service_client is server
