"""The registry of channels: the one table that workflows, workers, previews, cases and test messages read.

It loads no channel's code: `activities.channel.adapter` does that on first use.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from activities.interface import JOURNEYS, ActivityType, Delivery, Sent


@dataclass(frozen=True)
class Channel:
    """A channel as workflows and queries see it."""

    name: str  # as in delivery rows, the log of attempts and `policies.yaml`
    queue: str
    activity: str
    addressed: bool = False  # True if each step names its destination; else the channel's name is the only one
    package: str = ""  # its package, which has the module `channel` with the object `ADAPTER`
    send: ActivityType[Delivery, Sent] = field(init=False, repr=False, compare=False)  # the activity for journeys

    @property
    def campaigns(self) -> str:
        """The queue of chunks of campaigns, which the workers of the channel's queue serve, too."""
        return f"{self.queue}-campaigns"

    def __post_init__(self) -> None:
        object.__setattr__(self, "package", self.package or f"activities.{self.name}")
        object.__setattr__(self, "send", ActivityType(self.activity, Delivery, Sent, self.queue))


WEBHOOK: Final = Channel("webhook", "webhooks", "send_webhook", addressed=True)
EMAIL: Final = Channel("email", "email", "send_email")
SMS: Final = Channel("sms", "sms", "send_sms")
# Writes to the store and sends nothing, so that it needs neither its own queue nor its own rate.
AUDIENCE: Final = Channel("audience", JOURNEYS, "change_audience", addressed=True)
CHANNELS: Final = {channel.name: channel for channel in (WEBHOOK, EMAIL, SMS, AUDIENCE)}
"""All channels by name. To add one, add its row here, its package, and its kind of step."""
QUEUES: Final = tuple(dict.fromkeys((JOURNEYS, *(channel.queue for channel in CHANNELS.values()))))
"""The task queues, without the shards of webhooks. Each channel that sends scales and is rate limited separately."""


def webhook_queues(shards: int) -> tuple[str, ...]:
    """Return the task queues of webhooks, `WEBHOOK.queue` first.

    A destination's rate needs a queue with one partition, which one process of Temporal's matching service owns.
    Several queues have several owners.
    """
    return (WEBHOOK.queue, *(f"{WEBHOOK.queue}-{shard}" for shard in range(1, shards)))


@lru_cache(maxsize=10_000)
def webhook_queue(destination: str, shards: int) -> str:
    """Return the task queue of a named destination. Another number of shards moves as few destinations as possible."""
    return max(webhook_queues(shards), key=lambda queue: hashlib.sha256(f"{queue}/{destination}".encode()).digest())
