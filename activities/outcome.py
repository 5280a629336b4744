"""The meaning of an attempt for its delivery, the same in all channels, journeys and cases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Literal, NamedTuple

from activities.interface import Sent
from scenario.plan.retry import SHORT
from scenario.policies.suppression import AddressVerdict


class Outcome(StrEnum):
    """The effect of an attempt on its delivery."""

    DELIVERED = "delivered"
    """The receiver has accepted it."""
    RETRY = "retry"
    """Retry until the deadline: the receiver or the network is temporarily unavailable."""
    RETRY_SHORT = "retry_short"
    """Retry for one hour by default: a configuration may be repaired."""
    PERMANENT = "permanent"
    """The same bytes would be rejected again."""
    REFUSED = "refused"
    """Our own rules forbid the destination; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome and its reason."""

    outcome: Outcome
    # One word for logs, metrics and the log of attempts: ``http_503``, ``gone``, ``connect_refused``. Empty if the
    # reply code says it.
    reason: str
    # True if the request left without an answer. It is retried under the same delivery id, unless ``on_unknown`` says
    # otherwise.
    unknown: bool = False
    against: AddressVerdict | None = None  # the verdict on the address

    @property
    def delivered(self) -> bool:
        return self.outcome is Outcome.DELIVERED

    @property
    def final(self) -> bool:
        """True if no further attempt can help without a change."""
        return self.outcome in (Outcome.PERMANENT, Outcome.REFUSED)


class AlreadyDelivered(Exception):
    """The log of attempts has the delivery: nothing is sent, and the delivery ends with the recorded result."""

    def __init__(self, sent: Sent) -> None:
        super().__init__(sent.note)
        self.sent = sent


class Judgement(NamedTuple):
    """A verdict with its sentence."""

    verdict: Verdict
    sentence: str  # what happened, without a full stop
    asked: int | None = None  # seconds that the receiver asked to wait, or None


@dataclass(frozen=True, slots=True)
class Backoff:
    """A destination or mail server takes no messages for a while. Temporal retries; the attempt does not count.

    Policies defer messages instead, which names a fixed time.
    """

    delay: timedelta
    reason: str  # a short phrase for operators, such as ``wax has failed too often``
    then: str  # what happens next, as the end of a sentence
    code: str  # one word for metrics and the log of attempts


class DeliveryEnd(NamedTuple):
    """Why a delivery has ended."""

    cause: Literal["permanent", "exhausted", "unknown"]  # the cause by which held journeys are found
    reason: str


def end_after(
    verdict: Verdict, sentence: str, *, number: int, allowed: int, waited: timedelta, once: bool
) -> DeliveryEnd | None:
    """Return why a delivery ends after a failed attempt, or None if it is retried.

    Args:
        number: The attempt's number, from 1.
        allowed: Maximum number of attempts; 0: as many as the deadline allows.
        waited: Time since the first attempt was scheduled.
        once: True if nothing may be sent twice: ``on_unknown`` is not ``retry``.
    """
    if verdict.final:
        return DeliveryEnd("permanent", sentence)
    if verdict.outcome is Outcome.RETRY_SHORT and waited > SHORT:
        return DeliveryEnd("exhausted", f"{sentence}, still after an hour")
    if verdict.unknown and once:
        return DeliveryEnd("unknown", sentence)
    if allowed and number >= allowed:
        return DeliveryEnd("exhausted", f"{sentence}, after {attempts(allowed)}")
    return None


def attempts(number: int) -> str:
    return f"{number} attempt{'' if number == 1 else 's'}"
