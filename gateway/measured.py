"""Measures HTTP requests by route and status."""

from __future__ import annotations

import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.telemetry.metrics import HTTP_SERVER

_METHODS: Final = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
_FAILED: Final = 500


class Measured:
    """An ASGI application that measures another one's requests.

    Args:
        application: The application.
        prefix: Prefix of its routes, if they lack it.
    """

    def __init__(self, application: ASGIApp, prefix: str = "") -> None:
        self._application, self._prefix = application, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status, failure = time.monotonic(), None, None

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._application(scope, receive, noting)
        except Exception as error:
            failure = type(error).__name__
            raise
        finally:
            if failure is None and status is not None and status >= _FAILED:
                failure = str(status)
            method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
            # Routers note it; the path itself may hold ids and tokens.
            route: str | None = getattr(scope.get("route"), "path_format", None)
            HTTP_SERVER.record(time.monotonic() - began, route and self._prefix + route, method, status, failure)
