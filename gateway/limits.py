"""Limits of requests: rates by key, and sizes of public bodies, with the answers to refused public calls."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from temporalio.service import RPCError

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
        """Count something, perhaps beyond the limit, unless it is reached. Return 0, or the seconds to wait."""
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


async def read_body(request: Request, most: int, *, patience: float, keep: int | None = None) -> bytes | None:
    """Return a body, or None if it is too large. Content-Length may be wrong or missing, so bytes are counted.

    Raise TimeoutError if it does not arrive within `patience` seconds, and ClientDisconnect if the client has gone.

    Args:
        keep: Number of bytes to return, if fewer than `most`.
    """
    kept, length = bytearray(), 0
    async with asyncio.timeout(patience):
        async for chunk in request.stream():
            length += len(chunk)
            if length > most:
                return None
            kept += chunk if keep is None else chunk[: max(0, keep - len(kept))]
    return bytes(kept)


def refusal(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": sentence}, status, headers)


def shortly(error: Exception) -> str:
    """Return an error for the log of a public request: Temporal's own sentences may contain confidential names."""
    return error.status.name if isinstance(error, RPCError) else str(error) or type(error).__name__
