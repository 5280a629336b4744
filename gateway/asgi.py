"""ASGI applications around the gateway's parts: measure requests, forbid caching, continue the caller's trace."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from opentelemetry import context
from opentelemetry.context import Context
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
