"""Contacts answer STOP and START to text messages, and Twilio posts it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import httpx
import pytest
from starlette.applications import Starlette

from activities.suppressions import Suppressor
from gateway.providers.twilio import InboundTexts
from runtime.derived_keys import AddressHashes
from runtime.store import Store
from scenario.policies.suppression import Suppression

HASHES = AddressHashes([b"k" * 32])
URL, TOKEN = "https://hooks.example.com/scenario", "s3cret"
NUMBER = "+33612345678"


def signed(form: dict[str, str], token: str = TOKEN, url: str = URL) -> str:
    """As twilio.com/docs/usage/security has it."""
    what = f"{url}/inbound/twilio" + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.digest(token.encode(), what.encode(), hashlib.sha1)).decode()


@pytest.fixture
def told() -> list[tuple[str, str]]:
    return []


@pytest.fixture
async def http(store: Store, told: list[tuple[str, str]]) -> AsyncIterator[httpx.AsyncClient]:
    async def tell(suppression: Suppression, address: str) -> None:
        told.append((suppression.source, address))

    inbound = InboundTexts(URL, TOKEN, Suppressor(store, HASHES, tell), store, HASHES)
    transport = httpx.ASGITransport(Starlette(routes=inbound.routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def say(http: httpx.AsyncClient, signature: str | None = None, **form: str) -> httpx.Response:
    given = {"From": NUMBER, "To": "+33700000000", "MessageSid": "SM1", "Empty": "", **form}
    headers = {
        "x-twilio-signature": signed(given) if signature is None else signature,
        "content-type": "application/x-www-form-urlencoded",
    }
    return await http.post("/inbound/twilio", content=urlencode(given), headers=headers)


@pytest.mark.parametrize(
    "form", [{"Body": "STOP"}, {"Body": " stop\n"}, {"Body": "Arrêt"}, {"Body": "Assez !", "OptOutType": "STOP"}]
)
async def test_stop_suppresses_the_number_and_start_takes_it_back(
    http: httpx.AsyncClient, store: Store, told: list[tuple[str, str]], form: dict[str, str]
):
    answer = await say(http, **form)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    assert answer.text.endswith("<Response/>"), "nothing is answered to the contact"
    [row] = await store.suppressions()
    assert (row.channel, (row.address_hash,), row.source, row.scope) == ("sms", HASHES.of("sms", NUMBER), "stop", "")
    assert told == [("stop", NUMBER)]
    await store.suppress(Suppression("sms", row.address_hash, "custom", row.suppressed_at))
    assert (await say(http, Body="Start")).status_code == 200
    assert [one.source for one in await store.suppressions()] == ["custom"], "an operator's word stands"


async def test_other_answers_do_nothing(http: httpx.AsyncClient, store: Store):
    for form in ({"Body": "please stop"}, {"Body": "STOP", "OptOutType": "HELP"}, {"Body": "STOP", "From": "SHOP"}):
        assert (await say(http, **form)).status_code == 200
    assert await store.suppressions() == []


async def test_only_twilio_is_heard(http: httpx.AsyncClient, store: Store):
    form = {"From": NUMBER, "To": "+33700000000", "MessageSid": "SM1", "Empty": "", "Body": "STOP"}
    for signature in ("", signed(form, "other"), signed(form, url="https://x.example")):
        assert (await say(http, signature, Body="STOP")).status_code == 403
    assert await store.suppressions() == []
    assert (await http.post("/inbound/twilio", content=b"\xff\xfe")).status_code in {400, 403}
    assert (await http.post("/inbound/twilio", content=b"a=b&" * 20_000)).status_code in {400, 403}
