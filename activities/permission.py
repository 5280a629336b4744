"""Whether a message may leave now: what every attempt of every channel is told in one place, before anything leaves.

A destination's limiter and the pause after a refused login answer so, and so do the policies, as the gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from activities.channel_registry import Channel
from activities.interface import Delivery
from scenario.policies.bounces import Against


@dataclass(frozen=True, slots=True)
class NotYet:
    """Not yet.

    Attributes:
        delay: How long from now.
        since: Why, in a few words that an operator understands: ``quiet hours``, ``wax has failed too often``.
        then: What happens next, as the end of a sentence.
        word: Why, in one word, for the log of attempts.
        planned: Whether that moment stands, whatever happens until then: the journey waits for it by a timer. Otherwise
            Temporal tries again then, and being too early counts as no attempt.
    """

    delay: timedelta
    since: str
    then: str
    word: str
    planned: bool = False


@dataclass(frozen=True, slots=True)
class Never:
    """Not at all: the step is skipped.

    Attributes:
        since: Why, in a few words.
        word: Why, in one word, for the log of attempts.
    """

    since: str
    word: str


@dataclass(frozen=True, slots=True)
class Held:
    """Not before a person says so: the step is held.

    Attributes:
        since: Why, in a few words.
    """

    since: str


Permission: TypeAlias = NotYet | Never | Held | None
"""The answer to "may it leave?"; None is "go"."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A message that is about to leave.

    Attributes:
        delivery: What it belongs to.
        channel: By what.
        destination: Host, destination or provider.
        at: When, in UTC.
        address: Whom it goes to, where the channel has addresses. It is not to be kept in clear, nor shown.
    """

    delivery: Delivery
    channel: Channel
    destination: str
    at: datetime
    address: str = ""


class Gate(Protocol):
    """Who is asked by every attempt, before a connection is opened for it."""

    async def ask(self, leaving: Leaving) -> Permission:
        """Whether it may leave."""
        ...

    async def refused(self, leaving: Leaving, against: Against) -> Never | None:
        """Says what the receiver of a message that was let go has said against its address, where it is over for that.

        Returns:
            Why nothing more goes to that address, where that is so from now on.
        """
        ...

    async def ended(self, leaving: Leaving, *, arrived: bool) -> None:
        """Says that a message which was let go did not arrive and is not tried again; or may have arrived all the same.

        Nothing is said of one that was delivered, nor of one that is tried again.
        """
        ...
