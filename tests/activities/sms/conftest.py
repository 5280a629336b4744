"""A stand-in for Twilio's API."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from activities.sms.twilio import Twilio
from tests.activities.webhook.faults import Behaviour, Receiver, receiver
from tests.activities.webhook.faults import answer as answering


def answer(status: int, content: Any) -> Behaviour:
    return answering(status, json.dumps(content).encode())


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def api() -> AsyncIterator[Receiver]:
    async with receiver(answer(201, {"sid": "SM1", "status": "queued"})) as there:
        yield there


@pytest.fixture
async def twilio(api: Receiver) -> AsyncIterator[Twilio]:
    twilio = Twilio("AC1", "to/ken:1", "+33700000000", origin=api.url(""))
    yield twilio
    await twilio.close(1)
