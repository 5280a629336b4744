"""The activity that sends an e-mail: render, compose, hand over once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from temporalio.exceptions import ApplicationError
from typing_extensions import override

from activities.attempt import ChannelActivity
from activities.attempt_context import AttemptContext
from activities.channel_registry import EMAIL
from activities.email.errors import NO_MAILER, MailError, MailServerPaused
from activities.email.message import address_in, recipient_of, render, tagged
from activities.email.smtp import Mailer
from activities.interface import Delivery, Sent
from activities.open_attempt import OpenAttempt
from activities.outcome import Backoff, Judgement
from activities.redaction import readable
from scenario.errors import NotConfigured
from scenario.plan.retry import SHORT
from scenario.steps.email import Email


class Emails(ChannelActivity[Mailer | None]):
    """Sends e-mails through a mail server."""

    channel = EMAIL

    @override
    async def send(self, delivery: Delivery, context: AttemptContext) -> Sent:
        mailer = self._way
        async with self.attempt(delivery, context, mailer.server.host if mailer else "") as attempt:
            written = address_in(delivery.data)
            if mailer is None:
                raise NotConfigured(NO_MAILER)
            recipient = recipient_of(written)
            step = await self._content.step_of(delivery, Email, "an e-mail")
            data = await self.data(attempt, step)
            # A large mail takes longer to render than a worker that serves many may stand still.
            envelope = await asyncio.to_thread(render, step, delivery, data, mailer.senders, recipient)
            if (paths := self._context.return_paths) is not None:
                envelope = replace(envelope, sender=paths.of(delivery.id, recipient.address))
            envelope = tagged(envelope, mailer.server.host, delivery.id)
            hidden = (written, recipient.address, mailer.server.password)
            await attempt.may_leave(recipient.address)
            try:
                reply = await mailer.send(envelope, within=attempt.within, leaving=attempt.sending)
            except MailError as error:
                raise _failure(attempt, error, hidden) from None
            attempt.delivered(reply.status, _readable(reply.words, hidden))
        return attempt.sent


def _failure(attempt: OpenAttempt, error: MailError, hidden: tuple[str, ...]) -> ApplicationError:
    waited = datetime.now(UTC) - attempt.context.info.scheduled_time
    if isinstance(error, MailServerPaused) and waited <= SHORT:
        return attempt.backed_off(Backoff(timedelta(seconds=error.seconds), error.why, error.then, error.word))
    judgement = Judgement(error.verdict, str(error))
    return attempt.failed(judgement, status=error.status, excerpt=_readable(error.reply, hidden))


def _readable(words: str, hidden: tuple[str, ...]) -> str:
    """Return the server's words without the recipient's address and our password."""
    return readable(words.encode(errors="replace"), hidden)
