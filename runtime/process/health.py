"""Two pages for whoever watches over a process: is it alive, and can it work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Self

from aiohttp import web

from runtime.process.ports import HOST, refusal

Check = Callable[[], Awaitable[bool]]
"""Whether one thing that the process needs is there."""

PATIENCE: Final = 2.0
"""Seconds that a check may take; longer counts as no."""


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
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_get("/healthz", self._alive)
        application.router.add_get("/readyz", self._ready)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise refusal(error, self.port, "the health pages") from None
        self.port = int(self._runner.addresses[0][1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _alive(self, _request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _ready(self, _request: web.Request) -> web.Response:
        answers = await asyncio.gather(*(_answer(check) for check in self._checks.values()))
        ready = all(answers)
        found = dict(zip(self._checks, answers, strict=True))
        return web.json_response({"ready": ready, "checks": found}, status=200 if ready else 503)


async def _answer(check: Check) -> bool:
    try:
        async with asyncio.timeout(PATIENCE):
            return await check()
    except TimeoutError:
        return False
