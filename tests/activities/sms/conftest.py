"""A stand-in for Twilio's API, in plain sockets, so that it can also break off in mid-sentence."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest

from activities.sms.twilio import Twilio


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: str

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body, strict_parsing=True).items()}


@dataclass
class Api:
    """What the stand-in answers and what it saw.

    Attributes:
        answer: Status and JSON, raw bytes, ``drop`` or ``hang``.
        requests: Every request that arrived whole.
        arrived: Set once there is one.
    """

    answer: tuple[int, Any] | bytes | str = (201, {"sid": "SM1", "status": "queued"})
    requests: list[Request] = field(default_factory=list[Request])
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    origin: str = ""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
                body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
                self.requests.append(Request(line, headers, body))
                self.arrived.set()
                if self.answer == "hang":
                    await asyncio.sleep(30)
                if isinstance(self.answer, str):
                    return
                writer.write(self.answer if isinstance(self.answer, bytes) else _response(*self.answer))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


def _response(status: int, content: Any) -> bytes:
    body = json.dumps(content).encode()
    return f"HTTP/1.1 {status} Said\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    conversations: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        try:
            await api.talk(reader, writer)
        except asyncio.CancelledError:
            return

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        api.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield api
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations)


@pytest.fixture
async def twilio(api: Api) -> AsyncIterator[Twilio]:
    twilio = Twilio("AC1", "to/ken:1", "+33700000000", origin=api.origin)
    yield twilio
    await twilio.close(1)
