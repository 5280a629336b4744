"""Continues the caller's trace (https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

from opentelemetry import context
from opentelemetry.context import Context
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.telemetry.tracing import PROPAGATOR


class Traced:
    """An ASGI application that passes on the caller's trace and makes no span of its own.

    Args:
        application: The application.
    """

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        said = dict(Headers(scope=scope)) if scope["type"] == "http" else dict[str, str]()
        token = context.attach(PROPAGATOR.extract(said, Context()))
        try:
            await self._application(scope, receive, send)
        finally:
            context.detach(token)
