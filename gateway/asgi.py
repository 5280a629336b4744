"""What the gateway's parts have in common over HTTP.

ASGI applications around parts measure requests, forbid caching and continue the caller's trace. Public calls share how
their bodies are read, how they show secrets, and how refused ones are answered.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry import context
from opentelemetry.context import Context
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from temporalio.service import RPCError

from runtime.telemetry.metrics import HTTP_SERVER
from runtime.telemetry.tracing import PROPAGATOR

_METHODS: Final = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
_FAILED: Final = 500


class Measured:
    """Measures an application's requests by route and status; `prefix` is put before its routes."""

    def __init__(self, application: ASGIApp, prefix: str = "") -> None:
        self._application, self._prefix = application, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status, failure = time.monotonic(), None, None

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._application(scope, receive, watched)
        except Exception as error:
            failure = type(error).__name__
            raise
        finally:
            if failure is None and status is not None and status >= _FAILED:
                failure = str(status)
            method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
            # Set by routers. The path itself may hold ids and tokens.
            route: str | None = getattr(scope.get("route"), "path_format", None)
            HTTP_SERVER.record(time.monotonic() - began, route and self._prefix + route, method, status, failure)


class Unstored:
    """Forbids caching of an application's answers, which may contain a contact's data, and adds `headers` to them."""

    def __init__(self, application: ASGIApp, headers: Mapping[str, str] | None = None) -> None:
        self._application, self._headers = application, headers or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def uncached(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._application(scope, receive, uncached)


class Traced:
    """Continues the caller's trace (https://www.w3.org/TR/trace-context/) without its own span."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = context.attach(PROPAGATOR.extract(dict(Headers(scope=scope)), Context()))
        try:
            await self._application(scope, receive, send)
        finally:
            context.detach(token)


# ---- public calls


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
