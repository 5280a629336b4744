"""The progress of subscriptions: a cursor each, and the events before it that were not accepted yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from runtime.store.database import insert_new, row_of
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
    attempts: int = 0  # number of attempts that the receiver did not accept
    next_try_at: datetime
    reason: str | None = None  # why the last attempt failed, as a sentence; None before the first
    held_at: datetime | None = None  # since when it waits for an operator, or None
    recorded_at: datetime  # when the event was recorded


outgoing_sends = table_of(
    "outgoing_sends",
    PendingSend,
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.PrimaryKeyConstraint("subscription", "position"),
    sa.Index(None, "subscription", "subject", "position"),
    sa.Index(None, "recorded_at"),
)
"""Events before a subscription's cursor that were not accepted yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionState:
    """The progress of a subscription."""

    subscription: str
    position: int  # all events up to here were accepted, skipped, or are counted by the other attributes
    held: int  # number of events that wait for an operator
    failing: int  # number of events that are attempted again
    waiting: int  # number of events that wait for an earlier one about the same subject
    behind: int  # maximum number of events in the log after its position
    oldest: datetime | None  # when the oldest event that was not accepted was recorded
    trouble: str | None  # why the last attempt of the first pending event failed, as a sentence


@dataclass(frozen=True, slots=True)
class PendingCounts:
    """Numbers of a subscription's pending events: all, held ones, and those that are attempted again."""

    pending: int
    held: int
    failing: int


_sends, _cursors, _events = outgoing_sends.c, outgoing_cursors.c, outgoing_events.c
_IS_FAILING: Final = sa.and_(_sends.held_at.is_(None), _sends.reason.is_not(None))
"""Events whose last attempt failed, also those that are due: if all are, the receiver is no better."""


class OutgoingSends(OutgoingEvents):
    """The tables of subscriptions' progress. Every call is idempotent."""

    async def outgoing_cursor(self, subscription: str, start: int) -> int:
        """Return a subscription's position. A new subscription starts at `start`."""
        adding = insert_new(self._database.insert, outgoing_cursors)
        reading = sa.select(_cursors.position).where(*_is_cursor_of(subscription))
        while (position := await self._value(reading)) is None:
            await self._database.write(adding, {"name": subscription, "position": start})
        return position

    async def move_cursor(self, subscription: str, since: int, to: int) -> bool:
        """Move a subscription's cursor. Return False if it was moved by others meanwhile."""
        where = (*_is_cursor_of(subscription), _cursors.position == since)
        return await self._change(outgoing_cursors, *where, position=to)

    async def replay_outgoing(self, subscription: str, after: int) -> bool:
        """Have all events after a position sent again. Return False if the subscription never sent any.

        A position beyond its own leaves no event out.
        """
        back = sa.case((_cursors.position > after, sa.literal(after, sa.BigInteger)), else_=_cursors.position)
        is_moved = await self._change(outgoing_cursors, *_is_cursor_of(subscription), position=back)
        await self._forget(subscription, _sends.position > after)
        return is_moved

    async def due_sends(self, subscription: str, now: datetime, limit: int) -> list[PendingSend]:
        """Return events that are due: each the first that is pending about its subject."""
        due = (_sends.held_at.is_(None), _sends.next_try_at <= now, ~_is_behind())
        return await self._first_sends(subscription, limit, *due)

    async def pending_counts(self, subscription: str) -> PendingCounts:
        counts = sa.select(
            sa.func.count().label("pending"),
            sa.func.count(_sends.held_at).label("held"),
            sa.func.count(sa.case((_IS_FAILING, 1))).label("failing"),
        )
        [row] = await self._database.read(counts.where(_sends.subscription == subscription))
        return PendingCounts(**row)

    async def pending_subjects(self, subscription: str, subjects: Collection[str]) -> set[str]:
        """Return those of these subjects that pending events are about."""
        where = (_sends.subscription == subscription, _sends.subject.in_(sorted(subjects)))
        return set(await self._values(sa.select(_sends.subject).distinct().where(*where)))

    async def add_sends(self, sends: Sequence[PendingSend]) -> None:
        if sends:
            rows = [row_of(outgoing_sends, one) for one in sends]
            await self._database.write_many(self._database.insert(outgoing_sends).on_conflict_do_nothing(), rows)

    async def defer_send(self, send: PendingSend) -> None:
        """Record a failed attempt. A row that an operator has removed meanwhile stays removed."""
        changes = {name: getattr(send, name) for name in ("attempts", "next_try_at", "reason", "held_at")}
        where = (_sends.subscription == send.subscription, _sends.position == send.position)
        await self._change(outgoing_sends, *where, **changes)

    async def drop_sends(self, subscription: str, positions: Collection[int]) -> None:
        """Forget pending events, because they were accepted or no longer exist."""
        await self._forget(subscription, _sends.position.in_(sorted(positions)))

    async def release_sends(self, subscription: str, positions: Collection[int] | None, now: datetime) -> int:
        """Have held events sent again, all or those at these positions. Return their number."""
        where = [_sends.subscription == subscription, _sends.held_at.is_not(None)]
        if positions is not None:
            where.append(_sends.position.in_(sorted(positions)))
        released = sa.update(outgoing_sends).where(*where).values(held_at=None, attempts=0, next_try_at=now)
        return len(await self._database.write(released.returning(_sends.position)))

    async def skip_sends(self, subscription: str, positions: Collection[int]) -> int:
        """Give up held events, so that later ones about their subjects are sent. Return their number."""
        return await self._forget(subscription, _sends.position.in_(sorted(positions)), _sends.held_at.is_not(None))

    async def held_sends(self, subscription: str, limit: int = 1_000) -> list[PendingSend]:
        """Return held and failing events, in order."""
        return await self._first_sends(
            subscription, limit, sa.or_(_sends.held_at.is_not(None), _sends.reason.is_not(None))
        )

    async def subscription_states(self) -> list[SubscriptionState]:
        """Return the progress of all subscriptions that have ever sent, by name."""
        await self.last_event()  # while no subscription takes events, they have no positions
        return await self._all(SubscriptionState, _STATES)

    async def forget_subscription(self, subscription: str) -> bool:
        """Forget a subscription's progress. Return False if there is none."""
        await self._forget(subscription)
        return await self._delete(outgoing_cursors, *_is_cursor_of(subscription))

    async def _first_sends(self, subscription: str, limit: int, *where: sa.ColumnElement[bool]) -> list[PendingSend]:
        wanted = (_sends.subscription == subscription, *where)
        return await self._newest(
            PendingSend, outgoing_sends, wanted, (_sends.position,), None, limit, oldest_first=True
        )

    async def _forget(self, subscription: str, *where: sa.ColumnElement[bool]) -> int:
        gone = sa.delete(outgoing_sends).where(_sends.subscription == subscription, *where)
        return len(await self._database.write(gone.returning(_sends.position)))


def _is_cursor_of(subscription: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _cursors.name == subscription, _cursors.name != ""


def _is_behind() -> sa.ColumnElement[bool]:
    """Return the condition that an earlier event about the same subject is pending."""
    return sa.exists().where(
        _earlier.c.subscription == _sends.subscription,
        _earlier.c.subject == _sends.subject,
        _earlier.c.position < _sends.position,
    )


_is_of_contact = _events.contact_id == sa.bindparam("whose")
ERASE_EVENTS: Final = (
    sa.delete(outgoing_sends).where(_sends.position.in_(sa.select(_events.position).where(_is_of_contact))),
    sa.delete(outgoing_events).where(_is_of_contact),
)
"""Delete a contact's events, in this order."""
_earlier = outgoing_sends.alias()
_WAITS = sa.and_(_sends.held_at.is_(None), _is_behind())
_pending = (
    sa.select(
        _sends.subscription,
        sa.func.count(_sends.held_at).label("held"),
        sa.func.sum(sa.case((_WAITS, 1), else_=0)).label("waiting"),
        sa.func.count().label("pending"),
        sa.func.min(_sends.recorded_at).label("oldest"),
    )
    .group_by(_sends.subscription)
    .subquery()
)
_counts = _pending.c
_last = outgoing_cursors.alias()
_behind = sa.select(_last.c.position).where(_last.c.name == "").scalar_subquery() - _cursors.position
_first = (
    sa.select(_events.recorded_at)
    .where(_events.position > _cursors.position)
    .order_by(_events.position)
    .limit(1)
    .scalar_subquery()
)
_trouble = (
    sa.select(_sends.reason)
    .where(_sends.subscription == _cursors.name, _sends.reason.is_not(None))
    .order_by(_sends.position)
    .limit(1)
    .scalar_subquery()
)
_zero: Final = sa.literal(0)
_held, _waiting = sa.func.coalesce(_counts.held, _zero), sa.func.coalesce(_counts.waiting, _zero)
_STATES = (
    sa.select(
        _cursors.name.label("subscription"),
        _cursors.position,
        _held.label("held"),
        _waiting.label("waiting"),
        (sa.func.coalesce(_counts.pending, _zero) - _held - _waiting).label("failing"),
        sa.case((_behind > 0, _behind), else_=_zero).label("behind"),
        sa.func.coalesce(_counts.oldest, _first).label("oldest"),
        _trouble.label("trouble"),
    )
    .select_from(outgoing_cursors.outerjoin(_pending, _counts.subscription == _cursors.name))
    .where(_cursors.name != "")
    .order_by(_cursors.name)
)
