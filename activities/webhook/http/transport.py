"""One attempt over the network: a request in, a response or a typed failure out.

Time is bounded as a whole (a receiver that drips a byte a second included), the response in size, the place by
`Access`. True if the attempt succeeded is not decided here: see `activities.webhook.outcome`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from activities.webhook.http.dial import Lookup, SystemLookup
from activities.webhook.http.exchange import CURRENT, MAX_BODY, Flight, Request, Response, parse
from activities.webhook.http.faults import too_late
from activities.webhook.http.headers import sent_headers
from activities.webhook.http.lanes import Lanes, kept_headers

_BROKEN: Final = (aiohttp.ClientError, HttpProcessingError, OSError)


class Transport:
    """Sends attempts. One for the life of a worker, shared by all its deliveries.

    Use it as an asynchronous context manager, in the event loop that sends.

    Args:
        connect_timeout: Seconds for TCP and TLS together, for each address tried.
        keep_alive: Seconds an idle connection is kept.
        dns_ttl: Seconds a DNS answer is used for further connections; 0 = look up for each.
        max_connections: Bound on open connections; 0 = none, the worker's slots being bound enough.
        lookup: Resolves names; the system's resolver by default.
    """

    def __init__(
        self,
        *,
        connect_timeout: float = 5.0,
        keep_alive: float = 15.0,
        dns_ttl: int = 10,
        max_connections: int = 0,
        lookup: Lookup | None = None,
    ) -> None:
        self._system = SystemLookup(timeout=connect_timeout) if lookup is None else None
        self._lanes = Lanes(
            lookup or self._system or SystemLookup(),
            connect_timeout=connect_timeout,
            keep_alive=keep_alive,
            dns_ttl=dns_ttl,
            max_connections=max_connections,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self._lanes.close()
        if self._system is not None:
            self._system.close()

    async def send(self, request: Request) -> Response:
        """Send one attempt, once.

        Returns:
            The response, as soon as there is a status: what happens to the body after that cannot undo it.

        Raises:
            RefusedError: Our own rules forbid it; nothing left.
            UnreachableError: No connection; nothing left.
            UnansweredError: The request left, and no usable answer came.
        """
        target = parse(request.url, request.access)
        headers = sent_headers(request.headers)
        flight, reading = Flight(target), _Reading()
        token = CURRENT.set(flight)
        try:
            async with (
                asyncio.timeout(request.timeout),
                self._lanes.session(request.access, request.tls) as session,
                # The client puts URLs into its exceptions: it gets the origin, and the lane puts in the rest.
                session.request(
                    request.method, target.origin, headers=headers, data=request.body or None, allow_redirects=False
                ) as answer,
            ):
                await reading.read(answer)
        except TimeoutError:
            reading.interrupted()
        finally:
            CURRENT.reset(token)
        if reading.answer is None:
            raise too_late(flight)
        return Response(
            status=reading.answer.status,
            headers=kept_headers(reading.answer),
            body=bytes(reading.body),
            truncated=reading.truncated,
            body_error=reading.error,
        )


@dataclass(slots=True)
class _Reading:
    """A response that is being read; survives the time-out that cuts the reading short."""

    answer: aiohttp.ClientResponse | None = None
    body: bytearray = field(default_factory=bytearray)
    truncated: bool = False
    finished: bool = False
    error: str | None = None

    async def read(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        try:
            async for chunk in answer.content.iter_any():
                self.body += chunk
                if len(self.body) > MAX_BODY:
                    del self.body[MAX_BODY:]
                    self.truncated = True
                    return
        except _BROKEN:
            self.error = "body_broken"
        else:
            self.finished = True

    def interrupted(self) -> None:
        """The attempt's time is up; it matters only where there was something left to read."""
        if self.answer is not None and not (self.finished or self.truncated or self.error):
            self.error = "body_timeout"
