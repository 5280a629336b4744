"""What Temporal reports of a worker's polls, beside what every process needs of its namespace.

The SDK polls on for ever while the server is away, and for up to a minute if the namespace was deleted. It reports
nothing of it.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from typing_extensions import override

from runtime.clock_offset import ClockOffset
from runtime.errors import ConnectionFailed
from runtime.process.namespace import CALL, Namespace


class Poller(Protocol):
    """What is used of a worker."""

    @property
    def task_queue(self) -> str: ...


class Polls(Namespace):
    """Asks about one queue after the other, and about the namespace.

    A server remembers a poll for five minutes. A full worker polls again within that time, since no attempt is longer.

    Args:
        client: Of the workers, which poll under its identity.
        workers: Those of the process, one a queue.
        steers: The queue of workflows; the others are of activities.
        clock: Seconds that only go forward.
        wall_clock: This machine's time, in seconds.
    """

    clock_offset: ClockOffset | None = None
    """The offset of this machine's clock from the server's, which notes the time of each poll."""

    def __init__(
        self,
        client: Client,
        workers: Sequence[Poller],
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
            RPCError: The server does not answer, or refuses.
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
