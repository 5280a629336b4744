"""A worker of activities that takes what it has asked for before it stops.

A worker asks its queue for the next task before there is one, several times at once. The SDK breaks these requests off
when it stops. A task that the server hands out in that moment is started for the server and reaches nobody, until its
time is over. So this worker first asks for no more, and gives the server a moment to answer what was asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from temporalio.client import Client
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
"""Seconds that the server is given at most."""
_QUIET: Final = 5.0
"""Seconds without a task after which nothing is waited for: hardly any comes just now."""
_NONE: Final = FixedSizeSlotSupplier(1)


class Slots(CustomSlotSupplier):
    """So many tasks at once, as the SDK's own supplier has it, which besides knows how many requests are under way.

    The SDK calls some of it from threads of its own.

    Args:
        number: Of tasks.
        clock: Seconds that only go forward.
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

    @property
    def full(self) -> bool:
        """Whether as many are under way as may be."""
        return not self._free

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:  # noqa: D102
        self._loop = asyncio.get_running_loop()
        while not self._free or not self._open:
            self._turn = _Turn(loop=self._loop)
            await self._turn
        self._free -= 1
        self._asked += 1
        self._answered.clear()
        return SlotPermit()

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:  # noqa: D102
        return None  # for tasks that come without a request: there are none on a queue of its own

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:  # noqa: D102
        self._latest = self._clock()
        self._soon(self._answer)

    def release_slot(self, ctx: SlotReleaseContext) -> None:  # noqa: D102
        if ctx.slot_info is None:  # there was no task
            self._soon(self._answer)
        self._soon(self._release)

    async def drain(self) -> None:
        """Lets nothing more be asked for, and waits a moment for the answers to what was, where tasks were coming."""
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
            with suppress(RuntimeError):  # the loop is closed: nobody waits for a slot any more
                self._loop.call_soon_threadsafe(call)


class _Turn(asyncio.Future[None]):
    """What a request for a slot waits for: there is one at a time.

    The SDK cancels it from a thread of its own when it stops, which a future as such does not stand.
    """

    def cancel(self, msg: Any = None) -> bool:
        with suppress(RuntimeError):  # the loop is closed
            self.get_loop().call_soon_threadsafe(super().cancel, msg)
        return True


class ActivityWorker(Worker):
    """A worker of activities alone.

    Args:
        client: Of the server.
        task_queue: Its queue.
        activities: What it does.
        concurrent: So many at once.
        polls: So many requests for tasks at once.
        grace: What those under way may take when it stops, the time for what was asked for included.
        deployment: The version that it is, where it is versioned.
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
        deployment: WorkerDeploymentConfig | None = None,
    ) -> None:
        self._slots = Slots(concurrent)
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            client,
            task_queue=task_queue,
            activities=activities,
            tuner=WorkerTuner.create_composite(
                workflow_supplier=_NONE,
                activity_supplier=self._slots,
                local_activity_supplier=_NONE,
                nexus_supplier=_NONE,
            ),
            max_concurrent_activity_task_polls=polls,
            graceful_shutdown_timeout=grace - timedelta(seconds=LONGEST),
            deployment_config=deployment,
        )

    @property
    def full(self) -> bool:
        """Whether it takes no more just now, and so does not poll."""
        return self._slots.full

    async def shutdown(self) -> None:
        """Stops once it has taken what it had asked for; attempts under way have the rest of the grace."""
        if self.is_running:
            await self._slots.drain()
        await super().shutdown()
