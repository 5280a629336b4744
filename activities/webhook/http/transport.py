"""Sends one attempt: a request in, a response or a typed error out.

Time is limited as a whole, the response in size, the target by `Access`. `activities.webhook.outcome` decides on
success.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Self

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from activities.webhook.errors import AttemptError
from activities.webhook.http.connections import Lanes, kept_headers, too_late
from activities.webhook.http.dial import Lookup, SystemLookup
from activities.webhook.http.exchange import CURRENT, Flight, Request, Response, parse, sent_headers
from runtime.telemetry.metrics import HTTP_CLIENT

_BROKEN: Final = (aiohttp.ClientError, HttpProcessingError, OSError)


class Transport:
    """Sends attempts. A worker has one, which all deliveries share.

    Use it as an asynchronous context manager, in the event loop that sends.

    Args:
        connect_timeout: Seconds for TCP and TLS together, per address.
        dns_ttl: Seconds a DNS answer is used; 0 to look up each time.
        max_connections: 0 for no limit beyond the worker's slots.
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
            connect_timeout,
            keepalive_timeout=keep_alive,
            ttl_dns_cache=dns_ttl,
            limit=max_connections,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._lanes.close()
        if self._system is not None:
            self._system.close()

    async def send(self, request: Request) -> Response:
        """Send one attempt, once, or raise AttemptError.

        Return the response as soon as there is a status: a broken body does not undo it.
        """
        target = parse(request.url, request.access)
        headers = sent_headers(request.headers)
        flight, reading = Flight(target), _Reading(request.longest)
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
        if (got := reading.answer) is None:
            raise too_late(flight)
        return Response(got.status, kept_headers(got), bytes(reading.body), reading.truncated, reading.error)


async def timed(transport: Transport, destination: str, request: Request) -> Response:
    """Send a request once, and measure its duration. Raise AttemptError without a response."""
    began = time.perf_counter()
    status = error = None
    try:
        response = await transport.send(request)
        status, error = response.status, str(response.status) if response.status >= HTTPStatus.BAD_REQUEST else None
    except AttemptError as failed:
        error = failed.word
        raise
    finally:
        if status or error:  # one that was cut off says nothing of the receiver
            HTTP_CLIENT.record(time.perf_counter() - began, destination, request.method, status, error)
    return response


@dataclass(slots=True)
class _Reading:
    """A response that is being read. It survives the timeout that interrupts the reading."""

    longest: int
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
                if len(self.body) > self.longest:
                    del self.body[self.longest :]
                    self.truncated = True
                    return
        except _BROKEN:
            self.error = "body_broken"
        else:
            self.finished = True

    def interrupted(self) -> None:
        """Record the timeout, if there was more to read."""
        if self.answer is not None and not (self.finished or self.truncated or self.error):
            self.error = "body_timeout"
