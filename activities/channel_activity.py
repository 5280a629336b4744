"""What the activities of all channels have in common: what they are given, and how they begin an attempt."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Generic, TypeVar

from temporalio import activity

from activities.attempt import attempt_of
from activities.attempt_log import Log
from activities.content import Content
from activities.context import Addresses, template_data
from activities.interface import Channel, Delivery
from activities.open_attempt import OpenAttempt
from activities.permission import Gate

Way = TypeVar("Way")


class ChannelActivity(Generic[Way]):
    """Sends by one channel.

    Args:
        content: Published scenarios, with the steps' templates.
        way: By what it sends; None where that is not configured.
        log: Where attempts are recorded.
        callbacks: Makes `journey.callback_url`; None where it is not configured.
        gate: Who is asked, right before anything leaves, whether it may.
    """

    channel: ClassVar[Channel]

    def __init__(
        self,
        content: Content,
        way: Way,
        log: Log,
        callbacks: Addresses | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._content, self._way, self._log = content, way, log
        self._callbacks, self._gate = callbacks, gate

    def attempt(
        self, delivery: Delivery, destination: str = "", *, unrendered: str = ""
    ) -> AbstractAsyncContextManager[OpenAttempt]:
        """One attempt by this channel; see `attempt_of`."""
        return attempt_of(
            delivery,
            channel=self.channel,
            destination=destination or self.channel.name,
            log=self._log,
            gate=self._gate,
            unrendered=unrendered,
        )

    def data(self, delivery: Delivery) -> dict[str, Any]:
        """What the delivery's templates see; see `template_data`."""
        return template_data(delivery, activity.info().workflow_id or "", self._callbacks)
