"""Use cases about outgoing events: the feed, and the subscriptions to which workers send."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from activities.outgoing.form import cloud_event, json_line
from gateway.errors import BadCombination, BadInput, FeedOff, UnknownSubscription
from gateway.service.caller import Caller
from gateway.service.view import View
from runtime.store import Store
from runtime.store.outgoing import OutgoingEvent
from runtime.store.outgoing_sends import PendingSend, SubscriptionState

LONGEST_WAIT: Final = 30.0
"""Maximum seconds that a request for the feed waits for events."""
_LOOK: Final = 0.5  # seconds between two looks into the log
_SHOWN: Final = 1_000


class PendingEventView(View):
    """An outgoing event that its receiver has not accepted."""

    id: str
    """The event's id, the header `webhook-id`."""
    type: str
    """The event's type."""
    subject: str
    """The journey, destination or campaign that it is about. Later events about it wait."""
    sequence: int
    """Its place in the log."""
    state: Literal["held", "failing"]
    """`held`: an operator must retry or skip it; `failing`: it is attempted again."""
    attempts: int
    """Number of attempts that were not accepted."""
    reason: str | None
    """Why the last attempt failed."""
    next_try_at: datetime | None
    """Time of the next attempt; null if it is held."""


class SubscriptionView(View):
    """The progress of a subscription to outgoing events."""

    name: str
    """The subscription's name."""
    state: Literal["current", "behind", "failing", "held"]
    """`held`: events wait for an operator; `failing`: some are attempted again; `behind`: some were not sent yet."""
    sequence: int
    """All events up to this place in the log were accepted, skipped or left out, or are counted below."""
    held: int
    """Number of events that wait for an operator."""
    failing: int
    """Number of events that are attempted again."""
    waiting: int
    """Number of events that wait for an earlier one about the same subject."""
    behind: int
    """Number of events of any type that follow in the log; deleted ones are counted, too."""
    oldest: datetime | None
    """When the oldest event that was not accepted was recorded."""

    @classmethod
    def of(cls, found: SubscriptionState) -> SubscriptionView:
        state = "held" if found.held else "failing" if found.failing else "behind" if found.behind else "current"
        counts = {name: getattr(found, name) for name in ("held", "failing", "waiting", "behind", "oldest")}
        return cls(name=found.subscription, state=state, sequence=found.position, **counts)


@dataclass(frozen=True)
class FeedPart:
    """Events of the feed, each as a line of JSON, and the cursor to continue at."""

    lines: Sequence[bytes]
    cursor: str


class OutgoingService:
    """Use cases about outgoing events. Only the feed is for callers of some scenarios."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def feed(
        self,
        caller: Caller,
        after: str | None,
        *,
        types: Collection[str] | None = None,
        scenarios: Collection[str] | None = None,
        limit: int = 100,
        wait: float = 0.0,
        gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> FeedPart:
        """Return the events after a cursor, in order; without a cursor, from the oldest that is kept.

        A caller for some scenarios gets the events of these alone, and none about destinations.

        Args:
            after: The cursor, or ``latest`` for events from now on.
            wait: Seconds to wait for the first event, at most `LONGEST_WAIT`.
            gone: Returns True once nobody waits any more.

        Raises:
            BadCombination: The cursor is malformed.
            Forbidden: The caller may not use one of the scenarios.
            FeedOff: No events are stored.
        """
        for scenario in scenarios or ():
            caller.check(scenario)
        visible = scenarios or caller.scenarios
        if not await self._store.wanted_events():
            raise FeedOff("no outgoing events are stored: set 'feed: true' in outgoing.yaml, see SCENARIO_OUTGOING")
        clock = asyncio.get_running_loop()
        position, end = await self._position(after), clock.time() + min(wait, LONGEST_WAIT)
        while True:
            found, position = await self._store.outgoing_events(position, types=types, scenarios=visible, limit=limit)
            if found or clock.time() >= end or (gone is not None and await gone()):
                return FeedPart([json_line(cloud_event(one)) for one in found], f"{position:020}")
            await asyncio.sleep(min(_LOOK, max(end - clock.time(), 0.0)))

    async def _position(self, after: str | None) -> int:
        if after == "latest":
            return await self._store.last_event()
        if after is not None and not (after.isascii() and after.isdigit() and int(after) < 2**63):
            sentence = "this is not a cursor: give the `sequence` of the last event, or 'latest'"
            raise BadCombination("after", sentence, code="cursor")
        return int(after or 0)

    async def subscriptions(self, caller: Caller, name: str | None = None) -> list[SubscriptionView]:
        """Return the subscriptions that ever sent, by name, or the one of a name.

        Raises:
            UnknownSubscription: There is none of this name.
        """
        caller.check_all()
        states = await self._store.subscription_states()
        found = [SubscriptionView.of(one) for one in states if name in (None, one.subscription)]
        if name is not None and not found:
            raise _unknown(name)
        return found

    async def pending(self, caller: Caller, name: str) -> list[PendingEventView]:
        """Return the events of a subscription that are held or attempted again, in order; at most a thousand."""
        await self.subscriptions(caller, name)
        return [_pending(send, event) for send, event in await self._pending(name)]

    async def retry(self, caller: Caller, name: str, ids: Collection[str] = ()) -> int:
        """Have held events sent again, all without ids. Return their number."""
        await self.subscriptions(caller, name)
        positions = await self._positions(name, ids) if ids else None
        return await self._store.release_sends(name, positions, datetime.now(UTC))

    async def skip(self, caller: Caller, name: str, ids: Collection[str]) -> int:
        """Give up held events, so that later ones about their subjects are sent. Return their number."""
        await self.subscriptions(caller, name)
        return await self._store.skip_sends(name, await self._positions(name, ids))

    async def replay(self, caller: Caller, name: str, after: str) -> SubscriptionView:
        """Have all events after a cursor sent again, under the same ids."""
        caller.check_all()
        if not await self._store.replay_outgoing(name, await self._position(after)):
            raise _unknown(name)
        [found] = await self.subscriptions(caller, name)
        return found

    async def forget(self, caller: Caller, name: str) -> None:
        """Forget the progress of a subscription that was removed from `outgoing.yaml`."""
        caller.check_all()
        if not await self._store.forget_subscription(name):
            raise _unknown(name)

    async def _pending(self, name: str) -> list[tuple[PendingSend, OutgoingEvent]]:
        sends = await self._store.held_sends(name, _SHOWN)
        events = await self._store.outgoing_at(one.position for one in sends)
        return [(one, events[one.position]) for one in sends if one.position in events]

    async def _positions(self, name: str, ids: Collection[str]) -> list[int]:
        """Return the places of held events.

        Raises:
            BadInput: One of them is not held.
        """
        held = {event.id: send.position for send, event in await self._pending(name) if send.held_at is not None}
        if missing := [one for one in ids if one not in held]:
            raise BadInput(f"{missing[0]} is not a held event of {name}: see 'scenario outgoing show {name}'")
        return [held[one] for one in ids]


def _unknown(name: str) -> UnknownSubscription:
    return UnknownSubscription(f"no subscription '{name}' ever sent an event: see 'scenario outgoing list'")


def _pending(send: PendingSend, event: OutgoingEvent) -> PendingEventView:
    is_held = send.held_at is not None
    return PendingEventView(
        id=event.id,
        type=event.type,
        subject=event.subject,
        sequence=event.position,
        state="held" if is_held else "failing",
        attempts=send.attempts,
        reason=send.reason,
        next_try_at=None if is_held else send.next_try_at,
    )
