"""The check of a process's namespace: its existence, access to it, and its search attributes."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final, Protocol

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from typing_extensions import override

from runtime import search_attributes
from runtime.clock_offset import ClockOffset
from runtime.errors import ConnectionFailed
from runtime.process.health import Watch, watching

logger = logging.getLogger(__name__)

_EVERY: Final = 5.0  # seconds between two looks: a few small calls each
AWAY: Final = 15.0
"""Seconds for which the server may not answer. One that is restarted is back by then."""
VERIFIED: Final = 60.0
"""Seconds for which search attributes that were found are taken to be there, unless something happens."""
_PATIENCE: Final = 15.0  # seconds that a look may take: each of its calls has a time of its own
CALL: Final = timedelta(seconds=4)
"""Timeout of one call of a look."""

_DENIED: Final = {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED}
_SILENT: Final = {RPCStatusCode.RESOURCE_EXHAUSTED, RPCStatusCode.UNIMPLEMENTED}
"""Statuses of a server that runs, but refuses the call."""


class NamespaceCheck:
    """Checks a namespace periodically, and registers search attributes that it lacks.

    Attributes are verified at the first look, after each gap in which the server did not answer, when the namespace is
    another one than before, when somebody suspects that they are missing, and every minute.

    Args:
        clock: Seconds that only go forward.
    """

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._clock = client, clock
        self._seen = clock()
        self._let_in = False
        self._id: str | None = None
        self._verified: float | None = None

    @property
    def name(self) -> str:
        """The namespace's name."""
        return self._client.namespace

    def suspect(self) -> None:
        """Have the search attributes verified at the next look."""
        self._verified = None

    async def check(self) -> None:
        """Look at the namespace, and at its search attributes if that is due.

        Raises:
            ConnectionFailed: The namespace cannot be used.
            AttributesMissing: Search attributes are missing, and this process cannot register them.
        """
        try:
            await self.look()
            self._seen, self._let_in = self._clock(), True
            if self._verified is None or self._clock() - self._verified >= VERIFIED:
                self.suspect()
                await self._verify()
                self._verified = self._clock()
        except TimeoutError:  # search is slow: the next look asks again
            return
        except RPCError as error:
            if error.status not in _SILENT:
                self.suspect()
            self._judge(error.status)

    async def look(self) -> None:
        """Ask the server whether the namespace is there, and is the one that it was."""
        described = await self._client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=self.name), timeout=CALL
        )
        identifier = described.namespace_info.id
        if self._id not in (None, identifier):
            self.suspect()
            logger.error(
                "The namespace %s is not the one that it was: Temporal was replaced, or the namespace was created "
                "again, without the journeys that it had: run `scenario store reconcile`.",
                self.name,
            )
        self._id = identifier

    async def _verify(self) -> None:
        async with asyncio.timeout(CALL.total_seconds()):
            if await search_attributes.are_usable(self._client):
                return
        await search_attributes.ensure(self._client, patience=CALL.total_seconds())
        logger.warning("The namespace %s lacked search attributes: they have been registered again.", self.name)

    def _judge(self, status: RPCStatusCode) -> None:
        if status is RPCStatusCode.NOT_FOUND:
            raise ConnectionFailed(
                f"The Temporal server has no namespace {self.name} any more: create it again, or stop this process."
            )
        if status in _DENIED and self._let_in:  # else it may be that it lets this process poll, and ask nothing
            raise ConnectionFailed(
                f"The Temporal server does not let this process into the namespace {self.name} any more: check "
                "TEMPORAL_API_KEY or the client certificate."
            )
        if status in _SILENT | _DENIED:
            self._seen = self._clock()
        elif self._clock() - self._seen >= AWAY:
            raise ConnectionFailed(
                f"The Temporal server of the namespace {self.name} does not answer ({status.name}): check that it is "
                "running."
            )


def watching_namespace(namespace: NamespaceCheck) -> AbstractAsyncContextManager[Watch]:
    """Check a namespace periodically."""
    return watching(namespace, "Temporal's namespace", every=_EVERY, patience=_PATIENCE)


class PollingWorker(Protocol):
    """What is used of a worker."""

    @property
    def task_queue(self) -> str: ...


class PollerCheck(NamespaceCheck):
    """Asks about one queue after the other, and about the namespace.

    A server remembers a poll for five minutes. A full worker polls again within that time, since no attempt is longer.

    Args:
        client: Of the workers, which poll under its identity.
        steers: The queue of workflows; the others are of activities.
        clock: Seconds that only go forward.
        wall_clock: This machine's time, in seconds.
    """

    clock_offset: ClockOffset | None = None
    """The offset of this machine's clock from the server's, which notes the time of each poll."""

    def __init__(
        self,
        client: Client,
        workers: Sequence[PollingWorker],
        steers: str,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(client, clock)
        self._wall_clock = wall_clock
        self._polled: dict[str, tuple[float, float]] = {}
        self._steers = steers
        self._turns = itertools.cycle(workers)
        self._missed: Counter[str] = Counter()

    @override
    async def look(self) -> None:
        """Make sure that the server knows of a poll of the queue whose turn it is.

        Raises:
            ConnectionFailed: It has known of none, twice.
        """
        worker = next(self._turns)
        queue = worker.task_queue
        asked = self._wall_clock()
        polled = await self._last_poll(queue)
        answered = self._wall_clock()
        await super().look()
        self._missed[queue] = 0 if polled is not None else self._missed[queue] + 1
        if polled is not None:
            before, known = self._polled.get(queue, (asked, polled))
            if polled > known:  # it came after the look before this one
                self.clock_offset = ClockOffset.between(before, answered, polled)
            self._polled[queue] = asked, polled
        # Once says nothing: the server may have been restarted just now.
        if missing := [queue for queue, times in self._missed.items() if times > 1]:
            raise ConnectionFailed(
                f"The Temporal server sees nothing of this worker on the queue '{missing[0]}': look at what is between "
                "them, or restart this worker."
            )

    async def _last_poll(self, queue: str) -> float | None:
        """Return the server's time of this worker's last poll, or None if it sees none."""
        steering = queue == self._steers
        answer = await self._client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self._client.namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=(
                    TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW if steering else TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
                ),
            ),
            timeout=CALL,
        )
        mine = [poller for poller in answer.pollers if poller.identity == self._client.identity]
        return max((poller.last_access_time.ToMicroseconds() / 1e6 for poller in mine), default=None)
