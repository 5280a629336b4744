"""The header by which a provider returns our delivery id."""

from email import message_from_bytes
from email.policy import default

import pytest

from activities.email.message import Envelope, tagged
from gateway.providers.provider import delivery_in

DELIVERY = f"msg_{'0a' * 16}"
ENVELOPE = Envelope(sender="a@x.example", recipient="b@x.example", message=b"Subject: Hello\r\n\r\nHello\r\n")


@pytest.mark.parametrize(
    ("host", "header"),
    [
        ("email-smtp.eu-west-1.amazonaws.com", "X-SES-MESSAGE-TAGS"),
        ("smtp.sendgrid.net", "X-SMTPAPI"),
        ("smtp.eu.mailgun.org", "X-Mailgun-Variables"),
        ("SMTP.postmarkapp.com", "X-PM-Metadata-scenario_delivery"),
        ("smtp-relay.brevo.com", "X-Mailin-custom"),
        ("smtp.evilsendgrid.net", None),
        ("mail.shop.example", None),
    ],
)
def test_only_a_providers_own_server_gets_its_header(host: str, header: str | None) -> None:
    made = tagged(ENVELOPE, host, DELIVERY)
    message = message_from_bytes(made.message, policy=default)
    assert (message["Subject"], message.get_payload()) == ("Hello", "Hello\r\n")
    assert [name for name in message if name != "Subject"] == ([header] if header else [])
    assert header is None or delivery_in(str(message[header])) == DELIVERY
