"""How often one thing may happen: a bound on what the holder of an address can pour into a journey."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

_KEPT: Final = 10_000


class RateLimit:
    """So many times in so many seconds, for each key.

    Counted in windows that begin with a key's first time. Of more keys than it keeps, the oldest windows are forgotten
    first: it errs on the side of letting in. Each process counts for itself.

    Args:
        times: How often.
        seconds: In how long.
        clock: Seconds that only go forward.
    """

    def __init__(self, times: int, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._times, self._seconds, self._clock = times, seconds, clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, key: str, times: int = 1) -> float:
        """Count something, unless the limit is reached.

        Args:
            key: What it is counted for.
            times: How many times it counts, perhaps beyond the limit; 0 only asks.

        Returns:
            0 where it may be, else the seconds after which it may.
        """
        now = self._clock()
        begun, count = self._windows.get(key, (now, 0))
        if now - begun >= self._seconds:
            begun, count = now, 0
            self._windows.pop(key, None)
        if count >= self._times:
            return begun + self._seconds - now
        self._windows[key] = (begun, count + times)
        while len(self._windows) > _KEPT:
            self._windows.popitem(last=False)
        return 0.0
