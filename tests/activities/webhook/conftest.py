"""What the tests of the sending share: a transport, and an access that reaches receivers on this machine."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from activities.webhook.http.exchange import Request
from activities.webhook.http.transport import Transport
from scenario.http.addresses import Access
from tests.activities.webhook.faults import Receiver


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(connect_timeout=30) as made:
        yield made


@pytest.fixture
def out_of_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Says that the whole time of all attempts under way is up: no test waits for that, and none comes too late."""
    running: list[asyncio.Timeout] = []

    def timeout(seconds: float) -> asyncio.Timeout:
        running.append(asyncio.timeout(seconds))
        return running[-1]

    def say() -> None:
        for one in running:
            with contextlib.suppress(RuntimeError):  # it is over
                one.reschedule(asyncio.get_running_loop().time())

    monkeypatch.setattr("activities.webhook.http.transport.asyncio", SimpleNamespace(timeout=timeout))
    return say


@pytest.fixture
def post() -> Callable[..., Request]:
    """A request to a local receiver: in plain HTTP, with private access to its port and all the time that it needs."""

    def make(there: Receiver, path: str = "/hook", /, **changes: Any) -> Request:
        request = Request(
            method="POST",
            url=there.url(path),
            headers={"content-type": "application/json"},
            body=b'{"a": 1}',
            timeout=60.0,
            access=Access(allow_private=True, allow_http=True, ports=(there.port,)),
        )
        return dataclasses.replace(request, **changes)

    return make
