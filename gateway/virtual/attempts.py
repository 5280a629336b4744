"""The attempts of one delivery in virtual time: what each reply means, when the next one is due, when it is over.

What a reply means is what the activities say; the pauses are those that Temporal would make, with the jitter that the
delivery's id gives. Attempts take no time, and no limit of a destination keeps them waiting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from activities.email import errors as mail
from activities.interface import EMAIL, SMS, WEBHOOK
from activities.outcome import End, Judgement, Outcome, Verdict, end_after
from activities.sms import errors as text
from activities.webhook.errors import WORDS, AttemptError
from activities.webhook.outcome import of_response
from gateway.virtual.journey import Made, VirtualJourney
from scenario.plan.retry import LAST, lengthen
from scenario.policies.order import Hold, Later, Ruling, Skip
from scenario.steps.delivery import CAPPED, Send
from scenario.steps.host import Delivered, Failed, NotBefore
from scenario.time.timing import later


@dataclass(frozen=True, kw_only=True)
class AttemptReply:
    """What comes of one attempt.

    Attributes:
        status: The receiver's reply code; None where it is what the channel's receivers say when all is well.
        headers: Of a webhook's response; names in lower case.
        body: Of a webhook's response.
        error: Why there is no reply, in one word of the channel's.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    error: str | None = None


def _webhook(reply: AttemptReply, row: Send, now: datetime) -> Judgement:
    if reply.error is not None:
        error = AttemptError(reply.error)
        return Judgement(error.verdict, str(error).removesuffix("."))
    status = reply.status or WELL[row.kind]
    return of_response(row.to or row.kind, status, reply.headers, reply.body, named=row.destination, now=now)


def _email(reply: AttemptReply, row: Send, _now: datetime) -> Judgement:
    status = reply.status or WELL[row.kind]
    if reply.error is None and status < HTTPStatus.BAD_REQUEST:
        return _DELIVERED
    if reply.error is None:
        error: mail.MailError = mail.RefusedError("", "the mail server", status=status)
    else:
        error = (mail.UnansweredError if reply.error in mail.UNANSWERED else mail.UnreachableError)(reply.error, "")
    return Judgement(error.verdict, " ".join(str(error).split()))


def _sms(reply: AttemptReply, row: Send, _now: datetime) -> Judgement:
    status = reply.status or WELL[row.kind]
    if reply.error is None and status < HTTPStatus.MULTIPLE_CHOICES:
        return _DELIVERED
    sentence = f"the provider gave no answer ({reply.error})" if reply.error else f"the provider answered {status}"
    error = (SMS_ERRORS[reply.error] if reply.error else text.error_of(status))(sentence, error=reply.error)
    return Judgement(error.verdict, sentence)


_DELIVERED: Final = Judgement(Verdict(Outcome.DELIVERED, ""), "")
SMS_ERRORS: Final[Mapping[str, type[text.ProviderError]]] = {
    **dict.fromkeys(("connect_timeout", "connect_failed"), text.BusyError),
    **dict.fromkeys(("timeout", "no_answer"), text.UnansweredError),
}
_JUDGES: Final[Mapping[str, Callable[[AttemptReply, Send, datetime], Judgement]]] = {
    WEBHOOK.name: _webhook,
    EMAIL.name: _email,
    SMS.name: _sms,
}
ERRORS: Final[Mapping[str, frozenset[str]]] = {
    WEBHOOK.name: frozenset(WORDS),
    EMAIL.name: frozenset(mail.SENTENCES),
    SMS.name: frozenset(SMS_ERRORS),
}
"""The words for attempts without a reply, by channel."""
WELL: Final[Mapping[str, int]] = {WEBHOOK.name: 200, EMAIL.name: 250, SMS.name: 200}
"""What receivers say when all is well, by channel."""


async def deliver(
    journey: VirtualJourney,
    row: Send,
    replies: Iterator[AttemptReply],
    took: Callable[[AttemptReply], str | None],
    asked: Callable[[], Awaitable[Ruling]],
) -> Delivered | Failed | NotBefore:
    """Makes attempts until the delivery is over.

    Args:
        journey: Whose delivery it is.
        row: The step, with its destination's word in it.
        replies: What comes of each attempt.
        took: Does with the reply of a delivered message what the step says; gives a note for people.
        asked: Says whether an attempt may leave.
    """
    policy = row.retry.spread(journey.delivery)
    number, began, status, said = journey.made or Made(0, journey.now())
    deadline = later(began, policy.deadline)
    while True:
        now = journey.now()
        match await asked():
            case Skip(reason):
                return Delivered(outcome="skipped", reason=reason, attempts=number + 1)
            case Hold(reason):
                return Failed(reason=reason, cause=CAPPED, destination=row.to or row.kind, attempts=number)
            case Later(moment, since) if number == 0:
                return NotBefore(moment=moment, since=since)
            case Later(moment, since):
                # Its last chance is just before the deadline, which runs on.
                due = min(moment, deadline - LAST) if deadline - LAST > now else moment
                if due >= deadline:
                    return Failed(
                        reason=f"the deadline passed meanwhile: {since}; before that: {said}",
                        cause="exhausted",
                        destination=row.to or row.kind,
                        attempts=number,
                        status=status,
                    )
                journey.made = Made(number, began, status, said)
                return NotBefore(moment=due, since=f"{since}; before that: {said}")
            case None:
                pass
        number += 1
        reply = next(replies)
        verdict, sentence, longest = _JUDGES[row.kind](reply, row, now)
        status = reply.status if reply.error is None else None
        said = reply.error or f"it answered {status}"
        if verdict.delivered:
            return Delivered(outcome="delivered", status=status or WELL[row.kind], attempts=number, note=took(reply))
        allowed, once = policy.maximum_attempts, row.on_unknown != "retry"
        end = end_after(verdict, sentence, number=number, allowed=allowed, waited=now - began, once=once)
        pause = policy.pause(number)
        longer = lengthen(longest, pause, (deadline - now - LAST).total_seconds())
        due = now + timedelta(seconds=pause if longer is None else longer)
        if end is None and due >= deadline:
            end = End("exhausted", sentence)
        if end is not None:
            return Failed(
                reason=end.reason,
                cause=end.cause,
                destination=row.to or row.kind,
                status=status,
                attempts=number,
                unknown=end.cause == "unknown",
            )
        await journey.wait(due, f"{journey.step}: next attempt", lambda: False)
