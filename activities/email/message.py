"""Renders an e-mail and composes the message: a pure function, so that every attempt sends the same bytes.

RFC 5322 and MIME (RFC 2045, 2046, 2047) with the standard library's `email` package. Date, message id and boundary are
derived from the delivery instead of clock, host and chance.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from email.header import Header
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP, SMTPUTF8, Policy
from email.utils import format_datetime
from typing import Any, Final, cast

from activities.email.sandbox import Markup, MarkupProcess
from activities.email.settings import Senders
from activities.interface import Delivery
from scenario import liquid
from scenario.errors import Aborted, LimitExceeded, TemplateError
from scenario.mail_limits import MAX_PART, MAX_SUBJECT
from scenario.model.parts import File
from scenario.recipients import BadAddress, Mailbox, parse_address
from scenario.steps.email import Email

# Everything that ends a line for `str.splitlines`, which the email package uses, and every other control character.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Readable without encoding: no words that a line cannot hold, nothing that looks like an encoded word (RFC 2047 §6.2).
_PLAIN: Final = re.compile(r"(?!.*=\?)(?:[\x20-\x7e]{0,60}|(?:[\x21-\x7e]{1,60} )*[\x21-\x7e]{1,60})")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_LINE: Final = 76
_LONGEST: Final = 998  # maximum characters of a line (RFC 5322 §2.1.1)
_END: Final = "\r\n"


class HeaderField(str):
    """A finished value of the header field `name`, which `email.message.EmailMessage` writes unchanged."""

    __slots__ = ("name",)

    def __new__(cls, name: str, value: str) -> HeaderField:
        field = super().__new__(cls, value)
        field.name = name
        return field

    def fold(self, *, policy: Policy) -> str:
        """Return the whole field with line ends."""
        return f"{self.name}: {policy.linesep.join(self.split(_END))}{policy.linesep}"


def unstructured(name: str, text: str) -> HeaderField:
    """Return a field of free text, such as Subject. Data cannot add a field: control characters become blanks."""
    return HeaderField(name, _encoded(name, _CONTROL.sub(" ", text).strip()))


def mailbox(name: str, box: Mailbox) -> HeaderField:
    """Return a field of one address with an optional name."""
    shown = _CONTROL.sub(" ", box.name).strip()
    if not shown:
        return HeaderField(name, box.address)
    if _PLAIN.fullmatch(shown) and not _ATOMS.fullmatch(shown):
        quoted = shown.replace("\\", "\\\\").replace('"', '\\"')
        shown = f'"{quoted}"'
    else:
        shown = _encoded(name, shown)
    one_line = f"{shown} <{box.address}>"
    return HeaderField(name, one_line if len(name) + 2 + len(one_line) <= _LINE else f"{shown}{_END} <{box.address}>")


def address_list(name: str, url: str) -> HeaderField:
    """Return a field of one URL in angle brackets (RFC 2369 §2), which is never folded inside."""
    value = f"<{url}>"
    return HeaderField(name, value if len(name) + 2 + len(value) <= _LONGEST else f"{_END} {value}")


def _encoded(name: str, text: str) -> str:
    charset = "us-ascii" if _PLAIN.fullmatch(text) else "utf-8"
    return Header(text, charset, maxlinelen=_LINE, header_name=name).encode(linesep=_END)


_BASE64_FROM: Final = 6
_CELL: Final = MarkupProcess()


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A message with its SMTP parameters."""

    sender: str
    recipient: str
    message: bytes  # the message, with CRLF line ends
    utf8: bool = False  # True if it needs SMTPUTF8 (RFC 6531), because the recipient's address is not ASCII


def compose(
    *,
    delivery_id: str,
    sender: Mailbox,
    recipient: Mailbox,
    date: datetime,
    subject: str,
    html: str | None,
    text: str | None,
    reply_to: Mailbox | None = None,
    return_path: Mailbox | None = None,
    unsubscribe_url: str = "",
) -> Envelope:
    """Compose a message: the same bytes for the same arguments.

    Args:
        delivery_id: The Message-ID, with the domain of the return path.
        date: With an offset.
        subject: One line; line ends become blanks.
        text: The text part; None derives it from the HTML.
        return_path: Address for bounces, or None for the sender.
        unsubscribe_url: URL for one-click unsubscribing (RFC 8058); empty for no headers.

    Raises:
        TemplateError: A part is too large, or the HTML cannot be processed.
        MarkupProcessLost: The process that parses HTML could not be started, or was killed.
    """
    subject = _bounded("subject", subject, MAX_SUBJECT)
    html = None if html is None else _bounded("html", html, MAX_PART)
    text = None if text is None else _bounded("text", text, MAX_PART)
    utf8 = not recipient.address.isascii()
    message = EmailMessage(policy=SMTPUTF8 if utf8 else SMTP)
    path = return_path or sender
    unsubscribing = [  # RFC 8058 §3.1; a DKIM signature must cover them (§4)
        address_list("List-Unsubscribe", unsubscribe_url),
        HeaderField("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    ]
    for field in (
        mailbox("From", sender),
        *([mailbox("Reply-To", reply_to)] if reply_to else []),
        mailbox("To", recipient),
        unstructured("Subject", subject),
        HeaderField("Date", format_datetime(date)),
        HeaderField("Message-ID", f"<{delivery_id}@{path.domain}>"),
        *(unsubscribing if unsubscribe_url else ()),
        HeaderField("MIME-Version", "1.0"),
    ):
        message[field.name] = field
    if html is None:
        _fill(message, text or "", "plain")
    else:
        markup = _read(html)
        message.make_alternative()
        # Readers show the last part that they can: the plainest comes first (RFC 2046 §5.1.4).
        for content, subtype in ((markup.text if text is None else text, "plain"), (markup.html, "html")):
            part = MIMEPart(policy=message.policy)
            _fill(part, content, subtype)
            # An EmailMessage in its place would repeat the MIME-Version.
            message.attach(cast("EmailMessage", part))
        # "=_" is written by neither encoding of the parts (RFC 2045 §6.7).
        message.set_boundary(f"=_{hashlib.sha256(delivery_id.encode()).hexdigest()[:32]}")
    data = message.as_bytes()
    if not data.endswith(b"\r\n"):  # which SMTP requires, also at the end of the data
        data += b"\r\n"
    return Envelope(sender=path.address, recipient=recipient.address, message=data, utf8=utf8)


def _bounded(part: str, text: str, most: int) -> str:
    if len(text) > most:
        raise LimitExceeded(f"the e-mail's {part}: it has more than {most:,} characters")
    return text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be encoded


def _read(html: str) -> Markup:
    try:
        return _CELL.work(html)
    except TemplateError as error:
        raise error.within("the e-mail's html") from None


def _fill(part: MIMEPart, content: str, subtype: str) -> None:
    # Never as is: encoded lines are short enough for every server, and cannot hold the boundary.
    foreign = sum(1 for character in content if character > "\x7f")
    encoding = "base64" if foreign * _BASE64_FROM > len(content) else "quoted-printable"
    part.set_content(content, subtype=subtype, charset="utf-8", cte=encoding)


def address_in(data: Mapping[str, Any]) -> str:
    """Return the contact's address as written, or raise Aborted."""
    contact: Any = data.get("contact") or {}
    if not (written := str(contact.get("email") or "").strip()):
        raise Aborted("the contact has no e-mail address")
    return written


def recipient_of(written: str) -> Mailbox:
    """Return the contact's address for sending, or raise BadAddress."""
    try:
        return parse_address(written)
    except BadAddress:
        raise BadAddress("the contact's e-mail address is malformed") from None


def render(step: Email, delivery: Delivery, data: dict[str, Any], senders: Senders, recipient: Mailbox) -> Envelope:
    """Render the message, as `ChannelAdapter.render` says. See also `compose`.

    Its variables `data` have the URL for unsubscribing. The return path is always the default one of the senders.
    """
    html, text = _source(step.html), _source(step.text)
    named = {
        key: senders.named(key, _rendered(key, liquid.render_mailbox, template, data))
        for key, template in (("from", step.sender), ("reply_to", step.reply_to))
        if template is not None
    }
    return compose(
        delivery_id=delivery.id,
        sender=named.get("from") or senders.default,
        reply_to=named.get("reply_to"),
        return_path=senders.default,
        recipient=recipient,
        unsubscribe_url=str(data.get("journey", {}).get("unsubscribe_url", "")),
        date=datetime.fromisoformat(delivery.now),
        subject=_rendered("subject", liquid.render_line, step.subject, data),
        html=None if html is None else _rendered("html", liquid.render_html, html, data),
        text=None if text is None else _rendered("text", liquid.render_text, text, data),
    )


def _rendered(part: str, made: Any, source: str, data: dict[str, Any]) -> str:
    try:
        return made(source, data)
    except TemplateError as error:
        raise error.within(f"the e-mail's {part}") from None


def _source(template: str | File | None) -> str | None:
    if isinstance(template, File):
        # Publishing puts the file's content in its place.
        raise TemplateError("a file of the e-mail was not published with it: publish the scenario again")
    return template


CUSTOM: Final = "scenario_delivery"
"""Name of the custom value by which a provider returns our delivery id with its events; see `gateway/providers/`."""
_PROVIDERS: Final[tuple[tuple[str, str, Callable[[str], str]], ...]] = (
    ("amazonaws.com", "X-SES-MESSAGE-TAGS", f"{CUSTOM}={{}}".format),
    ("sendgrid.net", "X-SMTPAPI", lambda delivery: json.dumps({"unique_args": {CUSTOM: delivery}})),
    ("mailgun.org", "X-Mailgun-Variables", lambda delivery: json.dumps({CUSTOM: delivery})),
    ("postmarkapp.com", f"X-PM-Metadata-{CUSTOM}", str),
    ("brevo.com", "X-Mailin-custom", lambda delivery: json.dumps({CUSTOM: delivery})),
    ("sendinblue.com", "X-Mailin-custom", lambda delivery: json.dumps({CUSTOM: delivery})),
)
"""Domain of the mail server, name of the header, and its value for a delivery id.

Most providers replace the Message-ID, or leave it out of some events. Each removes its own header, and the others would
deliver it, so the mail server's name decides.
"""


def tagged(envelope: Envelope, host: str, delivery_id: str) -> Envelope:
    """Return the message with the header that its mail server's provider reads, if it is one of those."""
    for domain, name, value in _PROVIDERS:
        if f".{host.lower()}".endswith(f".{domain}"):
            header = f"{name}: {value(delivery_id)}\r\n".encode()
            return replace(envelope, message=header + envelope.message)
    return envelope
