"""Local servers that record what they get: a receiver of webhooks, which answers as a file says, and a mail server."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any, Final, Self

from pydantic import TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from runtime.errors import LocalError, NotInstalled
from runtime.local import make_folder, write_private
from runtime.process import HOST, port_error
from runtime.process.http_server import HttpServer

NAME: Final = "receiver.json"  # name of the file in the state folder


@dataclass(frozen=True, slots=True)
class ReceiverAnswer:
    """The responses to requests for one place."""

    first: tuple[int, ...] = ()  # statuses for the first requests of each delivery (each ``webhook-id``), in order
    then: int = 200
    delay: float = 0.0  # seconds until the response
    refuse: bool = False
    told: int = 0
    """Time of the configuration, in nanoseconds since 1970. A repeated one restarts `first`."""

    @property
    def words(self) -> str:
        """A description for people."""
        if self.refuse:
            return "connections are refused"
        said = str(self.then)
        if self.first:
            turns = ", then ".join(str(status) for status in dict.fromkeys(self.first))
            said = f"{turns} to the first {len(self.first)} attempts of each message, then {said}"
        return f"{said}, each after {self.delay:g} s" if self.delay else said


_FILE: Final = TypeAdapter(dict[str, ReceiverAnswer])


class ReceiverAnswers:
    """The configured responses, by place.

    A place is a destination's name or a host, optionally with a path, or a part of a path: ``wax``,
    ``hooks.example.com``, ``hooks.example.com/wax``. The longest match wins. Their file is checked for each request. If
    it is unreadable, the previous content stays in use.
    """

    def __init__(self, path: Path | None = None, defaults: Mapping[str, ReceiverAnswer] | None = None) -> None:
        self._path = path
        self._defaults = dict(defaults or {})
        self._read: dict[str, ReceiverAnswer] = {}
        self._stamp: tuple[int, int] | None = None

    def find(self, path: str) -> tuple[str, ReceiverAnswer]:
        """Return the matching place and its response, or "" and status 200."""
        self._look()
        answers = self._defaults | self._read
        place = max((name for name in answers if covers(name, path)), key=len, default=None)
        return ("", ReceiverAnswer()) if place is None else (place, answers[place])

    def _look(self) -> None:
        if self._path is None:
            return
        stamp = None
        with suppress(OSError):
            status = self._path.stat()
            stamp = (status.st_ino, status.st_mtime_ns)
        if stamp != self._stamp:
            self._stamp = stamp
            found = read(self._path) if stamp else {}
            self._read = self._read if found is None else found


def covers(place: str, path: str) -> bool:
    return not place.strip("/") or f"/{place.strip('/')}/" in f"{path}/"


def read(path: Path) -> dict[str, ReceiverAnswer] | None:
    try:
        return _FILE.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def read_answers(state: Path) -> dict[str, ReceiverAnswer]:
    """Return the configured responses in a state folder, by place."""
    path = state / NAME
    if not path.exists():
        return {}
    if (found := read(path)) is None:
        raise LocalError(f"{path} cannot be read: delete it, and tell the receiver again")
    return found


def set_answer(state: Path, place: str | None, answer: ReceiverAnswer | None) -> None:
    """Configure the response to a place."""
    make_folder(state)
    answers = read_answers(state) if place else {}
    if place and answer:
        answers[place] = replace(answer, told=time.time_ns())
    elif place:
        answers.pop(place, None)
    write_private(state / NAME, _FILE.dump_json(answers, indent=2))


MAX_BYTES: Final = 32 * 1024 * 1024  # maximum size of a body, or of a message, as with most mail servers

KEEP: Final = 10_000
"""Requests kept in memory; the oldest are dropped first. Files stay."""

_REQUESTS: Final = 1000
_IDLE: Final = 75.0
"""Idle timeout of connections, in seconds: longer than our clients', so that none is closed under a request."""
_DRAIN: Final = 1


class Receiver:
    """An HTTP server on loopback, as an asynchronous context manager.

    Requests are written into its folder, if any, as ``<time>-<number>.json``. It `fail`s with these statuses first, by
    place; see `ReceiverAnswer`.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        folder: Path | None = None,
        fail: Mapping[str, Sequence[int]] | None = None,
        told: Path | None = None,
    ) -> None:
        self._port = port
        self._folder = folder
        self._answers = ReceiverAnswers(
            told, {place: ReceiverAnswer(first=tuple(each)) for place, each in (fail or {}).items()}
        )
        self._answered: Counter[tuple[str, int, str]] = Counter()
        self._closed: socket.socket | None = None
        self._requests: deque[Received] = deque(maxlen=KEEP)
        self._count = 0
        self._server: HttpServer | None = None

    @property
    def url(self) -> str:
        assert self._server is not None  # noqa: S101 - it is asked once it listens
        return self._server.url

    def refuses(self, path: str) -> str | None:
        """Return a URL at which connections are refused, if that is configured for a path, else None."""
        if self._closed is None or not self._answers.find(path)[1].refuse:
            return None
        return f"http://{HOST}:{self._closed.getsockname()[1]}"

    def requests(self, path: str = "") -> list[Received]:
        return [request for request in self._requests if covers(path, request.path)]

    async def __aenter__(self) -> Self:
        if self._folder is not None:
            make_folder(self._folder)
        self._server = HttpServer(self._port, purpose="the local receiver")
        self._server.start(self._answer, requests=_REQUESTS, patience=_IDLE, drain=_DRAIN)
        self._closed = socket.socket()
        self._closed.bind((HOST, 0))  # never listened on, so connections are refused
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            await self._server.__aexit__()
        if self._closed is not None:
            self._closed.close()

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
        status, delay = self._told(request)
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
            status=status,
        )
        self._requests.append(received)
        if self._folder is not None:
            keep(self._folder, received)
        await asyncio.sleep(delay)
        return JSONResponse({"received": received.number}, received.status)

    def _told(self, request: Request) -> tuple[int, float]:
        """Return the status of a response, and its delay in seconds."""
        place, answer = self._answers.find(request.scope["path"])
        if not answer.first:
            return answer.then, answer.delay
        delivery = (place, answer.told, request.headers.get("webhook-id", ""))
        turn = self._answered[delivery]
        self._answered[delivery] += 1
        return answer.first[turn] if turn < len(answer.first) else answer.then, answer.delay


@dataclass(frozen=True)
class Received:
    """A request as received."""

    number: int
    at: datetime
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    status: int

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """Return the first value of a header, ignoring case."""
        return next((value for known, value in self.headers if known.lower() == name.lower()), None)

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def place(self) -> str:
        """The first segment of the path: a destination's name or a host."""
        return self.path.strip("/").partition("/")[0]


def keep(folder: Path, received: Received) -> None:
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


def newest(folder: Path, limit: int) -> Iterator[Received]:
    for number, path in enumerate(sorted(folder.glob("*.json"), reverse=True)[:limit]):
        try:
            content: dict[str, Any] = json.loads(path.read_bytes())
            yield Received(
                number=number,
                at=datetime.fromisoformat(content["at"]),
                method=content["method"],
                target=content["target"],
                headers=tuple((name, value) for name, value in content["headers"]),
                body=base64.b64decode(content["body_base64"]) if "body" not in content else content["body"].encode(),
                status=content["status"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue  # another program's file


_STAMP = "%Y%m%dT%H%M%S.%fZ"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Mail:
    """A message in the inbox."""

    path: Path
    at: datetime
    data: bytes  # the exact bytes received

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.data, policy=policy.default)


class Inbox:
    """An SMTP server on loopback, as an asynchronous context manager. It needs `aiosmtpd`.

    Messages are written atomically as ``<time>-<message id>.eml``.
    """

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder = folder
        self._port = port
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The value for SCENARIO_SMTP."""
        return f"smtp://{HOST}:{self._port}"

    def messages(self) -> list[Mail]:
        return messages(self.folder)

    async def __aenter__(self) -> Self:
        try:
            from aiosmtpd.smtp import SMTP
        except ModuleNotFoundError:
            raise NotInstalled(
                "the local inbox is not installed: add it with `pip install aiosmtpd`, or set SCENARIO_SMTP"
            ) from None
        make_folder(self.folder)
        loop = asyncio.get_running_loop()

        def protocol() -> SMTP:
            return SMTP(self, data_size_limit=MAX_BYTES, enable_SMTPUTF8=True, hostname="localhost", loop=loop)

        try:
            self._server = await loop.create_server(protocol, HOST, self._port)
        except OSError as error:
            raise port_error(error, self._port, "the local inbox") from None
        self._port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's
        keep_mail(self.folder, envelope.original_content)
        return "250 2.0.0 kept"


def keep_mail(folder: Path, data: bytes, at: datetime | None = None) -> Path:
    """Write a message to its file, and return the path."""
    time = (at or datetime.now(UTC)).astimezone(UTC).strftime(_STAMP)
    name = _UNSAFE.sub("-", str(BytesHeaderParser(policy=policy.compat32).parsebytes(data).get("message-id", "")))
    stem = f"{time}-{name.strip('-.')[:120] or 'message'}"
    again = ("" if number == 1 else f"-{number}" for number in itertools.count(1))
    path = next(path for path in (folder / f"{stem}{suffix}.eml" for suffix in again) if not path.exists())
    write_private(path, data)
    return path


def messages(folder: Path) -> list[Mail]:
    """Return all messages in a folder, in the order of their arrival."""
    found: list[Mail] = []
    for path in sorted(folder.glob("*.eml")):
        stamp = path.name.partition("-")[0]
        try:
            at = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
        except ValueError:
            continue  # another program's file
        found.append(Mail(path, at, path.read_bytes()))
    return found
