"""The attempts of a delivery in virtual time: the outcome of each reply, the next attempt, and the end.

Activities classify the replies. The pauses are those of Temporal, with the jitter of the delivery's id. Attempts
take no time, and no limit of a destination delays them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

from activities.channel import AttemptReply, adapter
from activities.outcome import DeliveryEnd, end_after
from gateway.virtual.journey import Made, VirtualJourney
from scenario.plan.retry import LAST, lengthen
from scenario.policies.order import Defer, Hold, Ruling, Skip
from scenario.steps.delivery import CAPPED, Send
from scenario.steps.host import Delivered, Failed, NotBefore
from scenario.time.timing import later


async def deliver(
    journey: VirtualJourney,
    row: Send,
    replies: Iterator[AttemptReply],
    took: Callable[[AttemptReply], str | None],
    asked: Callable[[], Awaitable[Ruling]],
) -> Delivered | Failed | NotBefore:
    """Make attempts until the delivery ends.

    Args:
        journey: The journey.
        row: The step, with its destination's settings.
        replies: The reply to each attempt.
        took: Processes the reply of a delivered message. Returns a note.
        asked: Returns the policies' ruling on an attempt.
    """
    channel = adapter(row.channel)
    policy = row.retry.spread(journey.delivery)
    number, began, status, said = journey.made or Made(0, journey.now())
    deadline = later(began, policy.deadline)
    while True:
        now = journey.now()
        match await asked():
            case Skip(reason):
                return Delivered(outcome="skipped", reason=reason, attempts=number + 1)
            case Hold(reason):
                return Failed(reason=reason, cause=CAPPED, destination=row.to or row.channel, attempts=number)
            case Defer(moment, since) if number == 0:
                return NotBefore(moment=moment, since=since)
            case Defer(moment, since):
                # Its last chance is just before the deadline, which runs on.
                due = min(moment, deadline - LAST) if deadline - LAST > now else moment
                if due >= deadline:
                    return Failed(
                        reason=f"the deadline passed meanwhile: {since}; before that: {said}",
                        cause="exhausted",
                        destination=row.to or row.channel,
                        attempts=number,
                        status=status,
                    )
                journey.made = Made(number, began, status, said)
                return NotBefore(moment=due, since=f"{since}; before that: {said}")
            case None:
                pass
        number += 1
        reply = next(replies)
        verdict, sentence, longest = channel.classify(reply, row, now)
        status = reply.status if reply.error is None else None
        said = reply.error or f"it answered {status}"
        if verdict.delivered:
            return Delivered(outcome="delivered", status=status or channel.success, attempts=number, note=took(reply))
        allowed, once = policy.maximum_attempts, row.on_unknown != "retry"
        end = end_after(verdict, sentence, number=number, allowed=allowed, waited=now - began, once=once)
        pause = policy.pause(number)
        longer = lengthen(longest, pause, (deadline - now - LAST).total_seconds())
        due = now + timedelta(seconds=pause if longer is None else longer)
        if end is None and due >= deadline:
            end = DeliveryEnd("exhausted", sentence)
        if end is not None:
            return Failed(
                reason=end.reason,
                cause=end.cause,
                destination=row.to or row.channel,
                status=status,
                attempts=number,
                unknown=end.cause == "unknown",
            )
        await journey.wait(due, f"{journey.step}: next attempt", lambda: False)
