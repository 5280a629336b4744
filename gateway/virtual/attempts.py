"""The attempts of one delivery in virtual time: what each reply means, when the next one is due, when it is over.

What a reply means is what the activities say; the pauses are those that Temporal would make, with the jitter that the
delivery's id gives. Attempts take no time, and no limit of a destination keeps them waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final, NamedTuple

from activities.email import errors as mail
from activities.interface import EMAIL, SMS, WEBHOOK
from activities.sms import errors as text
from activities.webhook import retry_after
from activities.webhook.errors import WORDS
from activities.webhook.outcome import Outcome, Verdict, of_status
from gateway.virtual.journey import VirtualJourney
from scenario.plan.retry import LAST, SHORT, lengthen
from scenario.steps.delivery import Send
from scenario.steps.host import Delivered, Failed
from scenario.time.timing import later

_FOR_GOOD: Final = 500


@dataclass(frozen=True, kw_only=True)
class Reply:
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


class Judged(NamedTuple):
    """What a reply means.

    Attributes:
        verdict: What becomes of the delivery.
        sentence: Why, of what is not delivered; ``{to}`` is the destination.
    """

    verdict: Verdict
    sentence: str


def _webhook(reply: Reply) -> Judged:
    if reply.error is not None:
        meaning = WORDS[reply.error]
        sentence = meaning.sentence.format(detail="no detail").removesuffix(".")
        return Judged(Verdict(meaning.outcome, reply.error, meaning.unknown), sentence)
    status = reply.status or HTTPStatus.OK
    return Judged(of_status(status, retry_after="retry-after" in reply.headers), f"{{to}} answered {status}")


def _email(reply: Reply) -> Judged:
    if reply.error is None:
        status = reply.status or 250
        outcome = Outcome.PERMANENT if status >= _FOR_GOOD else Outcome.RETRY
        outcome = Outcome.DELIVERED if status < HTTPStatus.BAD_REQUEST else outcome
        return Judged(Verdict(outcome, ""), f"the mail server answered {status}")
    if reply.error in mail.UNANSWERED:
        error: mail.MailError = mail.UnansweredError(reply.error, "")
        return Judged(Verdict(Outcome.RETRY, reply.error, unknown=True), _squeezed(error))
    error = mail.UnreachableError(reply.error, "")
    return Judged(Verdict(Outcome.RETRY_SHORT if error.misconfigured else Outcome.RETRY, reply.error), _squeezed(error))


def _squeezed(error: mail.MailError) -> str:
    return " ".join(str(error).split())


def _sms(reply: Reply) -> Judged:
    status = reply.status or HTTPStatus.OK
    if reply.error is None and status < HTTPStatus.MULTIPLE_CHOICES:
        return Judged(Verdict(Outcome.DELIVERED, ""), "")
    kind = SMS_ERRORS[reply.error] if reply.error else text.error_of(status)
    sentence = f"the provider gave no answer ({reply.error})" if reply.error else f"the provider answered {status}"
    outcome = Outcome.PERMANENT if kind is text.RefusedError else Outcome.RETRY
    return Judged(Verdict(outcome, "", unknown=kind is text.UnansweredError), sentence)


SMS_ERRORS: Final[Mapping[str, type[text.ProviderError]]] = {
    **dict.fromkeys(("connect_timeout", "connect_failed"), text.BusyError),
    **dict.fromkeys(("timeout", "no_answer"), text.UnansweredError),
}
_JUDGES: Final[Mapping[str, Callable[[Reply], Judged]]] = {WEBHOOK.name: _webhook, EMAIL.name: _email, SMS.name: _sms}
ERRORS: Final[Mapping[str, frozenset[str]]] = {
    WEBHOOK.name: frozenset(WORDS),
    EMAIL.name: frozenset(mail.SENTENCES),
    SMS.name: frozenset(SMS_ERRORS),
}
"""The words for attempts without a reply, by channel."""
WELL: Final[Mapping[str, int]] = {WEBHOOK.name: 200, EMAIL.name: 250, SMS.name: 200}
"""What receivers say when all is well, by channel."""


async def deliver(
    journey: VirtualJourney, row: Send, replies: Iterator[Reply], took: Callable[[Reply], str | None]
) -> Delivered | Failed:
    """Makes attempts until the delivery is over.

    Args:
        journey: Whose delivery it is.
        row: The step, with its destination's word in it.
        replies: What comes of each attempt.
        took: Does with the reply of a delivered message what the step says; gives a note for people.
    """
    policy, began = row.retry.spread(journey.delivery), journey.now()
    end = later(began, policy.deadline)
    to, number = row.to or row.kind, 0
    while True:
        number += 1
        reply = next(replies)
        verdict, sentence = _JUDGES[row.kind](reply)
        reason = sentence.replace("{to}", to)
        status = reply.status if reply.error is None else None
        if verdict.delivered:
            return Delivered(outcome="delivered", status=status or WELL[row.kind], attempts=number, note=took(reply))

        failed = Failed(reason=reason, cause="exhausted", destination=to, status=status, attempts=number)
        if verdict.final:
            return replace(failed, cause="permanent")
        if verdict.outcome is Outcome.RETRY_SHORT and journey.now() - began > SHORT:
            return replace(failed, reason=f"{reason}, still after an hour")
        if verdict.unknown and row.on_unknown != "retry":
            return replace(failed, cause="unknown", unknown=True)
        if policy.maximum_attempts and number >= policy.maximum_attempts:
            return replace(failed, reason=f"{reason}, after {number} attempt{'' if number == 1 else 's'}")
        due = _next(journey.now(), policy.pause(number), reply, end)
        if due >= end:
            return failed
        await journey.wait(due, f"{journey.step}: next attempt", lambda: False)


def _next(now: datetime, pause: float, reply: Reply, end: datetime) -> datetime:
    """When the next attempt is due: a receiver may ask for more patience than the policy has, up to the deadline."""
    asked = retry_after.parse(reply.headers.get("retry-after"), now)
    longer = lengthen(asked, pause, (end - now - LAST).total_seconds())
    return now + timedelta(seconds=pause if longer is None else longer)
