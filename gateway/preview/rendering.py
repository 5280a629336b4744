"""Rendering of a step's message by its channel, with stand-ins for callback and unsubscribe URLs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Self

from activities.channel import RenderContext, RenderedMessage, Unsendable, adapter
from activities.context import CallbackUrls, UnsubscribeUrls, subscriber_of, template_data
from activities.email.settings import ANY, Senders
from activities.interface import Delivery
from scenario.errors import Aborted, BadRecipient, NotConfigured, TemplateError
from scenario.mail_address import Mailbox
from scenario.model.document import load
from scenario.model.scenario import Scenario
from scenario.plan.compile import named_steps
from scenario.steps.base import BaseStep
from scenario.steps.delivery import DeliveryStep
from scenario.time.timing import LAST

if TYPE_CHECKING:
    from activities.webhook.destinations.destinations import Destinations
    from runtime.public_links import Subscriber

SENDERS: Final = Senders(Mailbox("sender@example.com", "Sender"), frozenset({ANY}))
"""The sender if SCENARIO_MAIL_FROM is not set."""
BASE: Final = "https://callbacks.example.com"
"""The base of callback URLs if SCENARIO_CALLBACK_URL is not set."""
ROOT: Final = "00000000-0000-0000-0000-000000000000"
"""The run id of a journey that was never started."""


class StandIn:
    """Makes URLs that look like `journey.callback_url` and do nothing."""

    def __init__(self, base: str = BASE) -> None:
        from runtime.public_links import Callbacks

        self._real = Callbacks(base, [bytes(32)])

    def url(self, workflow_id: str, root: str, delivery_id: str, now: datetime) -> str:
        """Return a URL of the usual length."""
        now = min(now, LAST - timedelta(days=366_000))  # an address lives on from its step: not beyond the end of time
        return _without_token(self._real.url(workflow_id, root, f"msg_{0:032}", now))


class UnsubscribeStandIn:
    """Makes URLs that look like `journey.unsubscribe_url` and do nothing."""

    def __init__(self, base: str = BASE) -> None:
        from runtime.public_links import Unsubscribing

        self._real = Unsubscribing(base, [bytes(32)])

    def url(self, subscriber: Subscriber) -> str:
        """Return a URL of the usual length."""
        return _without_token(self._real.url(subscriber))


def _without_token(url: str) -> str:
    base, slash, token = url.rpartition("/")
    return f"{base}{slash}{'preview'.ljust(len(token), '0')}"


@dataclass(frozen=True)
class NothingToSend:
    """Nothing to send: no address, or a template aborted."""

    reason: str


@dataclass(frozen=True)
class RenderProblem:
    """Why a step cannot be performed."""

    message: str
    error: TemplateError | None = None
    """The template's error, if a template is the reason."""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)


Result = RenderedMessage | NothingToSend | RenderProblem


def placeholder(step: str) -> str:
    """Return a delivery id of the usual length that belongs to no delivery."""
    return f"msg_preview{hashlib.sha256(step.encode()).hexdigest()[:25]}"


@dataclass(frozen=True)
class MessageRenderer:
    """Renders messages."""

    senders: Senders = SENDERS
    callbacks: CallbackUrls = field(default_factory=StandIn)
    unsubscribing: UnsubscribeUrls = field(default_factory=UnsubscribeStandIn)
    identify: Callable[[str], str] = placeholder
    book: Destinations | None = None
    """The destinations. If None, a URL begins with the destination's name."""
    to: str | None = None
    """Recipient of e-mails and SMS instead of the contact."""

    @classmethod
    def configured(
        cls, sender: str | None, allowed: str | None, base: str | None, book: Destinations | None = None
    ) -> Self:
        """Return the renderer of SCENARIO_MAIL_FROM, SCENARIO_MAIL_FROM_ALLOWED and SCENARIO_CALLBACK_URL."""
        base = base or BASE
        return cls(
            senders=Senders.configured(sender, allowed) if sender else SENDERS,
            callbacks=StandIn(base),
            unsubscribing=UnsubscribeStandIn(base),
            book=book,
        )

    def render(self, step: BaseStep, delivery: Delivery, journey: str, scenario: Scenario) -> Result:
        """Render a delivery. Raise BadRecipient if `to` is not a valid recipient."""
        assert isinstance(step, DeliveryStep)  # noqa: S101 no other step is delivered
        seen = template_data(delivery, journey, self.callbacks, self._unsubscribe_url(step, delivery, scenario))
        context = RenderContext(senders=self.senders, book=self.book, to=self.to)
        try:
            return adapter(step.channel).render(step, delivery, seen, context)
        except Aborted as aborted:
            return NothingToSend(aborted.reason)
        except TemplateError as error:
            return RenderProblem(str(error), error, seen)
        except BadRecipient as error:
            if self.to is not None:
                raise
            return RenderProblem(str(error))
        except (NotConfigured, Unsendable) as error:
            return RenderProblem(str(error))

    def _unsubscribe_url(self, step: DeliveryStep, delivery: Delivery, scenario: Scenario) -> str:
        try:
            subscriber = subscriber_of(scenario, step, delivery.contact, delivery.data)
        except BadRecipient:
            return ""  # rendering reports it, unless the message has another recipient
        return self.unsubscribing.url(subscriber) if subscriber else ""


def render_again(document: Mapping[str, Any], renderer: MessageRenderer, delivery: Delivery, journey: str) -> Result:
    """Render a delivery by the document of its version."""
    scenario = load(document)
    step = dict(named_steps(scenario)).get(delivery.step)
    if step is None:
        return RenderProblem(f"{delivery.scenario} has no step '{delivery.step}'")
    return renderer.render(step, delivery, journey, scenario)


def described(result: Result) -> dict[str, Any]:
    """Return a result as JSON data: ``request``, ``message``, ``skipped`` or ``error``."""
    match result:
        case NothingToSend(reason=reason):
            return {"skipped": reason}
        case RenderProblem(message=message):
            return {"error": message}
        case message:
            return message.describe()
