"""Health pages: is the process alive, and is it ready to work?"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from runtime.process.http_guard import ALIVE, READY
from runtime.process.http_server import HttpServer
from runtime.process.ports import HOST
from runtime.telemetry import metrics

Check = Callable[[], bool]
"""True if one thing that the process needs is there. Called from any thread, it asks nobody."""

_REQUESTS: Final = 16
"""So many may be under way at once: those who watch over a process are few."""
_DRAIN: Final = 1


@asynccontextmanager
async def health_pages(port: int, checks: Mapping[str, Check], *, host: str = HOST) -> AsyncGenerator[HttpServer]:
    """Serves ``/healthz`` and ``/readyz``.

    ``/healthz`` answers 200 while the process's event loop turns: restart it where it does not. ``/readyz`` asks every
    check and answers 200 where all say yes, else 503, with which said what: ``{"ready": false, "checks": {"temporal":
    false}}``. A check that raises makes it 500, and is logged.

    Args:
        port: 0 takes a free one, see `HttpServer.port`.
        checks: Name → check.
        host: The address to listen on. A cluster's probes come from outside, and need another than loopback's.

    Raises:
        LocalError: The port cannot be listened on.
    """

    async def alive(_request: Request) -> JSONResponse:
        return JSONResponse({"alive": True})

    async def ready(_request: Request) -> JSONResponse:
        return readiness(checks)

    async with HttpServer(port, host, purpose="the health pages") as server:
        pages = Starlette(routes=[Route(ALIVE, alive), Route(READY, ready)])
        server.start(pages, requests=_REQUESTS, drain=_DRAIN)
        yield server


def readiness(checks: Mapping[str, Check]) -> JSONResponse:
    """Answer whether all checks succeed, and which do not."""
    found = {name: check() for name, check in checks.items()}
    ready = all(found.values())
    return JSONResponse({"ready": ready, "checks": found}, 200 if ready else 503)


@contextmanager
def measured(checks: Mapping[str, Check]) -> Generator[None]:
    """Measure the checks, too. More of them may be added meanwhile."""
    metrics.READY.reads(lambda: [((name,), float(check())) for name, check in list(checks.items())])
    try:
        yield
    finally:
        metrics.READY.reads(None)
