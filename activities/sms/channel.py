"""The SMS channel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import SecretStr
from typing_extensions import override

from activities.channel import (
    Arrival,
    AttemptReply,
    ChannelActivity,
    ChannelAdapter,
    LocalServers,
    RenderContext,
    RenderedMessage,
    SendContext,
    TestReply,
    shorten,
)
from activities.interface import Delivery, Sent
from activities.outcome import Judgement, Outcome, Verdict
from activities.sms.provider import (
    NO_PROVIDER,
    ProviderBusy,
    ProviderError,
    SmsProvider,
    TextMessage,
    TextUnanswered,
    error_of,
    number_in,
    render,
)
from scenario import liquid
from scenario.errors import NotConfigured
from scenario.recipients import international
from scenario.sms_parts import measure_sms
from scenario.steps.delivery import Send
from scenario.steps.sms import Sms

if TYPE_CHECKING:
    from activities.attempt_context import AttemptContext
    from runtime.local.receiver import Inbox
    from runtime.settings import Settings

ERRORS: Final[Mapping[str, type[ProviderError]]] = {
    **dict.fromkeys(("connect_timeout", "connect_failed"), ProviderBusy),
    **dict.fromkeys(("timeout", "no_answer"), TextUnanswered),
}
"""The errors of attempts without a reply, in cases."""


@dataclass(frozen=True)
class RenderedText(RenderedMessage):
    """A text message."""

    to: str  # number, E.164
    text: str

    @property
    @override
    def address(self) -> str:
        return self.to

    @override
    def describe(self) -> dict[str, Any]:
        return {"message": self.facts()}

    @override
    def facts(self) -> dict[str, Any]:
        length = measure_sms(self.text)
        return {"to": self.to, "text": self.text, **asdict(length)}


class SmsChannel(ChannelAdapter[RenderedText, SmsProvider]):
    """Text messages, sent by a provider."""

    title: ClassVar[str] = "SMS"
    setting: ClassVar[str] = "SCENARIO_SMS"
    recipient: ClassVar[str] = "a number with its country's code"
    not_configured: ClassVar[str] = NO_PROVIDER
    errors: ClassVar[frozenset[str]] = frozenset(ERRORS)

    @override
    def render(self, step: Sms, delivery: Delivery, data: dict[str, Any], context: RenderContext) -> RenderedText:
        return RenderedText(international(context.to or number_in(delivery.data)), render(step, data))

    @override
    async def deliver(
        self, activity: ChannelActivity[SmsProvider], delivery: Delivery, context: AttemptContext
    ) -> Sent:
        provider = activity.connection
        async with activity.attempt(delivery, context, provider.name if provider else "") as attempt:
            written = number_in(delivery.data)
            if provider is None:
                raise NotConfigured(NO_PROVIDER)
            number = international(written)
            step = await activity.context.content.step_of(delivery, Sms, "an SMS")
            body = await asyncio.to_thread(render, step, await activity.data(attempt, step))
            await attempt.may_leave(number)
            # Before the provider is even dialled: the mark must be on Temporal's server when the request leaves.
            await attempt.sending()
            try:
                receipt = await provider.send(TextMessage(id=delivery.id, to=number, body=body, within=attempt.within))
            except ProviderError as error:
                judgement = Judgement(error.verdict, str(error))
                raise attempt.failed(judgement, status=error.status, excerpt=error.excerpt) from None
            attempt.delivered(receipt.status, receipt.reference)
        return attempt.sent

    @override
    async def send(self, context: SendContext[RenderedText, SmsProvider]) -> tuple[RenderedText, TestReply]:
        message, provider, delivery = context.message, context.connection, context.delivery
        text = TextMessage(id=delivery.id, to=message.to, body=message.text, within=delivery.timeout)
        try:
            receipt = await provider.send(text)
        except ProviderError as error:
            return message, TestReply.judged(str(error), error.verdict, status=error.status, body=error.excerpt)
        said = f"{provider.name} took it"
        return message, TestReply(delivered=True, said=said, status=receipt.status, body=receipt.reference)

    @override
    def classify(self, reply: AttemptReply, row: Send, now: datetime) -> Judgement:
        status = reply.status or self.success
        if reply.error is None and status < HTTPStatus.MULTIPLE_CHOICES:
            return Judgement(Verdict(Outcome.DELIVERED, ""), "")
        sentence = f"the provider gave no answer ({reply.error})" if reply.error else f"the provider answered {status}"
        error = (ERRORS[reply.error] if reply.error else error_of(status))(sentence, error=reply.error)
        return Judgement(error.verdict, sentence)

    @override
    async def verify(
        self, servers: LocalServers, name: str, step: Sms, data: dict[str, Any], delivery_id: str
    ) -> Arrival:
        number = str(data["contact"]["cellphone"])
        text = liquid.render_text(step.text, data).strip() if isinstance(step.text, str) else ""
        received = await asyncio.to_thread(_texts, servers.inbox.folder)
        count = sum(message.get("to") == number and message.get("text") == text for message in received)
        return Arrival(name, number, shorten(text), "" if count == 1 else f"the inbox has it {count} times")

    @override
    def host(self, connection: SmsProvider) -> str:
        return connection.name

    @override
    def connect(self, settings: Settings, inbox: Path) -> SmsProvider | None:
        from activities.sms.configured import provider_from, status_url

        url = settings.sms.get_secret_value() if settings.sms else None
        return provider_from(url, inbox, status_url(settings))

    @override
    def label(self, connection: SmsProvider | None) -> str:
        return f"{self.title} ({connection.name})" if connection else self.title

    @override
    def local_settings(self, inbox: Inbox) -> dict[str, Any]:
        return {"sms": SecretStr("local:")}


def _texts(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]


ADAPTER: Final = SmsChannel()
