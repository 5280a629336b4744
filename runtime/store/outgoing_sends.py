"""The progress of subscriptions: a cursor each, and the events before it that were not accepted yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    PrimaryKeyConstraint,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal,
    or_,
    select,
    update,
)

from runtime.store.outgoing import OutgoingEvents, outgoing_cursors, outgoing_events
from runtime.store.schema import table_of


def sender_lease(subscription: str) -> str:
    """Return the name of the lease of the worker that sends to a subscription."""
    return f"outgoing {subscription}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSend:
    """An event that a subscription has taken from the log, and that was not accepted yet."""

    subscription: str
    position: int
    subject: str
    attempts: int
    """Number of attempts that the receiver did not accept."""
    next_try_at: datetime
    reason: str | None
    """Why the last attempt failed, as a sentence; None before the first."""
    held_at: datetime | None
    """Since when it waits for an operator, or None."""
    recorded_at: datetime
    """When the event was recorded."""


outgoing_sends = table_of(
    "outgoing_sends",
    PendingSend,
    Column("position", BigInteger, nullable=False),
    PrimaryKeyConstraint("subscription", "position"),
    Index(None, "subscription", "subject", "position"),
    Index(None, "recorded_at"),
)
"""Events before a subscription's cursor that were not accepted yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionState:
    """The progress of a subscription."""

    subscription: str
    position: int
    """All events up to here were accepted, skipped, or are counted by the other attributes."""
    held: int
    """Number of events that wait for an operator."""
    failing: int
    """Number of events that are attempted again."""
    waiting: int
    """Number of events that wait for an earlier one about the same subject."""
    behind: int
    """Maximum number of events in the log after its position."""
    oldest: datetime | None
    """When the oldest event that was not accepted was recorded."""
    trouble: str | None
    """Why the last attempt of the first pending event failed, as a sentence."""


@dataclass(frozen=True, slots=True)
class PendingCounts:
    """Numbers of a subscription's pending events: all, held ones, and those that are attempted again."""

    pending: int
    held: int
    failing: int


class OutgoingSends(OutgoingEvents):
    """The tables of subscriptions' progress. Every call is idempotent."""

    async def outgoing_cursor(self, subscription: str, start: int) -> int:
        """Return a subscription's position. A new subscription starts at `start`."""
        adding = self._database.insert(outgoing_cursors).on_conflict_do_nothing()
        rows = await self._database.read(_CURSOR, {"which": subscription})
        while not rows:
            await self._database.write(adding, {"name": subscription, "position": start})
            rows = await self._database.read(_CURSOR, {"which": subscription})
        return rows[0]["position"]

    async def move_cursor(self, subscription: str, since: int, to: int) -> bool:
        """Move a subscription's cursor. Return False if it was moved by others meanwhile."""
        given = {"which": subscription, "since": since, "to": to}
        return bool(await self._database.write(_MOVE, given))

    async def replay_outgoing(self, subscription: str, after: int) -> bool:
        """Have all events after a position sent again. Return False if the subscription never sent any.

        A position beyond its own leaves no event out.
        """
        moved = await self._database.write(_REPLAY, {"which": subscription, "to": after})
        await self._database.write(_FORGET, {"which": subscription, "after": after})
        return bool(moved)

    async def due_sends(self, subscription: str, now: datetime, limit: int) -> list[PendingSend]:
        """Return events that are due: each the first that is pending about its subject."""
        return await self._all(PendingSend, _DUE, {"which": subscription, "now": now, "most": limit})

    async def pending_counts(self, subscription: str) -> PendingCounts:
        [row] = await self._database.read(_PENDING, {"which": subscription})
        return PendingCounts(**row)

    async def pending_subjects(self, subscription: str, subjects: Collection[str]) -> set[str]:
        """Return those of these subjects that pending events are about."""
        given = {"which": subscription, "subjects": sorted(subjects)}
        return {row["subject"] for row in await self._database.read(_SUBJECTS, given)}

    async def add_sends(self, sends: Sequence[PendingSend]) -> None:
        """Store pending events."""
        if sends:
            rows = [{name: getattr(one, name) for name in PendingSend.__dataclass_fields__} for one in sends]
            await self._database.write_many(self._database.insert(outgoing_sends).on_conflict_do_nothing(), rows)

    async def defer_send(self, send: PendingSend) -> None:
        """Record a failed attempt. A row that an operator has removed meanwhile stays removed."""
        given = {"which": send.subscription, "at": send.position, "tries": send.attempts, "then": send.next_try_at}
        await self._database.write(_DEFER, given | {"why": send.reason, "since": send.held_at})

    async def drop_sends(self, subscription: str, positions: Collection[int]) -> None:
        """Forget pending events, because they were accepted or no longer exist."""
        await self._database.write(_DROP, {"which": subscription, "positions": sorted(positions)})

    async def release_sends(self, subscription: str, positions: Collection[int] | None, now: datetime) -> int:
        """Have held events sent again, all or those at these positions. Return their number."""
        statement = _RELEASE if positions is None else _RELEASE.where(_sends.position.in_(sorted(positions)))
        return len(await self._database.write(statement, {"which": subscription, "now": now}))

    async def skip_sends(self, subscription: str, positions: Collection[int]) -> int:
        """Give up held events, so that later ones about their subjects are sent. Return their number."""
        return len(await self._database.write(_SKIP, {"which": subscription, "positions": sorted(positions)}))

    async def held_sends(self, subscription: str, limit: int = 1_000) -> list[PendingSend]:
        """Return held and failing events, in order."""
        return await self._all(PendingSend, _TROUBLED, {"which": subscription, "most": limit})

    async def subscription_states(self) -> list[SubscriptionState]:
        """Return the progress of all subscriptions that have ever sent, by name."""
        await self.last_event()  # while no subscription takes events, they have no positions
        return await self._all(SubscriptionState, _STATES)

    async def forget_subscription(self, subscription: str) -> bool:
        """Forget a subscription's progress. Return False if there is none."""
        await self._database.write(_FORGET, {"which": subscription, "after": -1})
        return bool(await self._database.write(_FORGET_CURSOR, {"which": subscription}))


_sends, _cursors, _events = outgoing_sends.c, outgoing_cursors.c, outgoing_events.c
_is_of_contact = _events.contact_id == bindparam("whose")
ERASE_EVENTS: Final = (
    delete(outgoing_sends).where(_sends.position.in_(select(_events.position).where(_is_of_contact))),
    delete(outgoing_events).where(_is_of_contact),
)
"""Delete a contact's events, in this order."""
_COLUMNS = tuple(_sends[name] for name in PendingSend.__dataclass_fields__)
_OF = _sends.subscription == bindparam("which")
_OF_CURSOR = (_cursors.name == bindparam("which"), _cursors.name != "")
_moment = _sends.next_try_at.type
_CURSOR = select(_cursors.position).where(*_OF_CURSOR)
_MOVE = (
    update(outgoing_cursors)
    .where(*_OF_CURSOR, _cursors.position == bindparam("since"))
    .values(position=bindparam("to"))
    .returning(_cursors.name)
)
_to = bindparam("to", type_=_cursors.position.type)
_back = case((_cursors.position > _to, _to), else_=_cursors.position)
_REPLAY = update(outgoing_cursors).where(*_OF_CURSOR).values(position=_back).returning(_cursors.name)
_FORGET = delete(outgoing_sends).where(_OF, _sends.position > bindparam("after"))
_FORGET_CURSOR = delete(outgoing_cursors).where(*_OF_CURSOR).returning(_cursors.name)
_earlier = outgoing_sends.alias()


def _is_behind() -> ColumnElement[bool]:
    """Return the condition that an earlier event about the same subject is pending."""
    return (
        select(literal(1))
        .where(
            _earlier.c.subscription == _sends.subscription,
            _earlier.c.subject == _sends.subject,
            _earlier.c.position < _sends.position,
        )
        .exists()
    )


_DUE = (
    select(*_COLUMNS)
    .where(_OF, _sends.held_at.is_(None), _sends.next_try_at <= bindparam("now", type_=_moment), ~_is_behind())
    .order_by(_sends.position)
    .limit(bindparam("most"))
)
# Also those that are due: when all are, the receiver is no better.
_fails = and_(_sends.held_at.is_(None), _sends.reason.is_not(None))
_PENDING = select(
    func.count().label("pending"),
    func.count(_sends.held_at).label("held"),
    func.count(case((_fails, 1))).label("failing"),
).where(_OF)
_SUBJECTS = select(_sends.subject).distinct().where(_OF, _sends.subject.in_(bindparam("subjects", expanding=True)))
_DEFER = (
    update(outgoing_sends)
    .where(_OF, _sends.position == bindparam("at"))
    .values(
        attempts=bindparam("tries"),
        next_try_at=bindparam("then"),
        reason=bindparam("why"),
        held_at=bindparam("since", type_=_moment),
    )
)
_AT = _sends.position.in_(bindparam("positions", expanding=True))
_DROP = delete(outgoing_sends).where(_OF, _AT)
_RELEASE = (
    update(outgoing_sends)
    .where(_OF, _sends.held_at.is_not(None))
    .values(held_at=None, attempts=0, next_try_at=bindparam("now", type_=_moment))
    .returning(_sends.position)
)
_SKIP = delete(outgoing_sends).where(_OF, _AT, _sends.held_at.is_not(None)).returning(_sends.position)
_TROUBLED = (
    select(*_COLUMNS)
    .where(_OF, or_(_sends.held_at.is_not(None), _sends.reason.is_not(None)))
    .order_by(_sends.position)
    .limit(bindparam("most"))
)
_WAITS = and_(_sends.held_at.is_(None), _is_behind())
_pending = (
    select(
        _sends.subscription,
        func.count(_sends.held_at).label("held"),
        func.sum(case((_WAITS, 1), else_=0)).label("waiting"),
        func.count().label("pending"),
        func.min(_sends.recorded_at).label("oldest"),
    )
    .group_by(_sends.subscription)
    .subquery()
)
_counts = _pending.c
_last = outgoing_cursors.alias()
_behind = select(_last.c.position).where(_last.c.name == "").scalar_subquery() - _cursors.position
_first = (
    select(_events.recorded_at)
    .where(_events.position > _cursors.position)
    .order_by(_events.position)
    .limit(1)
    .scalar_subquery()
)
_trouble = (
    select(_sends.reason)
    .where(_sends.subscription == _cursors.name, _sends.reason.is_not(None))
    .order_by(_sends.position)
    .limit(1)
    .scalar_subquery()
)
_zero: Final = literal(0)
_held, _waiting = func.coalesce(_counts.held, _zero), func.coalesce(_counts.waiting, _zero)
_STATES = (
    select(
        _cursors.name.label("subscription"),
        _cursors.position,
        _held.label("held"),
        _waiting.label("waiting"),
        (func.coalesce(_counts.pending, _zero) - _held - _waiting).label("failing"),
        case((_behind > 0, _behind), else_=_zero).label("behind"),
        func.coalesce(_counts.oldest, _first).label("oldest"),
        _trouble.label("trouble"),
    )
    .select_from(outgoing_cursors.outerjoin(_pending, _counts.subscription == _cursors.name))
    .where(_cursors.name != "")
    .order_by(_cursors.name)
)
