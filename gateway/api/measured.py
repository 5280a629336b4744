"""Measures how long requests take, by route: never by path, which holds ids."""

from __future__ import annotations

import time
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.telemetry.metrics import HTTP_SERVER

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER: Final = "_OTHER"
"""What OpenTelemetry's conventions call a method that nobody knows."""


class Measured:
    """An ASGI application around another one, whose requests it measures."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        began, status = time.perf_counter(), 500

        async def heard(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, heard)
        finally:
            route: Any = scope.get("route")  # not there where the request did not get as far
            method = scope["method"] if scope["method"] in _METHODS else _OTHER
            HTTP_SERVER.record(time.perf_counter() - began, getattr(route, "path", None), method, status)
