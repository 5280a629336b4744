"""The workers of a process, one a task queue: started, watched and stopped together.

A worker ends by itself when it cannot poll any more: it is not let into its namespace, say. The process would then look
well, and leave a queue unserved. So whoever runs workers waits for the first that ends, too.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import WorkerDeploymentConfig

from runtime.errors import SettingsError, WorkerFailed
from runtime.process.shutdown import Deadline
from runtime.version import version

logger = logging.getLogger(__name__)

_LOOK: Final = 0.01
"""Seconds between two looks at whether workers have started: the SDK tells nobody."""


class RunnableWorker(Protocol):
    """What is used of `temporalio.worker.Worker`."""

    @property
    def task_queue(self) -> str: ...
    @property
    def is_running(self) -> bool: ...
    async def run(self) -> None: ...
    async def shutdown(self) -> None: ...


class Workers:
    """Workers that run. Made by `running_workers`."""

    def __init__(self, made: Sequence[RunnableWorker]) -> None:
        self._tasks = {asyncio.create_task(worker.run()): worker for worker in made}
        self._stopping = False

    @property
    def sound(self) -> bool:
        """Whether all of them poll."""
        return not self._stopping and all(worker.is_running and not task.done() for task, worker in self._tasks.items())

    async def polling(self) -> None:
        """Waits until all of them poll.

        Raises:
            WorkerFailed: One cannot.
        """
        while not self.sound:
            self.check()
            await asyncio.sleep(_LOOK)

    async def until(self, stop: asyncio.Event) -> None:
        """Waits until somebody asks to stop.

        Raises:
            WorkerFailed: One has ended by itself before.
        """
        asked = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([asked, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        self.check()

    def check(self) -> None:
        """Makes sure that none has failed. One that has is logged, at once: the others may take a while to stop.

        Raises:
            WorkerFailed: One has, or has ended although nobody asked it to.
        """
        for task, worker in self._tasks.items():
            if not task.done():
                continue
            cause = None if task.cancelled() else task.exception()
            if cause is None and self._stopping:
                continue
            # Its text is the server's or the SDK's own, which may quote anything.
            failure = WorkerFailed(
                f"the worker of the queue '{worker.task_queue}' failed"
                f"{f' ({type(cause).__name__})' if cause else ''}: see the lines before this one, and start it again"
            )
            logger.error("%s", failure, exc_info=cause)
            raise failure from cause

    async def stop(self, patience: float = math.inf) -> None:
        """Stops them all at once, so that they share the time of a drain.

        Args:
            patience: Seconds after which those that have not stopped are given up.
        """
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
    """Runs workers, and at the end stops them all at once: together they have the time of a drain, not each.

    Args:
        deadline: By when the process has to be over. Without it, or where it does not count yet, they take their time.
        keep: Seconds of it that are kept for what comes after them.

    Raises:
        WorkerFailed: At the end, where one has failed.
    """
    crew = Workers(made)
    try:
        yield crew
    finally:
        await crew.stop(math.inf if deadline is None else deadline.left(math.inf, keep=keep))
    crew.check()


DEPLOYMENT: Final = "TEMPORAL_DEPLOYMENT_NAME"
BUILD: Final = "TEMPORAL_WORKER_BUILD_ID"
"""The variables that Temporal's worker controller for Kubernetes sets."""


def deployment_from(environ: Mapping[str, str] = os.environ) -> WorkerDeploymentConfig | None:
    """What this process is by its variables; None where it is not versioned.

    All workers of a deployment have to be versioned, whichever queues they serve, or none of them: the server hands
    the deliveries of a versioned journey to workers of its own deployment.

    Raises:
        SettingsError: Only one of the two variables is set.
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
    """Return what tells the release of a worker that is not versioned.

    Most events of a history repeat it. The SDK's default, a hash of all modules, is longer and nobody can read it.
    """
    release = version().partition("+")[0]
    return WorkerDeploymentConfig(version=WorkerDeploymentVersion("scenario", release), use_worker_versioning=False)


_YOUNG: Final = 10_000
"""New objects before a collection begins. Python's default, 700, is reached a few times a delivery under load."""


def tune_garbage_collection() -> None:
    """Exempt all objects made so far from collection, and collect others less often.

    Imported modules alone are some hundred thousand objects. To go through them took an eighth of a worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
