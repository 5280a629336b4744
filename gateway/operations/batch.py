"""One operation for many journeys: at a rate, a few at a time, counted.

They are the same updates that one journey gets, sent by this process: not a batch job of the server's, of which it
runs one at a time and which nobody can watch. What is interrupted is simply run again: a journey that has obeyed is
not found any more, or refuses.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.concurrency import Concurrency
from gateway.errors import NotAccepted, NotAnswered, Refusal

RATE: Final = 10.0
"""Operations a second, by default. Each is followed by a delivery to the receiver that has just recovered."""

AT_ONCE: Final = 20
"""Operations on their way at the same time; as many in a row without any answer end it."""


@dataclass(frozen=True)
class JourneyTarget:
    """A journey that an operation goes to.

    Attributes:
        id: The workflow id.
        step: The step that it was found at, if that matters: an operation that names it hits no other.
    """

    id: str
    step: str | None = None


@dataclass(frozen=True)
class RefusedOperation:
    """An operation that was not accepted.

    Attributes:
        id: The workflow id.
        why: One sentence, without the id.
    """

    id: str
    why: str


@dataclass
class Tally:
    """How it went, also where it has not gone to its end.

    Attributes:
        accepted: Journeys that accepted, in the order in which they did.
        refused: Those that did not: they were over, or not held any more.
        left: How many were not asked at all.
        unanswered: Whether it was given up because no worker answered.
    """

    accepted: list[str] = field(default_factory=list[str])
    refused: list[RefusedOperation] = field(default_factory=list[RefusedOperation])
    left: int = 0
    unanswered: bool = False

    @property
    def complete(self) -> bool:
        """Whether there was something to do, and every journey accepted."""
        return bool(self.accepted) and not self.refused and not self.left

    def __str__(self) -> str:
        """``accepted 198, refused 2 (nothing to retry: the journey is not held)``."""
        parts = [f"accepted {len(self.accepted)}"]
        if self.refused:
            reasons = Counter(item.why for item in self.refused).most_common()
            said = reasons[0][0] if len(reasons) == 1 else "; ".join(f"{times} × {why}" for why, times in reasons)
            parts.append(f"refused {len(self.refused)} ({said})")
        parts += [f"not asked {self.left}"] if self.left else []
        return ", ".join(parts)


@dataclass
class Batch:
    """One operation, sent to many journeys.

    Args:
        send: Sends it to one. A `Refusal` is counted; any other error ends the batch.
        rate: Operations a second at most.
        done: Told of each one that was answered.

    Attributes:
        tally: How it goes. It is there also where `run` is cancelled or fails.
    """

    send: Callable[[JourneyTarget], Awaitable[Any]]
    rate: float = RATE
    done: Callable[[JourneyTarget], None] = lambda _: None
    tally: Tally = field(default_factory=Tally)
    _silent: int = 0

    async def run(self, targets: Sequence[JourneyTarget]) -> Tally:
        """Sends the operation to one after the other.

        Raises:
            Exception: Whatever `send` raised that is not a refusal. What was on its way is cancelled.
        """
        self.tally.left = len(targets)
        clock = asyncio.get_running_loop()
        turn = clock.time()
        async with Concurrency(AT_ONCE) as under_way:
            for target in targets:
                await under_way.place()
                await asyncio.sleep(turn - clock.time())
                # Where answers are slow, what was missed is not made up for by a burst.
                turn = max(turn, clock.time()) + 1 / self.rate
                if under_way.broken or self.tally.unanswered:
                    break
                under_way.start(self._one(target))
        return self.tally

    async def _one(self, target: JourneyTarget) -> None:
        try:
            await self.send(target)
        except Refusal as error:
            self._silent = self._silent + 1 if isinstance(error, NotAnswered) else 0
            self.tally.unanswered = self._silent >= AT_ONCE
            reason = error.reason if isinstance(error, NotAccepted) else str(error)
            self.tally.refused.append(RefusedOperation(target.id, reason))
        else:
            self._silent = 0
            self.tally.accepted.append(target.id)
        self.tally.left -= 1
        self.done(target)
