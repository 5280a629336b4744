"""The activity that sends an SMS step: render, hand over once. Temporal does the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.attempt import OpenAttempt, attempt_of
from activities.attempt_log import Log
from activities.content import Content
from activities.context import Addresses, template_data
from activities.failures import FailureKind
from activities.interface import SMS, Delivery, Sent
from activities.permission import Gate
from activities.sms.errors import ProviderError, RefusedError
from activities.sms.number import BadNumber, international
from activities.sms.provider import Provider, TextMessage
from activities.sms.rendering import number_in, render
from scenario.steps.sms import Sms


class Texts:
    """Sends text messages.

    Args:
        content: Published scenarios, with the steps' templates.
        provider: Who sends them; None where SCENARIO_SMS is not set.
        log: Where attempts are recorded.
        callbacks: Makes `journey.callback_url`; None where it is not configured.
        gates: Who is asked, right before anything leaves, whether it may.
    """

    def __init__(
        self,
        content: Content,
        provider: Provider | None,
        log: Log,
        callbacks: Addresses | None = None,
        gates: Sequence[Gate] = (),
    ) -> None:
        self._content = content
        self._callbacks, self._gates = callbacks, gates
        self._provider = provider
        self._log = log

    @activity.defn(name=SMS.activity)
    async def send_sms(self, delivery: Delivery) -> Sent:
        """Sends one text message, once.

        Raises:
            ApplicationError: See `activities.failures`. A RETRY is Temporal's to try again.
        """
        provider = self._provider
        name = provider.name if provider else SMS.name
        with attempt_of(delivery, channel=SMS, destination=name, log=self._log, gates=self._gates) as attempt:
            written = number_in(delivery.data)
            if provider is None:
                raise attempt.failure(
                    FailureKind.UNCONFIGURED, "SMS is not configured: set SCENARIO_SMS", error="unconfigured"
                )
            try:
                number = international(written)
            except BadNumber as error:
                raise attempt.failure(FailureKind.PERMANENT, str(error), error="bad_number") from None
            step = await self._content.step_of(delivery, Sms, "an SMS")
            data = template_data(attempt.delivery, activity.info().workflow_id or "", self._callbacks)
            body = await asyncio.to_thread(render, step, data)
            await attempt.may_leave()
            # Before the provider is even dialled: the mark must be on Temporal's server when the request leaves.
            await attempt.sending()
            try:
                receipt = await provider.send(TextMessage(id=delivery.id, to=number, body=body, within=attempt.within))
            except ProviderError as error:
                raise _failure(attempt, error) from None
            attempt.delivered(receipt.status, receipt.reference)
        return attempt.sent


def _failure(attempt: OpenAttempt, error: ProviderError) -> ApplicationError:
    return attempt.failure(
        FailureKind.PERMANENT if isinstance(error, RefusedError) else FailureKind.RETRY,
        str(error),
        status=error.status,
        error=error.error,
        unknown=error.sent is not False,
        excerpt=error.excerpt,
    )
