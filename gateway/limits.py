"""Limits of requests: rates by key, and sizes of public bodies."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

from starlette.requests import Request

_KEPT: Final = 10_000


class RateLimit:
    """A number of times per number of seconds, for each key.

    Windows begin with a key's first time. If there are too many keys, the oldest windows are forgotten, in favour of
    the callers. Each process has its own count.
    """

    def __init__(self, times: int, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._times, self._seconds, self._clock = times, seconds, clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def take(self, key: str, times: int = 1) -> float:
        """Count something unless the limit is reached. Return 0, or the seconds to wait.

        Args:
            times: How many times it counts, perhaps beyond the limit; 0 only checks.
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


async def read_body(request: Request, most: int, *, keep: int | None = None) -> bytes | None:
    """Return a body, or None if it is too large. Content-Length may be wrong or missing, so bytes are counted.

    Raises:
        ClientDisconnect: The client has gone.
    """
    kept, length = bytearray(), 0
    async for chunk in request.stream():
        length += len(chunk)
        if length > most:
            return None
        kept += chunk if keep is None else chunk[: max(0, keep - len(kept))]
    return bytes(kept)
