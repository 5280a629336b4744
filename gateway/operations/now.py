"""How destinations stand: which are left alone now, and how many deliveries wait for them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from temporalio.client import Client

from gateway.journeys.pending_activities import DeliveryStatus, describe, pending
from gateway.operations.retry_policy import LOOK_BACK
from runtime.store import Attempt, Store

LEFT_ALONE: Final = frozenset({"breaker_open", "login_left_alone"})
"""Why deliveries are turned away that a destination gets none of for a while."""
LOOKED_AT: Final = 20
"""Deliveries of each destination of which Temporal is asked: all are told the same."""
_ASKED: Final = 20  # at the same time


@dataclass(frozen=True)
class DestinationNow:
    """How a destination stands.

    Attributes:
        destination: Its name, or a host; of e-mails and SMS the server or provider.
        waiting: How many deliveries to it have been attempted and are to be tried again.
        left_alone: Whether some of those that were looked at are not even attempted for now.
        why: Why they wait, as the latest of them says.
        next_try_at: When the first of those that were looked at is tried next.
    """

    destination: str
    waiting: int
    left_alone: bool
    why: str | None
    next_try_at: datetime | None


async def destinations_now(temporal: Client, store: Store) -> list[DestinationNow]:
    """The destinations whose deliveries are to be tried again, those that are left alone first.

    Breakers are known to the worker processes alone. What they have turned away says so itself.
    """
    waiting: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in await store.to_be_tried_again(since=datetime.now(UTC) - LOOK_BACK):
        waiting[attempt.destination].append(attempt)
    turns = asyncio.Semaphore(_ASKED)

    async def look(attempt: Attempt) -> DeliveryStatus | None:
        async with turns:
            described = await describe(temporal, attempt.workflow_id)
        going = await pending(temporal, described) if described else []
        return next((item for item in going if item.step == attempt.step), None)

    async def stand(name: str, attempts: list[Attempt]) -> DestinationNow | None:
        looked = [item for item in await asyncio.gather(*map(look, attempts[:LOOKED_AT])) if item is not None]
        if not looked:
            return None  # they were skipped, or have left
        away = [item for item in looked if item.turned_away in LEFT_ALONE]
        due = [item.next_try_at for item in looked if item.next_try_at]
        count = len(looked) if len(attempts) <= LOOKED_AT else len(attempts)
        return DestinationNow(name, count, bool(away), (away or looked)[-1].why, min(due, default=None))

    found = await asyncio.gather(*(stand(name, attempts) for name, attempts in waiting.items()))
    return sorted((item for item in found if item), key=lambda item: (not item.left_alone, item.destination))
