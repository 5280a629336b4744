"""The workers of a process, one a task queue: started, checked and stopped together.

A worker ends if it cannot poll, for example without access to its namespace. The process would then seem healthy, and
leave a queue unserved, so the end of any worker ends the process.
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
"""Seconds between checks of started workers: the SDK has no event for it."""


class RunnableWorker(Protocol):
    """The used part of `temporalio.worker.Worker`."""

    @property
    def task_queue(self) -> str: ...
    @property
    def is_running(self) -> bool: ...
    async def run(self) -> None: ...
    async def shutdown(self) -> None: ...


class Workers:
    """Running workers, made by `running_workers`."""

    def __init__(self, made: Sequence[RunnableWorker]) -> None:
        self._tasks = {asyncio.create_task(worker.run()): worker for worker in made}
        self._stopping = False

    @property
    def sound(self) -> bool:
        """True if all workers poll."""
        return not self._stopping and all(worker.is_running and not task.done() for task, worker in self._tasks.items())

    async def polling(self) -> None:
        """Wait until all workers poll, or raise WorkerFailed."""
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
    """Run workers, and stop them at the end.

    Args:
        keep: Seconds of it to keep for later steps.
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

    Imported modules alone are some hundred thousand objects. Scanning them took an eighth of a worker's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
