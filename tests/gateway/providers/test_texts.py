"""Contacts' answers to text messages that Twilio posts: STOP and START, into a real store."""

import base64
import hashlib
import hmac
from unittest.mock import AsyncMock
from urllib.parse import urlencode

import httpx
import pytest
from starlette.applications import Starlette

from activities.suppressions import Suppressor
from gateway.providers.texts import InboundTexts
from runtime.derived_keys import AddressHashes
from runtime.store import Store
from scenario.policies.suppression import Suppression

URL, TOKEN = "https://hooks.example.com/scenario", "s3cret"
NUMBER = "+33612345678"
HASHES = AddressHashes([b"k" * 32])


def signed(form: dict[str, str], token: str = TOKEN, url: str = URL) -> str:
    """As twilio.com/docs/usage/security has it."""
    what = f"{url}/inbound/twilio" + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.digest(token.encode(), what.encode(), hashlib.sha1)).decode()


@pytest.fixture
def platform() -> AsyncMock:
    """Who is told of suppressions."""
    return AsyncMock()


@pytest.fixture
def texts(store: Store, platform: AsyncMock) -> httpx.AsyncClient:
    inbound = InboundTexts(URL, TOKEN, Suppressor(store, HASHES, platform), store, HASHES)
    transport = httpx.ASGITransport(Starlette(routes=inbound.routes))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


FORM = {"From": NUMBER, "To": "+33700000000", "MessageSid": "SM1", "Empty": ""}


async def say(texts: httpx.AsyncClient, signature: str | None = None, **form: str) -> httpx.Response:
    given = FORM | form
    headers = {
        "x-twilio-signature": signed(given) if signature is None else signature,
        "content-type": "application/x-www-form-urlencoded",
    }
    return await texts.post("/inbound/twilio", content=urlencode(given), headers=headers)


@pytest.mark.parametrize(
    "form", [{"Body": "STOP"}, {"Body": " stop\n"}, {"Body": "Arrêt"}, {"Body": "Assez !", "OptOutType": "STOP"}]
)
async def test_stop_suppresses_the_number_and_start_takes_it_back(
    texts: httpx.AsyncClient, store: Store, platform: AsyncMock, form: dict[str, str]
):
    answer = await say(texts, **form)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    assert answer.text.endswith("<Response/>"), "nothing is answered to the contact"
    [row] = await store.suppressions()
    assert (row.channel, (row.address_hash,), row.source, row.scope) == ("sms", HASHES.of("sms", NUMBER), "stop", "")
    assert [(call.args[0].source, call.args[1]) for call in platform.call_args_list] == [("stop", NUMBER)]
    await store.suppress(Suppression("sms", row.address_hash, "custom", row.suppressed_at))
    assert (await say(texts, Body="Start")).status_code == 200
    assert [one.source for one in await store.suppressions()] == ["custom"], "an operator's word stands"


async def test_other_answers_do_nothing_and_only_twilio_is_heard(texts: httpx.AsyncClient, store: Store):
    for form in ({"Body": "please stop"}, {"Body": "STOP", "OptOutType": "HELP"}, {"Body": "STOP", "From": "SHOP"}):
        assert (await say(texts, **form)).status_code == 200
    form = {**FORM, "Body": "STOP"}
    for signature in ("", signed(form, "other"), signed(form, url="https://x.example")):
        assert (await say(texts, signature, Body="STOP")).status_code == 403
    assert await store.suppressions() == []
    for content in (b"\xff\xfe", b"a=b&" * 20_000):
        assert (await texts.post("/inbound/twilio", content=content)).status_code in {400, 403}
