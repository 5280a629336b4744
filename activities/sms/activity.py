"""The activity that sends an SMS step: render, hand over once. Temporal does the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.attempt import OpenAttempt, attempt_of
from activities.attempt_log import Log
from activities.content import Content
from activities.context import Addresses, attempt_data
from activities.failures import FailureKind
from activities.interface import SMS, Delivery, Sent
from activities.sms.errors import ProviderError, RefusedError
from activities.sms.number import BadNumber, international
from activities.sms.provider import Provider, TextMessage
from scenario import liquid
from scenario.errors import Aborted, TemplateError
from scenario.steps.sms import Sms


class Texts:
    """Sends text messages.

    Args:
        content: Published scenarios, with the steps' templates.
        provider: Who sends them; None where SCENARIO_SMS is not set.
        log: Where attempts are recorded.
        callbacks: Makes `journey.callback_url`; None where it is not configured.
    """

    def __init__(
        self, content: Content, provider: Provider | None, log: Log, callbacks: Addresses | None = None
    ) -> None:
        self._content = content
        self._callbacks = callbacks
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
        with attempt_of(delivery, channel=SMS, destination=name, log=self._log) as attempt:
            written = number_in(delivery.data)
            if provider is None:
                raise attempt.failure(
                    FailureKind.UNCONFIGURED, "SMS is not configured: set SCENARIO_SMS", error="unconfigured"
                )
            try:
                number = international(written)
            except BadNumber as error:
                raise attempt.failure(FailureKind.PERMANENT, str(error), error="bad_number") from None
            step = await self._content.step_of(delivery, Sms, "SMS")
            data = attempt_data(attempt, activity.info().workflow_id, self._callbacks)
            body = await asyncio.to_thread(render, step, data)
            # Before the provider is even dialled: the mark must be on Temporal's server when the request leaves.
            await attempt.sending()
            try:
                receipt = await provider.send(TextMessage(id=delivery.id, to=number, body=body, within=attempt.within))
            except ProviderError as error:
                raise _failure(attempt, error) from None
            attempt.delivered(receipt.status, receipt.reference)
        return attempt.sent


def number_in(data: Mapping[str, Any]) -> str:
    """The contact's mobile number as it is written.

    Raises:
        Aborted: It has none.
    """
    contact: Any = data.get("contact") or {}
    if not (written := str(contact.get("cellphone") or "").strip()):
        raise Aborted("the contact has no mobile number")
    return written


def render(step: Sms, data: dict[str, Any]) -> str:
    """The text: a function of the published step and the delivery, and of nothing else.

    Raises:
        TemplateError: A template fails on this data, or leaves nothing.
        Aborted: A template says that nothing should be sent.
    """
    if not isinstance(step.text, str):
        # Publishing puts the file's content in its place.
        raise TemplateError("the file of the SMS was not published with it: publish the scenario again")
    try:
        body = liquid.render_text(step.text, data).strip()
    except TemplateError as error:
        raise error.within("the SMS's text") from None
    if not body:
        raise TemplateError("the SMS's text: nothing is left of it for this contact; {% abort %} skips a message")
    return body


def _failure(attempt: OpenAttempt, error: ProviderError) -> ApplicationError:
    return attempt.failure(
        FailureKind.PERMANENT if isinstance(error, RefusedError) else FailureKind.RETRY,
        str(error),
        status=error.status,
        error=error.error,
        unknown=error.sent is not False,
        excerpt=error.excerpt,
    )
