"""The common base of the channels' activities."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Generic, TypeVar

from temporalio import activity

from activities.attempt import attempt_of
from activities.attempt_log import Log
from activities.channel_registry import Channel
from activities.content import Content
from activities.context import Addresses, UnsubscribeAddresses, subscriber_of, template_data
from activities.gate import Gate
from activities.interface import Delivery
from activities.open_attempt import OpenAttempt
from scenario.errors import NotConfigured
from scenario.steps.delivery import DeliveryStep

Way = TypeVar("Way")


class ChannelActivity(Generic[Way]):
    """Sends by one channel.

    Args:
        content: Published scenarios.
        way: The channel's connection, or None if it is not configured.
        log: The log of attempts.
        callbacks: Makes `journey.callback_url`, or None.
        gate: Decides, right before sending, whether a message may leave.
        unsubscribing: Makes `journey.unsubscribe_url`, or None.
    """

    channel: ClassVar[Channel]

    def __init__(
        self,
        content: Content,
        way: Way,
        log: Log,
        callbacks: Addresses | None = None,
        gate: Gate | None = None,
        unsubscribing: UnsubscribeAddresses | None = None,
    ) -> None:
        self._content, self._way, self._log = content, way, log
        self._callbacks, self._gate, self._unsubscribing = callbacks, gate, unsubscribing

    def attempt(
        self, delivery: Delivery, destination: str = "", *, unrendered: str = ""
    ) -> AbstractAsyncContextManager[OpenAttempt]:
        """Run one attempt by this channel; see `attempt_of`."""
        return attempt_of(
            delivery,
            channel=self.channel,
            destination=destination or self.channel.name,
            log=self._log,
            gate=self._gate,
            unrendered=unrendered,
        )

    async def data(self, delivery: Delivery, step: DeliveryStep) -> dict[str, Any]:
        """Return the variables of the delivery's templates; see `template_data`.

        Raises:
            NotConfigured: A template uses a URL that is not configured.
            BadRecipient: The contact's address is malformed.
        """
        opened = await self._content.open(delivery.name, delivery.version)
        subscriber, url = subscriber_of(opened.scenario, step, delivery.contact, delivery.data), ""
        if subscriber is not None and self._unsubscribing is not None:
            url = self._unsubscribing.url(subscriber)
        elif subscriber is not None and opened.names_unsubscribing(delivery.step):
            raise NotConfigured(
                "a template asks for journey.unsubscribe_url, which is not configured: "
                "set SCENARIO_CALLBACK_URL and SCENARIO_SUPPRESSION_KEY for the workers"
            )
        return template_data(delivery, activity.info().workflow_id or "", self._callbacks, url)
