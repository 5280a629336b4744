"""Answers that cost much and are asked for often: worked out once for all who ask, and seldom."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

FRESH: Final = 5.0
"""Seconds for which an answer is as good as a new one."""
KEPT: Final = 60.0
"""Seconds for which it is given while a new one is worked out; an older one helps nobody."""
_SHARE: Final = (
    20  # an answer is good for so many times what it took, so that working it out keeps nothing else waiting
)

logger = logging.getLogger(__name__)


@dataclass
class _Answer(Generic[Value]):
    value: Value
    made: float
    tried: float
    took: float


class Recent(Generic[Key, Value]):
    """The latest answers. Used from one event loop.

    Args:
        work: Works an answer out, given the one before, if that is still known.
        fresh: See `FRESH`.
        kept: See `KEPT`.
        clock: Seconds that only go forward.
    """

    def __init__(
        self,
        work: Callable[[Key, Value | None], Awaitable[Value]],
        *,
        fresh: float = FRESH,
        kept: float = KEPT,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._work, self._fresh, self._keeps, self._clock = work, fresh, kept, clock
        self._answers: dict[Key, _Answer[Value]] = {}
        self._working: dict[Key, asyncio.Task[Value]] = {}

    async def get(self, key: Key) -> Value:
        """The answer, which may be as old as `KEPT`.

        Raises:
            Exception: What working it out has failed with, where no answer is known.
        """
        now, known = self._clock(), self._answers.get(key)
        if known is not None and now - known.tried < max(self._fresh, _SHARE * known.took):
            return known.value
        if (task := self._working.get(key)) is None:
            task = self._working[key] = asyncio.create_task(self._make(key, known))
            task.add_done_callback(lambda done: self._made(key, done))
        if known is not None and now - known.made < self._keeps:
            return known.value
        # Shielded: others may wait for it, too.
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Gives up what is being worked out."""
        tasks = list(self._working.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _make(self, key: Key, known: _Answer[Value] | None) -> Value:
        began = self._clock()
        try:
            value = await self._work(key, None if known is None else known.value)
        except Exception:
            if known is not None:
                known.tried = self._clock()
            raise
        now = self._clock()
        self._answers = {name: one for name, one in self._answers.items() if now - one.made < self._keeps}
        self._answers[key] = _Answer(value, now, now, now - began)
        return value

    def _made(self, key: Key, done: asyncio.Task[Value]) -> None:
        del self._working[key]
        if not done.cancelled() and (error := done.exception()) is not None and key in self._answers:
            logger.warning("An answer could not be renewed: %s", error)
