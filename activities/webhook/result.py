"""What an attempt reports to Temporal: a result, or a failure with the time of the next attempt.

The back-off is Temporal's own, so that an operator's change of the retry policy takes effect at once.
`next_retry_delay`, which overrides it, is set only for ``Retry-After``, where the attempt was turned away, and after
that: Temporal counts attempts that were turned away, so its own intervals would be too long.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities import redaction
from activities.attempt import OpenAttempt
from activities.backoff import deadline, pause
from activities.failures import FailureKind
from activities.interface import Sent
from activities.webhook import outcome, retry_after
from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Response
from activities.webhook.outcome import Outcome, Verdict
from activities.webhook.saved_response import kept
from scenario.plan.retry import LAST, SHORT
from scenario.steps.webhook import Webhook

_CERTIFICATE: Final = b"ssl certificate"
"""What nginx says with 400 where it gets no client certificate or a foreign one, rather than end the handshake."""


def judge(
    attempt: OpenAttempt,
    response: Response,
    step: Webhook,
    hidden: redaction.Known,
    given: redaction.Known,
) -> Sent:
    """What a response means.

    Args:
        attempt: The attempt.
        response: What came back.
        step: Says what is kept of it.
        hidden: All secrets, which nobody may see of it.
        given: Those that went with the request, and so may change what the journey keeps.

    Raises:
        ApplicationError: It is not "delivered".
    """
    asked = retry_after.parse(response.headers.get("retry-after"), datetime.now(UTC))
    # A certificate of ours is a destination's matter: of a plain URL nobody asks for one.
    certificate = step.to is not None and _CERTIFICATE in response.body.lower()
    verdict = outcome.of_status(response.status, retry_after=asked is not None, certificate=certificate)
    excerpt = redaction.excerpt(response.body, hidden)
    if not verdict.delivered:
        sentence = f"{attempt.destination} answered {response.status}"
        if verdict.reason == outcome.CERTIFICATE:
            sentence = f"{sentence} and spoke of our client certificate (see 'tls' in destinations.yaml)"
        raise _failure(attempt, verdict, sentence, status=response.status, excerpt=excerpt, asked=asked)
    saved, note = kept(step.save, response, given) if step.save else (None, None)
    return attempt.delivered(response.status, excerpt, saved=saved, note=note)


def unanswered(attempt: OpenAttempt, error: AttemptError) -> ApplicationError:
    """The failure to raise where there was no response."""
    return _failure(attempt, error.verdict, str(error), error=error.word)


def lost(attempt: OpenAttempt) -> ApplicationError | None:
    """The failure to raise where the last of the attempts that the step allows was lost with its worker; else None."""
    allowed = _allowed(attempt)
    # Where nothing may be sent twice, the one that was lost has left no mark: it sent nothing, and does not count.
    if not allowed or attempt.number <= allowed or attempt.delivery.on_unknown != "retry":
        return None
    return attempt.failure(
        FailureKind.PERMANENT,
        f"A worker was lost during the last of {_count(allowed)}: the message may have been delivered",
        error="worker_lost",
        unknown=True,
        exhausted=True,
    )


def _failure(
    attempt: OpenAttempt,
    verdict: Verdict,
    sentence: str,
    *,
    status: int | None = None,
    error: str | None = None,
    excerpt: str = "",
    asked: int | None = None,
) -> ApplicationError:
    """The failure to raise for a verdict that is not "delivered"."""
    info, allowed = activity.info(), _allowed(attempt)
    sentence = sentence.removesuffix(".")
    kind, exhausted = FailureKind.PERMANENT if verdict.final else FailureKind.RETRY, False
    # Where it may have arrived and must not be sent twice, `on_unknown` decides, not the number of attempts.
    open_ended = verdict.unknown and attempt.delivery.on_unknown != "retry"
    if verdict.outcome is Outcome.RETRY_SHORT and datetime.now(UTC) - info.scheduled_time > SHORT:
        kind, exhausted, sentence = FailureKind.PERMANENT, True, f"{sentence}, still after an hour"
    elif kind is FailureKind.RETRY and allowed and attempt.number >= allowed and not open_ended:
        kind, exhausted, sentence = FailureKind.PERMANENT, True, f"{sentence}, after {_count(allowed)}"
    return attempt.failure(
        kind,
        sentence,
        status=status,
        error=error or verdict.reason,
        unknown=verdict.unknown,
        excerpt=excerpt,
        exhausted=exhausted,
        next_retry_delay=_delay(attempt, info, asked) if kind is FailureKind.RETRY else None,
    )


def _allowed(attempt: OpenAttempt) -> int:
    """So many attempts the step allows; 0: as many as the deadline does.

    Journeys leave the counting to us. Who changes the number in flight does so at Temporal, which then counts.
    """
    policy = activity.info().retry_policy
    return 0 if policy is not None and policy.maximum_attempts else attempt.delivery.attempts


def _delay(attempt: OpenAttempt, info: activity.Info, asked: int | None) -> timedelta | None:
    """The delay to use instead of Temporal's own, if any."""
    planned = pause(info.retry_policy, attempt.number)
    delay = retry_after.lengthen(asked, planned, _left(attempt))
    if delay is None and planned < pause(info.retry_policy, info.attempt):
        delay = planned
    return None if delay is None else timedelta(seconds=delay)


def _left(attempt: OpenAttempt) -> float:
    """Seconds until an attempt should be begun at the latest."""
    end = deadline(activity.info(), attempt.delivery.room)
    return float("inf") if end is None else (end - datetime.now(UTC) - LAST).total_seconds()


def _count(attempts: int) -> str:
    return f"{attempts} attempt{'' if attempts == 1 else 's'}"
