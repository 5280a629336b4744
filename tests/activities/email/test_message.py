"""The bytes of a message."""

import email
import random
import re
import time
from datetime import datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr
from typing import Any

import pytest

from activities.email.message import Envelope, compose, tagged
from gateway.providers.provider import delivery_in
from scenario.errors import TemplateError
from scenario.recipients import BadAddress, Mailbox, parse_address, parse_sender

FIELDS: dict[str, Any] = {
    "delivery_id": "msg_1",
    "sender": Mailbox("news@shop.example", "Shop"),
    "recipient": Mailbox("zoe@example.com"),
    "date": datetime.fromisoformat("2026-03-02T12:00:00+01:00"),
    "subject": "Thank you",
    "html": "<p>Thank <b>you</b></p>",
    "text": None,
}


def made(**changes: Any) -> Envelope:
    return compose(**(FIELDS | changes))


def read(**changes: Any) -> EmailMessage:
    message = email.message_from_bytes(made(**changes).message, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def content(part: Any) -> str:
    return part.get_content().replace("\r\n", "\n")


def decoded(value: str) -> str:
    return str(make_header(decode_header(value)))


def header_lines(message: bytes) -> list[bytes]:
    return message.partition(b"\r\n\r\n")[0].split(b"\r\n")


LONG = "https://hooks.example.com/u/u1" + "A-_9" * 230


@pytest.mark.parametrize("url", ["https://hooks.example.com/u/u1short", LONG, LONG + "A" * 44])
def test_the_address_for_unsubscribing_is_never_folded(url: str):
    message = read(unsubscribe_url=url)
    assert str(message["List-Unsubscribe"]).strip() == f"<{url}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    lines = header_lines(made(unsubscribe_url=url).message)
    [line] = [line for line in lines if b"<https:" in line]
    assert line.endswith(f"<{url}>".encode())
    assert max(map(len, lines)) <= 998


def test_every_attempt_sends_the_same_bytes_with_a_boundary_that_no_part_can_write():
    assert made() == made()
    boundary = read().get_boundary()
    assert boundary != read(delivery_id="msg_2").get_boundary()
    texts = [content(part) for part in read(text=f"--{boundary}--\n", html=f"--{boundary}\r\n<p>").iter_parts()]
    assert texts == [f"--{boundary}--\n", f"--{boundary}\n<p>\n"]


@pytest.mark.parametrize(
    "text",
    [
        "From the shop\n.\n..two\n",
        "été " * 400,
        "日本語のメール\n",
        "x" * 5000,
        "=3D = \t\n trailing \n",
        "nul \x00 and \x1b\n",
    ],
)
def test_any_text_arrives_as_it_is_in_short_lines_of_ascii(text: str):
    message = made(html=None, text=text).message
    assert all(len(line) <= 78 for line in message.split(b"\r\n"))
    assert message.isascii()
    assert b"\n" not in message.replace(b"\r\n", b"")
    assert content(read(html=None, text=text)).rstrip("\n") == text.rstrip("\n")


def test_half_a_surrogate_pair_does_not_stop_a_message():
    message = read(subject="a\ud800", html=None, text="b\udc00")
    assert (message["Subject"], content(message)) == ("a?", "b?\n")


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\n\t", "\r\n ", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\x00"])
def test_no_data_can_add_a_header(end: str):
    hostile = f"Hello{end}Bcc: victim@example.com{end}{end}<p>Body"
    message = read(subject=hostile, sender=Mailbox("news@shop.example", hostile))
    assert sorted(message.keys()) == sorted(
        ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"]
    )
    assert " ".join(message["Subject"].split()) == "Hello Bcc: victim@example.com <p>Body"
    assert [box.addr_spec for box in message["From"].addresses] == ["news@shop.example"]


def test_subjects_and_names_of_any_kind_are_read_as_they_were_written():
    pieces = ["a", "word", "é", " ", "  ", "=?", "?=", "=?utf-8?q?x?=", "日", "🎁", *',"\\(<>', "x" * 90]
    chance = random.Random(1)
    for _ in range(100):
        text = "".join(chance.choice(pieces) for _ in range(chance.randint(1, 40))).strip()
        envelope = made(subject=text, sender=Mailbox("news@shop.example", text[:80].strip()))
        assert all(len(line) <= 120 and line.isascii() for line in header_lines(envelope.message))
        fields = email.message_from_bytes(envelope.message)
        name, address = parseaddr(fields["From"])
        assert (decoded(fields["Subject"]), decoded(name), address) == (text, text[:80].strip(), "news@shop.example")


@pytest.mark.parametrize(
    ("subject", "line"),
    [
        ("Thank you", b"Subject: Thank you"),
        ("Merci Zoé", b"Subject: =?utf-8?q?Merci_Zo=C3=A9?="),
        ("ありがとう", b"Subject: =?utf-8?b?44GC44KK44GM44Go44GG?="),
        ("", b"Subject: "),
    ],
)
def test_a_subject_is_encoded_only_where_it_must_be(subject: str, line: bytes):
    assert line in header_lines(made(subject=subject).message)


def test_an_address_that_is_not_ascii_needs_a_server_that_knows_it():
    assert not made().utf8
    envelope = made(recipient=parse_address("zoé@exämple.com"))
    assert envelope.utf8
    assert "To: zoé@xn--exmple-cua.com".encode() in header_lines(envelope.message)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"subject": "é" * 8_001}, "the e-mail's subject: it has more than 8,000 characters"),
        ({"html": "x" * 500_001}, "the e-mail's html: it has more than 500,000 characters"),
        ({"text": "x" * 500_001}, "the e-mail's text: it has more than 500,000 characters"),
        ({"html": "<b>" * 300}, "the e-mail's html: elements are nested more than 256 levels deep: is one not closed?"),
    ],
)
def test_a_message_has_bounds(parts: dict[str, Any], reason: str):
    with pytest.raises(TemplateError, match=f"^{re.escape(reason)}$"):
        made(**parts)


def test_a_message_as_large_as_may_be_is_made():
    assert made(subject="é" * 8_000, html="<p>" + "é" * 499_997, text="\n" * 500_000).message


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("zoe@example.com", "zoe@example.com"),
        (" zoe@example.com\n", "zoe@example.com"),
        ("zoe+shop@münchen.de", "zoe+shop@xn--mnchen-3ya.de"),
        ("zoé@münchen.de", "zoé@xn--mnchen-3ya.de"),
    ],
)
def test_an_address_is_read(text: str, address: str):
    assert parse_address(text).address == address


@pytest.mark.parametrize(
    "text",
    ["", "zoe", "zoe@", "@example.com", "zoe@localhost", "a@b.c, d@e.f", "zoe@exa\r\nmple.com", "a b@example.com",
     "Zoe <zoe@example.com>", "zoe@example.com>\r\nRCPT TO:<x@y.z", "zoe@example.com " * 2],
)  # fmt: skip
def test_a_malformed_address_is_refused_without_being_quoted(text: str):
    with pytest.raises(BadAddress, match=r"^the e-mail address is malformed$"):
        parse_address(text)


def test_no_library_reads_more_than_an_address_may_have(monkeypatch: pytest.MonkeyPatch):
    domain = ".".join(["d" * 60] * 3) + ".example"
    longest = f"{'a' * (253 - len(domain))}@{domain}"
    assert parse_address(f" {longest} ").address == longest
    monkeypatch.setattr("email_validator.validate_email", None)
    for text in (f"a{longest}", "e" + "\u0301\u0316" * 40_000 + "@example.com"):
        with pytest.raises(BadAddress, match=r"^the e-mail address is malformed$"):
            parse_address(text)


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("news@shop.example", Mailbox("news@shop.example")),
        ("<news@shop.example>", Mailbox("news@shop.example")),
        ("Shop <news@shop.example>", Mailbox("news@shop.example", "Shop")),
        ('"Shop, Paris" <news@shop.example>', Mailbox("news@shop.example", "Shop, Paris")),
        (r'"O\'Neil \"Shop\"" <news@shop.example>', Mailbox("news@shop.example", 'O\'Neil "Shop"')),
        ('O\'Neil "Shop" <news@shop.example>', Mailbox("news@shop.example", 'O\'Neil "Shop"')),
        (r'"a \\ b"<news@shop.example>', Mailbox("news@shop.example", "a \\ b")),
        ('""<news@shop.example>', Mailbox("news@shop.example")),
        ("  Société Générale  <news@shop.example> ", Mailbox("news@shop.example", "Société Générale")),
        ("half \ud83d <news@shop.example>", Mailbox("news@shop.example", "half ?")),
    ],
)
def test_a_sender_is_read(text: str, box: Mailbox):
    assert parse_sender(text) == box


@pytest.mark.parametrize(
    ("texts", "how"),
    [
        (("Shop", "Shop <x>", "Shop\r\nBcc: a@b.c <news@shop.example>", "zoé@shop.example"), "."),
        (
            ('"O\'Neil "Shop"" <a@b.example>', '"Shop <a@b.example>', r'"Shop\" <a@b.example>'),
            "before each quote in it",
        ),
    ],
)
def test_a_malformed_sender_is_refused(texts: tuple[str, ...], how: str):
    for text in texts:
        with pytest.raises(BadAddress, match=how):
            parse_sender(text)


def test_a_malformed_sender_is_refused_at_once():
    began = time.thread_time()
    for text in (" " * 990 + "<<", "a" + " " * 900_000 + "b", "é" * 900_000 + " <news@shop.example>"):
        with pytest.raises(BadAddress):
            parse_sender(text)
    assert time.thread_time() - began < 0.2


def test_a_line_of_the_message_is_never_bare():
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", made(text="a\rb\nc\r\nd\n\re").message)


TAGGED = f"msg_{'0a' * 16}"
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
    made = tagged(ENVELOPE, host, TAGGED)
    message = message_from_bytes(made.message, policy=default)
    assert (message["Subject"], message.get_payload()) == ("Hello", "Hello\r\n")
    assert [name for name in message if name != "Subject"] == ([header] if header else [])
    assert header is None or delivery_in(str(message[header])) == TAGGED
