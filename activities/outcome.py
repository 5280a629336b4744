"""What an attempt means for its delivery, the same for all channels, journeys and cases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Literal, NamedTuple

from scenario.plan.retry import SHORT
from scenario.policies.bounces import AddressVerdict


class Outcome(StrEnum):
    """What becomes of the delivery."""

    DELIVERED = "delivered"
    """The receiver has it, whatever became of the response's body."""
    RETRY = "retry"
    """Try again until the deadline: the receiver or the network has a bad time."""
    RETRY_SHORT = "retry_short"
    """Try again for a short while (one hour by default): someone may be fixing a configuration."""
    PERMANENT = "permanent"
    """The same bytes would be refused again."""
    REFUSED = "refused"
    """We refuse to send to that place; nothing left this machine."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome and why.

    Attributes:
        outcome: What becomes of the delivery.
        reason: One word for logs, metrics and the record of attempts: ``http_503``, ``gone``, ``connect_refused``.
            Empty where the reply code says it.
        unknown: The request left and no answer came, so the receiver may have acted on it. It is tried again under
            the same delivery id, unless the step's ``on_unknown`` says otherwise.
        against: What it says against the address that was written to.
    """

    outcome: Outcome
    reason: str
    unknown: bool = False
    against: AddressVerdict | None = None

    @property
    def delivered(self) -> bool:
        """True if the receiver has it."""
        return self.outcome is Outcome.DELIVERED

    @property
    def final(self) -> bool:
        """True if no further attempt can help, short of somebody changing something."""
        return self.outcome in (Outcome.PERMANENT, Outcome.REFUSED)


class Judgement(NamedTuple):
    """A verdict, and what is said of it.

    Attributes:
        verdict: The verdict.
        sentence: What happened, without a full stop.
        asked: Seconds for which the receiver asks to be left alone, if it does.
    """

    verdict: Verdict
    sentence: str
    asked: int | None = None


class End(NamedTuple):
    """Why a delivery is over.

    Attributes:
        cause: In the word by which held journeys are searched.
        reason: In a sentence.
    """

    cause: Literal["permanent", "exhausted", "unknown"]
    reason: str


def end_after(
    verdict: Verdict, sentence: str, *, number: int, allowed: int, waited: timedelta, once: bool
) -> End | None:
    """Why a delivery is over after an attempt that did not deliver it, or None if it is tried again.

    Args:
        verdict: On that attempt.
        sentence: What happened.
        number: Of the attempt, from 1.
        allowed: How many attempts the step allows; 0: as many as the deadline does.
        waited: Time since the first attempt was scheduled.
        once: Whether nothing may be sent twice: ``on_unknown`` is not ``retry``.
    """
    if verdict.final:
        return End("permanent", sentence)
    if verdict.outcome is Outcome.RETRY_SHORT and waited > SHORT:
        return End("exhausted", f"{sentence}, still after an hour")
    if verdict.unknown and once:
        return End("unknown", sentence)
    if allowed and number >= allowed:
        return End("exhausted", f"{sentence}, after {attempts(allowed)}")
    return None


def attempts(number: int) -> str:
    """So many attempts, in words."""
    return f"{number} attempt{'' if number == 1 else 's'}"
