"""Sends outgoing events to subscriptions, at least once, and in order for each subject.

For each subscription, one worker at a time reads the log after the subscription's cursor. An event that is not accepted
becomes a row of pending events, together with all later ones about the same subject; the cursor advances. So one event
that a receiver rejects does not block others. A rejected event is held until an operator decides. While many events
fail, no new ones are taken.

Workers also report events that no row reports: held journeys, and destinations that they have paused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import uuid4

from temporalio import activity

from activities.interface import REPORT_HELD, HeldJourney
from activities.outgoing.file import CLOUD_EVENTS, OutgoingFile, Subscription, cloud_event, json_line, slack_message
from activities.webhook import outcome
from activities.webhook.outcome import parse_retry_after
from activities.webhook.platform import CallFailed, PlatformCalls
from activities.webhook.presets import JSON, PlatformRequest
from activities.webhook.route import Routes
from runtime.store import Store, StoreError
from runtime.store.outgoing import OutgoingEvent
from runtime.store.outgoing_sends import PendingSend, sender_lease
from runtime.telemetry.metrics import OUTGOING
from scenario.errors import NotConfigured

logger = logging.getLogger(__name__)

BATCH: Final = 100  # maximum number of events that are taken from the log at a time
MOST_FAILING: Final = 20  # number of failing events at which no new ones are taken
MOST_HELD: Final = 100  # number of held events at which no new ones are taken
MOST_PENDING: Final = 5_000  # number of pending events, also those behind held ones, at which no new ones are taken
LONGEST: Final = timedelta(days=7)  # age at which an event that is still not accepted is held
LEAST: Final = 15
"""Number of attempts that even an old event has, about 90 minutes: it may be sent again, or after a long outage."""
_AT_ONCE: Final = 20
_TIMEOUT: Final = 15.0  # seconds of one request, unless the destination sets it
_BACKOFF: Final = timedelta(seconds=5)
_LONGEST_BACKOFF: Final = timedelta(minutes=10)
_UNCONFIGURED: Final = timedelta(seconds=30)
_IDLE: Final = 0.5  # seconds until the next look into the log, after one that found nothing
_LOOK: Final = 30.0  # seconds between two checks of the stored types
_EVERY: Final = 5.0  # seconds between two renewals of a lease
_LEASE: Final = timedelta(seconds=20)
_AFTER_ERROR: Final = 5.0


class _Failure(NamedTuple):
    reason: str
    attempts: int = 1  # 0 if nothing was sent
    is_final: bool = False
    delay: timedelta | None = None


@dataclass
class _Turn:
    """The results of one round of requests."""

    accepted: list[int] = field(default_factory=list[int])  # positions of pending events
    deferred: list[PendingSend] = field(default_factory=list[PendingSend])
    added: list[PendingSend] = field(default_factory=list[PendingSend])


_Item = tuple[OutgoingEvent, PendingSend | None]  # an event, and its row if it is pending


class OutgoingSender:
    """Sends events to the subscriptions of a file."""

    def __init__(
        self,
        store: Store,
        file: OutgoingFile,
        calls: PlatformCalls,
        routes: Routes,
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store, self._file, self._calls, self._routes, self._may_send = store, file, calls, routes, may_send
        self._wanted: frozenset[str] | None = None
        self._looked = 0.0
        self._rated: dict[str, float] = {}

    async def run(self) -> None:
        """Send until cancelled, and follow changes of the file."""
        leading: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                with suppress(StoreError):  # logged by those that send
                    await self.switch()
                wanted = self._file.content.subscriptions
                for name in leading.keys() - wanted.keys():
                    leading.pop(name).cancel()
                for name in wanted.keys() - leading.keys():
                    leading[name] = asyncio.create_task(self._lead(name), name=f"outgoing {name}")
                await asyncio.sleep(1.0)
        finally:
            for task in leading.values():
                task.cancel()
            await asyncio.gather(*leading.values(), return_exceptions=True)

    async def switch(self) -> None:
        """Have the store keep the events that the file wants, after a change or if a worker has switched them off."""
        wanted, now = self._file.content.wanted, asyncio.get_running_loop().time()
        if wanted != self._wanted:
            await self._store.want_events(wanted)
            self._wanted, self._looked = wanted, now
        elif wanted and now - self._looked >= _LOOK:
            self._looked, stored = now, await self._store.wanted_events()
            if missing := wanted - stored:
                logger.warning(
                    "events of the types %s were not stored for a while: a worker has started without this "
                    "outgoing.yaml. They are stored again.",
                    ", ".join(sorted(missing)),
                )
                await self._store.want_events(wanted | stored)

    async def _lead(self, name: str) -> None:
        """Send to a subscription while this process may send, and has its lease."""
        lease, holder, working = sender_lease(name), uuid4().hex, None
        try:
            while True:
                now = datetime.now(UTC)
                try:
                    has_lease = self._may_send() and await self._store.lease(
                        lease, holder, now=now, expires_at=now + _LEASE
                    )
                except StoreError:
                    has_lease = working is not None  # another process cannot take it either
                if has_lease and working is None:
                    working = asyncio.create_task(self._work(name))
                elif not has_lease and working is not None:
                    working.cancel()
                    working = None
                await asyncio.sleep(_EVERY)
        finally:
            if working is not None:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
            with suppress(StoreError):
                await self._store.give_up(lease, holder)

    async def _work(self, name: str) -> None:
        said = ""
        while True:
            pause = _AFTER_ERROR
            try:
                subscription = self._file.content.subscriptions.get(name)
                is_busy = subscription is not None and await self.send_some(name, subscription)
                pause, said = (0.0 if is_busy else _IDLE), ""
            except StoreError as error:
                if str(error) != said:
                    said = str(error)
                    logger.warning("the outgoing events of %s wait: %s", name, error)
            except Exception:  # whatever it is: without this loop, nothing more is sent
                logger.exception("the outgoing events of %s wait", name)
            await asyncio.sleep(pause)

    async def send_some(self, name: str, subscription: Subscription) -> bool:
        """Send the events that are due, once. Return False if there were none."""
        store, now = self._store, datetime.now(UTC)
        cursor = await store.outgoing_cursor(name, await store.last_event())
        due = await store.due_sends(name, now, BATCH)
        counts, fresh, position = await store.pending_counts(name), list[OutgoingEvent](), cursor
        if counts.held < MOST_HELD and counts.failing < MOST_FAILING and counts.pending < MOST_PENDING:
            scenarios = subscription.scenarios
            fresh, position = await store.outgoing_events(
                cursor, types=subscription.wanted, scenarios=scenarios, limit=BATCH
            )
        events = await store.outgoing_at(one.position for one in due)
        turn = _Turn(accepted=[one.position for one in due if one.position not in events])  # erased, or expired
        pending = await store.pending_subjects(name, {one.subject for one in fresh}) if fresh else set[str]()
        groups: dict[str, list[_Item]] = {}
        for send in due:
            if event := events.get(send.position):
                groups[event.subject] = [(event, send)]
        for event in fresh:
            if event.subject in pending:
                turn.added.append(_pending(name, event))
            else:
                groups.setdefault(event.subject, []).append((event, None))
        places = asyncio.Semaphore(_AT_ONCE)

        async def work(group: Sequence[_Item]) -> None:
            async with places:
                await self._send_in_order(name, subscription, group, turn)

        await asyncio.gather(*map(work, groups.values()))
        for deferred in turn.deferred:
            await store.defer_send(deferred)
        await store.drop_sends(name, turn.accepted)
        await store.add_sends(turn.added)  # before the cursor passes them
        if position != cursor:
            await store.move_cursor(name, cursor, position)
        return bool(groups) or position != cursor

    async def _send_in_order(self, name: str, to: Subscription, group: Sequence[_Item], turn: _Turn) -> None:
        """Send events about one subject, up to the first that is not accepted."""
        for number, (event, send) in enumerate(group):
            failure = await self._send(to, event)
            if failure is None:
                OUTGOING.add(name, "accepted")
                if send is not None:
                    turn.accepted.append(event.position)
                continue
            deferred = _deferred(send or _pending(name, event), failure)
            OUTGOING.add(name, "held" if deferred.held_at else "failed" if failure.attempts else "deferred")
            if deferred.held_at:
                logger.warning("an outgoing event of %s is held: %s", name, failure.reason)
            (turn.deferred if send is not None else turn.added).append(deferred)
            turn.added += [_pending(name, later) for later, _ in group[number + 1 :]]
            return

    async def _send(self, to: Subscription, event: OutgoingEvent) -> _Failure | None:
        """Send an event once. Return why it is not accepted, or None."""
        if to.preset == "slack":
            body, content_type = json_line(slack_message(event, self._file.content.pages)), JSON
        else:
            body, content_type = json_line(cloud_event(event)), CLOUD_EVENTS
        try:
            route = self._routes.named(to.to)
            seconds = (route.named and route.named.timeout) or _TIMEOUT
            await self._pace(to.to, route.named.rate if route.named else 0.0)
            request = PlatformRequest("POST", "", body, content_type)
            response = await self._calls.call(route, request, event.id, seconds=seconds)
        except NotConfigured as error:
            return _Failure(str(error), attempts=0, delay=_UNCONFIGURED)
        except CallFailed as error:
            return _Failure(str(error), attempts=0 if error.delay else 1, delay=error.delay)
        now = datetime.now(UTC)
        asked = parse_retry_after(response.headers.get("retry-after"), now)
        verdict = outcome.of_status(response.status, retry_after=asked is not None)
        if verdict.delivered:
            return None
        delay = min(timedelta(seconds=asked), timedelta(hours=1)) if asked else None
        return _Failure(f"{to.to} answered {response.status}", is_final=verdict.final, delay=delay)

    async def _pace(self, destination: str, rate: float) -> None:
        """Wait for the next place at a destination's rate. This process alone sends a subscription's events."""
        if rate > 0:
            now = asyncio.get_running_loop().time()
            turn = max(self._rated.get(destination, now), now)
            self._rated[destination] = turn + 1 / rate
            await asyncio.sleep(turn - now)


def _pending(subscription: str, event: OutgoingEvent) -> PendingSend:
    return PendingSend(
        subscription=subscription,
        position=event.position,
        subject=event.subject,
        next_try_at=event.recorded_at,
        recorded_at=event.recorded_at,
    )


def _deferred(send: PendingSend, failure: _Failure) -> PendingSend:
    now, attempts = datetime.now(UTC), send.attempts + failure.attempts
    delay = failure.delay or min(_BACKOFF * 2 ** min(max(attempts - 1, 0), 20), _LONGEST_BACKOFF)
    is_held = failure.is_final or (attempts >= LEAST and now - send.recorded_at > LONGEST)
    return replace(
        send, attempts=attempts, next_try_at=now + delay, reason=failure.reason, held_at=now if is_held else None
    )


@dataclass(frozen=True)
class HeldReports:
    """Reports held journeys."""

    store: Store

    @activity.defn(name=REPORT_HELD.name)
    async def report_held(self, held: HeldJourney) -> None:
        """Store the event, if it is wanted. Idempotent."""
        if await self.store.is_erased(held.contact):
            return
        name, _, version = held.scenario.partition("@")
        words = ("step", "kind", "cause", "destination", "status", "attempts")
        data = {word: value for word in words if (value := getattr(held, word)) not in (None, "")}
        await self.store.report_event(
            "journey.held",
            held.id,
            datetime.fromisoformat(held.at),
            subject=held.workflow_id,
            scenario=name,
            contact_id=held.contact,
            data={"version": int(version), **data},
        )


class DestinationPauses:
    """Writes pauses and recoveries in the background. Of a destination's changes that wait, the latest is written."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, datetime | None] = {}
        self._task: asyncio.Task[None] | None = None

    def __call__(self, destination: str, paused: bool) -> None:
        """Record that a destination is paused, or answers again. Never blocks."""
        self._waiting[destination] = datetime.now(UTC) if paused else None
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._write(), name="destination-pauses")

    async def _write(self) -> None:
        while self._waiting:
            destination, paused_at = next(iter(self._waiting.items()))
            try:
                if paused_at is not None:
                    await self._store.pause_destination(destination, paused_at)
                else:
                    await self._store.recover_destination(destination)
            except StoreError as error:
                logger.warning("the pause of a destination is not recorded yet: %s", error)
                await asyncio.sleep(_AFTER_ERROR)
            else:
                if self._waiting.get(destination, paused_at) == paused_at:
                    self._waiting.pop(destination, None)

    async def close(self) -> None:
        """Stop writing; reports that are still pending are dropped."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
