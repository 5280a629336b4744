"""What an attempt reports to Temporal: a result, or a failure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from temporalio.exceptions import ApplicationError

from activities import redaction
from activities.attempt import OpenAttempt
from activities.failures import FailureKind
from activities.interface import Sent
from activities.webhook import outcome, retry_after
from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Response
from activities.webhook.outcome import Outcome, Verdict
from activities.webhook.saved_response import kept
from scenario.steps.webhook import Webhook

_CERTIFICATE: Final = b"ssl certificate"
"""What nginx says with 400 where it gets no client certificate or a foreign one, rather than end the handshake."""


def judge(
    attempt: OpenAttempt,
    response: Response,
    step: Webhook,
    hidden: redaction.KnownSecrets,
    given: redaction.KnownSecrets,
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
    return _failure(attempt, error.verdict, str(error).removesuffix("."))


def _failure(
    attempt: OpenAttempt,
    verdict: Verdict,
    sentence: str,
    *,
    status: int | None = None,
    excerpt: str = "",
    asked: int | None = None,
) -> ApplicationError:
    return attempt.failure(
        FailureKind.PERMANENT if verdict.final else FailureKind.RETRY,
        sentence,
        status=status,
        error=verdict.reason,
        unknown=verdict.unknown,
        excerpt=excerpt,
        short=verdict.outcome is Outcome.RETRY_SHORT,
        asked=asked,
    )
