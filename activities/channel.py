"""The interface of a channel: how it delivers, and how previews, cases and test messages use the same functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

from activities.channel_registry import CHANNELS, Channel
from activities.evaluation import CallbackUrls, UnsubscribeUrls, subscriber_of, template_data
from activities.interface import Delivery, Sent
from activities.outcome import AlreadyDelivered, Judgement, Outcome, Verdict
from scenario.errors import NotConfigured
from scenario.steps.base import Row
from scenario.steps.delivery import DeliveryStep, Send

if TYPE_CHECKING:
    from pathlib import Path

    from activities.attempt import Log
    from activities.attempt_context import AttemptContext
    from activities.audience.sync import MembershipBook
    from activities.content import Content
    from activities.email.settings import Senders
    from activities.gate import PolicyGate
    from activities.open_attempt import OpenAttempt
    from activities.webhook.batches import Batches
    from activities.webhook.destinations.destinations import Destinations
    from activities.webhook.http.transport import Transport
    from activities.webhook.limiter import Limiter
    from activities.webhook.platform import PlatformCalls
    from activities.webhook.route import Routes
    from runtime.local.receiver import Inbox, Receiver
    from runtime.public_links import ReturnPaths
    from runtime.settings import Settings

TEST_HEADER: Final = "x-scenario-test"
_SHORT: Final = 60  # characters
_CONSEQUENCES: Final = {
    Outcome.RETRY: "a journey would try again",
    Outcome.RETRY_SHORT: "a journey would try again for an hour",
    Outcome.PERMANENT: "a journey would not try again",
    Outcome.REFUSED: "a journey would not try again",
}


class RenderedMessage(ABC):
    """A rendered message."""

    @property
    def address(self) -> str:
        """The recipient's address, or "" for webhooks. Personal data: do not log or store it."""
        return ""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return it as JSON data under ``request`` or ``message``, as previews and the API show it."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return the values that a case can expect, by the keys of an expected step."""

    def defect(self, row: Row) -> str:
        """Return what no contact's data may cause, or "" if the message is sound."""
        del row
        return ""


MessageT = TypeVar("MessageT", bound=RenderedMessage)
ConnectionT = TypeVar("ConnectionT")


@dataclass(frozen=True, kw_only=True)
class RenderContext:
    """The settings that a message is rendered with."""

    senders: Senders
    book: Destinations | None = None  # the destinations. If None, a URL begins with its destination's name.
    to: str | None = None  # recipient of e-mails and text messages instead of the contact


@dataclass(frozen=True, kw_only=True)
class SendContext(Generic[MessageT, ConnectionT]):
    """A test message and the means to send it."""

    message: MessageT  # as it was rendered for a preview, with masks in the place of secrets
    step: DeliveryStep
    delivery: Delivery
    data: Mapping[str, Any]  # the data of its templates, without secrets
    connection: ConnectionT
    routes: Routes
    secrets: Mapping[str, str] = field(repr=False)
    to: str | None = None  # recipient instead of the contact: a URL, which gets no secret; an e-mail address; a number
    guarded: bool = False  # True if a URL in `to` must be public


@dataclass(frozen=True, kw_only=True)
class TestReply:
    """The reply to a test message."""

    delivered: bool  # True if the receiver accepted it
    said: str  # what happened: a sentence without a full stop
    verdict: Verdict | None = None  # why it was not delivered
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: str = ""  # the beginning of the response, masked

    @classmethod
    def judged(cls, sentence: str, verdict: Verdict, **more: Any) -> TestReply:
        sentence = sentence.removesuffix(".")
        if sentence.startswith("The "):
            sentence = f"t{sentence[1:]}"
        said = "; ".join(filter(None, (sentence, _CONSEQUENCES.get(verdict.outcome))))
        return cls(delivered=verdict.delivered, said=said, verdict=verdict, **more)


class BadDestination(Exception):
    """The URL that a test message is to be sent to may not be called."""


@dataclass(frozen=True, kw_only=True)
class AttemptReply:
    """The reply to one attempt in virtual time."""

    status: int | None = None  # the receiver's status code, or None for the channel's code of success
    headers: Mapping[str, str] = field(default_factory=dict[str, str])  # of a webhook's response; names in lower case
    body: bytes = b""
    error: str | None = None  # why there is no reply: one of the channel's `errors`


@dataclass(frozen=True)
class LocalServers:
    """The local servers that receive messages on a developer's machine."""

    inbox: Inbox
    receiver: Receiver
    routes: Routes


@dataclass(frozen=True)
class Arrival:
    """A delivery of a local journey."""

    step: str
    to: str
    what: str
    problem: str = ""  # how it differs from the rendered message; "" if it arrived unchanged

    @property
    def sound(self) -> bool:
        return not self.problem


def shorten(text: str) -> str:
    """Return the beginning of a text on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else f"{line[: _SHORT - 1]}…"


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """The process's services that a channel's activities use."""

    content: Content
    log: Log
    gate: PolicyGate
    callbacks: CallbackUrls | None
    unsubscribing: UnsubscribeUrls | None
    return_paths: ReturnPaths | None  # if None, bounces go to the sender of SCENARIO_MAIL_FROM
    transport: Transport  # open while the worker runs
    routes: Routes
    secrets: Callable[[], Mapping[str, str]]  # returns the same mapping while the secrets do not change
    limiter: Limiter  # one per process
    calls: PlatformCalls
    memberships: MembershipBook
    batches: Batches


@dataclass(frozen=True)
class ChannelActivity(Generic[ConnectionT]):
    """Sends the messages of journeys by one channel."""

    channel: Channel
    context: WorkerContext
    connection: ConnectionT | None = None  # None if the channel is not configured, or needs none

    async def send(self, delivery: Delivery, context: AttemptContext) -> Sent:
        """Send one message, once. Raise ApplicationError if it is not delivered; see `activities.failures`."""
        try:
            return await adapter(self.channel.name).deliver(self, delivery, context)
        except AlreadyDelivered as known:
            return known.sent

    def attempt(
        self, delivery: Delivery, context: AttemptContext, destination: str = "", *, unrendered: str = ""
    ) -> AbstractAsyncContextManager[OpenAttempt]:
        from activities.attempt import attempt_of

        return attempt_of(
            delivery,
            channel=self.channel,
            destination=destination or self.channel.name,
            log=self.context.log,
            gate=self.context.gate,
            context=context,
            unrendered=unrendered,
        )

    async def data(self, attempt: OpenAttempt, step: DeliveryStep) -> dict[str, Any]:
        delivery = attempt.delivery
        opened = await self.context.content.open(delivery.name, delivery.version)
        subscriber, url = subscriber_of(opened.scenario, step, delivery.contact, delivery.data), ""
        unsubscribing = self.context.unsubscribing
        if subscriber is not None and unsubscribing is not None:
            url = unsubscribing.url(subscriber)
        elif subscriber is not None and opened.names_unsubscribing(delivery.step):
            raise NotConfigured(
                "a template asks for journey.unsubscribe_url, which is not configured: "
                "set SCENARIO_CALLBACK_URL and SCENARIO_SUPPRESSION_KEY for the workers"
            )
        return template_data(delivery, attempt.context.info.workflow_id or "", self.context.callbacks, url)


def sending_activity(sender: ChannelActivity[Any]) -> Callable[[Delivery], Awaitable[Sent]]:
    """Return the activity that sends a journey's message once, inside a Temporal activity for this message alone."""
    from temporalio import activity

    from activities.attempt_context import AttemptContext

    @activity.defn(name=sender.channel.activity)
    async def send(delivery: Delivery) -> Sent:
        context = AttemptContext()
        return await sender.send(delivery.of_step(context.info.activity_id), context)

    return send


class ChannelAdapter(ABC, Generic[MessageT, ConnectionT]):
    """A channel's code. The table is `activities.channel_registry.CHANNELS`.

    Importing the module of an adapter must load neither Temporal nor an HTTP client: previews need neither. Methods
    that need more import it themselves.
    """

    title: ClassVar[str]  # its name for people, in the middle of a sentence
    setting: ClassVar[str] = ""  # the environment variable that configures its connection; "" if it needs none
    recipient: ClassVar[str] = ""  # the kind of address, with its article
    not_configured: ClassVar[str] = ""  # the message for a channel that is not configured
    errors: ClassVar[frozenset[str]]  # the words for attempts that got no reply
    success: ClassVar[int] = 200  # the status code of a delivered message

    @abstractmethod
    def render(self, step: Any, delivery: Delivery, data: dict[str, Any], context: RenderContext) -> MessageT:
        """Render a message without sending it.

        Raises:
            TemplateError: A template fails.
            Aborted: There is nothing to send.
            BadRecipient: The recipient's address is malformed.
            NotConfigured: A sender or a destination is missing.
            Unsendable: The request may not be sent.
        """

    @abstractmethod
    async def send(self, context: SendContext[MessageT, ConnectionT]) -> tuple[MessageT, TestReply]:
        """Send a test message once. Return it as it was sent, and the reply.

        Raises:
            BadDestination: It may not be sent to `context.to`.
            NotConfigured: A destination or a secret is missing.
        """

    @abstractmethod
    def classify(self, reply: AttemptReply, row: Send, now: datetime) -> Judgement:
        """Return the judgement of a reply, exactly as the activity would."""

    @abstractmethod
    async def verify(
        self, servers: LocalServers, name: str, step: Any, data: dict[str, Any], delivery_id: str
    ) -> Arrival:
        """Compare the messages that the local servers received with the one that the step renders."""

    @abstractmethod
    async def deliver(
        self, activity: ChannelActivity[ConnectionT], delivery: Delivery, context: AttemptContext
    ) -> Sent:
        """Send a journey's message, see `ChannelActivity.send`."""

    def connect(self, settings: Settings, inbox: Path) -> ConnectionT | None:
        """Return the configured connection, not dialled yet, or None. Raise SettingsError, which quotes no setting."""
        del settings, inbox

    def host(self, connection: ConnectionT) -> str:
        """Return the name of the mail server or provider, as the log of attempts has it."""
        del connection
        return self.title

    def destination(self, context: SendContext[MessageT, ConnectionT]) -> str:
        """Return the name of a test message's destination."""
        return self.host(context.connection)

    def label(self, connection: ConnectionT | None) -> str:
        """Return the title, with the provider's name if there are several."""
        del connection
        return self.title

    def local_settings(self, inbox: Inbox) -> dict[str, Any]:
        """Return the settings that lead all messages to the local servers."""
        del inbox
        return {}


class Unsendable(Exception):
    """A rendered request may not be sent; the message is one sentence."""


def adapter(name: str) -> ChannelAdapter[Any, Any]:
    """Return the code of a channel, or raise KeyError."""
    found: ChannelAdapter[Any, Any] = import_module(f"{CHANNELS[name].package}.channel").ADAPTER
    return found


def adapters() -> dict[str, ChannelAdapter[Any, Any]]:
    return {name: adapter(name) for name in CHANNELS}
