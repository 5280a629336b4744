"""Answers that caches must not store, because they may contain a contact's data."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Unstored:
    """An ASGI application that forbids caching of another one's answers.

    Args:
        application: The application.
        headers: Further headers of all answers.
    """

    def __init__(self, application: ASGIApp, headers: Mapping[str, str] | None = None) -> None:
        self._application, self._headers = application, headers or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._application(scope, receive, told)
