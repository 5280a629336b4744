"""The activity that sends an SMS: render, hand over once."""

from __future__ import annotations

import asyncio

from typing_extensions import override

from activities.attempt import ChannelActivity
from activities.attempt_context import AttemptContext
from activities.channel_registry import SMS
from activities.interface import Delivery, Sent
from activities.outcome import Judgement
from activities.sms.provider import NO_PROVIDER, ProviderError, SmsProvider, TextMessage, number_in, render
from scenario.errors import NotConfigured
from scenario.recipients import international
from scenario.steps.sms import Sms


class Texts(ChannelActivity[SmsProvider | None]):
    """Sends text messages through a provider."""

    channel = SMS

    @override
    async def send(self, delivery: Delivery, context: AttemptContext) -> Sent:
        provider = self._way
        async with self.attempt(delivery, context, provider.name if provider else "") as attempt:
            written = number_in(delivery.data)
            if provider is None:
                raise NotConfigured(NO_PROVIDER)
            number = international(written)
            step = await self._content.step_of(delivery, Sms, "an SMS")
            body = await asyncio.to_thread(render, step, await self.data(attempt, step))
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
