"""Health pages: is the process alive, and is it ready to work?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from runtime.process.http_guard import ALIVE
from runtime.process.http_server import HttpServer
from runtime.process.ports import HOST

Check = Callable[[], Awaitable[bool]]
"""Whether one thing that the process needs is there."""

PATIENCE: Final = 2.0
"""Seconds that a check may take; longer counts as no."""

_REQUESTS: Final = 16
"""So many may be under way at once: those who watch over a process are few."""
_DRAIN: Final = 1


class Health:
    """An HTTP server with ``/healthz`` and ``/readyz``, as an asynchronous context manager.

    ``/healthz`` answers 200 while the process's event loop turns: restart it where it does not. ``/readyz`` asks every
    check and answers 200 where all say yes, else 503, with which said what: ``{"ready": false, "checks": {"temporal":
    false}}``. A check that raises makes it 500, and is logged.

    Args:
        port: 0 takes a free one, see `port`.
        checks: Name → check.
        host: The address to listen on. A cluster's probes come from outside, and need another than loopback's.

    Raises:
        LocalError: The port cannot be listened on (when entered).
    """

    def __init__(self, port: int, checks: Mapping[str, Check], *, host: str = HOST) -> None:
        self.port = port
        self._checks = dict(checks)
        self._host = host
        self._server: HttpServer | None = None

    async def __aenter__(self) -> Self:
        self._server = HttpServer(self.port, self._host, purpose="the health pages")
        self.port = self._server.port
        pages = Starlette(routes=[Route(ALIVE, self._alive), Route("/readyz", self._ready)])
        self._server.start(pages, requests=_REQUESTS, drain=_DRAIN)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            await self._server.__aexit__()

    async def _alive(self, _request: Request) -> JSONResponse:
        return JSONResponse({"alive": True})

    async def _ready(self, _request: Request) -> JSONResponse:
        answers = await asyncio.gather(*(_answer(check) for check in self._checks.values()))
        ready = all(answers)
        found = dict(zip(self._checks, answers, strict=True))
        return JSONResponse({"ready": ready, "checks": found}, 200 if ready else 503)


async def _answer(check: Check) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            return await check()
    except TimeoutError:
        return False
