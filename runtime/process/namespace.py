"""Periodic checks of the Temporal namespace and of this worker's polls."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from typing_extensions import override

from runtime import search_attributes
from runtime.connection import describe_namespace, describe_queue
from runtime.errors import ConnectionFailed
from runtime.process.health import Watch, watching
from runtime.store.database import certain_offset

logger = logging.getLogger(__name__)

_EVERY: Final = 5.0  # seconds between checks: a few small calls each
AWAY: Final = 15.0
"""Seconds without an answer before the server counts as unreachable. A restarted server is back by then."""
VERIFIED: Final = 60.0  # seconds for which found search attributes are assumed to exist
_PATIENCE: Final = 15.0  # seconds, timeout of a check
CALL: Final = timedelta(seconds=4)  # timeout of a call

_DENIED: Final = {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED}
_SILENT: Final = {RPCStatusCode.RESOURCE_EXHAUSTED, RPCStatusCode.UNIMPLEMENTED}
"""Statuses of a server that runs, but refuses the call."""


class NamespaceCheck:
    """Checks a namespace periodically, and registers missing search attributes.

    Attributes are verified at the first check, after each outage, if the namespace is another than before, on
    suspicion, and every minute.
    """

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client, self._clock, self.name = client, clock, client.namespace
        self._seen = clock()
        self._let_in = False
        self._id: str | None = None
        self._verified: float | None = None

    def suspect(self) -> None:
        """Have the search attributes verified at the next check."""
        self._verified = None

    async def check(self) -> None:
        """Check the namespace, and its search attributes if that is due, or raise a SetupError."""
        try:
            await self.look()
            self._seen, self._let_in = self._clock(), True
            if self._verified is None or self._clock() - self._verified >= VERIFIED:
                self.suspect()
                await self._verify()
                self._verified = self._clock()
        except TimeoutError:  # search is slow: the next check repeats it
            return
        except RPCError as error:
            if error.status not in _SILENT:
                self.suspect()
            self._judge(error.status)

    async def look(self) -> None:
        """Check that the namespace exists and is the same as before."""
        identifier = (await describe_namespace(self._client, CALL)).namespace_info.id
        if self._id not in (None, identifier):
            self.suspect()
            logger.error(
                "The namespace %s is another than before: Temporal was replaced, or the namespace was created "
                "again, and its journeys are lost: run `scenario store reconcile`.",
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
                f"The Temporal server no longer has the namespace {self.name}: create it again, or stop this process."
            )
        if status in _DENIED and self._let_in:  # otherwise the account may poll, but not describe
            raise ConnectionFailed(
                f"The Temporal server no longer grants access to the namespace {self.name}: check "
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
    return watching(namespace, "Temporal's namespace", every=_EVERY, patience=_PATIENCE)


class PollerCheck(NamespaceCheck):
    """Checks the namespace, and one queue after the other for this worker's polls.

    The SDK polls on forever while the server is unreachable, and for up to a minute if the namespace was deleted, and
    reports neither. A server remembers a poll for five minutes. A full worker polls again within that time, since no
    attempt is longer.
    """

    clock_offset: float | None = None
    """Offset of this machine's clock from the server's, which notes the time of each poll; see `certain_offset`.

    None while it is unknown, for example because no queue is polled.
    """

    def __init__(
        self,
        client: Client,
        queues: Sequence[str],
        steers: str,
        wall_clock: Callable[[], float] = time.time,
        *,
        is_polled: Callable[[str], bool] = lambda _: True,
    ) -> None:
        super().__init__(client)
        self._wall_clock, self._is_polled = wall_clock, is_polled
        self._polled: dict[str, tuple[float, float]] = {}
        self._steers = steers
        self._queues, self._turns = queues, itertools.cycle(queues)
        self._missed: Counter[str] = Counter()

    @override
    async def look(self) -> None:
        """Check that the server has seen a poll of the next queue that is polled."""
        for queue in itertools.islice(self._turns, len(self._queues)):
            if self._is_polled(queue):
                await self._look_at(queue)
                return
            self._missed[queue] = 0
        self.clock_offset = None
        await super().look()

    async def _look_at(self, queue: str) -> None:
        asked = self._wall_clock()
        polled = await self._last_poll(queue)
        answered = self._wall_clock()
        await super().look()
        self._missed[queue] = 0 if polled is not None else self._missed[queue] + 1
        if polled is not None:
            before, known = self._polled.get(queue, (asked, polled))
            if polled > known:  # newer than at the previous check
                self.clock_offset = certain_offset(before, answered, polled)
            self._polled[queue] = asked, polled
        # Once is not enough: the server may have been restarted.
        if missing := [queue for queue, times in self._missed.items() if times > 1]:
            raise ConnectionFailed(
                f"The Temporal server receives no polls from this worker on the queue '{missing[0]}': check the "
                "network between them, or restart this worker."
            )

    async def _last_poll(self, queue: str) -> float | None:
        """Return the server's time of this worker's last poll, or None if it has seen none."""
        answer = await describe_queue(self._client, queue, CALL, workflows=queue == self._steers)
        mine = [poller for poller in answer.pollers if poller.identity == self._client.identity]
        return max((poller.last_access_time.ToMicroseconds() / 1e6 for poller in mine), default=None)
