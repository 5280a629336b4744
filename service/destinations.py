"""Use cases about destinations: their recent attempts, the deliveries that wait for them, and those in progress.

A destination serves all scenarios, so a caller must be allowed to use all of them.

The store has the deliveries between two attempts, and the journeys whose version sends to a destination. Temporal has
the pending activities of each journey. Together they also find deliveries without an attempt so far: throttled,
rejected by a circuit breaker, or not yet taken by a worker.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

from temporalio.client import Client
from temporalio.service import RPCError

from activities.channel_registry import CHANNELS, WEBHOOK
from activities.interface import fairness_key
from activities.webhook.destinations.destinations import Destination, Destinations
from runtime.store import Attempt, BackoffCount, OutcomeCounts, Store
from runtime.store.deliveries import Traffic
from runtime.watched_file import read_policies
from scenario.plan.retry import RetryPolicy
from service.caller import TERMINAL, Caller
from service.concurrency import CoalescingCache, gather_some
from service.held import MAX_STALE, HeldService
from service.index import EVERY, JourneyFilter
from service.journeys.snapshot import DeliveryStatus, pending_of
from service.journeys.view import AttemptView
from service.listing import JourneyLists
from service.view import View

PERIOD: Final = timedelta(days=1)  # the period in which attempts are counted; it begins with a full hour
LISTED: Final = 10  # failures, and deliveries that wait
LOOK_BACK: Final = timedelta(days=7)
"""Maximum age of a due attempt that was never made, for example because no worker ran."""
LOOKED_UP: Final = 500  # journeys looked up by default: about a second's work for a server
_BY_ACTIVITY: Final = {channel.activity: channel.name for channel in CHANNELS.values()}
_CHUNK: Final = 200  # journeys looked up before the limit is checked
_PATIENCE: Final = 3.0  # seconds
_AT_ONCE: Final = 20  # lookups


@dataclass(frozen=True, kw_only=True)
class DestinationRecord:
    """Recorded attempts at a destination."""

    since: datetime  # beginning of `traffic`
    traffic: Traffic
    paused_since: datetime | None  # when a worker's breaker paused it, or None
    failing_since: datetime | None  # first failed attempt since the last delivery, or None
    failures: Sequence[AttemptView]  # the newest deliveries that failed, or may have failed, terminally
    waiting: Sequence[tuple[AttemptView, DeliveryStatus | None]]
    """Some deliveries that wait for their next attempt: the latest attempt, and what Temporal has, if it answers."""


async def read_record(temporal: Client, store: Store, destination: str) -> DestinationRecord:
    now = datetime.now(UTC)
    since = now.replace(minute=0, second=0, microsecond=0) - PERIOD
    failures = [
        one
        for outcome in ("failed", "refused_answer", "unknown")
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
    with suppress(RPCError, TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            return await pending_of(temporal, journey)
    return None


LEFT_ALONE: Final = frozenset({"breaker_open", "login_left_alone"})
"""Reasons of refused attempts that mean that a destination is paused."""
LOOKED_AT: Final = 20  # deliveries of each destination that are looked up in Temporal: all of them get the same answer
LOOKED_BACK: Final = timedelta(hours=1)  # the period in which attempts are counted
TTL: Final = 10.0  # seconds for which the states of destinations are cached


class DestinationNow(View):
    """A destination whose deliveries wait for a retry."""

    destination: str
    """Its name or host; for e-mail and SMS, the server or provider."""
    waiting: int
    """Number of deliveries that were attempted and will be retried."""
    left_alone: bool
    """True if it is paused: some of the deliveries are not even attempted."""
    why: str | None
    """The reason why they wait, from the latest of them."""
    next_try_at: datetime | None
    """Time of the next attempt among those that were looked up."""


@dataclass(frozen=True, kw_only=True)
class DestinationState:
    """A destination with its configuration and recent traffic."""

    name: str
    named: Destination | None = None  # its entry in `destinations.yaml`, or None
    now: DestinationNow | None = None  # its deliveries that wait for a retry, or None if there are none
    outcomes: Mapping[str, int] = field(default_factory=dict[str, int])
    """Attempts of the last hour by outcome, the most frequent first."""
    held: int = 0  # number of journeys that are held because of it

    @property
    def attempts(self) -> int:
        return sum(self.outcomes.values())


@dataclass(frozen=True, kw_only=True)
class DestinationStates:
    """The states of all known destinations."""

    destinations: tuple[DestinationState, ...]  # the states, failing destinations first
    is_cut: bool  # true if the last hour has more attempts than were counted. The counts are then of the newest.
    at: datetime  # time of the count


@dataclass(frozen=True, kw_only=True)
class DestinationView:
    """A destination."""

    state: DestinationState
    record: DestinationRecord
    retry: RetryPolicy  # the retry policy of its deliveries, unless a step has its own
    caps: Sequence[str]  # the caps of `policies.yaml` that count its deliveries, in words


@dataclass(frozen=True)
class _Found:
    at: datetime
    now: list[DestinationNow]
    outcomes: OutcomeCounts
    held: Counter[str]


class DestinationService:
    """Use cases about destinations. All but `backoffs` raise Forbidden if the caller is limited to some scenarios."""

    def __init__(self, temporal: Client, store: Store, held: HeldService, policies: Path | None = None) -> None:
        self._temporal, self._store, self._held, self._policies = temporal, store, held, policies
        self._cache = CoalescingCache(self._find, TTL, max_stale=MAX_STALE)
        self._backoffs = CoalescingCache(self._count, TTL, max_stale=MAX_STALE)
        read = partial(read_record, temporal, store)
        self._records = CoalescingCache(read, TTL, max_stale=MAX_STALE)
        self.caches = self._cache, self._backoffs, self._records

    async def backoffs(self, caller: Caller) -> list[BackoffCount]:
        return [one for one in await self._backoffs.get(None) if caller.may_use(one.scenario)]

    async def _count(self, _: None) -> list[BackoffCount]:
        return await self._store.backoffs(since=datetime.now(UTC) - LOOK_BACK)

    async def now(self, caller: Caller) -> list[DestinationNow]:
        """Return the destinations whose deliveries wait for a retry, the paused ones first."""
        caller.check_all()
        waiting = await self._store.awaiting_retry(since=datetime.now(UTC) - LOOK_BACK, each=LOOKED_AT)

        async def look(attempt: Attempt) -> DeliveryStatus | None:
            going = await pending_of(self._temporal, attempt.workflow_id)
            return next((item for item in going if item.step == attempt.step), None)

        every = [one for _, attempts in waiting.values() for one in attempts]
        seen = iter(await gather_some(_AT_ONCE, look, every))

        def state(name: str, count: int, attempts: list[Attempt]) -> DestinationNow | None:
            looked = [item for item in islice(seen, len(attempts)) if item is not None]
            if not looked:
                return None  # the steps were skipped, or the journeys have ended
            # Only worker processes know their circuit breakers. The refused attempts report them.
            paused = [item for item in looked if item.turned_away in LEFT_ALONE]
            return DestinationNow(
                destination=name,
                waiting=len(looked) if count == len(attempts) else count,
                left_alone=bool(paused),
                why=(paused or looked)[-1].why,
                next_try_at=min((item.next_try_at for item in looked if item.next_try_at), default=None),
            )

        found = [state(name, *some) for name, some in waiting.items()]
        return sorted((item for item in found if item), key=lambda item: (not item.left_alone, item.destination))

    async def recent(self, caller: Caller) -> list[DestinationNow]:
        caller.check_all()
        return (await self._cache.get(None)).now

    async def states(self, caller: Caller, book: Destinations | None) -> DestinationStates:
        """Return the states of the destinations in `book` and of all others that messages were sent to. Cached."""
        caller.check_all()
        known = await self._cache.get(None)
        waiting, outcomes = {now.destination: now for now in known.now}, known.outcomes
        found = [
            DestinationState(
                name=name,
                named=book.get(name) if book else None,
                now=waiting.get(name),
                outcomes=dict(sorted(outcomes.by_destination.get(name, {}).items(), key=lambda one: (-one[1], one[0]))),
                held=known.held[name],
            )
            for name in {*(book.destinations if book else ()), *waiting, *outcomes.by_destination, *known.held}
        ]
        found.sort(key=lambda one: (not (one.now and one.now.left_alone), one.now is None, not one.held, one.name))
        return DestinationStates(destinations=tuple(found), is_cut=outcomes.is_cut, at=known.at)

    async def show(self, caller: Caller, name: str, book: Destinations | None) -> DestinationView | None:
        """Return a destination, cached for some seconds, or None if it is not configured and nothing was sent to it."""
        states = await self.states(caller, book)
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

    async def _find(self, _: None) -> _Found:
        at, held = datetime.now(UTC), Counter[str]()
        groups, outcomes, now = await asyncio.gather(
            self._held.groups(TERMINAL), self._store.outcomes(since=at - LOOKED_BACK), self.now(TERMINAL)
        )
        for group in groups.groups:
            if group.at.destination is not None:
                held[group.at.destination] += group.count
        return _Found(at, now, outcomes, held)

    async def in_progress(self, caller: Caller, destination: str, *, limit: int) -> RetuneCandidates:
        """Return some deliveries to a destination that are in progress, as far as they can be looked up quickly."""
        caller.check_all()
        return await pending_deliveries(self._temporal, self._store, destination, limit=limit, look_up=10 * limit)


@dataclass(frozen=True)
class PendingDelivery:
    """A delivery in progress."""

    journey: str
    step: str
    goes_to: str  # the destination as the journey names it: the channel's name for e-mails and SMS
    latest: Attempt | None
    pending: DeliveryStatus  # the delivery's activity, as Temporal reports it


class DeliveryInProgress(View):
    """A delivery in progress to a destination."""

    journey: str
    """Journey id."""
    step: str
    """Step id."""
    delivery_id: str | None
    """Delivery id; null if no attempt is on record."""
    attempts: int | None
    """Number of attempts; null if none is on record."""
    pending: DeliveryStatus
    """The delivery, as Temporal has it."""

    @classmethod
    def of(cls, item: PendingDelivery) -> DeliveryInProgress:
        latest = item.latest
        return cls.from_record(item, delivery_id=latest and latest.delivery_id, attempts=latest and latest.attempt)


@dataclass(frozen=True)
class RetuneCandidates:
    """The deliveries to a destination that are in progress, as far as they were looked up."""

    found: list[PendingDelivery]
    unseen: int  # number of journeys that were not looked up and may have one more


async def pending_deliveries(
    temporal: Client, store: Store, destination: str, *, limit: int = EVERY, look_up: int = LOOKED_UP
) -> RetuneCandidates:
    """Return the deliveries in progress: first those between two attempts, by due time, then those without an attempt.

    Args:
        destination: A destination's name, a host, ``email`` or ``sms``. The name of a mail server or provider finds
            only deliveries that were attempted.
        look_up: Maximum number of journeys looked up on the server, which takes some hundreds a second. Deliveries
            of other journeys are returned as the log of attempts has them.
    """
    attempts = await store.between_attempts(destination, since=datetime.now(UTC) - LOOK_BACK, limit=EVERY)
    tried = {(attempt.workflow_id, attempt.step): attempt for attempt in attempts}
    journeys = list(dict.fromkeys(journey for journey, _ in tried))

    def again(journey: str, item: DeliveryStatus) -> PendingDelivery | None:
        latest = tried.get((journey, item.step))
        return None if latest is None else PendingDelivery(journey, item.step, _goes_to(latest), latest, item)

    def first(journey: str, item: DeliveryStatus) -> PendingDelivery | None:
        # Temporal has the beginning of a long name only.
        key = item.fairness_key
        is_there = key == fairness_key(destination) if key else _BY_ACTIVITY.get(item.activity) == destination
        if (journey, item.step) in tried or not is_there:
            return None
        return PendingDelivery(journey, item.step, destination, None, item)

    found = await _look_up(temporal, journeys[:look_up], again, limit)
    known, beyond = set(journeys), set(journeys[look_up:])
    for one in (attempt for attempt in attempts if attempt.workflow_id in beyond):
        due = DeliveryStatus(step=one.step, state="scheduled", attempt=one.attempt + 1, next_try_at=one.next_try_at)
        found.append(PendingDelivery(one.workflow_id, one.step, _goes_to(one), one, due))
    look_up, unseen = max(look_up - len(journeys), 0), 0
    if len(found) < limit:
        async for entries in JourneyLists(temporal, store).admitted(
            JourneyFilter(destination=destination), size=_CHUNK
        ):
            journeys = [entry.workflow_id for entry in entries]
            found += await _look_up(temporal, journeys[:look_up], first, limit - len(found))
            if len(found) >= limit:
                break
            unseen += sum(journey not in known for journey in journeys[look_up:])
            look_up = max(look_up - len(journeys), 0)
    return RetuneCandidates(found[:limit], unseen)


def _goes_to(latest: Attempt) -> str:
    return latest.destination if CHANNELS[latest.channel].addressed else latest.channel


async def _look_up(
    temporal: Client, journeys: Iterable[str], pick: Callable[[str, DeliveryStatus], PendingDelivery | None], limit: int
) -> list[PendingDelivery]:
    async def look_up(journey: str) -> list[PendingDelivery]:
        going = await pending_of(temporal, journey)
        return [picked for item in going if (picked := pick(journey, item)) is not None]

    wanted = list(journeys)
    found: list[PendingDelivery] = []
    for start in range(0, len(wanted), _CHUNK):
        for items in await gather_some(_AT_ONCE, look_up, wanted[start : start + _CHUNK]):
            found += items
        if len(found) >= limit:
            break
    return found[:limit]
