"""SMS steps, from the published template to the provider."""

from dataclasses import replace
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.channel import sending_activity
from activities.content import Content
from activities.failures import FailureKind
from activities.interface import Delivery, Sent
from activities.sms.activity import Texts
from activities.sms.provider import SmsProvider
from activities.sms.twilio import Twilio
from tests.activities.sms.conftest import answer
from tests.activities.webhook.faults import Behaviour, Receiver, close_unanswered
from tests.factories import delivery
from tests.fakes import Marks, Rows, Shelf, worker_context

DELIVERY = delivery(
    "thanks", on_unknown="hold", data={"contact": {"cellphone": "00 33 6 12 34 56 78", "firstname": "Zoé"}}
)
STEP: dict[str, Any] = {"sms": "thanks", "text": " Merci {{ contact.firstname }} & à bientôt, le {{ today }}\n"}


@pytest.fixture
def send(environment: ActivityEnvironment, rows: Rows) -> Any:
    async def run(provider: SmsProvider | None, delivery: Delivery = DELIVERY, **step: Any) -> Sent:
        written = {name: value for name, value in (STEP | step).items() if value is not None}
        texts = Texts(worker_context(Content(Shelf(written)), rows), provider)
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
        (
            *(DELIVERY, {"sms": None, "email": "thanks", "subject": "Hi"}, "unknown_version"),
            "the step 'thanks' of post-purchase@3 is not an SMS",
        ),
    ],
)
async def test_what_cannot_be_sent_is_held_with_its_reason(
    refuse: Any,
    api: Receiver,
    twilio: Twilio,
    rows: Rows,
    delivery: Delivery,
    step: dict[str, Any],
    error: str,
    reason: str,
):
    failure, raised = await refuse(twilio, delivery, **step)
    kind = FailureKind.PERMANENT if error == "bad_number" else FailureKind.TEMPLATE
    assert (failure.kind, failure.error, raised.non_retryable) == (kind, error, True)
    assert failure.reason.startswith(reason)
    assert api.calls == []
    assert [(row.outcome, row.error) for row in rows] == [("failed", error)]


async def test_a_channel_that_is_not_configured_holds_the_step(refuse: Any, rows: Rows):
    failure, raised = await refuse(None)
    assert (failure.kind, failure.reason) == (FailureKind.UNCONFIGURED, "SMS is not configured: set SCENARIO_SMS")
    assert raised.non_retryable
    assert rows[0].destination == "sms"


@pytest.mark.parametrize(
    ("behaviour", "on_unknown", "kind", "unknown"),
    [
        (answer(429, {"code": 20429}), "hold", FailureKind.RETRY, False),
        (answer(400, {"code": 21211}), "retry", FailureKind.PERMANENT, False),
        (close_unanswered(), "hold", FailureKind.UNKNOWN, True),
    ],
)
async def test_the_providers_answer_decides(
    refuse: Any,
    api: Receiver,
    twilio: Twilio,
    rows: Rows,
    behaviour: Behaviour,
    on_unknown: Any,
    kind: FailureKind,
    unknown: bool,
):
    api.behaviour = behaviour
    failure, raised = await refuse(twilio, replace(DELIVERY, on_unknown=on_unknown))
    assert (failure.kind, failure.unknown, failure.destination) == (kind, unknown, "twilio")
    assert raised.non_retryable == (kind is not FailureKind.RETRY)
    word = "unknown" if unknown else {FailureKind.RETRY: "retry", FailureKind.PERMANENT: "failed"}[kind]
    assert [row.outcome for row in rows] == [word]
