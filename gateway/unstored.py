"""Answers that no cache keeps: they may hold what is a contact's."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Unstored:
    """An ASGI application around another, whose answers are not stored unless they say so themselves.

    Args:
        application: The application.
        headers: More headers that all answers get.
    """

    def __init__(self, application: ASGIApp, headers: Mapping[str, str] | None = None) -> None:
        self._application, self._headers = application, headers or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._application(scope, receive, told)
