"""What costs something to find out and is asked for over and over: it is found out once, and told for some seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Found = TypeVar("Found")

_MOST: Final = 100  # keys that are remembered


@dataclass
class _Answer(Generic[Found]):
    task: asyncio.Task[Found]
    at: float


class Recent(Generic[Key, Found]):
    """Remembers answers for some seconds. Who asks while one is being found out waits for that one.

    Args:
        seconds: How long an answer is told, from when it was asked for.
        find: Finds it out.
        clock: Seconds that only go forward.
    """

    def __init__(
        self, seconds: float, find: Callable[[Key], Awaitable[Found]], *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._seconds, self._find, self._clock = seconds, find, clock
        self._answers: dict[Key, _Answer[Found]] = {}

    async def get(self, key: Key) -> Found:
        """The answer to a question.

        Raises:
            Exception: Whatever was raised when it was to be found out. It is tried again at the next question.
        """
        known = self._answers.get(key)
        if known is None or self._is_old(known):
            known = _Answer(asyncio.ensure_future(self._find(key)), self._clock())
            self._answers.pop(key, None)  # so that it is the newest
            self._answers[key] = known
            for stale in list(self._answers)[:-_MOST]:
                del self._answers[stale]
        # Who gives up waiting takes nothing away from those who still do.
        return await asyncio.shield(known.task)

    def forget(self) -> None:
        """Finds everything out anew from now on."""
        self._answers.clear()

    def _is_old(self, answer: _Answer[Found]) -> bool:
        if not answer.task.done():
            return False
        failed = answer.task.cancelled() or answer.task.exception() is not None
        return failed or self._clock() - answer.at >= self._seconds
