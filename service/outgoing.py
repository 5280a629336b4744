"""Use cases about outgoing events: the feed, the subscriptions to which workers send, and operations on these."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal

from activities.outgoing.file import cloud_event, json_line
from authoring.errors import BadInput
from runtime.store import Store, StoredOperation
from runtime.store.outgoing import OutgoingEvent
from runtime.store.outgoing_sends import PendingSend, SubscriptionState, sender_lease
from scenario.words import OutgoingOperation
from service.caller import Caller
from service.errors import BadCombination, NotAccepted, NotFound
from service.operations.request import check_record
from service.operations.views import OperationView
from service.view import View

LONGEST_WAIT: Final = 30.0  # maximum seconds that a request for the feed waits for events
_LOOK: Final = 0.5  # seconds between two looks into the log
_SHOWN: Final = 1_000
_NO_CURSOR: Final = "this is not a cursor: give the `sequence` of the last event, or 'latest'"


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
    trouble: str | None
    """Why the last attempt of the first event that was not accepted failed, as a sentence."""

    @classmethod
    def of(cls, found: SubscriptionState) -> SubscriptionView:
        state = "held" if found.held else "failing" if found.failing else "behind" if found.behind else "current"
        return cls.from_record(found, name=found.subscription, state=state, sequence=found.position)


class SubscriptionEventsView(SubscriptionView):
    """A subscription with its events that are held or attempted again."""

    events: list[PendingEventView]
    """These events, in order; at most a thousand."""


@dataclass(frozen=True, kw_only=True)
class OperatorRecord:
    """Who requests an operation, and why."""

    reason: str
    operator: str | None = None  # the operator's name, or None for the caller's
    identifier: str | None = None  # an id that makes the request idempotent, or None


@dataclass(frozen=True)
class FeedPart:
    """Events of the feed, each as a line of JSON, and the cursor to continue at."""

    lines: Sequence[bytes]
    cursor: str


class OutgoingService:
    """Use cases about outgoing events. Only the feed is for callers of some scenarios.

    All raise Forbidden if the caller may not use a scenario, and NotFound if none of a name ever sent.
    """

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
        """Return the events after a cursor, or from now on after ``latest``; without one, from the oldest that is kept.

        A caller for some scenarios gets the events of these alone, and none about destinations. With `wait`, wait so
        many seconds for the first event, at most `LONGEST_WAIT`, unless the caller has `gone`. Raise BadCombination if
        the cursor is malformed, and NotFound if no events are stored.
        """
        for scenario in scenarios or ():
            caller.check(scenario)
        visible = scenarios or caller.scenarios
        if not await self._store.wanted_events():
            raise NotFound("no outgoing events are stored: set 'feed: true' in outgoing.yaml, see SCENARIO_OUTGOING")
        clock = asyncio.get_running_loop()
        position = await self._position(after, BadCombination("after", _NO_CURSOR, code="cursor"))
        end = clock.time() + min(wait, LONGEST_WAIT)
        while True:
            found, position = await self._store.outgoing_events(position, types=types, scenarios=visible, limit=limit)
            if found or clock.time() >= end or (gone is not None and await gone()):
                return FeedPart([json_line(cloud_event(one)) for one in found], f"{position:020}")
            await asyncio.sleep(min(_LOOK, max(end - clock.time(), 0.0)))

    async def _position(self, after: str | None, mistake: BadInput) -> int:
        if after == "latest":
            return await self._store.last_event()
        if after is not None and not (len(after) <= 20 and after.isascii() and after.isdigit() and int(after) < 2**63):
            raise mistake
        return int(after or 0)

    async def subscriptions(self, caller: Caller, name: str | None = None) -> list[SubscriptionView]:
        """Return the subscriptions that ever sent, by name, or the one of a name."""
        caller.check_all()
        states = await self._store.subscription_states()
        found = [SubscriptionView.of(one) for one in states if name in (None, one.subscription)]
        if name is not None and not found:
            advice = "list the subscriptions to find its name"
            raise NotFound(f"no subscription '{name[:64]}' that has sent an event is known: {advice}")
        return found

    async def show(self, caller: Caller, name: str) -> SubscriptionEventsView:
        """Return a subscription with its events that are held or attempted again."""
        [found] = await self.subscriptions(caller, name)
        events = [_pending(send, event) for send, event in await self._pending(name)]
        return SubscriptionEventsView(**dict(found), events=events)

    async def operate(
        self,
        caller: Caller,
        name: str,
        operation: OutgoingOperation,
        record: OperatorRecord,
        *,
        ids: Collection[str] = (),
        after: str | None = None,
    ) -> OperationView:
        """Carry out an operation on a subscription.

        It is recorded first: nothing is done that is not on record, and after a failure it can be repeated. Raise
        BadInput if an argument is missing, superfluous or wrong, or an event is not held, and NotAccepted if a worker
        sends to the subscription that is to be forgotten.

        Args:
            ids: The held events to retry or skip; to retry, none for all.
            after: For `replay`: the cursor after which all events are sent again.
        """
        operator, now = caller.operator(record.operator), datetime.now(UTC)
        check_record(operator, record.reason)
        _check_arguments(operation, ids, after)
        ids = list(dict.fromkeys(ids))
        more: dict[str, Any] = {"ids": ids} if ids else {}
        try:
            [found] = await self.subscriptions(caller, name)
            match operation:
                case OutgoingOperation.RETRY:
                    positions = await self._positions(name, ids) if ids else None
                    events = len(ids) or found.held
                    act = partial(self._store.release_sends, name, positions, now)
                case OutgoingOperation.SKIP:
                    events, act = len(ids), partial(self._store.skip_sends, name, await self._positions(name, ids))
                case OutgoingOperation.REPLAY:
                    position = await self._position(after, BadInput(_NO_CURSOR, at=["after"], code="cursor"))
                    events = max(await self._store.last_event() - min(position, found.sequence), 0)
                    more, act = {"after": f"{position:020}"}, partial(self._store.replay_outgoing, name, position)
                case OutgoingOperation.FORGET:
                    if await self._store.is_leased(sender_lease(name), now):
                        text = "a worker sends to it: remove it from outgoing.yaml, and wait half a minute"
                        raise NotAccepted(name, text)
                    events = found.held + found.failing + found.waiting + found.behind
                    act = partial(self._store.forget_subscription, name)
        except (BadInput, NotFound):
            # A repetition after its answer was lost: there is nothing left to do.
            known = record.identifier and await self._store.stored_operation(record.identifier)
            if not known:
                raise
            return OperationView.of(known, {})
        stored = StoredOperation(
            id=record.identifier or uuid.uuid4().hex[:20],
            verb=operation,
            request={"which": {"subscription": name}, "more": more, "events": events},
            operator=operator,
            reason=record.reason,
            created_at=now,
            surveyed_at=now,
            ended_at=now,
            outcome="finished",
        )
        if not await self._store.add_operation(stored):
            stored = await self._store.stored_operation(stored.id) or stored  # the first number counts
        await act()
        return OperationView.of(stored, {})

    async def _pending(self, name: str) -> list[tuple[PendingSend, OutgoingEvent]]:
        sends = await self._store.held_sends(name, _SHOWN)
        events = await self._store.outgoing_at(one.position for one in sends)
        return [(one, events[one.position]) for one in sends if one.position in events]

    async def _positions(self, name: str, ids: Collection[str]) -> list[int]:
        held = {event.id: send.position for send, event in await self._pending(name) if send.held_at is not None}
        if missing := [one for one in ids if one not in held]:
            text = f"'{missing[0]}' is not a held event of {name}, or no longer: look at its events again"
            raise BadInput(text, at=["events"], code="event")
        return [held[one] for one in ids]


def _check_arguments(operation: OutgoingOperation, ids: Collection[str], after: str | None) -> None:
    if ids and operation not in (OutgoingOperation.RETRY, OutgoingOperation.SKIP):
        raise BadInput(f"{operation} takes no events: leave them out", at=["events"], code="combination")
    if not ids and operation is OutgoingOperation.SKIP:
        raise BadInput("skip needs the held events, by their ids", at=["events"], code="combination")
    if (after is None) == (operation is OutgoingOperation.REPLAY):
        text = "replay needs a cursor" if after is None else f"{operation} takes no cursor: leave it out"
        raise BadInput(text, at=["after"], code="combination")


def _pending(send: PendingSend, event: OutgoingEvent) -> PendingEventView:
    is_held = send.held_at is not None
    return PendingEventView.from_record(
        event,
        sequence=event.position,
        state="held" if is_held else "failing",
        attempts=send.attempts,
        reason=send.reason,
        next_try_at=None if is_held else send.next_try_at,
    )
