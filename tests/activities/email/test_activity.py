"""E-mail steps, from the published templates to the bytes at a real mail server."""

import email
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.channel import ChannelActivity, sending_activity
from activities.channel_registry import EMAIL
from activities.content import Content
from activities.email.settings import Senders, Server
from activities.failures import FailureKind
from activities.gate import PolicyGate
from activities.interface import Delivery, Sent
from runtime.derived_keys import AddressHashes
from runtime.errors import SettingsError
from runtime.public_links import ReturnPaths
from runtime.store import Store
from scenario.errors import NotConfigured
from scenario.policies.policies import Policies
from tests.factories import delivery
from tests.fakes import Marks, Rows, Shelf, worker_context

DELIVERY = delivery(
    "thank-you",
    data={
        "contact": {"email": "zoe.obrien@example.com", "firstname": "Zoé"},
        "order": {"external_id": "CGX0094", "products": [{"name": "Mug <blue>"}]},
    },
)
STEP: dict[str, Any] = {
    "email": "thank-you",
    "subject": "Thank you {{ contact.firstname }}!",
    "html": "<style>p{color:red}</style><p>Order {{ order.external_id }} of {{ today }}:"
    "{% for p in order.products %} {{ p.name }}{% endfor %}</p>",
}


@pytest.fixture
def environment(marks: Marks) -> ActivityEnvironment:
    environment = marks.environment()
    began = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
    environment.info = replace(environment.info, scheduled_time=began, started_time=began)
    return environment


@pytest.fixture
def send(environment: ActivityEnvironment, rows: Rows) -> Any:
    async def run(mailer: Any, delivery: Delivery = DELIVERY, **step: Any) -> Sent:
        written = {name: value for name, value in (STEP | step).items() if value is not None}
        emails = ChannelActivity(EMAIL, worker_context(Content(Shelf(written)), rows), mailer)
        return await environment.run(sending_activity(emails), delivery)

    return run


def read(message: bytes) -> EmailMessage:
    parsed = email.message_from_bytes(message, policy=default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def contact(**changes: Any) -> Delivery:
    return replace(DELIVERY, data=DELIVERY.data | {"contact": DELIVERY.data["contact"] | changes})


async def test_a_step_arrives_rendered(send: Any, mail_server: Any, mailer: Any, rows: Rows):
    received = await mail_server()
    sent = await send(await mailer(received))
    assert sent == Sent(attempt=1, status=250)
    [mail] = received.mails
    assert (mail.mail_from, mail.rcpt_tos) == ("news@shop.example", ["zoe.obrien@example.com"])
    message = read(mail.content)
    assert {name: str(message[name]) for name in ("From", "Subject", "Date")} == {
        "From": "Shop <news@shop.example>",
        "Subject": "Thank you Zoé!",
        "Date": "Mon, 02 Mar 2026 09:30:00 +0100",
    }
    text, html = [part.get_content().strip() for part in message.iter_parts()]
    assert text == "Order CGX0094 of 2026-03-02: Mug <blue>"
    assert '<p style="color: red;">Order CGX0094 of 2026-03-02: Mug &lt;blue&gt;</p>' in html
    assert [(row.channel, row.destination, row.outcome, row.status, row.response) for row in rows] == [
        ("email", "127.0.0.1", "delivered", 250, "OK")
    ]


@pytest.mark.parametrize("address", [None, "", "   "])
async def test_a_contact_without_an_address_is_skipped(send: Any, mailer: Any, rows: Rows, address: str | None):
    for post in (None, await mailer(Server("127.0.0.1", 1))):
        sent = await send(post, contact(email=address))
        assert sent == Sent(attempt=1, outcome="skipped", reason="the contact has no e-mail address")
    assert [row.outcome for row in rows] == ["skipped", "skipped"]


@pytest.mark.parametrize(
    ("delivery", "step", "error", "reason"),
    [
        (contact(email="zoe@"), {}, "bad_address", "the contact's e-mail address is malformed"),
        (DELIVERY, {"subject": "{{ 'x' | nonsense }}"}, "template_failed", "the e-mail's subject: "),
        (DELIVERY, {"html": "{% if %}"}, "template_failed", "the e-mail's html: "),
        (DELIVERY, {"html": {"file": "a.html"}}, "template_failed", "a file of the e-mail was not"),
        (replace(DELIVERY, step="nope"), {}, "unknown_version", "post-purchase@3 has no step 'nope'"),
        (
            DELIVERY,
            {"email": None, "sms": "thank-you", "subject": None, "html": None, "text": "Hi"},
            "unknown_version",
            "the step 'thank-you' of post-purchase@3 is not an e-mail",
        ),
    ],
)
async def test_what_cannot_be_sent_is_held_with_its_reason(
    refuse: Any, mail_server: Any, mailer: Any, rows: Rows,
    delivery: Delivery, step: dict[str, Any], error: str, reason: str,
):  # fmt: skip
    received = await mail_server()
    failure, raised = await refuse(await mailer(received), delivery, **step)
    kind = FailureKind.PERMANENT if error == "bad_address" else FailureKind.TEMPLATE
    assert (failure.kind, failure.error, raised.non_retryable) == (kind, error, True)
    assert failure.reason.startswith(reason)
    assert received.mails == []
    assert [(row.outcome, row.error) for row in rows] == [("failed", error)]


async def test_a_channel_that_is_not_configured_holds_the_step(refuse: Any, rows: Rows):
    failure, raised = await refuse(None)
    assert failure.kind is FailureKind.UNCONFIGURED
    assert failure.reason == "E-mail is not configured: set SCENARIO_SMTP and SCENARIO_MAIL_FROM"
    assert raised.non_retryable
    assert rows[0].destination == "email"


async def test_a_message_without_an_answer_may_have_arrived(refuse: Any, faulty_server: Any, mailer: Any, rows: Rows):
    careful = replace(DELIVERY, on_unknown="hold")
    server = await faulty_server(TEXT="drop")
    failure, raised = await refuse(await mailer(server), careful)
    assert (failure.kind, failure.error, failure.unknown) == (FailureKind.UNKNOWN, "drop_after_data", True)
    assert (raised.non_retryable, rows[0].outcome) == (True, "unknown")


class TestALoginThatIsRefused:
    @pytest.fixture
    async def post(self, faulty_server: Any, mailer: Any) -> Any:
        faulty = await faulty_server(EHLO="250-mail.test\r\n250 AUTH PLAIN", AUTH="535 no")
        return await mailer(replace(faulty.server, user="shop", password="wrong"))

    @pytest.fixture
    def waited(self, environment: ActivityEnvironment) -> Any:
        def wait(minutes: int) -> None:
            now = datetime.now(UTC)
            scheduled = now - timedelta(minutes=minutes)
            environment.info = replace(environment.info, scheduled_time=scheduled, started_time=now)

        wait(0)
        return wait

    async def test_is_tried_again_and_turns_the_others_away(self, refuse: Any, post: Any, waited: Any):
        waited(59)
        failure, raised = await refuse(post)
        assert (failure.kind, failure.error, failure.status, failure.turned_away) == (
            FailureKind.RETRY, "login_refused", 535, False
        )  # fmt: skip
        assert raised.next_retry_delay is None
        failure, raised = await refuse(post)
        assert (failure.kind, failure.error, failure.turned_away) == (FailureKind.RETRY, "login_left_alone", True)
        assert timedelta(seconds=30) < raised.next_retry_delay <= timedelta(seconds=60)

    async def test_is_held_after_an_hour(self, refuse: Any, post: Any, waited: Any):
        waited(61)
        for error in ("login_refused", "login_left_alone"):
            failure, raised = await refuse(post)
            assert (failure.kind, failure.error, failure.exhausted) == (FailureKind.PERMANENT, error, True)
            assert raised.non_retryable
            assert failure.reason.endswith("check user and password in SCENARIO_SMTP, still after an hour")


async def test_nothing_that_is_kept_names_the_contact(refuse: Any, faulty_server: Any, mailer: Any, rows: Rows):
    post = await mailer(await faulty_server(RCPT="550 <zoe.obrien@example.com>: unknown \udce9 +33612345678"))
    failure, raised = await refuse(post)
    assert (failure.kind, failure.status, rows[0].outcome) == (FailureKind.PERMANENT, 550, "failed")
    kept = f"{failure} {raised} {raised.details} {rows}"
    assert "zoe" not in kept.lower()
    assert "33612345678" not in kept
    assert "unknown" in failure.excerpt


async def test_the_mark_is_set_when_the_message_leaves_and_not_before(
    send: Any, refuse: Any, faulty_server: Any, mailer: Any, marks: Marks
):
    careful = replace(DELIVERY, on_unknown="hold")
    busy = await faulty_server(RCPT="450 busy")
    failure, raised = await refuse(await mailer(busy), careful)
    assert (failure.kind, failure.status, failure.unknown) == (FailureKind.RETRY, 450, False)
    assert (raised.non_retryable, marks) == (False, [])
    await send(await mailer(await faulty_server()), careful)
    assert marks.noted == [("sending",)]


NAMED = [
    ("Boutique <fr@shop.example>", "Boutique <fr@shop.example>"),
    ("fr@SHOP.example", "fr@shop.example"),
    ('"{{ contact.firstname }}, l\'été" <fr@shop.example>', '"Zoé, l\'été" <fr@shop.example>'),
    (r'"The \"Shop\"" <fr@shop.example>', r'"The \"Shop\"" <fr@shop.example>'),
    ("Service <service@help.example>", "Service <service@help.example>"),
    ("{% if order.external_id == 'X' %}fr@shop.example{% endif %}", "Shop <news@shop.example>"),
]


@pytest.mark.parametrize(("written", "shown"), NAMED)
async def test_a_step_says_whom_it_is_from_and_where_answers_go(
    send: Any, mail_server: Any, mailer: Any, written: str, shown: str
):
    received = await mail_server()
    await send(await mailer(received), **{"from": written, "reply_to": "Answers <answers@shop.example>"})
    [mail] = received.mails
    message = read(mail.content)
    assert message["From"].addresses == default.header_factory("From", shown).addresses
    assert message["Reply-To"] == "Answers <answers@shop.example>"
    # Bounces go where operations look, whoever is named.
    assert (mail.mail_from, message["Message-ID"]) == ("news@shop.example", "<msg_1@shop.example>")


@pytest.mark.parametrize("key", ["from", "reply_to"])
@pytest.mark.parametrize(
    ("written", "kind", "reason"),
    [
        ("x@elsewhere.example", FailureKind.UNCONFIGURED, "may not be used"),
        ("{{ contact.email }}", FailureKind.UNCONFIGURED, "may not be used"),
        ("{{ contact.evil }}", FailureKind.TEMPLATE, "must be an address"),
        ("Shop <{{ contact.evil }}>", FailureKind.TEMPLATE, "must be an address"),
    ],
)
async def test_whom_nobody_allows_is_not_named_and_its_address_is_told_to_nobody(
    refuse: Any, mail_server: Any, mailer: Any, rows: Rows, key: str, written: str, kind: FailureKind, reason: str
):
    received = await mail_server()
    evil = 'x" <ceo@shop.example>, "'
    failure, raised = await refuse(await mailer(received), contact(evil=evil), **{key: written})
    assert (failure.kind, raised.non_retryable, received.mails) == (kind, True, [])
    assert reason in failure.reason
    assert f"'{key}'" in failure.reason
    assert "@" not in failure.reason.replace("<address@", "")


@pytest.mark.parametrize(
    "written", ["{{ contact.evil }} <news@shop.example>", '"{{ contact.evil }}" <news@shop.example>']
)
@pytest.mark.parametrize("name", ['O\'Brien "La Zo"', 'x" <ceo@shop.example>, "', "<"])
async def test_a_name_with_quotes_is_sent_and_cannot_add_an_address(
    send: Any, mail_server: Any, mailer: Any, written: str, name: str
):
    received = await mail_server()
    await send(await mailer(received), contact(evil=name), **{"from": written, "reply_to": written})
    [mail] = received.mails
    for header in ("From", "Reply-To"):
        assert [(one.display_name, one.addr_spec) for one in read(mail.content)[header].addresses] == [
            (name, "news@shop.example")
        ]


@pytest.mark.parametrize(
    ("allowed", "address", "may"),
    [
        (None, "a@shop.example", True),
        (None, "a@other.example", False),
        (None, "a@sub.shop.example", False),
        ("service@help.example", "other@help.example", False),
        ("other.example", "a@other.example", True),
        (" Other.example , service@help.example,", "A@OTHER.example", True),
        ("service@help.example", "Service@Help.example", True),
        ("bücher.example", "a@xn--bcher-kva.example", True),
        ("xn--bcher-kva.example", "a@bücher.example", True),
        ("*", "a@anywhere.example", True),
    ],
)
def test_who_may_be_named_is_what_the_settings_say(allowed: str | None, address: str, may: bool):
    senders = Senders.configured("Shop <news@shop.example>", allowed)
    if may:
        assert senders.named("from", address) is not None
    else:
        with pytest.raises(NotConfigured):
            senders.named("from", address)


@pytest.mark.parametrize("allowed", ["@", "a b", "shop.example;x.example", "x@y@z", "https://shop.example"])
def test_a_setting_that_allows_nothing_readable_is_refused(allowed: str):
    with pytest.raises(SettingsError, match=r"^SCENARIO_MAIL_FROM_ALLOWED must be domains and addresses"):
        Senders.configured("news@shop.example", allowed)


async def test_an_address_that_does_not_exist_is_skipped_and_not_written_to_again(
    environment: ActivityEnvironment, rows: Rows, store: Store, mail_server: Any, mailer: Any
) -> None:
    shelf, received = Content(Shelf(STEP)), await mail_server()
    gate = PolicyGate(shelf, store, lambda: Policies(), AddressHashes([b"k" * 32]))
    send_email = sending_activity(
        ChannelActivity(EMAIL, worker_context(shelf, rows, gate=gate), await mailer(received))
    )
    received.reply = {"RCPT": "550 5.1.1 <zoe.obrien@example.com>: User unknown"}
    first = await environment.run(send_email, DELIVERY)
    received.reply = {}
    second = await environment.run(send_email, replace(DELIVERY, id="msg_2"))
    assert (first.outcome, first.status) == ("skipped", 550)
    assert str(first.reason).startswith("the address has bounced (bounce, ")
    assert (second.outcome, second.reason, received.mails) == ("skipped", first.reason, [])
    assert [(row.outcome, row.error, row.status) for row in rows] == [
        ("skipped", "suppressed", 550),
        ("skipped", "suppressed", None),
    ]
    assert "zoe" not in str(rows)


async def test_bounces_come_back_to_an_address_of_the_delivery(
    environment: ActivityEnvironment, rows: Rows, mail_server: Any, mailer: Any
):
    received, paths = await mail_server(), ReturnPaths("bounces@mail.shop.example", [b"k" * 32])
    emails = ChannelActivity(
        EMAIL, worker_context(Content(Shelf(STEP)), rows, return_paths=paths), await mailer(received)
    )
    delivery = replace(DELIVERY, id=f"msg_{'7f' * 16}")
    await environment.run(sending_activity(emails), delivery)
    [mail] = received.mails
    [token] = paths.tokens(mail.mail_from.encode())
    assert paths.proven(token, "zoe.obrien@EXAMPLE.com") == delivery.id
    assert str(read(mail.content)["Message-ID"]) == f"<{delivery.id}@shop.example>"
