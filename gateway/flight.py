"""Deliveries to one destination that are under way between two attempts: what an operator may retune.

The store knows whose latest attempt is to be followed by another, Temporal whether that is still so. One that has
not been attempted yet, or that was only ever turned away by a breaker, is in neither and keeps its policy.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.client import Client

from gateway.errors import BadInput
from gateway.pending import Pending, describe, pending
from runtime.store import Attempt, Store

LOOK_BACK: Final = timedelta(days=7)
"""How long ago an attempt may have been due that was never made: no worker ran, say."""
_ASKED: Final = 10  # journeys looked up at the same time


@dataclass(frozen=True)
class InFlight:
    """One delivery.

    Attributes:
        journey: The workflow id.
        step: The step's id.
        latest: Its latest attempt on record.
        pending: How Temporal sees it.
    """

    journey: str
    step: str
    latest: Attempt
    pending: Pending

    @property
    def goes_to(self) -> str:
        """What the journey calls the destination: e-mails and SMS have but the name of their channel there."""
        return self.latest.destination if self.latest.channel == "webhook" else self.latest.channel


async def in_flight(
    temporal: Client, store: Store, destination: str, *, since: datetime | None = None, limit: int = 1_000_000
) -> list[InFlight]:
    """Deliveries between two attempts, those first that are due first.

    Args:
        temporal: Knows what is under way.
        store: Knows what was attempted.
        destination: A destination's name, a host, or a mail server's or provider's name, as `deliveries` has it.
        since: Only those whose next attempt was due then or later; by default `LOOK_BACK` ago.
        limit: So many at most.
    """
    attempts = await store.between_attempts(destination, since=since or datetime.now(UTC) - LOOK_BACK, limit=limit)
    turns = asyncio.Semaphore(_ASKED)

    async def look(attempt: Attempt) -> InFlight | None:
        async with turns:
            described = await describe(temporal, attempt.workflow_id)
        found = (item for item in pending(described) if item.step == attempt.step) if described else iter(())
        item = next(found, None)
        return InFlight(attempt.workflow_id, attempt.step, attempt, item) if item else None

    looked = await asyncio.gather(*(look(attempt) for attempt in attempts))
    return [found for found in looked if found is not None]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an operator changes of a retry policy. What is None stays as it is.

    Attributes:
        initial_interval: Seconds before the second attempt.
        backoff_coefficient: By which each further pause is longer; at least 1.
        maximum_interval: Seconds that a pause is at most.
        maximum_attempts: So many at most; 0 = no limit.
        deadline: Seconds over all attempts, from when the delivery was scheduled.

    Raises:
        BadInput: Nothing is to be changed, or to a value that makes no sense.
    """

    initial_interval: float | None = None
    backoff_coefficient: float | None = None
    maximum_interval: float | None = None
    maximum_attempts: int | None = None
    deadline: float | None = None

    def __post_init__(self) -> None:
        if not self.order():
            raise BadInput("say what is to be changed: an interval, the coefficient, the attempts or the deadline")
        for name, value in (
            ("initial interval", self.initial_interval),
            ("maximum interval", self.maximum_interval),
            ("deadline", self.deadline),
        ):
            if value is not None and not value > 0:
                raise BadInput(f"the {name} must be longer than nothing")
        if self.backoff_coefficient is not None and not self.backoff_coefficient >= 1:
            raise BadInput("the backoff coefficient must be at least 1: with 1, all pauses are the same")
        if self.maximum_attempts is not None and self.maximum_attempts < 0:
            raise BadInput("the number of attempts cannot be less than 0, which means no limit")
        if self.initial_interval and self.maximum_interval and self.initial_interval > self.maximum_interval:
            raise BadInput("the initial interval cannot be longer than the maximum interval")

    def order(self) -> dict[str, float]:
        """As the update `retune` takes it: durations in seconds, and only what is to be changed."""
        return {name: value for name, value in asdict(self).items() if value is not None}
