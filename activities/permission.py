"""Whether a message may leave now: what every attempt of every channel is told in one place, before anything leaves.

A destination's limiter and the pause after a refused login answer so. Windows, caps and consent are to come as gates:
nobody is asked as one yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from activities.interface import Delivery


@dataclass(frozen=True, slots=True)
class NotYet:
    """Not yet.

    Attributes:
        delay: How long from now.
        since: Why, in a few words that an operator understands: ``quiet hours``, ``wax has failed too often``.
        then: What happens next, as the end of a sentence.
        word: Why, in one word, for the log of attempts.
        planned: Whether that moment stands, whatever happens until then: a journey whose first attempt this is waits
            for it by a timer. Otherwise Temporal tries again then, and being too early counts as no attempt.
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
    """

    since: str


Permission: TypeAlias = NotYet | Never | None
"""The answer to "may it leave?"; None is "go"."""
Gate: TypeAlias = Callable[[Delivery], Awaitable[Permission]]
"""Who is asked by every attempt of a channel, before a connection is opened for it."""
