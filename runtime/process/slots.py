"""A worker of activities that loses no tasks when it stops.

A worker has several polls in flight. A server with `frontend.enableCancelWorkerPollsOnShutdown` completes them when the
worker stops. With any other the SDK cancels them, and a task that is assigned at that moment reaches nobody until it
times out. The worker then stops polling first, and waits briefly for the answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import (
    CustomSlotSupplier,
    FixedSizeSlotSupplier,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
    Worker,
    WorkerDeploymentConfig,
    WorkerTuner,
)

LONGEST: Final = 3.0
"""Maximum number of seconds to wait for the answers."""
_QUIET: Final = 5.0
"""Seconds without a task after which nothing is waited for."""
_NONE: Final = FixedSizeSlotSupplier(1)


class Slots(CustomSlotSupplier):
    """A fixed number of slots, like the SDK's own supplier, that also counts polls in flight.

    The SDK calls some methods from its own threads.
    """

    def __init__(self, number: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = number
        self._turn: _Turn | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clock = clock
        self._open = True
        self._asked = 0
        self._answered = asyncio.Event()
        self._answered.set()
        self._latest = -_QUIET

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        self._loop = asyncio.get_running_loop()
        while not self._free or not self._open:
            self._turn = _Turn(loop=self._loop)
            await self._turn
        self._free -= 1
        self._asked += 1
        self._answered.clear()
        return SlotPermit()

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        return None  # for eager tasks, which such a queue does not have

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        self._latest = self._clock()
        self._soon(self._answer)

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        if ctx.slot_info is None:  # there was no task
            self._soon(self._answer)
        self._soon(self._release)

    async def drain(self) -> None:
        """Stop polling, and wait briefly for the answers if tasks were arriving."""
        self._open = False
        if self._clock() - self._latest < _QUIET:
            with suppress(TimeoutError):
                async with asyncio.timeout(LONGEST):
                    await self._answered.wait()

    def _answer(self) -> None:
        self._asked -= 1
        if not self._asked:
            self._answered.set()

    def _release(self) -> None:
        self._free += 1
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def _soon(self, call: Callable[[], None]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(call)


class _Turn(asyncio.Future[None]):
    """A wait for a free slot; there is one at a time.

    The SDK cancels it from its own thread, which a plain future does not support.
    """

    def cancel(self, msg: Any = None) -> bool:
        with suppress(RuntimeError):  # the loop is closed
            self.get_loop().call_soon_threadsafe(super().cancel, msg)
        return True


async def completes_polls(client: Client) -> bool:
    """Return True if the server completes the polls of a worker that stops."""
    request = DescribeNamespaceRequest(namespace=client.namespace)
    try:
        answer = await client.workflow_service.describe_namespace(request, timeout=timedelta(seconds=10))
    except RPCError:  # the account may not describe namespaces
        return False
    return answer.namespace_info.capabilities.worker_poll_complete_on_shutdown


class ActivityWorker(Worker):
    """A worker of activities alone.

    Args:
        grace: Time for tasks in flight when it stops, including the time for the answers to its polls.
    """

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str,
        activities: Sequence[Callable[..., Any]],
        concurrent: int,
        polls: int,
        grace: timedelta,
        polls_completed: bool,
        deployment: WorkerDeploymentConfig | None = None,
    ) -> None:
        self._slots = None if polls_completed else Slots(concurrent)
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            client,
            task_queue=task_queue,
            activities=activities,
            tuner=WorkerTuner.create_composite(
                workflow_supplier=_NONE,
                activity_supplier=self._slots or FixedSizeSlotSupplier(concurrent),
                local_activity_supplier=_NONE,
                nexus_supplier=_NONE,
            ),
            max_concurrent_activity_task_polls=polls,
            graceful_shutdown_timeout=grace if polls_completed else grace - timedelta(seconds=LONGEST),
            deployment_config=deployment,
        )

    async def shutdown(self) -> None:
        """Stop once the polls are answered. Attempts in flight have the rest of the grace."""
        if self._slots and self.is_running:
            await self._slots.drain()
        await super().shutdown()
