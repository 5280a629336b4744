"""The workers of a process, one a task queue: started, checked and stopped together.

A worker ends if it cannot poll, for example without access to its namespace. The process would then seem healthy, and
leave a queue unserved, so the end of any worker ends the process.

A worker of activities loses no tasks when it stops. It has several polls in flight. A server with
`frontend.enableCancelWorkerPollsOnShutdown` completes them when the worker stops. With any other the SDK cancels them,
and a task that is assigned at that moment is lost until it times out. The worker then stops polling first, and
waits briefly for the answers.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Final, Protocol

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError
from temporalio.worker import (
    CustomSlotSupplier,
    FixedSizeSlotSupplier,
    Interceptor,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
    Worker,
    WorkerDeploymentConfig,
    WorkerTuner,
)

from runtime import version
from runtime.connection import describe_namespace
from runtime.errors import SettingsError, WorkerFailed
from runtime.process.shutdown import Deadline

LONGEST_DRAIN: Final = 3.0  # maximum number of seconds to wait for the answers
_QUIET: Final = 5.0  # seconds without a task after which nothing is waited for
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
                async with asyncio.timeout(LONGEST_DRAIN):
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
    try:
        answer = await describe_namespace(client, timedelta(seconds=10))
    except RPCError:  # the account may not describe namespaces
        return False
    return answer.namespace_info.capabilities.worker_poll_complete_on_shutdown


class ActivityWorker(Worker):
    """A worker of activities alone. The grace for tasks in flight includes the time for the answers to its polls."""

    def __init__(
        self,
        client: Client,
        *,
        task_queue: str,
        activities: Sequence[Callable[..., Any]],
        interceptors: Sequence[Interceptor] = (),
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
            interceptors=interceptors,
            tuner=WorkerTuner.create_composite(
                workflow_supplier=_NONE,
                activity_supplier=self._slots or FixedSizeSlotSupplier(concurrent),
                local_activity_supplier=_NONE,
                nexus_supplier=_NONE,
            ),
            max_concurrent_activity_task_polls=polls,
            max_heartbeat_throttle_interval=_BEAT,
            graceful_shutdown_timeout=grace if polls_completed else grace - timedelta(seconds=LONGEST_DRAIN),
            deployment_config=deployment,
        )

    async def shutdown(self) -> None:
        """Stop once the polls are answered. Attempts in flight have the rest of the grace."""
        if self._slots and self.is_running:
            await self._slots.drain()
        await super().shutdown()


logger = logging.getLogger(__name__)

_BEAT: Final = timedelta(seconds=1)
"""Longest time between two heartbeats, by whose answers a chunk of a campaign learns that it is paused or stopped."""
_LOOK: Final = 0.01  # seconds between checks of started workers: the SDK has no event for it
_OFTEN: Final = 1.0  # seconds between checks whether a worker may poll


class RunnableWorker(Protocol):
    """The used part of `temporalio.worker.Worker`."""

    @property
    def task_queue(self) -> str: ...
    @property
    def is_running(self) -> bool: ...
    async def run(self) -> None: ...
    async def shutdown(self) -> None: ...


class PausableWorker:
    """A worker that stops while it may not poll, and is made anew when it may poll again.

    As at a stop, it completes its tasks first. Meanwhile, its queue is left to the workers of other processes.
    """

    def __init__(self, task_queue: str, make: Callable[[], RunnableWorker], may_poll: Callable[[], bool]) -> None:
        self.task_queue = task_queue
        self._make, self._may_poll = make, may_poll
        self._worker = make() if may_poll() else None
        self._stop = asyncio.Event()

    @property
    def is_paused(self) -> bool:
        return self._worker is None

    @property
    def is_running(self) -> bool:
        """True while it polls or is paused."""
        return self._worker is None or self._worker.is_running

    async def run(self) -> None:
        if self._worker is None:
            self._tell_pause()
        while not self._stop.is_set():
            if self._worker is None and self._may_poll():
                self._worker = self._make()
                logger.info("the queue '%s' is polled again", self.task_queue)
            if self._worker is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_OFTEN):
                        await self._stop.wait()
            elif not await self._run_until_paused(self._worker):
                return

    async def shutdown(self) -> None:
        self._stop.set()
        if self._worker is not None:
            await self._worker.shutdown()

    async def _run_until_paused(self, worker: RunnableWorker) -> bool:
        """Run the worker. Return True if it was stopped because it may not poll, and False if it has ended."""
        running = asyncio.create_task(worker.run(), name=f"worker of {self.task_queue}")
        try:
            while not running.done() and (self._may_poll() or self._stop.is_set()):
                await asyncio.wait([running], timeout=_OFTEN)
            pauses = not running.done()
            if pauses:
                self._worker = None
                self._tell_pause()
                await worker.shutdown()
            await running
        finally:
            running.cancel()
        return pauses

    def _tell_pause(self) -> None:
        logger.warning(
            "the queue '%s' is not polled while the clock of this machine is wrong: have it set by NTP", self.task_queue
        )


class Workers:
    """Running workers, made by `running_workers`."""

    def __init__(self, made: Sequence[RunnableWorker]) -> None:
        self._tasks = {asyncio.create_task(worker.run()): worker for worker in made}
        self._stopping = False

    @property
    def sound(self) -> bool:
        """True if all workers poll or are paused."""
        return not self._stopping and all(worker.is_running and not task.done() for task, worker in self._tasks.items())

    def polls(self, queue: str) -> bool:
        """Return False while the worker of a queue is paused."""
        workers = [worker for worker in self._tasks.values() if isinstance(worker, PausableWorker)]
        return not any(worker.task_queue == queue and worker.is_paused for worker in workers)

    async def polling(self) -> None:
        """Wait until all workers poll or are paused, or raise WorkerFailed."""
        while not self.sound:
            self.check()
            await asyncio.sleep(_LOOK)

    async def until(self, stop: asyncio.Event) -> None:
        """Wait for the request to stop, or raise WorkerFailed if a worker ends before."""
        asked = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([asked, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        self.check()

    def check(self) -> None:
        """Raise and log the failure of a worker, if any. The log comes first, since stopping others may take time."""
        for task, worker in self._tasks.items():
            if not task.done():
                continue
            cause = None if task.cancelled() else task.exception()
            if cause is None and self._stopping:
                continue
            # Not its text, which may quote anything.
            failure = WorkerFailed(
                f"the worker of the queue '{worker.task_queue}' failed"
                f"{f' ({type(cause).__name__})' if cause else ''}: see the previous log lines, and restart it"
            )
            logger.error("%s", failure, exc_info=cause)
            raise failure from cause

    async def stop(self, patience: float = math.inf) -> None:
        """Stop all workers concurrently, and abandon them after `patience` seconds."""
        self._stopping = True
        under_way = {task: worker for task, worker in self._tasks.items() if not task.done()}
        if not under_way:
            return
        asked = [asyncio.create_task(worker.shutdown()) for worker in under_way.values()]
        _, late = await asyncio.wait(under_way, timeout=None if math.isinf(patience) else patience)
        for task in asked:
            task.cancel()
        for task in late:
            logger.error("the worker of the queue '%s' did not stop in time", under_way[task].task_queue)
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


@asynccontextmanager
async def running_workers(
    made: Sequence[RunnableWorker], *, deadline: Deadline | None = None, keep: float = 0.0
) -> AsyncGenerator[Workers]:
    """Run workers, and stop them at the end, with `keep` seconds before the deadline for later steps."""
    crew = Workers(made)
    try:
        yield crew
    finally:
        await crew.stop(math.inf if deadline is None else deadline.left(math.inf, keep=keep))
    crew.check()


# The variables that Temporal's worker controller for Kubernetes sets.
DEPLOYMENT: Final = "TEMPORAL_DEPLOYMENT_NAME"
BUILD: Final = "TEMPORAL_WORKER_BUILD_ID"


def deployment_from(environ: Mapping[str, str] = os.environ) -> WorkerDeploymentConfig | None:
    """Return the version of this worker in its Worker Deployment, or None if it is not versioned.

    Without Worker Versioning, any worker takes a task. With it, the server gives tasks to the current version. Journeys
    last for weeks, and their code stays replayable, so they move to the current version (AUTO_UPGRADE), and none needs
    an old release. All workers of a deployment must be versioned, or none: the server gives the deliveries of a
    versioned journey to workers of its deployment.
    """
    name, build = environ.get(DEPLOYMENT, ""), environ.get(BUILD, "")
    if not name and not build:
        return None
    if not name or not build:
        there, missing = (DEPLOYMENT, BUILD) if name else (BUILD, DEPLOYMENT)
        raise SettingsError(f"{there} is set and {missing} is not: set both for a versioned worker, or neither")
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(name, build),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )


def unversioned() -> WorkerDeploymentConfig:
    """Return the release of a worker that is not versioned.

    The SDK's default, a hash of all modules, is longer and unreadable.
    """
    release = version().partition("+")[0]
    return WorkerDeploymentConfig(version=WorkerDeploymentVersion("scenario", release), use_worker_versioning=False)


_YOUNG: Final = 10_000
"""New objects before a collection. Python's default, 700, is reached several times in a delivery."""


def tune_garbage_collection() -> None:
    """Exempt all existing objects from collection, and collect others less often.

    Imported modules alone are some hundred thousand objects. Scanning them took an eighth of a worker's time, and
    a gateway's first visitors waited for it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
