"""What an attempt reports to Temporal: a result, or a failure."""

from __future__ import annotations

from datetime import UTC, datetime

from temporalio.exceptions import ApplicationError

from activities import redaction
from activities.interface import Sent
from activities.open_attempt import OpenAttempt
from activities.outcome import Judgement
from activities.webhook import outcome
from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Response
from activities.webhook.saved_response import kept
from scenario.steps.webhook import Webhook


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
    judgement = outcome.of_response(
        attempt.destination,
        response.status,
        response.headers,
        response.body,
        named=step.to is not None,
        now=datetime.now(UTC),
    )
    excerpt = redaction.excerpt(response.body, hidden)
    if not judgement.verdict.delivered:
        raise attempt.failed(judgement, status=response.status, excerpt=excerpt)
    saved, note = kept(step.save, response, given) if step.save else (None, None)
    return attempt.delivered(response.status, excerpt, saved=saved, note=note)


def unanswered(attempt: OpenAttempt, error: AttemptError) -> ApplicationError:
    """The failure to raise where there was no response."""
    return attempt.failed(Judgement(error.verdict, str(error).removesuffix(".")))
