"""What templates see is the same in every channel, and the same at every attempt."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.channel import ChannelActivity, sending_activity
from activities.channel_registry import CHANNELS as REGISTERED
from activities.content import Content
from activities.email.message import Envelope
from activities.email.settings import Senders, Server
from activities.email.smtp import Reply
from activities.evaluation import template_data
from activities.failures import FailureKind
from activities.interface import Delivery
from activities.sms.provider import Receipt, TextMessage
from activities.webhook.http.exchange import Request, Response
from runtime.public_links import Callbacks, Subscriber, Unsubscribing
from scenario.errors import NotConfigured
from scenario.recipients import Mailbox
from tests.factories import delivery
from tests.fakes import UNHURRIED, Rows, Shelf, worker_context

JOURNEY = "post-purchase/3028687/CGX0094"
ROOT = "0199a1b2-0000-7000-8000-0123456789ab"
UNSUBSCRIBING = Unsubscribing("https://hooks.example.com", [bytes(range(32))])
CALLBACKS = Callbacks("https://hooks.example.com", [bytes(range(32))])
DELIVERY = delivery(
    id="msg_00112233445566778899aabbccddeeff",
    data={
        "contact": {"email": "zoe.obrien@example.com", "cellphone": "+33612345678"},
        "journey": {"entered_at": "2026-02-28T08:00:00+00:00"},
    },
)
SEEN = (
    "{{ journey.id }} {{ journey.scenario }} {{ journey.version }} {{ journey.entered_at }} {{ journey.key }} "
    "{{ journey.delivery_id }} {{ contact.cellphone }} {{ now }} {{ today }}"
)
WANTED = (
    f"{JOURNEY} post-purchase 3 2026-02-28T08:00:00+00:00 CGX0094 {DELIVERY.id} +33612345678 "
    "2026-03-02T09:30:00+01:00 2026-03-02"
)
ASKS = "{{ journey.callback_url }}"


@dataclass
class Outside:
    sent: list[str] = field(default_factory=list[str])
    answer: bytes = b""
    name: str = "fake"
    senders: Senders = field(default_factory=lambda: Senders(Mailbox("news@shop.example", "Shop")))
    server: Server = field(default_factory=lambda: Server("mail.example", 25))

    async def send(self, what: Any, **_: Any) -> Any:
        match what:
            case Request():
                self.sent.append(what.body.decode())
                return Response(status=200, headers={}, body=self.answer)
            case TextMessage():
                self.sent.append(what.body)
                return Receipt(status=201, reference="SM1")
            case Envelope():
                self.sent.append(what.message.decode().replace("=\r\n", ""))  # lines are folded for travelling
                return Reply(250, "OK")
            case _:
                raise AssertionError(what)


CHANNELS: dict[str, dict[str, Any]] = {
    "email": {"email": "told", "subject": "Hello"},
    "sms": {"sms": "told"},
    "webhook": {"webhook": "told", "url": "https://h.example/"},
}


@pytest.fixture
def environment() -> ActivityEnvironment:
    environment = ActivityEnvironment()
    began = datetime(2026, 3, 2, tzinfo=UTC)
    environment.info = replace(
        environment.info, workflow_id=JOURNEY, scheduled_time=began, started_time=began, **UNHURRIED
    )
    return environment


@pytest.fixture
def outside() -> Outside:
    return Outside()


@pytest.fixture
def send(environment: ActivityEnvironment, outside: Outside, rows: Rows) -> Any:
    async def run(
        channel: str,
        text: str,
        delivery: Delivery = DELIVERY,
        callbacks: Callbacks | None = None,
        unsubscribing: Unsubscribing | None = None,
        **scenario: Any,
    ) -> str:
        written = {"body": {"text": text}} if channel == "webhook" else {"text": text}
        content = Content(Shelf(CHANNELS[channel] | written, **scenario))
        context = worker_context(content, rows, callbacks=callbacks, unsubscribing=unsubscribing, transport=outside)
        activity = sending_activity(ChannelActivity[Any](REGISTERED[channel], context, outside))
        await environment.run(activity, delivery)
        return outside.sent[-1]

    return run


def test_the_callback_address_is_there_where_it_is_asked_for_and_the_same_at_every_attempt():
    asking = replace(DELIVERY, root=ROOT)
    first, second = (template_data(asking, JOURNEY, CALLBACKS)["journey"]["callback_url"] for _ in range(2))
    assert first == second
    claim = CALLBACKS.verify(first.rpartition("/")[2], datetime(2026, 3, 3, tzinfo=UTC))
    assert (claim.workflow_id, claim.root, claim.delivery_id) == (JOURNEY, ROOT, DELIVERY.id)
    without = template_data(replace(DELIVERY, data={}), JOURNEY, CALLBACKS)["journey"]
    assert ("callback_url" in without, without["entered_at"]) == (False, None)
    with pytest.raises(NotConfigured, match=r"set SCENARIO_CALLBACK_URL and SCENARIO_CALLBACK_KEY"):
        template_data(asking, JOURNEY)


@pytest.mark.parametrize("channel", CHANNELS)
async def test_templates_of_every_channel_see_the_journey_and_hand_out_the_callback_address(channel: str, send: Any):
    sent = await send(channel, f"{SEEN} {ASKS}", replace(DELIVERY, root=ROOT), CALLBACKS)
    assert f"{WANTED} https://hooks.example.com/callbacks/c1." in sent


async def test_a_receiver_that_repeats_the_address_does_not_put_it_on_record(send: Any, outside: Outside, rows: Rows):
    asking = replace(DELIVERY, root=ROOT)
    address = template_data(asking, JOURNEY, CALLBACKS)["journey"]["callback_url"]
    token = address.rpartition("/")[2]
    outside.answer = f'{{"url": "{address}", "token": "{token}", "ok": true}}'.encode()
    await send("webhook", ASKS, asking, CALLBACKS)
    assert rows[0].response == '{"url": "https://hooks.example.com/callbacks/[…]", "token": "[…]", "ok": true}'


UNSUBSCRIBES = "stop: {{ journey.unsubscribe_url }}"
LISTS = {"subscription": {"email": "newsletter", "sms": {"tracking_consent": "ads"}}}
HEADERS = "List-Unsubscribe: <{}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"


def unsubscribe_url(channel: str, scope: str, address: str) -> str:
    return UNSUBSCRIBING.url(Subscriber(channel, scope, "3028687", address))


@pytest.mark.parametrize(
    ("channel", "scenario", "scope", "address"),
    [
        ("email", {}, "", "zoe.obrien@example.com"),
        ("email", LISTS, "newsletter", "zoe.obrien@example.com"),
        ("sms", LISTS, "", "+33612345678"),
    ],
)
async def test_marketing_says_where_to_unsubscribe(
    channel: str, scenario: dict[str, Any], scope: str, address: str, send: Any
):
    url = unsubscribe_url(channel, scope, address)
    sent = await send(channel, UNSUBSCRIBES, unsubscribing=UNSUBSCRIBING, **scenario)
    assert f"stop: {url}" in sent
    assert sent == await send(channel, UNSUBSCRIBES, unsubscribing=UNSUBSCRIBING, **scenario), "at every attempt"


@pytest.mark.parametrize(("purpose", "there"), [("marketing", True), ("transactional", False)])
async def test_marketing_mails_have_the_headers_of_one_click_by_themselves(purpose: str, there: bool, send: Any):
    shouted = replace(DELIVERY, data={"contact": {"email": " Zoe.OBrien@EXAMPLE.com "}})  # spellings are as one
    sent = await send("email", "Hello", shouted, unsubscribing=UNSUBSCRIBING, purpose=purpose)
    assert (HEADERS.format(unsubscribe_url("email", "", "zoe.obrien@example.com")) in sent) is there
    assert ("Unsubscribe" in sent) is there


async def test_marketing_that_asks_for_an_address_that_is_not_configured_is_held(
    send: Any, refuse: Any, outside: Outside
):
    failure, _ = await refuse("email", UNSUBSCRIBES)
    assert (failure.kind, outside.sent) == (FailureKind.UNCONFIGURED, [])
    assert "set SCENARIO_CALLBACK_URL and SCENARIO_SUPPRESSION_KEY for the workers" in failure.reason
    assert "Unsubscribe" not in await send("email", "Hello"), "what does not ask goes without"
