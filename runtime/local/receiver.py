"""A local receiver of webhooks: it answers, remembers every request to the byte, and fails when told to."""

from __future__ import annotations

import base64
import json
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from runtime.local.folder import make_folder, write_private
from runtime.process.http_server import HttpServer

MAX_BYTES: Final = 32 * 1024 * 1024
"""A body may have this many bytes."""

KEEP: Final = 10_000
"""Requests that are remembered; the oldest are forgotten first. Files stay."""

_REQUESTS: Final = 1000
_IDLE: Final = 75.0
"""Seconds that a connection may be idle: more than our clients keep theirs, so that none is closed under a request."""
_DRAIN: Final = 1


@dataclass(frozen=True)
class Received:
    """One request, as it came.

    Attributes:
        number: Counted from 1.
        at: When, in UTC.
        method: ``POST``.
        target: Path and query, as they were in the request line.
        headers: Names, in lower case, and values, in their order.
        body: The exact bytes.
        status: What was answered.
    """

    number: int
    at: datetime
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    status: int

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """The header's first value, whatever the case of its name."""
        return next((value for known, value in self.headers if known.lower() == name.lower()), None)

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: It is none.
        """
        return json.loads(self.body)


class Receiver:
    """An HTTP server on loopback, as an asynchronous context manager.

    Args:
        port: 0 takes a free one.
        folder: Where each request is written to as ``<time>-<number>.json``, if anywhere.
        fail: Path → statuses to answer first. Each delivery (each ``webhook-id``) gets all of them in turn before its
            200. A path covers what is below it.

    Raises:
        PortInUse: Another program listens on the port (when entered).
        LocalError: The port or the folder cannot be used (when entered).
    """

    def __init__(
        self, *, port: int = 0, folder: Path | None = None, fail: Mapping[str, Sequence[int]] | None = None
    ) -> None:
        self._port = port
        self._folder = folder
        self._fail = {path.rstrip("/"): tuple(statuses) for path, statuses in (fail or {}).items()}
        self._failed: Counter[tuple[str, str]] = Counter()
        self._requests: deque[Received] = deque(maxlen=KEEP)
        self._count = 0
        self._server: HttpServer | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        assert self._server is not None  # noqa: S101 - it is asked once it listens
        return self._server.url

    def requests(self, path: str = "") -> list[Received]:
        """What came, in its order.

        Args:
            path: Only what came to this path, or below it.
        """
        return [request for request in self._requests if _covers(path.rstrip("/"), request.path)]

    async def __aenter__(self) -> Self:
        if self._folder is not None:
            make_folder(self._folder)
        self._server = HttpServer(self._port, purpose="the local receiver")
        self._server.start(self._answer, requests=_REQUESTS, patience=_IDLE, drain=_DRAIN)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            await self._server.__aexit__()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._receive(Request(scope, receive))
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _receive(self, request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BYTES:
                return Response(status_code=413, headers={"connection": "close"})
        query: bytes = request.scope["query_string"]
        target: bytes = request.scope["raw_path"] + (b"?" + query if query else b"")
        self._count += 1
        received = Received(
            number=self._count,
            at=datetime.now(UTC),
            method=request.method,
            target=target.decode("ascii"),
            headers=tuple(
                (name.decode(), value.decode("utf-8", "backslashreplace")) for name, value in request.headers.raw
            ),
            body=bytes(body),
            status=self._status(request),
        )
        self._requests.append(received)
        if self._folder is not None:
            _write(self._folder, received)
        return JSONResponse({"received": received.number}, received.status)

    def _status(self, request: Request) -> int:
        rule = next((path for path in self._fail if _covers(path, request.scope["path"])), None)
        if rule is None:
            return 200
        delivery = (rule, request.headers.get("webhook-id", ""))
        turn = self._failed[delivery]
        if turn >= len(self._fail[rule]):
            return 200
        self._failed[delivery] += 1
        return self._fail[rule][turn]


def _covers(rule: str, path: str) -> bool:
    return not rule or path == rule or path.startswith(f"{rule}/")


def _write(folder: Path, received: Received) -> None:
    try:
        body: dict[str, str] = {"body": received.body.decode()}
    except UnicodeDecodeError:
        body = {"body_base64": base64.b64encode(received.body).decode()}
    text = {
        "at": received.at.isoformat(),
        "method": received.method,
        "target": received.target,
        "headers": received.headers,
        **body,
        "status": received.status,
    }
    name = f"{received.at:%Y%m%dT%H%M%S.%fZ}-{received.number}.json"
    write_private(folder / name, json.dumps(text, ensure_ascii=False, indent=2).encode())
