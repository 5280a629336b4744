"""The baseline of `journeys.py`: bare workflows that send the same messages with plain Temporal code.

They take the same entry and send to the receiver on the command line. They have no scenarios, held steps or operators.
Worker and client keep the SDK's defaults: ``python -m benchmarks.bare ADDRESS RECEIVER``.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    import httpx

QUEUE: Final = "bare"
"""Task queue of workflows and activities. On a shared queue, activities start eagerly, which is the default."""
WORKFLOW_QUEUE: Final = "bare-workflows"
"""Task queue of workflows that have their activities on `QUEUE`. Journeys are split alike, for the rate limits."""
_ATTEMPT: Final = timedelta(seconds=15)


@dataclass(frozen=True)
class Message:
    """A request: a path at the receiver, and the JSON body."""

    path: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    status: int


class PostActivity:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @activity.defn
    async def post(self, message: Message) -> Reply:
        response = await self._client.post(message.path, json=message.body)
        response.raise_for_status()
        return Reply(response.status_code)


def build_message(entry: dict[str, Any]) -> Message:
    """Build the request, with the body of the benchmark's scenarios."""
    contact, order = entry["contact"], entry["trigger"]["order"]
    body = {
        "phone_number": contact["cellphone"],
        "first_name": contact["firstname"],
        "order": order["external_id"],
        "lines": [{"name": product["name"], "quantity": product["quantity"]} for product in order["products"]],
    }
    return Message("/hooks.example.com/bench", body)


@workflow.defn
class BareOne:
    """A workflow of one activity."""

    @workflow.run
    async def run(self, entry: dict[str, Any]) -> dict[str, Any]:
        reply = await workflow.execute_activity_method(
            PostActivity.post, build_message(entry), task_queue=QUEUE, start_to_close_timeout=_ATTEMPT
        )
        return {"outcome": "finished", "status": reply.status}


@workflow.defn
class BareSix:
    """A workflow of four activities and two timers."""

    @workflow.run
    async def run(self, entry: dict[str, Any]) -> dict[str, Any]:
        statuses: list[int] = []
        for step in ("send", "send", "wait", "send", "wait", "send"):
            if step == "wait":
                await workflow.sleep(1)
                continue
            reply = await workflow.execute_activity_method(
                PostActivity.post, build_message(entry), task_queue=QUEUE, start_to_close_timeout=_ATTEMPT
            )
            statuses.append(reply.status)
        return {"outcome": "finished", "statuses": statuses}


async def run_worker(address: str, receiver: str) -> None:
    """Run the worker process until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await Client.connect(address)
    async with (
        httpx.AsyncClient(base_url=receiver) as http,
        Worker(client, task_queue=QUEUE, workflows=[BareOne, BareSix], activities=[PostActivity(http).post]),
        Worker(client, task_queue=WORKFLOW_QUEUE, workflows=[BareOne, BareSix]),
    ):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(run_worker(*sys.argv[1:]))
