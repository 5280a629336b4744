"""What Temporal says of this process: whether its namespace is there and open to it, and whether it polls its queues.

The SDK polls on for ever where the server is away, and for up to a minute where the namespace was deleted; it says
nothing of it, and looks well.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final, Protocol

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from runtime import search_attributes
from runtime.errors import ConnectionFailed

EVERY: Final = 5.0
"""Seconds between two looks: one small call each, about one queue at a time."""
AWAY: Final = 15.0
"""Seconds for which the server may not answer: one that is replaced is back by then."""
_CALL: Final = timedelta(seconds=4)

_DENIED: Final = {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED}
_SILENT: Final = {RPCStatusCode.RESOURCE_EXHAUSTED, RPCStatusCode.UNIMPLEMENTED}
"""The server is there, and says nothing."""


class Poller(Protocol):
    """What is used of a worker."""

    @property
    def task_queue(self) -> str: ...  # noqa: D102


class Polls:
    """Asks about one queue after the other.

    A server remembers a poll for five minutes. A full worker polls again within that time, since no attempt is longer.

    Args:
        client: Of the workers, which poll under its identity.
        workers: Those of the process, one a queue.
        steers: The queue of workflows; the others are of activities.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        client: Client,
        workers: Sequence[Poller],
        steers: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._steers, self._clock = client, steers, clock
        self._turns = itertools.cycle(workers)
        self._seen = clock()
        self._let_in = False
        self._gone = False
        self._missed: Counter[str] = Counter()

    @property
    def name(self) -> str:
        """The namespace's."""
        return self._client.namespace

    async def check(self) -> None:
        """Makes sure of the namespace, and that the server knows of a poll of the queue whose turn it is.

        A namespace that was deleted and created again knows none of the search attributes: they are registered anew.

        Raises:
            ConnectionFailed: It is not so.
            AttributesMissing: They cannot be registered.
        """
        worker = next(self._turns)
        queue = worker.task_queue
        try:
            known = await self._pollers(queue)
        except RPCError as error:
            self._judge(error.status)
            return
        self._seen, self._let_in = self._clock(), True
        if self._gone:
            # Less than a look may take, which would say that the server does not answer.
            await search_attributes.ensure(self._client, patience=_CALL.total_seconds())
            self._gone = False
        self._missed[queue] = 0 if self._client.identity in known else self._missed[queue] + 1
        # Once says nothing: the server may have been restarted just now.
        if missing := [queue for queue, times in self._missed.items() if times > 1]:
            raise ConnectionFailed(
                f"The Temporal server sees nothing of this worker on the queue '{missing[0]}': look at what is between "
                "them, or restart this worker."
            )

    async def _pollers(self, queue: str) -> set[str]:
        steering = queue == self._steers
        answer = await self._client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=self._client.namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=(
                    TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW if steering else TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
                ),
            ),
            timeout=_CALL,
        )
        return {poller.identity for poller in answer.pollers}

    def _judge(self, status: RPCStatusCode) -> None:
        space = self._client.namespace
        if status is RPCStatusCode.NOT_FOUND:
            self._gone = True
            raise ConnectionFailed(
                f"The Temporal server has no namespace {space} any more: create it again, or stop this worker."
            )
        if status in _DENIED and self._let_in:  # else it may be that it lets this process poll, and ask nothing
            raise ConnectionFailed(
                f"The Temporal server does not let this worker into the namespace {space} any more: check "
                "TEMPORAL_API_KEY or the client certificate."
            )
        if status in _SILENT | _DENIED:
            self._seen = self._clock()
        elif self._clock() - self._seen >= AWAY:
            raise ConnectionFailed(
                f"The Temporal server of the namespace {space} does not answer ({status.name}): check that it is "
                "running."
            )
