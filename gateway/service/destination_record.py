"""The recorded attempts at one destination: of a day, its newest failures, and the deliveries that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.client import Client
from temporalio.service import RPCError

from gateway.journeys.pending_activities import DeliveryStatus, pending_of
from gateway.operations.retry_policy import LOOK_BACK
from gateway.service.journey_view import AttemptView
from runtime.store import Store
from runtime.store.traffic import Traffic

PERIOD: Final = timedelta(days=1)
"""The period in which attempts are counted; it begins with a full hour."""
LISTED: Final = 10
"""Failures, and deliveries that wait."""
_PATIENCE: Final = 3.0  # seconds


@dataclass(frozen=True, kw_only=True)
class DestinationRecord:
    """Recorded attempts at a destination.

    Attributes:
        since: Beginning of `traffic`.
        paused_since: When a worker's breaker paused it, or None.
        failing_since: First failed attempt since the last delivery, or None.
        failures: The newest deliveries that failed, or may have failed, terminally.
        waiting: Some deliveries that wait for their next attempt: the latest attempt, and
            what Temporal has, if it answers.
    """

    since: datetime
    traffic: Traffic
    paused_since: datetime | None
    failing_since: datetime | None
    failures: Sequence[AttemptView]
    waiting: Sequence[tuple[AttemptView, DeliveryStatus | None]]


async def read_record(temporal: Client, store: Store, destination: str) -> DestinationRecord:
    """Read the recorded attempts at a destination."""
    now = datetime.now(UTC)
    since = now.replace(minute=0, second=0, microsecond=0) - PERIOD
    failures = [
        one
        for outcome in ("failed", "unknown")
        for one in await store.deliveries(destination=destination, outcome=outcome, limit=LISTED)
    ]
    failures.sort(key=lambda one: one.started_at, reverse=True)
    waiting = await store.between_attempts(destination, since=now - LOOK_BACK, limit=LISTED)
    # The log lacks attempts that were refused before sending, for example by a breaker.
    going = await asyncio.gather(*(_pending(temporal, one.workflow_id) for one in waiting))
    return DestinationRecord(
        since=since,
        traffic=await store.traffic(destination, since=since),
        paused_since=await store.paused_since(destination),
        failing_since=await store.failing_since(destination),
        failures=[AttemptView.model_validate(one) for one in failures[:LISTED]],
        waiting=[
            (AttemptView.model_validate(one), found[0] if found else None)
            for one, found in zip(waiting, going, strict=True)
            if found is None or found  # else the step was skipped, or the journey has ended
        ],
    )


async def _pending(temporal: Client, journey: str) -> list[DeliveryStatus] | None:
    """Return the deliveries of a journey that are in progress, or None if Temporal does not answer in time."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await pending_of(temporal, journey)
    except (RPCError, TimeoutError):
        return None
