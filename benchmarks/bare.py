"""What `journeys.py` compares with: workflows that anybody would write for the same sends, without anything of ours.

They are told the receiver's address, take the same entry, and know neither scenarios nor held steps nor operators.
Their worker and its client have no option set: ``python -m benchmarks.bare ADDRESS RECEIVER``.
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
"""Task queue of workflows and activities: both on one, so that activities are started eagerly, as is the default."""
APART: Final = "bare-workflows"
"""Task queue of workflows whose activities are on `QUEUE`, as journeys have it for the sake of the server's rates."""
_ATTEMPT: Final = timedelta(seconds=15)


@dataclass(frozen=True)
class Message:
    """The request: a path at the receiver, and the JSON body."""

    path: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int


class Posts:
    """The one activity."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @activity.defn
    async def post(self, message: Message) -> Reply:
        """Sends."""
        response = await self._client.post(message.path, json=message.body)
        response.raise_for_status()
        return Reply(response.status_code)


def message(entry: dict[str, Any]) -> Message:
    """The body that the scenarios of the benchmark send."""
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
    """Entry, one activity, end."""

    @workflow.run
    async def run(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Runs."""
        reply = await workflow.execute_activity_method(
            Posts.post, message(entry), task_queue=QUEUE, start_to_close_timeout=_ATTEMPT
        )
        return {"outcome": "finished", "status": reply.status}


@workflow.defn
class BareSix:
    """Four activities and two timers."""

    @workflow.run
    async def run(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Runs."""
        statuses: list[int] = []
        for step in ("send", "send", "wait", "send", "wait", "send"):
            if step == "wait":
                await workflow.sleep(1)
                continue
            reply = await workflow.execute_activity_method(
                Posts.post, message(entry), task_queue=QUEUE, start_to_close_timeout=_ATTEMPT
            )
            statuses.append(reply.status)
        return {"outcome": "finished", "statuses": statuses}


async def work(address: str, receiver: str) -> None:
    """The worker process."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await Client.connect(address)
    async with (
        httpx.AsyncClient(base_url=receiver) as http,
        Worker(client, task_queue=QUEUE, workflows=[BareOne, BareSix], activities=[Posts(http).post]),
        Worker(client, task_queue=APART, workflows=[BareOne, BareSix]),
    ):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(work(*sys.argv[1:]))
