"""Receivers that fail intermittently: of webhooks, of text messages in place of Twilio, and of e-mails."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from aiohttp import web
from typing_extensions import override

from benchmarks.chaos.judge import ACCEPTED, REFUSED, UNANSWERED, Answer, Arrival
from benchmarks.chaos.scenarios import STEPS, id_of_number
from runtime.local.receiver import Inbox
from tests.servers import reserved_port

_ANSWERS: Final[tuple[Answer, ...]] = (
    *(ACCEPTED, ACCEPTED, REFUSED, ACCEPTED, ACCEPTED),
    *(REFUSED, ACCEPTED, ACCEPTED, UNANSWERED, ACCEPTED),
)
"""Answers to ten requests in a row: 30 % fail."""
_TAKEN: Final = (ACCEPTED, UNANSWERED)
"""Answers after which the message has arrived."""


@dataclass
class UnsteadyReceiver:
    """A receiver of webhooks and text messages that fails three times in ten. It can be stopped.

    Instead of answering 200, it answers 503, or drops the connection after reading the request.

    Attributes:
        webhooks: Requests by delivery id.
        texts: Requests in place of Twilio's API, by the contact's id.
        answers: Number of responses to webhooks, by status; "none" if the connection was dropped.
        times: Times of the responses 200 to webhooks, in seconds since 1970.
        more: Set when a webhook was accepted.
    """

    port: int = field(default_factory=reserved_port)
    webhooks: dict[str, list[Arrival]] = field(default_factory=lambda: defaultdict[str, list[Arrival]](list))
    texts: dict[str, list[Arrival]] = field(default_factory=lambda: defaultdict[str, list[Arrival]](list))
    answers: Counter[str] = field(default_factory=Counter[str])
    times: list[float] = field(default_factory=list[float])
    more: asyncio.Event = field(default_factory=asyncio.Event)
    _progress: set[str] = field(default_factory=set[str])
    _taken: set[str] = field(default_factory=set[str])
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _text_numbers: itertools.count[int] = field(default_factory=itertools.count)
    _runner: web.AppRunner | None = None

    @property
    def origin(self) -> str:
        """The stand-in for Twilio's address."""
        return f"http://127.0.0.1:{self.port}"

    def has_taken(self, identifier: str) -> bool:
        """Return True if a webhook has arrived, even if the sender got no response."""
        return identifier in self._taken

    async def start(self) -> None:
        application = web.Application()
        application.router.add_post("/2010-04-01/Accounts/{account}/Messages.json", self._receive_text)
        application.router.add_route("*", "/{path:.*}", self._receive)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Stop listening, so that connections are refused."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def wait_for(self, deliveries: int) -> None:
        """Wait until this number of deliveries of `STEPS` has arrived."""
        while len(self._progress) < deliveries:
            self.more.clear()
            await self.more.wait()

    async def _receive(self, request: web.Request) -> web.Response:
        identifier, body = request.headers["webhook-id"], await request.read()
        answer = _ANSWERS[next(self._numbers) % len(_ANSWERS)]
        self.webhooks[identifier].append(Arrival(time.time(), body, answer))
        self.answers[{ACCEPTED: "200", REFUSED: "503", UNANSWERED: "none"}[answer]] += 1
        if answer in _TAKEN:
            self._taken.add(identifier)
            if request.path.rpartition("/")[2] in STEPS:
                self._progress.add(identifier)
            self.more.set()
        if answer == ACCEPTED:
            self.times.append(time.time())
        return _respond(request, answer, web.Response(body=body))

    async def _receive_text(self, request: web.Request) -> web.Response:
        form, answer = await request.post(), _ANSWERS[next(self._text_numbers) % len(_ANSWERS)]
        body = json.dumps({name: str(value) for name, value in form.items()}).encode()
        self.texts[id_of_number(str(form["To"]))].append(Arrival(time.time(), body, answer))
        return _respond(request, answer, web.json_response({"sid": "SM1"}, status=201))


def _respond(request: web.Request, answer: Answer, accepted: web.Response) -> web.Response:
    """Return the response. For `UNANSWERED`, drop the connection: the request was read, but the sender cannot tell."""
    if answer == UNANSWERED and request.transport is not None:
        request.transport.abort()
    return web.Response(status=503) if answer == REFUSED else accepted


class UnsteadyInbox(Inbox):
    """A mail server that fails three times in ten: it answers 451, or drops the connection after reading a message."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.mails: dict[str, list[Arrival]] = defaultdict(list)
        """The messages by delivery id."""
        self._numbers = itertools.count()

    @override
    async def handle_DATA(self, _server: Any, _session: object, envelope: Any) -> str:
        answer, data = _ANSWERS[next(self._numbers) % len(_ANSWERS)], bytes(envelope.original_content)
        if found := re.search(rb"^message-id:.*?(msg_[0-9a-f]{32})", data, re.IGNORECASE | re.MULTILINE):
            self.mails[found[1].decode()].append(Arrival(time.time(), data, answer))
        if answer == REFUSED:
            return "451 4.3.0 try again later"
        if answer == UNANSWERED:
            _server.transport.abort()
        return await super().handle_DATA(_server, _session, envelope)
