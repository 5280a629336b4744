"""One operation on many journeys: rate-limited, concurrent, and counted.

Each journey gets the same update as a single one would, sent by this process. Temporal's own batch jobs run one at a
time and report no progress. An interrupted batch is run again: journeys that accepted are no longer found, or refuse.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.concurrency import Concurrency
from gateway.errors import NotAccepted, NotAnswered, Refusal
from gateway.service.view import View

RATE: Final = 10.0
"""Default rate, in operations a second. Each may cause a delivery to a receiver that has just recovered."""
AT_ONCE: Final = 20
"""Maximum number of operations in flight. As many in a row without an answer end the batch."""


@dataclass(frozen=True)
class JourneyTarget:
    """A journey that an operation applies to."""

    id: str
    step: str | None = None
    """The step at which the journey was found. The journey refuses the operation at any other step. None if the step
    does not matter."""


class RefusalView(View):
    """A journey that did not accept an operation."""

    id: str
    """The journey's id."""
    why: str
    """The reason, as one sentence."""


@dataclass
class Tally:
    """The progress and result of a batch."""

    accepted: list[str] = field(default_factory=list[str])
    """Journeys that accepted, in this order."""
    refused: list[RefusalView] = field(default_factory=list[RefusalView])
    """Journeys that did not, for example because they have ended."""
    left: int = 0
    """Number of journeys that were not asked."""
    unanswered: bool = False
    """True if the batch ended because no worker answered."""

    @property
    def complete(self) -> bool:
        """True if there was at least one journey, and all accepted."""
        return bool(self.accepted) and not self.refused and not self.left

    def __str__(self) -> str:
        """Return such as ``accepted 198, refused 2 (nothing to retry: the journey is not held)``."""
        parts = [f"accepted {len(self.accepted)}"]
        if self.refused:
            reasons = Counter(item.why for item in self.refused).most_common()
            text = reasons[0][0] if len(reasons) == 1 else "; ".join(f"{times} × {why}" for why, times in reasons)
            parts.append(f"refused {len(self.refused)} ({text})")
        parts += [f"not asked {self.left}"] if self.left else []
        return ", ".join(parts)


@dataclass
class OperationRun:
    """One operation for many journeys.

    Args:
        send: Sends it to one. A `Refusal` is counted; any other error ends the batch.
        done: Called for each journey that has answered.
    """

    send: Callable[[JourneyTarget], Awaitable[Any]]
    rate: float = RATE
    done: Callable[[JourneyTarget], None] = lambda _: None
    tally: Tally = field(default_factory=Tally)
    """The progress so far, also if `run` is cancelled or fails."""
    _silent: int = 0

    async def run(self, targets: Sequence[JourneyTarget]) -> Tally:
        """Send the operation to one journey after the other. An error that is no refusal cancels those in flight."""
        self.tally.left = len(targets)
        clock = asyncio.get_running_loop()
        turn = clock.time()
        async with Concurrency(AT_ONCE) as pool:
            for target in targets:
                await pool.acquire()
                await asyncio.sleep(turn - clock.time())
                # Slow answers must not be followed by a burst.
                turn = max(turn, clock.time()) + 1 / self.rate
                if pool.has_failed or self.tally.unanswered:
                    break
                pool.start(self._one(target))
        return self.tally

    async def _one(self, target: JourneyTarget) -> None:
        try:
            await self.send(target)
        except Refusal as error:
            self._silent = self._silent + 1 if isinstance(error, NotAnswered) else 0
            self.tally.unanswered = self._silent >= AT_ONCE
            reason = error.reason if isinstance(error, NotAccepted) else str(error)
            self.tally.refused.append(RefusalView(id=target.id, why=reason))
        else:
            self._silent = 0
            self.tally.accepted.append(target.id)
        self.tally.left -= 1
        self.done(target)
