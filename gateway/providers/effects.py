"""The effects of providers' events: suppressions first, then an event to the journey that sent the message.

Every effect is idempotent, and an event is recorded once all of its effects are done. So a repetition after a failure
completes it, and any later repetition changes nothing. Events without an effect are not recorded.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError
from temporalio.service import RPCError

from activities.content import Content, UnknownVersion
from activities.decision import count
from activities.suppressions import Suppressor
from authoring.errors import BadInput
from gateway.callbacks.links import EVENT as UNSUBSCRIBED_EVENT
from gateway.providers.provider import ProviderEvent
from runtime.store import Store, StoredEntry, StoreError
from runtime.store.suppressions import SentDelivery
from runtime.telemetry.metrics import PROVIDER_EVENTS
from scenario.errors import BadRecipient
from scenario.policies.order import scope_of
from scenario.policies.suppression import UNSUBSCRIBED, Suppression
from scenario.steps.host import Event
from scenario.words import PROVIDER_EVENTS as PROPERTIES
from service.caller import TERMINAL
from service.concurrency import RateLimit
from service.errors import Busy
from service.events import EventService

logger = logging.getLogger(__name__)
STALE: Final = timedelta(days=7)  # age at which an event has no effect. Ids of events are kept for longer
PACE: Final = (60, 60.0)
"""Maximum number of events per number of seconds, for each delivery. Further ones do not reach its journey."""
COMPLAINT: Final = "fbl"
_LOOKS: Final = (0.5, 0.5, 1.0)  # seconds before another look for deliveries whose attempt is not on record yet
_SKEW: Final = timedelta(seconds=10)  # more than the clocks of two workers differ
_AT_ONCE: Final = 20
_EFFECTIVE: Final = frozenset({"told", "goal", "throttled"})
"""Results of events that are recorded. Most events have no effect, now or later, and would fill the store."""
_TEMPORARY: Final = (StoreError, RPCError, TimeoutError, Busy)
Sleep = Callable[[float], Awaitable[None]]


class Unfinished(Exception):
    """Some effects failed for now. A repetition of the call completes them."""


class ProviderEffects:
    """Carries out what providers' events ask for."""

    def __init__(
        self,
        store: Store,
        suppressor: Suppressor,
        events: EventService,
        content: Content,
        *,
        pace: RateLimit | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._store, self._suppressor, self._events, self._content = store, suppressor, events, content
        self._pace, self._sleep = pace or RateLimit(*PACE), sleep
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def take(self, provider: str, events: Sequence[ProviderEvent]) -> None:
        """Carry out the events of one call, those of a delivery in their order.

        Raise Unfinished if some of them could not be carried out, or StoreError if none of them could.
        """
        known = await self._store.known_provider_events(
            [mark for event in events if event.delivery for mark in _marks(provider, event)]
        )
        of_delivery: dict[str, list[ProviderEvent]] = {}
        for event in events:
            if not event.delivery:
                PROVIDER_EVENTS.add(provider, event.name, "unknown")
            elif known.intersection(_marks(provider, event)):
                PROVIDER_EVENTS.add(provider, event.name, "repeated")
            else:
                of_delivery.setdefault(event.delivery, []).append(event)
        sent = await self._sent(of_delivery)
        for name in of_delivery.keys() - sent.keys():
            for event in of_delivery[name]:
                PROVIDER_EVENTS.add(provider, event.name, "unknown")
        done = await asyncio.gather(
            *(self._in_turn(provider, delivery, of_delivery[name]) for name, delivery in sent.items())
        )
        marks = [mark for events, _ in done for event in events for mark in _marks(provider, event)]
        await self._store.keep_provider_events(dict.fromkeys(marks), datetime.now(UTC))
        if not all(complete for _, complete in done):
            raise Unfinished

    async def _sent(self, names: Mapping[str, Any]) -> dict[str, SentDelivery]:
        """Return deliveries by id. A provider may be quicker than the log of attempts."""
        found = await self._store.sent_deliveries(names.keys())
        for pause in _LOOKS:
            if not (missing := names.keys() - found.keys()):
                break
            await self._sleep(pause)
            found |= await self._store.sent_deliveries(missing)
        return found

    async def _in_turn(
        self, provider: str, sent: SentDelivery, events: Sequence[ProviderEvent]
    ) -> tuple[list[ProviderEvent], bool]:
        """Carry out the events of a delivery. Return those that had an effect, and False if one failed."""
        done: list[ProviderEvent] = []
        async with self._turns:
            for event in events:
                try:
                    result = await self._carry_out(provider, sent, event)
                except _TEMPORARY as error:
                    logger.warning(
                        "%s of %s cannot be taken now: %s", event.name, sent.delivery_id, type(error).__name__
                    )
                    PROVIDER_EVENTS.add(provider, event.name, "failed")
                    return done, False
                PROVIDER_EVENTS.add(provider, event.name, result)
                if result in _EFFECTIVE or (event.suppresses and result != "stale"):
                    done.append(event)
        return done, True

    async def _carry_out(self, provider: str, sent: SentDelivery, event: ProviderEvent) -> str:
        """Carry out an event, and return what became of it, in a word."""
        now = datetime.now(UTC)
        at = min(max(event.at or now, sent.sent_at), now)  # some providers state whole seconds
        if (event.at or sent.sent_at) < now - STALE:
            return "stale"
        kind, delivery, to = event.name.partition(".")[0], sent.delivery_id, sent.recipient  # webhooks may go to any
        if to and event.address and not self._suppressor.is_recipient(kind, event.address, delivery, to):
            logger.warning("%s of %s names another address than the message went to", event.name, sent.delivery_id)
            return "unknown"
        await self._suppress(provider, sent, event, at)
        if self._pace.take(sent.delivery_id):
            return "throttled"
        entry = await self._store.entry(sent.workflow_id)
        if entry is None or entry.admitted_at > sent.sent_at + _SKEW:  # another journey with the same id
            return "over"
        if not await self._is_awaited(entry, event.name):
            return "unused"
        properties = _properties(provider, sent, event)
        identifier = f"{sent.delivery_id}/{provider}/{_marks(provider, event)[0]}"
        if entry.ended_at is None:
            try:
                reached = await self._events.report_to(
                    TERMINAL, entry.workflow_id, event.name, properties, identifier, at=at
                )
            except BadInput:  # the contact was erased
                return "over"
            if reached.has_effect:
                return "told"
        happened = Event(name=event.name, properties=properties, at=at.isoformat())
        counted = at >= entry.admitted_at and (await count(self._store, self._content, entry, happened)).reached
        return "goal" if counted else "over"

    async def _suppress(self, provider: str, sent: SentDelivery, event: ProviderEvent, at: datetime) -> None:
        channel, _, what = event.name.partition(".")
        found: Suppression | None = None
        try:
            if event.against is not None:
                found = await self._suppressor.refused(channel, event.address, event.against, sent.delivery_id, at)
            elif what == "complained":
                found = await self._suppressor.suppress(channel, event.address, COMPLAINT, provider, at=at)
            elif what == "unsubscribed":
                scope = await self._scope(sent)
                found = await self._suppressor.suppress(
                    channel, event.address, UNSUBSCRIBED, provider, scope=scope, at=at
                )
                properties = {"channel": channel, "scope": scope}
                mark = _marks(provider, event)[0]
                await self._events.report(
                    TERMINAL, sent.contact_id, UNSUBSCRIBED_EVENT, properties, f"{provider}/{mark}"
                )
        except BadRecipient:
            logger.info("%s of %s names no address", event.name, sent.delivery_id)
        except BadInput:  # the contact was erased: its opt-out is kept
            pass
        if found is not None:
            await self._suppressor.notify(found, event.address)
            logger.info("%s has suppressed its address: %s", sent.delivery_id, found.source)

    async def _scope(self, sent: SentDelivery) -> str:
        """Return the list that a message belongs to, or "" for all marketing."""
        try:
            version = await self._content.open(sent.scenario, sent.version)
        except UnknownVersion:
            return ""
        step = version.steps.get(sent.step)
        return (scope_of(version.scenario, step) if step is not None else None) or ""

    async def _is_awaited(self, entry: StoredEntry, name: str) -> bool:
        """Return True if a journey's version uses an event. Others are not sent: most journeys use few of them."""
        try:
            return name in (await self._content.open(entry.scenario, entry.version)).table.events
        except (UnknownVersion, ValidationError):  # of a newer program
            return True


def _marks(provider: str, event: ProviderEvent) -> list[str]:
    """Return the hashes of an event's ids, which may name somebody."""
    return [hashlib.sha256(f"{provider}\n{one}".encode(errors="replace")).hexdigest()[:32] for one in event.ids]


def _properties(provider: str, sent: SentDelivery, event: ProviderEvent) -> dict[str, str]:
    known = {
        "step": sent.step,
        "delivery": sent.delivery_id,
        "provider": provider,
        "code": event.code,
        "type": event.bounce,
    }
    return {name: known[name] for name in PROPERTIES[event.name]}
