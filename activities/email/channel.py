"""The e-mail channel."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import SecretStr
from typing_extensions import override

from activities.channel import (
    TEST_HEADER,
    Arrival,
    AttemptReply,
    ChannelActivity,
    ChannelAdapter,
    LocalServers,
    RenderContext,
    RenderedMessage,
    SendContext,
    TestReply,
    shorten,
)
from activities.email.errors import (
    NO_MAILER,
    SENTENCES,
    UNANSWERED,
    MailError,
    MailRefused,
    MailServerPaused,
    MailUnanswered,
    MailUnreachable,
)
from activities.email.message import Envelope, address_in, recipient_of, render, tagged
from activities.email.settings import ANY
from activities.interface import Delivery, Sent
from activities.outcome import Backoff, Judgement, Outcome, Verdict
from activities.redaction import readable
from scenario import liquid
from scenario.errors import NotConfigured
from scenario.plan.retry import SHORT
from scenario.steps.delivery import Send
from scenario.steps.email import Email

if TYPE_CHECKING:
    from temporalio.exceptions import ApplicationError

    from activities.attempt_context import AttemptContext
    from activities.email.smtp import Mailer
    from activities.open_attempt import OpenAttempt
    from runtime.local.receiver import Inbox
    from runtime.settings import Settings

LOCAL_SENDER: Final = "Scenario Runner <scenario-runner@example.com>"
_HEADERS: Final = {"to": "To", "from": "From", "reply_to": "Reply-To", "subject": "Subject"}


@dataclass(frozen=True)
class RenderedMail(RenderedMessage):
    """An e-mail, as the mail server would receive it."""

    envelope: Envelope

    @property
    @override
    def address(self) -> str:
        return self.envelope.recipient

    @cached_property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.envelope.message, policy=default)

    def part(self, subtype: str) -> str | None:
        """Return the text of a part (``plain`` or ``html``) with LF line ends, or None if there is no such part."""
        found = self.message.get_body((subtype,))
        return None if found is None else str(found.get_content()).replace("\r\n", "\n")

    @override
    def describe(self) -> dict[str, Any]:
        fields = ("From", "Reply-To", "To", "Subject", "Date", "Message-ID")
        made = {name.lower().replace("-", "_"): str(self.message[name]) for name in fields if name in self.message}
        return {"message": {**made, **self._parts(), "source": self.envelope.message.decode()}}

    @override
    def facts(self) -> dict[str, Any]:
        named = {key: str(self.message[name]) for key, name in _HEADERS.items() if name in self.message}
        headers = {name: str(value) for name, value in self.message.items()}
        return {**named, **self._parts(), "headers": headers}

    def _parts(self) -> dict[str, str]:
        parts = {"text": self.part("plain"), "html": self.part("html")}
        return {name: part for name, part in parts.items() if part is not None}


class EmailChannel(ChannelAdapter[RenderedMail, "Mailer"]):
    """E-mail, sent by a mail server."""

    title: ClassVar[str] = "e-mail"
    setting: ClassVar[str] = "SCENARIO_SMTP"
    recipient: ClassVar[str] = "an e-mail address"
    not_configured: ClassVar[str] = NO_MAILER
    errors: ClassVar[frozenset[str]] = frozenset(SENTENCES)
    success: ClassVar[int] = 250

    @override
    def render(self, step: Email, delivery: Delivery, data: dict[str, Any], context: RenderContext) -> RenderedMail:
        recipient = recipient_of(context.to or address_in(delivery.data))
        return RenderedMail(render(step, delivery, data, context.senders, recipient))

    @override
    async def deliver(self, activity: ChannelActivity[Mailer], delivery: Delivery, context: AttemptContext) -> Sent:
        mailer = activity.connection
        async with activity.attempt(delivery, context, mailer.server.host if mailer else "") as attempt:
            written = address_in(delivery.data)
            if mailer is None:
                raise NotConfigured(NO_MAILER)
            recipient = recipient_of(written)
            step = await activity.context.content.step_of(delivery, Email, "an e-mail")
            data = await activity.data(attempt, step)
            # A large mail takes longer to render than a worker that serves many may stand still.
            envelope = await asyncio.to_thread(render, step, delivery, data, mailer.senders, recipient)
            if (paths := activity.context.return_paths) is not None:
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

    @override
    async def send(self, context: SendContext[RenderedMail, Mailer]) -> tuple[RenderedMail, TestReply]:
        mailer, envelope = context.connection, context.message.envelope
        marked = f"{TEST_HEADER.title()}: 1\r\n".encode() + envelope.message
        message = RenderedMail(replace(envelope, message=marked))
        hidden = (envelope.recipient, mailer.server.password)
        try:
            reply = await mailer.send(message.envelope, within=context.delivery.timeout)
        except MailError as error:
            body = _readable(error.reply, hidden)
            return message, TestReply.judged(str(error), error.verdict, status=error.status, body=body)
        body = _readable(reply.words, hidden)
        said = f"{mailer.server.host} answered {reply.status}"
        return message, TestReply(delivered=True, said=said, status=reply.status, body=body)

    @override
    def classify(self, reply: AttemptReply, row: Send, now: datetime) -> Judgement:
        status = reply.status or self.success
        if reply.error is None and status < HTTPStatus.BAD_REQUEST:
            return Judgement(Verdict(Outcome.DELIVERED, ""), "")
        error: MailError
        if reply.error is None:
            error = MailRefused("", "the mail server", status=status)
        else:
            error = (MailUnanswered if reply.error in UNANSWERED else MailUnreachable)(reply.error, "")
        return Judgement(error.verdict, " ".join(str(error).split()))

    @override
    async def verify(
        self, servers: LocalServers, name: str, step: Email, data: dict[str, Any], delivery_id: str
    ) -> Arrival:
        address = str(data["contact"]["email"])
        subject = liquid.render_line(step.subject, data)
        got = [mail.message for mail in servers.inbox.messages() if delivery_id in str(mail.message["Message-ID"])]
        problem = ""
        if len(got) != 1:
            problem = f"the inbox has it {len(got)} times"
        elif str(got[0]["Subject"]) != subject or str(got[0]["To"]) != address:
            problem = "subject or address are others than were rendered"
        elif isinstance(step.text, str):
            part = got[0].get_body(("plain",))
            text = part.get_content() if part else ""
            wanted = liquid.render_text(step.text, data)
            if text.replace("\r\n", "\n").strip() != wanted.replace("\r\n", "\n").strip():
                problem = "the text is another than was rendered"
        return Arrival(name, address, shorten(subject), problem)

    @override
    def host(self, connection: Mailer) -> str:
        return connection.server.host

    @override
    def connect(self, settings: Settings, inbox: Path) -> Mailer | None:
        from activities.email.smtp import mailer_from

        url = settings.smtp.get_secret_value() if settings.smtp else None
        return mailer_from(url, settings.mail_from, settings.mail_from_allowed)

    @override
    def local_settings(self, inbox: Inbox) -> dict[str, Any]:
        return {"smtp": SecretStr(inbox.url), "mail_from": LOCAL_SENDER, "mail_from_allowed": ANY}


def _failure(attempt: OpenAttempt, error: MailError, hidden: tuple[str, ...]) -> ApplicationError:
    waited = attempt.now - attempt.context.info.scheduled_time
    if isinstance(error, MailServerPaused) and waited <= SHORT:
        return attempt.backed_off(Backoff(timedelta(seconds=error.seconds), error.why, error.then, error.word))
    judgement = Judgement(error.verdict, str(error))
    return attempt.failed(judgement, status=error.status, excerpt=_readable(error.reply, hidden))


def _readable(words: str, hidden: tuple[str, ...]) -> str:
    """Return the server's words without the recipient's address and our password."""
    return readable(words.encode(errors="replace"), hidden)


ADAPTER: Final = EmailChannel()
