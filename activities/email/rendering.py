"""Renders an e-mail: a pure function of the published step and the delivery."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from activities.email.message import Envelope, compose
from activities.email.senders import Senders
from activities.interface import Delivery
from scenario import liquid
from scenario.errors import Aborted, TemplateError
from scenario.mail_address import BadAddress, Mailbox, parse_address
from scenario.model.parts import File
from scenario.steps.email import Email


def address_in(data: Mapping[str, Any]) -> str:
    """Return the contact's address as written.

    Raises:
        Aborted: There is none.
    """
    contact: Any = data.get("contact") or {}
    if not (written := str(contact.get("email") or "").strip()):
        raise Aborted("the contact has no e-mail address")
    return written


def recipient_of(written: str) -> Mailbox:
    """Return the contact's address for sending.

    Raises:
        BadAddress: It is malformed.
    """
    try:
        return parse_address(written)
    except BadAddress:
        raise BadAddress("the contact's e-mail address is malformed") from None


def render(step: Email, delivery: Delivery, data: dict[str, Any], senders: Senders, recipient: Mailbox) -> Envelope:
    """Render the message.

    Args:
        step: The published step.
        delivery: The delivery; its id and its `now` are in the message.
        data: Variables of templates; `journey.unsubscribe_url` is also in the headers.
        senders: Allowed senders. The return path is always the default one.
        recipient: The To header.

    Raises:
        NotConfigured: A sender or reply address is not allowed.
        TemplateError: A template fails, or its output is too large.
        MarkupProcessLost: See `compose`.
        Aborted: A template says that nothing should be sent.
    """
    html, text = _source(step.html), _source(step.text)
    named = {
        key: senders.named(key, _rendered(key, liquid.render_line, template, data))
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
