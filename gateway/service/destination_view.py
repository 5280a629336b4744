"""The view of one destination: policy, attempts of a day, newest failures, and deliveries that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from temporalio.client import Client
from temporalio.service import RPCError

from activities.channel_registry import WEBHOOK
from activities.webhook.destinations.destinations import Destinations
from gateway.coalescing_cache import CoalescingCache
from gateway.journeys.pending_activities import DeliveryStatus, pending_of
from gateway.operations.retry_policy import LOOK_BACK
from gateway.service.caller import Caller
from gateway.service.destinations import TTL, DestinationService, DestinationState
from gateway.service.held import COST_FACTOR, MAX_STALE
from gateway.service.journey_view import AttemptView
from runtime.policies import read_policies
from runtime.store import Store
from runtime.store.traffic import Traffic
from scenario.plan.retry import RetryPolicy

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


@dataclass(frozen=True, kw_only=True)
class DestinationView:
    """A destination.

    Attributes:
        retry: The retry policy of its deliveries, unless a step has its own.
        caps: The caps of `policies.yaml` that count its deliveries, in words.
    """

    state: DestinationState
    record: DestinationRecord
    retry: RetryPolicy
    caps: Sequence[str]


class DestinationViewService:
    """Shows one destination. Raises Forbidden if the caller is limited to some scenarios."""

    def __init__(self, temporal: Client, store: Store, destinations: DestinationService, policies: Path | None) -> None:
        self._destinations, self._policies = destinations, policies
        self._records = CoalescingCache[str, DestinationRecord](
            lambda name: record_of(temporal, store, name), TTL, cost_factor=COST_FACTOR, max_stale=MAX_STALE
        )

    async def show(self, caller: Caller, name: str, book: Destinations | None) -> DestinationView | None:
        """Return a destination, cached for some seconds, or None if it is not configured and nothing was sent to it.

        Raises:
            UnusableFile: `policies.yaml` cannot be used.
        """
        states = await self._destinations.states(caller, book)
        state = next((one for one in states.destinations if one.name == name), None)
        record = await self._records.get(name)
        if state is None and not (record.traffic.hours or record.failures or record.waiting):
            return None
        named = state and state.named
        channel = next(
            (one.channel for one in (*(latest for latest, _ in record.waiting), *record.failures)), WEBHOOK.name
        )
        caps = read_policies(self._policies).caps if self._policies else ()
        return DestinationView(
            state=state or DestinationState(name=name),
            record=record,
            retry=RetryPolicy().changed_by(named.retry if named else {}),
            caps=[f"{cap.name}: {cap.words}" for cap in caps if cap.applies_to(channel, name)],
        )

    def refresh(self) -> None:
        """Discard what is cached, after an operation."""
        self._records.clear()

    async def close(self) -> None:
        """Give up lookups in progress."""
        await self._records.close()


async def record_of(temporal: Client, store: Store, destination: str) -> DestinationRecord:
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
