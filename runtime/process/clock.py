"""The check that this machine's clock agrees with those of the store and of Temporal.

Receivers refuse a message whose signature was made at a wrong time, and waits would end at wrong times.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol

from runtime.clock_offset import ClockOffset
from runtime.errors import ClockWrong
from runtime.process.watch import Watch, watching
from runtime.telemetry import metrics

LIMIT: Final = 30.0
"""Seconds by which clocks may differ."""

_CALLED: Final = {"store": "the store's", "temporal": "Temporal's"}


class Compared(Protocol):
    """The store, or a worker's view of Temporal."""

    @property
    def clock_offset(self) -> ClockOffset | None: ...


class Clock:
    """This machine's clock, as `Watch` checks it. The check makes no call: other checks measure the offsets.

    Args:
        others: The sides that have another clock, by name: `store`, `temporal`.
    """

    name = "of this machine"

    def __init__(self, others: Mapping[str, Compared]) -> None:
        self._others = others
        self._reported: dict[tuple[str, bool], str] = {}

    async def check(self) -> None:
        """Compare the clocks.

        Raises:
            ClockWrong: One differs by more than `LIMIT`. The sentence has the offset that was seen first.
        """
        wrong = {(of, seconds > 0): seconds for of, seconds in self.read() if abs(seconds) > LIMIT}
        self._reported = {of: self._reported.get(of) or _sentence(*of, seconds) for of, seconds in wrong.items()}
        for sentence in self._reported.values():
            raise ClockWrong(sentence)

    def read(self) -> list[tuple[str, float]]:
        """Return the offsets that are certain."""
        seen = {of: other.clock_offset for of, other in self._others.items()}
        return [(of, offset.certain) for of, offset in seen.items() if offset is not None]


def _sentence(of: str, ahead: bool, seconds: float) -> str:
    return (
        f"The clock of this machine is {abs(seconds):,.0f} s {'ahead of' if ahead else 'behind'} {_CALLED[of]}: "
        "have both set by NTP."
    )


@asynccontextmanager
async def watching_clock(others: Mapping[str, Compared]) -> AsyncGenerator[Watch]:
    """Compare this machine's clock periodically, and measure its offsets."""
    clock = Clock(others)
    metrics.CLOCK_OFFSET.reads(lambda: [((of,), seconds) for of, seconds in clock.read()])
    try:
        async with watching(clock, "The clock") as watch:
            yield watch
    finally:
        metrics.CLOCK_OFFSET.reads(None)
