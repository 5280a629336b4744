"""Text messages: Twilio's API, against a stand-in, and SMS steps from the published template to the provider."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.channel import ChannelActivity, sending_activity
from activities.channel_registry import SMS
from activities.content import Content
from activities.failures import FailureKind
from activities.interface import Delivery, Sent
from activities.sms.provider import (
    ProviderBusy,
    ProviderError,
    Receipt,
    SmsProvider,
    TextMessage,
    TextRefused,
    TextUnanswered,
)
from activities.sms.twilio import Twilio
from runtime.telemetry.metrics import HTTP_CLIENT
from scenario.policies.suppression import AddressVerdict
from tests.activities.conftest import Timeouts
from tests.activities.webhook import faults
from tests.activities.webhook.faults import Behaviour, Receiver, close_unanswered, receiver
from tests.activities.webhook.faults import answer as answering
from tests.factories import delivery
from tests.fakes import Marks, Rows, Shelf, worker_context
from tests.measured import Measured

MESSAGE = TextMessage(id="msg_1", to="+33612345678", body="Merci Zoé & à bientôt 100 % 🎁", within=60)


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


async def failing(twilio: Twilio, within: float = 60) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await twilio.send(TextMessage(id="msg_1", to=MESSAGE.to, body="Hi", within=within))
    return caught.value


async def test_a_message_is_asked_for_as_the_api_wants_it(api: Receiver, twilio: Twilio):
    assert await twilio.send(MESSAGE) == Receipt(201, "SM1")
    [request] = api.calls
    assert (request.method, request.target) == ("POST", "/2010-04-01/Accounts/AC1/Messages.json")
    assert request.header("content-type") == "application/x-www-form-urlencoded"
    assert request.header("authorization") == f"Basic {base64.b64encode(b'AC1:to/ken:1').decode()}"
    assert request.form == {"To": "+33612345678", "From": "+33700000000", "Body": MESSAGE.body}


async def test_a_messaging_service_is_the_sender_and_a_status_callback_names_the_delivery(api: Receiver):
    url = "https://hooks.example.com/inbound/events/twilio"
    twilio = Twilio("AC1", "token", "MG" + "0" * 32, statuses=url, origin=api.url(""))
    await twilio.send(MESSAGE)
    await twilio.close(1)
    assert {"MessagingServiceSid", "From"} & api.calls[0].form.keys() == {"MessagingServiceSid"}
    assert api.calls[0].form["StatusCallback"] == f"{url}?delivery={MESSAGE.id}"


@pytest.mark.parametrize("behaviour", [answer(200, []), faults.answer(201, b"{{{")])
async def test_a_message_that_was_taken_is_taken_whatever_the_answer_holds(
    api: Receiver, twilio: Twilio, behaviour: Behaviour
):
    api.behaviour = behaviour
    assert (await twilio.send(MESSAGE)).reference == ""


@pytest.mark.parametrize(
    ("status", "content", "kind", "error"),
    [
        (400, {"code": 21211, "message": "Invalid 'To' number"}, TextRefused, "twilio_21211"),
        (400, {}, TextRefused, None),
        (307, {}, TextRefused, None),
        (401, {"code": 20003}, ProviderBusy, "twilio_20003"),
        (404, {"code": 20404}, ProviderBusy, "twilio_20404"),
        (408, {}, ProviderBusy, None),
        (429, {"code": 20429}, ProviderBusy, "twilio_20429"),
        (503, {"code": "x"}, ProviderBusy, None),
        (504, {}, TextUnanswered, None),
    ],
)
async def test_an_answer_decides(
    api: Receiver, twilio: Twilio, status: int, content: dict[str, Any], kind: type[ProviderError], error: str | None
):
    api.behaviour, measured = answer(status, content), Measured(HTTP_CLIENT)
    failure = await failing(twilio)
    assert (type(failure), failure.status, failure.error) == (kind, status, error)
    assert list(measured.of(HTTP_CLIENT)) == [("twilio", "POST", status, str(status) if status >= 400 else None)]
    assert str(failure).startswith(f"Twilio answered {status}")
    assert len(api.calls) == 1


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [(faults.close_unanswered(), "no_answer"), (faults.silence(), "timeout"), (faults.malformed(), "no_answer")],
)
async def test_a_request_that_left_without_an_answer_may_have_been_acted_upon(
    api: Receiver, twilio: Twilio, out_of_time: Timeouts, behaviour: Behaviour, error: str
):
    api.behaviour, measured = behaviour, Measured(HTTP_CLIENT)
    sending = asyncio.create_task(failing(twilio))
    if error == "timeout":
        await api.called.wait()
        out_of_time()
    failure = await sending
    assert (type(failure), failure.sent, failure.error) == (TextUnanswered, None, error)
    assert list(measured.of(HTTP_CLIENT)) == [("twilio", "POST", None, error)]
    assert len(api.calls) == 1


async def test_a_request_that_did_not_leave_was_not_sent(unused_tcp_port: int):
    twilio = Twilio("AC1", "token", "+33700000000", origin=f"http://127.0.0.1:{unused_tcp_port}")
    failure = await failing(twilio)
    await twilio.close(1)
    assert (type(failure), failure.sent, failure.error) == (ProviderBusy, False, "connect_failed")


async def test_a_connection_that_is_never_finished_was_not_sent():
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with faults.serving(silent) as there:
        twilio = Twilio("AC1", "token", "+33700000000", origin=there.url("", "https"))
        failure = await failing(twilio, within=0.3)
        await twilio.close(1)
    assert (type(failure), failure.sent, failure.error) == (ProviderBusy, False, "connect_timeout")


async def test_nothing_that_is_kept_names_the_contact_or_the_token(api: Receiver, twilio: Twilio):
    api.behaviour = answer(
        400, {"code": 21211, "message": "The 'To' number +33612345678 is not valid for zoe@example.com"}
    )
    failure = await failing(twilio)
    kept = f"{failure} {failure.excerpt} {twilio!r}"
    assert not any(secret in kept for secret in ("33612345678", "zoe@", "to/ken"))
    assert "is not valid" in failure.excerpt


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (21610, AddressVerdict("stop", "Twilio's error 21610")),  # its owner has answered STOP
        (21614, AddressVerdict("bounce", "Twilio's error 21614")),  # no mobile number
        (21211, AddressVerdict("bounce", "Twilio's error 21211")),  # no number
        (21408, None),  # we may not send to that country
        (30007, None),  # filtered by the carrier
        ("21610", None),
        ([21610], None),
    ],
)
async def test_some_errors_are_about_the_number_for_good(
    api: Receiver, twilio: Twilio, code: Any, expected: AddressVerdict | None
):
    api.behaviour = answer(400, {"code": code, "message": "to +33612345678", "status": 400})
    assert (await failing(twilio)).verdict.against == expected


DELIVERY = delivery(
    "thanks", on_unknown="hold", data={"contact": {"cellphone": "00 33 6 12 34 56 78", "firstname": "Zoé"}}
)
STEP: dict[str, Any] = {"sms": "thanks", "text": " Merci {{ contact.firstname }} & à bientôt, le {{ today }}\n"}


@pytest.fixture
def send(environment: ActivityEnvironment, rows: Rows) -> Any:
    async def run(provider: SmsProvider | None, delivery: Delivery = DELIVERY, **step: Any) -> Sent:
        written = {name: value for name, value in (STEP | step).items() if value is not None}
        texts = ChannelActivity(SMS, worker_context(Content(Shelf(written)), rows), provider)
        return await environment.run(sending_activity(texts), delivery)

    return run


def contact(**changes: Any) -> Delivery:
    return replace(DELIVERY, data={"contact": DELIVERY.data["contact"] | changes})


async def test_a_step_is_sent_rendered(send: Any, api: Receiver, twilio: Twilio, rows: Rows, marks: Marks):
    assert await send(twilio) == Sent(attempt=1, status=201)
    assert marks.noted == [("sending",)]
    assert api.calls[0].form["To"] == "+33612345678"
    assert api.calls[0].form["Body"] == "Merci Zoé & à bientôt, le 2026-03-02"
    assert [(row.channel, row.destination, row.outcome, row.status, row.response) for row in rows] == [
        ("sms", "twilio", "delivered", 201, "SM1")
    ]


@pytest.mark.parametrize("number", [None, "", "  "])
async def test_a_contact_without_a_number_is_skipped(send: Any, api: Receiver, twilio: Twilio, number: str | None):
    for provider in (None, twilio):
        sent = await send(provider, contact(cellphone=number))
        assert sent == Sent(attempt=1, outcome="skipped", reason="the contact has no mobile number")
    assert api.calls == []


@pytest.mark.parametrize(
    ("delivery", "step", "error", "reason"),
    [
        (contact(cellphone="0612345678"), {}, "bad_number", "the contact's number is not international"),
        (DELIVERY, {"text": "{{ 'x' | nonsense }}"}, "template_failed", "the SMS's text: "),
        (DELIVERY, {"text": " {{ contact.lastname }} "}, "template_failed", "the SMS's text: nothing"),
        (DELIVERY, {"text": {"file": "a.txt"}}, "template_failed", "the file of the SMS was not"),
        (replace(DELIVERY, scenario="other@3"), {}, "unknown_version", "other@3 is not published"),
        (DELIVERY, {"sms": None, "email": "thanks", "subject": "Hi"}, "unknown_version", "the step 'thanks' of post-"),
    ],
)
async def test_what_cannot_be_sent_is_held_with_its_reason(
    refuse: Any, api: Receiver, twilio: Twilio, delivery: Delivery, step: dict[str, Any], error: str, reason: str
):
    failure, raised = await refuse(twilio, delivery, **step)
    kind = FailureKind.PERMANENT if error == "bad_number" else FailureKind.TEMPLATE
    assert (failure.kind, failure.error, raised.non_retryable) == (kind, error, True)
    assert failure.reason.startswith(reason)
    assert api.calls == []


async def test_a_channel_that_is_not_configured_holds_the_step(refuse: Any, rows: Rows):
    failure, raised = await refuse(None)
    assert (failure.kind, failure.reason) == (FailureKind.UNCONFIGURED, "SMS is not configured: set SCENARIO_SMS")
    assert raised.non_retryable
    assert rows[0].destination == "sms"


@pytest.mark.parametrize(
    ("behaviour", "kind", "word"),
    [
        (answer(429, {"code": 20429}), FailureKind.RETRY, "retry"),
        (answer(400, {"code": 21211}), FailureKind.PERMANENT, "failed"),
        (close_unanswered(), FailureKind.UNKNOWN, "unknown"),
    ],
)
async def test_the_providers_answer_decides(
    refuse: Any, api: Receiver, twilio: Twilio, rows: Rows, behaviour: Behaviour, kind: FailureKind, word: str
):
    api.behaviour = behaviour
    failure, _ = await refuse(twilio)
    assert (failure.kind, failure.unknown, failure.destination) == (kind, word == "unknown", "twilio")
    assert [row.outcome for row in rows] == [word]
