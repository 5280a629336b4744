"""What one step would send: rendered by the activities' own functions, with stand-ins for what only they know."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from activities.context import Addresses, UnsubscribeAddresses, subscriber_of, template_data
from activities.email.message import Envelope
from activities.email.rendering import address_in, recipient_of
from activities.email.rendering import render as render_email
from activities.email.senders import ANY, Senders
from activities.interface import Delivery
from activities.sms.rendering import number_in
from activities.sms.rendering import render as render_sms
from activities.webhook.errors import RefusedError
from activities.webhook.http.headers import sent_headers
from activities.webhook.rendering import render as render_webhook
from activities.webhook.rendering import with_headers
from scenario.errors import Aborted, BadRecipient, NotConfigured, TemplateError
from scenario.http.access import Access
from scenario.http.urls import UrlError, parse
from scenario.mail_address import Mailbox
from scenario.model.scenario import Scenario
from scenario.phone_number import international
from scenario.steps.base import BaseStep
from scenario.steps.delivery import DeliveryStep
from scenario.steps.email import Email
from scenario.steps.sms import Sms
from scenario.steps.webhook import Webhook
from scenario.time.timing import LAST

if TYPE_CHECKING:
    from activities.webhook.destinations.destinations import Destinations
    from runtime.unsubscribing import Subscriber

SENDERS: Final = Senders(Mailbox("sender@example.com", "Sender"), frozenset({ANY}))
"""Who may send e-mails where SCENARIO_MAIL_FROM is not set."""
BASE: Final = "https://callbacks.example.com"
"""Where addresses lead while SCENARIO_CALLBACK_URL is not set."""
ROOT: Final = "00000000-0000-0000-0000-000000000000"
"""The run id of a journey that was never started."""


class Masks(dict[str, str]):
    """Secrets by name, each in the place of its value: ``~~WAX_TOKEN~~``.

    Made of characters that no URL, header, form or JSON text writes in another way. There is one for every name: a
    preview is not a place to learn which secrets a worker has. Those that may not go there the check has refused.
    """

    def __missing__(self, name: str) -> str:
        return mask(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)


def mask(name: str) -> str:
    """What is shown in the place of a secret."""
    return f"~~{name}~~"


class StandIn:
    """Gives out addresses that look like `journey.callback_url` and open nothing.

    Args:
        base: SCENARIO_CALLBACK_URL.
    """

    def __init__(self, base: str = BASE) -> None:
        from runtime.callback import Callbacks

        self._real = Callbacks(base, [bytes(32)])

    def url(self, workflow_id: str, root: str, delivery_id: str, now: datetime) -> str:
        """An address as long as the real one."""
        now = min(now, LAST - timedelta(days=366_000))  # an address lives on from its step: not beyond the end of time
        base, slash, token = self._real.url(workflow_id, root, f"msg_{0:032}", now).rpartition("/")
        return f"{base}{slash}{'preview'.ljust(len(token), '0')}"


class UnsubscribeStandIn:
    """Gives out addresses that look like `journey.unsubscribe_url` and open nothing.

    Args:
        base: SCENARIO_CALLBACK_URL.
    """

    def __init__(self, base: str = BASE) -> None:
        from runtime.unsubscribing import Unsubscribing

        self._real = Unsubscribing(base, [bytes(32)])

    def url(self, subscriber: Subscriber) -> str:
        """An address as long as the real one."""
        base, slash, token = self._real.url(subscriber).rpartition("/")
        return f"{base}{slash}{'preview'.ljust(len(token), '0')}"


@dataclass(frozen=True)
class RenderedRequest:
    """A webhook's request.

    Attributes:
        method: HTTP method.
        url: Where it would go.
        headers: All that do not depend on the attempt.
        body: Its bytes.
        attempt_headers: The names of those that do.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    attempt_headers: tuple[str, ...] = ("webhook-timestamp", "traceparent")

    def report(self) -> dict[str, Any]:
        """It as JSON data."""
        made: dict[str, Any] = {"method": self.method, "url": self.url, "headers": dict(self.headers)}
        return {"request": made | {"attempt_headers": list(self.attempt_headers), "body": self.body.decode()}}


@dataclass(frozen=True)
class RenderedMail:
    """An e-mail.

    Attributes:
        envelope: As it would be handed to the mail server.
    """

    envelope: Envelope

    @cached_property
    def message(self) -> EmailMessage:
        """Its bytes, read back."""
        return message_from_bytes(self.envelope.message, policy=default)

    def part(self, subtype: str) -> str | None:
        """The text of one of its parts (``plain``, ``html``), its lines ended by LF; None where it has no such part."""
        found = self.message.get_body((subtype,))
        return None if found is None else str(found.get_content()).replace("\r\n", "\n")

    def report(self) -> dict[str, Any]:
        """It as JSON data: what readers see of it, and its source."""
        fields = ("From", "Reply-To", "To", "Subject", "Date", "Message-ID")
        made = {name.lower().replace("-", "_"): str(self.message[name]) for name in fields if name in self.message}
        parts = {"text": self.part("plain"), "html": self.part("html")}
        made |= {name: part for name, part in parts.items() if part is not None}
        return {"message": {**made, "source": self.envelope.message.decode()}}


@dataclass(frozen=True)
class RenderedText:
    """A text message.

    Attributes:
        to: Number, E.164.
        text: What it says.
    """

    to: str
    text: str

    def report(self) -> dict[str, Any]:
        """It as JSON data."""
        return {"message": {"to": self.to, "text": self.text}}


@dataclass(frozen=True)
class Nothing:
    """There is nothing to send, which is not a mistake: no address, or a template aborted.

    Attributes:
        reason: Why.
    """

    reason: str


@dataclass(frozen=True)
class Problem:
    """Why a step cannot be performed.

    Attributes:
        message: One sentence.
        error: The template's error, where a template is the reason.
        data: What templates saw.
    """

    message: str
    error: TemplateError | None = None
    data: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)


Rendered = RenderedRequest | RenderedMail | RenderedText
Result = Rendered | Nothing | Problem


def placeholder(step: str) -> str:
    """A delivery id that no delivery has, as long as the real one."""
    return f"msg_preview{hashlib.sha256(step.encode()).hexdigest()[:25]}"


@dataclass(frozen=True)
class Workshop:
    """What rendering takes beside step and data.

    Attributes:
        senders: From whom e-mails may be.
        callbacks: Makes `journey.callback_url`.
        unsubscribing: Makes `journey.unsubscribe_url`.
        identify: A step's delivery id.
        book: The destinations. None where they are not known: then a URL begins with the destination's name.
        to: Who gets e-mails and SMS instead of the contact.
    """

    senders: Senders = SENDERS
    callbacks: Addresses = field(default_factory=StandIn)
    unsubscribing: UnsubscribeAddresses = field(default_factory=UnsubscribeStandIn)
    identify: Callable[[str], str] = placeholder
    book: Destinations | None = None
    to: str | None = None

    def render(self, step: BaseStep, delivery: Delivery, journey: str, scenario: Scenario) -> Result:
        """Renders a delivery.

        Args:
            step: The step.
            delivery: What the journey would hand to the activity.
            journey: The workflow id.
            scenario: The step's.

        Raises:
            BadRecipient: Nothing can be sent to whom `to` says.
        """
        seen = template_data(delivery, journey, self.callbacks, self._unsubscribe_url(step, delivery, scenario))
        try:
            return _RENDERED[type(step)](self, step, delivery, seen)
        except Aborted as aborted:
            return Nothing(aborted.reason)
        except TemplateError as error:
            return Problem(str(error), error, seen)
        except BadRecipient as error:
            if self.to is not None:
                raise
            return Problem(str(error))
        except NotConfigured as error:
            return Problem(str(error))

    def _unsubscribe_url(self, step: BaseStep, delivery: Delivery, scenario: Scenario) -> str:
        try:
            subscriber = (
                subscriber_of(scenario, step, delivery.contact, delivery.data)
                if isinstance(step, DeliveryStep)
                else None
            )
        except BadRecipient:
            return ""  # that is what rendering says, unless it goes to somebody else
        return self.unsubscribing.url(subscriber) if subscriber else ""

    def webhook(self, step: Webhook, delivery: Delivery, seen: dict[str, Any]) -> Result:
        """A webhook's request."""
        seen["secrets"] = Masks()
        found = self.book.get(step.to) if self.book and step.to else None
        own = {secret: mask(secret) for secret in found.own_secrets} if found else {}
        base = found.rendered_url(own) if found else step.to and f"{step.to}:"
        made = render_webhook(step, seen, delivery.id, base=base)
        if found:
            made = with_headers(made, step, found.rendered_headers(own), found.name)
        try:
            headers = sent_headers(made.headers)
            url = made.url if step.to and not found else parse(made.url, found.access if found else Access()).url
        except RefusedError as error:
            return Problem(str(error))
        except UrlError as error:
            return Problem(f"the URL may not be called: {error}")
        signature = ("webhook-signature",) if found and found.signing else ()
        return RenderedRequest(made.method, url, headers, made.body, ("webhook-timestamp", *signature, "traceparent"))

    def email(self, step: Email, delivery: Delivery, seen: dict[str, Any]) -> Result:
        """An e-mail."""
        recipient = recipient_of(self.to or address_in(delivery.data))
        return RenderedMail(render_email(step, delivery, seen, self.senders, recipient))

    def sms(self, step: Sms, delivery: Delivery, seen: dict[str, Any]) -> Result:
        """A text message."""
        return RenderedText(international(self.to or number_in(delivery.data)), render_sms(step, seen))


_RENDERED: Final[Mapping[type[BaseStep], Callable[[Workshop, Any, Delivery, dict[str, Any]], Result]]] = {
    Webhook: Workshop.webhook,
    Email: Workshop.email,
    Sms: Workshop.sms,
}
"""What each channel sends."""
