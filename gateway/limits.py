"""Rates by key; and public calls: their bodies, the secrets that they show, and the answers to refused ones."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Final

from starlette.exceptions import HTTPException
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


class RefusedCall(HTTPException):
    """An answer to a public call other than 2xx, as one sentence."""


async def read_body(
    request: Request, most: int, *, patience: float, names: tuple[str, str], keep: int | None = None
) -> bytes:
    """Return a body. Content-Length may be wrong or missing, so bytes are counted.

    Raise RefusedCall if it is too large, or does not arrive within `patience` seconds, and ClientDisconnect if the
    client has gone.

    Args:
        names: Its names in the answers, such as ``the call`` and ``a call``.
        keep: Number of bytes to return, if fewer than `most`.
    """
    kept, length = bytearray(), 0
    try:
        async with asyncio.timeout(patience):
            async for chunk in request.stream():
                length += len(chunk)
                if length > most:
                    raise RefusedCall(413, f"{names[1]} may have {most} bytes at most", {"connection": "close"})
                kept += chunk if keep is None else chunk[: max(0, keep - len(kept))]
    except TimeoutError:
        raise RefusedCall(408, f"{names[0]} did not arrive in time", {"connection": "close"}) from None
    return bytes(kept)


def refusal(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": sentence}, status, headers)


def shortly(error: Exception) -> str:
    """Return an error for the log of a public request: Temporal's own sentences may contain confidential names."""
    return error.status.name if isinstance(error, RPCError) else str(error) or type(error).__name__


def is_authorized(authorization: str, secrets: Iterable[str]) -> bool:
    """Return True if an ``Authorization`` header shows one of the secrets. Takes the same time for all wrong ones."""
    scheme, _, value = authorization.partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:  # not base64, not ASCII, or not UTF-8
            return False
    elif scheme.lower() != "bearer":
        return False
    return is_one_of(value, secrets)


def is_one_of(value: str, secrets: Iterable[str]) -> bool:
    given = hashlib.sha256(value.encode(errors="replace")).digest()
    # All are compared, whichever is found.
    return any(hmac.compare_digest(given, hashlib.sha256(one.encode()).digest()) for one in secrets)
