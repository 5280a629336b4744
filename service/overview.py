"""The overview: one answer to "is everything well?", and what needs a person if not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from pydantic import Field
from temporalio.client import Client
from temporalio.service import RPCError

from activities.channel_registry import QUEUES
from activities.interface import JOURNEYS
from runtime.connection import describe_queue
from runtime.store import Store
from service.caller import TERMINAL, Caller
from service.campaigns.service import CampaignService
from service.campaigns.views import CampaignView
from service.concurrency import CoalescingCache
from service.destinations import DestinationService
from service.held import MAX_STALE, HeldService
from service.outgoing import OutgoingService, SubscriptionView
from service.view import View

TTL: Final = 5.0  # seconds for which an overview is cached
LONG: Final = timedelta(minutes=15)
"""Deliveries that have been retried for longer need attention. Shorter troubles of receivers end by themselves."""
LATE: Final = timedelta(minutes=5)  # batches that are due for longer need attention
_RECENT: Final = timedelta(minutes=2)  # a worker polls every minute at least
_PATIENCE: Final = timedelta(seconds=5)
_AGAIN: Final = timedelta(seconds=15)  # after an overview that lacks something

_T = TypeVar("_T")


class HeldCount(View):
    """Held journeys with one cause."""

    cause: str | None
    """The cause, in one word; null if it is unknown."""
    journeys: int
    """Number of journeys."""


class RetryingDestination(View):
    """A destination whose deliveries wait for a retry."""

    destination: str
    """Its name or host; for e-mail and SMS, the server or provider."""
    deliveries: int
    """Number of deliveries."""
    since: datetime
    """Time of the first attempt of the oldest of them."""
    paused: bool | None = None
    """True if a circuit breaker pauses it. This and the following are null for keys of some scenarios."""
    why: str | None = None
    """The reason why they wait, from the latest of them."""
    next_try_at: datetime | None = None
    """Time of the next attempt."""


class MissingWorkers(View):
    """A task queue that no worker polls, although there is work for it."""

    queue: str
    """Its name."""
    tasks: int
    """Approximate number of tasks that wait."""


class WaitingBatches(View):
    """Batch calls that have not ended."""

    open: int = 0
    """Number of batches."""
    overdue: int = 0
    """Number of those that were due minutes ago."""
    oldest_due_at: datetime | None = None
    """Time at which the oldest of them is, or was, due."""


class OverviewView(View):
    """The state of everything that the caller may see."""

    at: datetime
    """Time of the count. It is shared by callers for some seconds."""
    well: bool
    """True if nothing needs a person."""
    in_progress: int
    """Number of running journeys."""
    held: list[HeldCount] | None
    """Held journeys by cause, the most frequent first; null if unknown."""
    retrying: list[RetryingDestination] | None
    """Destinations with deliveries that wait for a retry, the longest failing first; null if unknown."""
    missing_workers: list[MissingWorkers] | None
    """Task queues that no worker polls; null if unknown."""
    campaigns: list[CampaignView] | None
    """Campaigns that have not ended, or that failed within the last day; null if unknown."""
    batches: WaitingBatches
    """Batch calls that have not ended."""
    held_audiences: int | None
    """Audiences whose changes wait for an operator; null for keys of some scenarios."""
    outgoing: list[SubscriptionView] | None
    """Subscriptions to outgoing events with events that wait; null for keys of some scenarios."""
    unknown: list[str] = Field(default_factory=list)
    """Checks that failed, as sentences."""

    @property
    def held_journeys(self) -> int:
        return sum(one.journeys for one in self.held or ())

    @property
    def retrying_deliveries(self) -> int:
        return sum(one.deliveries for one in self.retrying or ())


class OverviewService:
    """Makes overviews. A caller for some scenarios sees the part of these scenarios."""

    def __init__(
        self,
        temporal: Client,
        store: Store,
        held: HeldService,
        destinations: DestinationService,
        campaigns: CampaignService,
        outgoing: OutgoingService,
    ) -> None:
        self._temporal, self._store = temporal, store
        self._held, self._destinations, self._campaigns = held, destinations, campaigns
        self._outgoing = outgoing
        self._cache = CoalescingCache(self._make, TTL, max_stale=MAX_STALE)
        self.caches = (self._cache,)

    async def show(self, caller: Caller) -> OverviewView:
        key = None if caller.scenarios is None else frozenset(caller.scenarios)
        seen = await self._cache.get(key)
        if seen.unknown and datetime.now(UTC) - seen.at > _AGAIN:
            self._cache.clear()  # that it took long is no reason to keep it
            seen = await self._cache.get(key)
        return seen

    async def _make(self, scenarios: frozenset[str] | None) -> OverviewView:
        caller, now, unknown = replace(TERMINAL, scenarios=scenarios), datetime.now(UTC), list[str]()

        async def known(what: str, found: Awaitable[_T]) -> _T | None:
            try:
                async with asyncio.timeout(_PATIENCE.total_seconds()):
                    return await found
            except (RPCError, TimeoutError):
                unknown.append(f"{what}: the Temporal server does not answer")
                return None

        (held, retrying, missing, campaigns), (batches, counts) = await asyncio.gather(
            asyncio.gather(
                known("held journeys", self._held_by_cause(caller)),
                known("failing destinations", self._retrying(caller)),
                known("workers", self._missing_workers(now)),
                known("campaigns", self._campaigns.current(caller)),
            ),
            asyncio.gather(self._batches(caller, now), self._store.counts()),
        )
        audiences = outgoing = None
        if scenarios is None:
            audiences = await self._store.count_held_audiences()
            outgoing = [one for one in await self._outgoing.subscriptions(caller) if one.state != "current"]
        troubled = any(one.paused or now - one.since > LONG for one in retrying or ())
        stuck = any(one.state == "held" for one in outgoing or ())
        failing = any(one.trouble or one.state == "failed" for one in campaigns or ())
        return OverviewView(
            at=now,
            well=not (unknown or held or missing or troubled or failing or stuck or audiences or batches.overdue),
            in_progress=sum(n for (name, _), n in counts.items() if caller.may_use(name)),
            held=held,
            retrying=retrying,
            missing_workers=missing,
            campaigns=campaigns,
            batches=batches,
            held_audiences=audiences,
            outgoing=outgoing,
            unknown=sorted(unknown),
        )

    async def _held_by_cause(self, caller: Caller) -> list[HeldCount]:
        found, counted = await self._held.groups(caller), Counter[str | None]()
        for group in found.groups:
            counted[group.at.cause] += group.count
        counted[None] += found.others
        return [HeldCount(cause=cause, journeys=n) for cause, n in counted.most_common() if n]

    async def _retrying(self, caller: Caller) -> list[RetryingDestination]:
        found: dict[str, RetryingDestination] = {}
        for one in await self._destinations.backoffs(caller):
            before = found.get(one.destination)
            found[one.destination] = RetryingDestination(
                destination=one.destination,
                deliveries=one.n + (before.deliveries if before else 0),
                since=min(one.since, before.since) if before else one.since,
            )
        if caller.scenarios is None and found:
            # Those that are not among them were skipped, or their journeys have ended.
            found = {
                now.destination: found[now.destination].model_copy(
                    update={"paused": now.left_alone, "why": now.why, "next_try_at": now.next_try_at}
                )
                for now in await self._destinations.recent(caller)
                if now.destination in found
            }
        return sorted(found.values(), key=lambda one: (not one.paused, one.since))

    async def _missing_workers(self, now: datetime) -> list[MissingWorkers]:
        """Return queues without workers. A queue other than that of journeys may be unused: only if tasks wait."""

        async def look(queue: str) -> MissingWorkers | None:
            answer = await describe_queue(self._temporal, queue, _PATIENCE, workflows=queue == JOURNEYS, stats=True)
            if any(one.last_access_time.ToDatetime(UTC) > now - _RECENT for one in answer.pollers):
                return None
            tasks = answer.stats.approximate_backlog_count
            return MissingWorkers(queue=queue, tasks=tasks) if tasks or queue == JOURNEYS else None

        return [one for one in await asyncio.gather(*map(look, QUEUES)) if one]

    async def _batches(self, caller: Caller, now: datetime) -> WaitingBatches:
        found = [one for one in await self._store.waiting_batches(now - LATE) if caller.may_use(one.scenario)]
        return WaitingBatches(
            open=sum(one.n for one in found),
            overdue=sum(one.overdue for one in found),
            oldest_due_at=min((one.due_at for one in found), default=None),
        )
