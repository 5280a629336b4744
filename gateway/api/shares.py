"""Limits on what one API key may occupy of a process.

They grow with the key's own rate.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final, Literal
from weakref import WeakValueDictionary

from gateway.api.problem import SEND_AGAIN, again
from gateway.authoring.process import WAITING, too_many_checks
from gateway.service.caller import Caller

Work = Literal["read", "write", "items", "waiting", "authoring"]
"""The kind of a request: a read, a change, an item of a batch, a request that mostly waits, a check or preview."""

USUAL: Final = 200.0
"""The rate, in requests per second, to which the following numbers belong."""
REQUESTS: Final = 100
"""Requests of one key in progress: a fifth of a process's."""
MOST: Final = 400
"""The same for a key with any rate."""
AT_ONCE: Final[dict[Work, int]] = {"read": 2, "write": 8, "items": 8}
"""Requests of one key that are executed at a time; others wait for their turn. Other kinds have no limit."""
AUTHORING: Final = 1 + WAITING
"""Checks and previews of one key in progress, as in `gateway.authoring.process`."""
TURN: Final = 2.5
"""Seconds to wait for a turn. With the longest call of Temporal, an answer comes within ten."""
_SOON: Final = 1.0  # seconds after which one of so many requests is probably answered


class Places:
    """Places for requests in progress and for items of batches, counted per key.

    Args:
        requests: See `REQUESTS`.
    """

    def __init__(self, requests: int = REQUESTS) -> None:
        self._requests = requests
        self._taken: Counter[str] = Counter()
        self._authoring: Counter[str] = Counter()
        self._turns: WeakValueDictionary[tuple[str, Work], asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, caller: Caller, work: Work) -> AsyncGenerator[None]:
        """Occupy a place for a request, and wait for its turn.

        Raises:
            Problem: All places of the key are taken, or those before it take too long.
            Busy: All places of the key for checks and previews are taken.
        """
        most = min(MOST, round(self._requests * _share(caller)))
        if self._taken[caller.id] >= most:
            sentence = f"this key has {most} requests in progress: wait for their answers, or send batches"
            raise again("too-many", sentence, _SOON)
        if work == "authoring" and self._authoring[caller.id] >= AUTHORING:
            raise too_many_checks(AUTHORING)
        async with AsyncExitStack() as stack:
            stack.enter_context(_counted(self._taken, caller))
            if work == "authoring":
                stack.enter_context(_counted(self._authoring, caller))
            if work in AT_ONCE:
                turns = self.turns(caller, work)
                await _take(turns)
                stack.callback(turns.release)
            yield

    def turns(self, caller: Caller, work: Work) -> asyncio.Semaphore:
        """Return the turns that all requests, or items of batches, of a key share."""
        found = self._turns.get((caller.id, work))
        if found is None:
            found = self._turns[caller.id, work] = asyncio.Semaphore(round(AT_ONCE[work] * _share(caller)))
        return found


@contextmanager
def _counted(counts: Counter[str], caller: Caller) -> Generator[None]:
    counts[caller.id] += 1
    try:
        yield
    finally:
        counts[caller.id] -= 1
        if not counts[caller.id]:
            del counts[caller.id]


async def _take(turns: asyncio.Semaphore) -> None:
    try:
        async with asyncio.timeout(TURN):
            await turns.acquire()
    except TimeoutError:
        raise again("unavailable", f"requests of this key before this one take too long: {SEND_AGAIN}") from None


def _share(caller: Caller) -> float:
    return max(1.0, (caller.rate or USUAL) / USUAL)
