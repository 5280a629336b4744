"""What the tests of the sending share: a transport, and an access that reaches receivers on this machine."""

import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from activities.webhook.http.exchange import Request
from activities.webhook.http.transport import Transport
from scenario.http.addresses import Access
from tests.activities.webhook.faults import Receiver
from tests.fakes import Clock


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(connect_timeout=30) as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def post() -> Callable[..., Request]:
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
