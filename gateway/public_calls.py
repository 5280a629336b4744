"""Public calls: their bodies, the secrets that they show, and the answers to refused ones."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from temporalio.service import RPCError


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
