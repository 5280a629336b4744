"""The activity that sends an e-mail step: render, compose, hand over once. Temporal does the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.attempt import OpenAttempt, attempt_of
from activities.attempt_log import Log
from activities.content import Content
from activities.context import Addresses, template_data
from activities.email.address import BadAddress, parse_address
from activities.email.errors import LeftAloneError, MailError, RefusedError, UnansweredError, UnreachableError
from activities.email.rendering import address_in, render
from activities.email.smtp import Mailer
from activities.failures import FailureKind
from activities.interface import EMAIL, Delivery, Sent
from activities.permission import Gate, NotBefore
from activities.redaction import readable
from scenario.plan.retry import SHORT
from scenario.steps.email import Email


class Emails:
    """Sends e-mails.

    Args:
        content: Published scenarios, with the steps' templates.
        mailer: The mail server; None where SCENARIO_SMTP or SCENARIO_MAIL_FROM is not set.
        log: Where attempts are recorded.
        callbacks: Makes `journey.callback_url`; None where it is not configured.
        gates: Who is asked, right before anything leaves, whether it may.
    """

    def __init__(
        self,
        content: Content,
        mailer: Mailer | None,
        log: Log,
        callbacks: Addresses | None = None,
        gates: Sequence[Gate] = (),
    ) -> None:
        self._content = content
        self._callbacks, self._gates = callbacks, gates
        self._mailer = mailer
        self._log = log

    @activity.defn(name=EMAIL.activity)
    async def send_email(self, delivery: Delivery) -> Sent:
        """Sends one e-mail, once.

        Raises:
            ApplicationError: See `activities.failures`. A RETRY is Temporal's to try again.
        """
        mailer = self._mailer
        host = mailer.server.host if mailer else EMAIL.name
        with attempt_of(delivery, channel=EMAIL, destination=host, log=self._log, gates=self._gates) as attempt:
            written = address_in(delivery.data)
            if mailer is None:
                raise attempt.failure(
                    FailureKind.UNCONFIGURED,
                    "e-mail is not configured: set SCENARIO_SMTP and SCENARIO_MAIL_FROM",
                    error="unconfigured",
                )
            try:
                recipient = parse_address(written)
            except BadAddress:
                raise attempt.failure(
                    FailureKind.PERMANENT, "the contact's e-mail address is malformed", error="bad_address"
                ) from None
            step = await self._content.step_of(delivery, Email, "an e-mail")
            data = template_data(attempt.delivery, activity.info().workflow_id or "", self._callbacks)
            # A large mail takes longer to render than a worker that serves many may stand still.
            envelope = await asyncio.to_thread(render, step, delivery, data, mailer.sender, recipient)
            hidden = (written, recipient.address, mailer.server.password)
            await attempt.may_leave()
            try:
                reply = await mailer.send(envelope, within=attempt.within, leaving=attempt.sending)
            except MailError as error:
                raise _failure(attempt, error, hidden) from None
            attempt.delivered(reply.status, _readable(reply.words, hidden))
        return attempt.sent


def _failure(attempt: OpenAttempt, error: MailError, hidden: tuple[str, ...]) -> ApplicationError:
    waited = datetime.now(UTC) - activity.info().scheduled_time
    if isinstance(error, LeftAloneError) and waited <= SHORT:
        return attempt.kept_back(NotBefore(timedelta(seconds=error.seconds), error.why, error.then, error.word))
    return attempt.failure(
        FailureKind.PERMANENT if isinstance(error, RefusedError) and error.permanent else FailureKind.RETRY,
        str(error),
        status=error.status,
        error=error.word or None,
        unknown=isinstance(error, UnansweredError),
        excerpt=_readable(error.reply, hidden),
        short=isinstance(error, UnreachableError) and error.misconfigured,
    )


def _readable(words: str, hidden: tuple[str, ...]) -> str:
    """The server's words without the recipient's address, which servers like to repeat, and our password."""
    return readable(words.encode(errors="replace"), hidden)
