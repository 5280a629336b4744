"""The mark that a message is about to leave, on the real server: it is there before anything leaves."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.attempt import attempt_of
from activities.channel_registry import SMS
from activities.failures import FailureKind
from activities.interface import Delivery, Sent
from tests.e2e.conftest import Server
from tests.fakes import Rows

TEXT = Delivery(
    id="msg_1", scenario="post-purchase@3", step="thanks", contact="3028687", now="2026-03-02T12:00:00+00:00",
    on_unknown="hold",
)  # fmt: skip


@workflow.defn(name="OneText")
class OneText:
    """Sends one message."""

    @workflow.run
    async def run(self) -> Sent:
        return await workflow.execute_activity(
            "send",
            TEXT,
            result_type=Sent,
            activity_id="thanks",
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=10)),
        )


async def marks(client: Client, journey: str) -> Sequence[Any]:
    """What the server keeps of the pending activity."""
    described = await client.get_workflow_handle(journey).describe()
    [pending] = described.raw_description.pending_activities
    return await client.data_converter.decode(list(pending.heartbeat_details.payloads))


async def test_the_server_knows_of_an_attempt_before_the_message_leaves(server: Server):
    client = await server.connect()
    journey = f"text-{uuid.uuid4().hex[:8]}"
    seen: list[Sequence[Any]] = []

    @activity.defn(name="send")
    async def send(delivery: Delivery) -> Sent:
        async with attempt_of(delivery, channel=SMS, destination="twilio", log=Rows()) as attempt:
            seen.append(await marks(client, journey))
            await attempt.sending()
            seen.append(await marks(client, journey))
            if attempt.number == 1:
                raise attempt.failure(FailureKind.RETRY, "It is busy", status=429)
            return attempt.delivered(201)

    async with Worker(
        client, task_queue=journey, workflows=[OneText], activities=[send], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        sent = await client.execute_workflow(OneText.run, id=journey, task_queue=journey)

    assert sent == Sent(status=201, attempt=2)
    assert seen == [[], ["sending"], ["settled"], ["sending"]]


async def test_a_message_that_was_called_off_does_not_leave(server: Server):
    client = await server.connect()
    journey = f"text-{uuid.uuid4().hex[:8]}"
    rows, over = Rows(), asyncio.Event()

    @activity.defn(name="send")
    async def send(delivery: Delivery) -> Sent:
        try:
            async with attempt_of(delivery, channel=SMS, destination="twilio", log=rows) as attempt:
                handle = client.get_workflow_handle(journey)
                await handle.cancel()
                with pytest.raises(WorkflowFailureError):  # journeys do not wait for what they cancel
                    await handle.result()
                await attempt.sending()
                return attempt.delivered(201)
        finally:
            over.set()

    async with Worker(
        client, task_queue=journey, workflows=[OneText], activities=[send], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        await client.start_workflow(OneText.run, id=journey, task_queue=journey)
        async with asyncio.timeout(60):
            await over.wait()

    assert [(row.outcome, row.error) for row in rows] == [("retry", "called_off")]
