"""Rules for test messages, and their records: allowed recipients, suppressions, the log of attempts.

A test message is recorded as an attempt of no journey. Statistics, caps and journeys do not count it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from activities.channel_registry import EMAIL
from activities.interface import Delivery
from gateway.errors import BadInput
from runtime.derived_keys import AddressHashes
from runtime.store import Attempt, Store, StoreError
from scenario.errors import BadRecipient
from scenario.policies.addresses import channels, spelled
from scenario.policies.order import Rules, stopped

logger = logging.getLogger("gateway")


@dataclass(frozen=True, kw_only=True)
class TrialMessage:
    """A test message."""

    delivery: Delivery
    """Its delivery, of no journey."""
    channel: str
    destination: str
    """A destination's name or a host; for e-mail and SMS the server's or provider's."""
    address: str
    """The recipient's address; empty for webhooks. It is neither recorded nor logged."""
    sender: str
    """The key or person that sends it."""
    began: datetime
    """When the attempt began, in UTC."""


@dataclass(frozen=True, kw_only=True)
class Trials:
    """The rules that test messages respect, and their record."""

    store: Store | None = None
    """Suppressions and the log of attempts, or None to record nothing."""
    hashes: AddressHashes | None = None
    """The keys of addresses, or None if suppressions are not configured."""
    recipients: str | None = None
    """The setting SCENARIO_TEST_RECIPIENTS. None: all recipients are allowed."""

    async def check(self, message: TrialMessage, rules: Rules) -> None:
        """Raise BadInput if a message of a step may not go to its recipient. A suppressed one is recorded."""
        if self.recipients is not None and not is_allowed(message, self.recipients):
            raise BadInput(
                "this server allows test messages to the recipients in SCENARIO_TEST_RECIPIENTS only, and this one is "
                "not among them: send it to one of those instead"
            )
        if self.store is None or self.hashes is None or not message.address:
            return
        found = await self.store.suppressed(message.channel, self.hashes.of(message.channel, message.address))
        if (stopping := stopped(message.channel, rules, found)) is not None:
            await self.record(message, "skipped", error="suppressed")
            raise BadInput(f"nothing was sent: {stopping.words}")

    async def record(
        self,
        message: TrialMessage,
        outcome: str,
        *,
        error: str | None = None,
        status: int | None = None,
        response: str = "",
    ) -> None:
        """Record an attempt; `response` is the masked beginning. If the store is unavailable, only log that."""
        if self.store is None:
            return
        delivery, began = message.delivery, message.began
        row = Attempt(
            delivery_id=delivery.id,
            attempt=1,
            workflow_id="",
            run_id="",
            scenario=delivery.name,
            version=delivery.version,
            step=delivery.step,
            channel=message.channel,
            destination=message.destination,
            contact_id=delivery.contact,
            started_at=began,
            milliseconds=round((datetime.now(UTC) - began).total_seconds() * 1000),
            outcome=outcome,
            status=status,
            error=error,
            response=response or None,
            test_by=message.sender,
        )
        try:
            await self.store.record([row])
        except StoreError as trouble:
            logger.warning("the test message %s is not in the log of attempts: %s", delivery.id, trouble)


def is_allowed(message: TrialMessage, recipients: str) -> bool:
    """Return True if the setting SCENARIO_TEST_RECIPIENTS includes a message's recipient."""
    allowed = {spelling for text in recipients.split(",") for spelling in _spellings(text.strip())}
    if not message.address:
        return message.destination.casefold() in allowed
    address = spelled(message.channel, message.address)
    return bool({address, _domain(address)} & allowed)


def _domain(address: str) -> str:
    return f"@{address.rpartition('@')[2]}"


def _spellings(text: str) -> Iterator[str]:
    """Yield the possible spellings of a recipient in the setting."""
    if text.startswith("@"):
        with suppress(BadRecipient):
            yield _domain(spelled(EMAIL.name, f"anybody{text}"))
        return
    yield text.casefold()
    for channel in channels():
        with suppress(BadRecipient):
            yield spelled(channel, text)
