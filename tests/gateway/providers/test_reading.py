"""What providers' calls mean, which of them are proven, and texts that they send."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock
from urllib.parse import urlencode

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_curve
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from starlette.applications import Starlette

from activities.suppressions import Suppressor
from gateway.providers.app import providers_of
from gateway.providers.email import SendGrid
from gateway.providers.provider import Call, Forged, NotNow, ProviderEvent, Unreadable
from gateway.providers.texts import InboundTexts, TwilioStatus
from runtime.derived_keys import AddressHashes
from runtime.errors import SettingsError
from runtime.settings import Settings
from runtime.store import Store
from scenario.policies.suppression import Suppression
from scenario.words import PROVIDER_EVENTS
from tests.gateway.providers import callers
from tests.gateway.providers.callers import CALLERS, CERTIFICATE, ID, SECRET, TOPIC, URL, Amazon, providers

SAMPLES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "samples.yaml").read_text("utf-8"))
CLICK = {"eventType": "Click", "click": {}, "mail": {"tags": {"scenario_delivery": [ID]}}}
ONE: dict[str, Any] = {
    "ses": CLICK,
    "sendgrid": [{"event": "click", "sg_event_id": "1", "scenario_delivery": ID}],
    "mailgun": {"event-data": {"event": "clicked", "id": "1", "user-variables": {"scenario_delivery": ID}}},
    "postmark": {"RecordType": "Click", "Metadata": {"scenario_delivery": ID}},
    "brevo": {"event": "click", "X-Mailin-custom": ID},
    "whatsapp": {
        "entry": [{"changes": [{"value": {"statuses": [{"status": "read", "biz_opaque_callback_data": ID}]}}]}]
    },
    "twilio": {"MessageStatus": "delivered", "MessageSid": "SM1"},
}
"""A call of each provider with one event."""


def filled(value: Any) -> Any:
    return json.loads(json.dumps(value).replace("{id}", ID))


def facts(event: ProviderEvent) -> list[Any]:
    assert event.name in PROVIDER_EVENTS
    assert all(event.ids)
    return [event.name, event.code, event.bounce, event.against and event.against.source]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample['provider']}-{sample['expect']}")
async def test_documented_samples(sample: dict[str, Any]):
    name = sample["provider"]
    events = await providers()[name].read(CALLERS[name](filled(sample["payload"])))
    wanted: list[Any] = sample["expect"] or []
    found = [fact for event in events for fact in facts(event)]
    assert found[: len(wanted)] == wanted
    assert found[len(wanted) :] in ([], ["", "", None])
    for event in events:
        assert event.delivery == ID
        assert event.address == {"whatsapp": "", "twilio": "+33612345678"}.get(name, "recipient@example.com")
        assert name == "twilio" or (event.at is not None and f"{event.at:%Y-%m-%d %H}" == "2026-03-29 00")


async def test_published_signatures():
    # sendgrid/sendgrid-python, test/unit/test_eventwebhook.py
    key = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglS"
        "I8eNEc6wEA3F+g=="
    )
    body = (
        b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
        b'"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
        b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
        b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
    )
    signature = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
    lead = "x-twilio-email-event-webhook"
    call = Call("", {f"{lead}-signature": signature, f"{lead}-timestamp": "1600112502"}, body)
    [event] = await SendGrid([key]).read(call)
    assert (*facts(event), event.delivery) == ("email.bounced", "Bounced Address", "hard", "bounce", "")
    with pytest.raises(Forged):
        await SendGrid([key]).read(replace(call, body=body.rstrip()))
    # twilio/twilio-python, tests/unit/test_request_validator.py
    form = b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309"
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    call = Call(url, {"x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}, form)
    assert await TwilioStatus("12345").read(call) == []
    with pytest.raises(Forged):
        await TwilioStatus("12345").read(replace(call, url=url.replace("foo=1", "foo=2")))


def forged() -> dict[str, tuple[str, Call]]:
    """Return one call for each way to forge one."""
    made: dict[str, tuple[str, Call]] = {}
    for name, caller in CALLERS.items():
        call = caller(ONE[name])
        made[f"{name}: no proof"] = name, Call(call.url, {}, b"{}")
        if name == "ses":
            continue
        key = {"sendgrid": generate_curve(SECP256R1())}.get(name, "other")
        made[f"{name}: another key"] = name, caller(ONE[name], key)
        if name not in ("mailgun", "postmark", "brevo"):  # whose proof does not cover the event
            changed = call.body.replace(ID.encode(), b"msg_" + b"1" * 32).replace(b"SM1", b"SM2")
            made[f"{name}: another event"] = name, replace(call, body=changed)
    lead = "x-twilio-email-event-webhook-timestamp"
    call = CALLERS["sendgrid"](ONE["sendgrid"])
    made["sendgrid: another time"] = "sendgrid", replace(call, headers={**call.headers, lead: "1774744901"})
    call = replace(callers.twilio(ONE["twilio"]), url=f"{URL}/inbound/events/twilio")
    made["twilio: another delivery"] = "twilio", call
    call = callers.mailgun(ONE["mailgun"])
    made["mailgun: another token"] = "mailgun", replace(call, body=call.body.replace(b'"token": "', b'"token": "0'))
    made["mailgun: nothing signed"] = "mailgun", callers.mailgun(ONE["mailgun"], stamp="")
    half = b'{"signature": {"timestamp": "\\ud800", "token": "t"}}'
    made["mailgun: half a character"] = "mailgun", replace(call, body=half)
    call = callers.sns(CLICK)
    made["ses: half a character"] = "ses", replace(call, body=call.body.replace(b'"2026', b'"\\ud8002026'))
    for name in ("postmark", "brevo"):
        made[f"{name}: not ASCII"] = name, replace(CALLERS[name](ONE[name]), headers={"authorization": "Basic \xe9"})
    urls = {
        "http": CERTIFICATE.replace("https", "http"),
        "another host": CERTIFICATE.replace("amazonaws.com", "amazonaws.com.evil.example"),
        "a user in the URL": CERTIFICATE.replace("https://", "https://sns.eu-west-1.amazonaws.com@"),
        "another port": CERTIFICATE.replace(".com/", ".com:8443/"),
        "another region": CERTIFICATE.replace("eu-west-1", "us-east-1"),
        "another bucket": CERTIFICATE.replace("https://sns.", "https://evil.s3."),
        "another path": CERTIFICATE.replace(".com/", ".com/../"),
        "a query": f"{CERTIFICATE}?x=.pem",
        "a line": f"{CERTIFICATE}\n",
    }
    sns: dict[str, dict[str, Any]] = {what: {"SigningCertURL": url} for what, url in urls.items()}
    sns |= {"another key": {"key": generate_private_key(65537, 2048)}, "another version": {"version": "3"}}
    sns["another topic"] = {"TopicArn": TOPIC.replace("mail", "other")}
    for what, given in sns.items():
        made[f"ses: {what}"] = "ses", callers.sns(CLICK, **given)
    call = callers.sns(CLICK)
    made["ses: another message"] = "ses", replace(call, body=call.body.replace(b"Click", b"Open"))
    return made


async def test_forged_calls():
    amazon = Amazon()
    known = providers(amazon)
    for what, (name, call) in forged().items():
        with pytest.raises(Forged):
            pytest.fail(f"{what}: {await known[name].read(call)}")
    assert set(amazon.asked) == {CERTIFICATE}, "nothing else is dialled"
    for name, caller in CALLERS.items():
        assert len(await known[name].read(caller(ONE[name]))) == 1


async def test_a_certificate_is_fetched_once_and_must_be_valid(monkeypatch: pytest.MonkeyPatch):
    amazon = Amazon()
    ses = providers(amazon)["ses"]
    for version in ("1", "2"):
        assert [event.name for event in await ses.read(callers.sns(CLICK, version=version))] == ["email.clicked"]
    assert amazon.asked == [CERTIFICATE]
    for pem, error in ((callers.certificate(callers.rsa(), -1), Forged), (b"<Error/>", Forged)):
        with pytest.raises(error):
            await providers(Amazon(pem))["ses"].read(callers.sns(CLICK))
    monkeypatch.setattr("gateway.providers.ses._LIFE", timedelta(0))
    amazon = Amazon()
    ses = providers(amazon)["ses"]
    assert await ses.read(callers.sns(CLICK))
    away = callers.sns(CLICK, SigningCertURL=CERTIFICATE.replace("010a", "000a"))
    for _ in range(30):
        with pytest.raises(NotNow):
            await ses.read(away)
    assert len(amazon.asked) == 20, "strangers cannot have more fetched"
    assert await ses.read(callers.sns(CLICK)), "nor keep Amazon's own messages out"


async def test_only_a_signed_subscription_to_our_topic_is_confirmed():
    amazon = Amazon()
    ses = providers(amazon)["ses"]
    # The URL in the message may lead anywhere.
    asked: dict[str, Any] = {
        "Type": "SubscriptionConfirmation",
        "Token": "2336412f&x=1",
        "SubscribeURL": "https://169.254.169.254/",
    }
    assert await ses.read(callers.sns("You have chosen to subscribe", **asked)) == []
    assert amazon.asked[1:] == [
        "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"
        "&TopicArn=arn%3Aaws%3Asns%3Aeu-west-1%3A123456789012%3Amail&Token=2336412f%26x%3D1"
    ]
    wrong: list[dict[str, Any]] = [
        {"TopicArn": TOPIC.replace("mail", "other")},
        {"key": generate_private_key(65537, 2048)},
    ]
    for changed in wrong:
        with pytest.raises(Forged):
            await ses.read(callers.sns("", **asked, **changed))
    assert len(amazon.asked) == 2


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"[1, null]", b'{"entry": [1]}', b"[" * 100_000, b"\xff"])
async def test_malformed_bodies(body: bytes):
    for name, call in ((name, caller(ONE[name])) for name, caller in CALLERS.items()):
        broken = replace(call, body=body)
        if name == "whatsapp":
            broken = replace(broken, headers={"x-hub-signature-256": f"sha256={callers.hex_digest('s3cret', body)}"})
        with suppress(Forged, Unreadable):
            assert await providers()[name].read(broken) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"events_ses": "mail"}, "SCENARIO_EVENTS_SES must be ARNs of SNS topics"),
        ({"events_sendgrid": "key"}, "SCENARIO_EVENTS_SENDGRID must be the verification key"),
        ({"events_whatsapp": "s"}, "are set together"),
        ({"events_postmark": " , "}, "SCENARIO_EVENTS_POSTMARK has no value"),
    ],
)
def test_wrong_settings(given: dict[str, Any], words: str):
    with pytest.raises(SettingsError, match=words):
        providers_of(Settings(**given), Amazon().fetch)


def test_meta_verifies_the_url():
    answer: Callable[..., str] = providers()["whatsapp"].answer
    asked = {"hub.mode": "subscribe", "hub.verify_token": "t0ken", "hub.challenge": "1158201444"}
    assert answer(asked) == "1158201444"
    for wrong in ({"hub.verify_token": "x"}, {"hub.challenge": "<script>"}, {"hub.mode": "unsubscribe"}):
        with pytest.raises(Forged):
            answer({**asked, **wrong})


NUMBER = "+33612345678"
HASHES = AddressHashes([b"k" * 32])


def signed(form: dict[str, str], token: str = SECRET, url: str = URL) -> str:
    """As twilio.com/docs/usage/security has it."""
    what = f"{url}/inbound/twilio" + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.digest(token.encode(), what.encode(), hashlib.sha1)).decode()


@pytest.fixture
def platform() -> AsyncMock:
    """Who is told of suppressions."""
    return AsyncMock()


@pytest.fixture
def texts(store: Store, platform: AsyncMock) -> httpx.AsyncClient:
    inbound = InboundTexts(URL, SECRET, Suppressor(store, HASHES, platform), store, HASHES)
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
