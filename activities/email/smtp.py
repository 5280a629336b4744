"""Hands e-mails to a mail server over a pool of connections.

A connection takes several round trips, so a worker keeps a few. If an idle connection turns out to be closed, the
message uses a new one within the same attempt. Temporal retries everything else.

A refused login pauses all messages, for a time that doubles, because servers lock accounts.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Final

from activities.email.errors import MailRefused, MailServerPaused, MailUnanswered, MailUnreachable
from activities.email.message import Envelope
from activities.email.session import MailSession, Reply
from activities.email.settings import Senders, Server, parse_server
from runtime.errors import SettingsError

_CLOSING: Final = 421  # RFC 5321 §3.8: the server closes the connection

PAUSES: Final = (60.0, 600.0)
"""First and maximum seconds of the pause after a refused login."""

CONNECTIONS: Final = 4
"""Maximum number of connections of a worker: servers allow few per client."""

Leaving = Callable[[], Awaitable[None]]
"""Called when the message may leave."""


class Mailer:
    """A mail server and its connections, which are opened when they are needed."""

    idle = 60.0  # seconds after which an unused connection is not reused

    def __init__(
        self, server: Server, senders: Senders, *, connections: int = CONNECTIONS, tls: ssl.SSLContext | None = None
    ) -> None:
        """Trust `tls`; by default the server's `ca`, or the machine's authorities. Raise SettingsError if unusable."""
        self.server = server
        self.senders = senders
        # Maximum number of messages in flight. A worker takes only that many; others wait in Temporal.
        self.connections = connections
        self._tls = tls or _trust(server.ca)
        self._door = asyncio.Lock()
        self._welcome = server.user is None  # the latest login was not refused
        self._pause = PAUSES[0]
        self._closed = float("-inf")
        self._turns = asyncio.Semaphore(connections)
        self._idle: list[tuple[MailSession, float]] = []

    async def send(self, envelope: Envelope, *, within: float, leaving: Leaving | None = None) -> Reply:
        """Hand over one message, or raise MailError.

        Args:
            within: Seconds for connecting and the server's answer, from the message's turn on.
            leaving: Awaited just before the message may leave. If it raises, the message is not sent.
        """
        current: list[MailSession] = []
        try:
            async with self._turns, asyncio.timeout(within):
                return await self._send(envelope, leaving, current)
        except TimeoutError:
            if current and current[-1].left:
                raise MailUnanswered("no_answer", self.server.host) from None
            raise MailUnreachable("timeout", self.server.host) from None

    async def close(self, within: float = 2.0) -> None:
        """Close the connections, of which none may be in use, waiting at most `within` seconds for the server."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(session.close(within) for session, _ in idle))

    async def _send(self, envelope: Envelope, leaving: Leaving | None, current: list[MailSession]) -> Reply:
        session = self._take()
        if session is not None:
            current.append(session)
            try:
                return await self._through(session, envelope, leaving)
            except (MailUnreachable, MailRefused) as error:
                if session.answered or not (isinstance(error, MailUnreachable) or error.status == _CLOSING):
                    raise
                # The others have been idle for longer.
                self._abandon()
        session = MailSession(self.server, self._tls)
        current.append(session)
        try:
            # Until one is admitted, they go one by one: the others may not have to knock.
            async with nullcontext() if self._welcome else self._door:
                await self._open(session)
        except BaseException:
            session.abort()
            raise
        return await self._through(session, envelope, leaving)

    async def _open(self, session: MailSession) -> None:
        if (left := self._closed - time.monotonic()) > 0:
            raise MailServerPaused(self.server.host, left)
        try:
            await session.open()
        except MailUnreachable as error:
            if error.word == "login_refused" and error.misconfigured:
                self._refused()
            raise
        self._welcome, self._pause = True, PAUSES[0]

    def _refused(self) -> None:
        """Start a pause. Simultaneous refusals count as one."""
        now, self._welcome = time.monotonic(), False
        if self._closed <= now:
            self._closed = now + self._pause
            self._pause = min(2 * self._pause, PAUSES[1])

    async def _through(self, session: MailSession, envelope: Envelope, leaving: Leaving | None) -> Reply:
        reusable = False
        try:
            reply = await session.send(envelope, leaving)
            reusable = True
        except MailRefused as error:
            # The server refused a message, not us.
            reusable = error.status != _CLOSING
            raise
        finally:
            # Whatever else ended it, a cancellation too, left the conversation in mid-sentence.
            if reusable and session.alive:
                self._idle.append((session, time.monotonic()))
            else:
                session.abort()
        return reply

    def _take(self) -> MailSession | None:
        """Return the connection that was used last, if it may still be open."""
        while self._idle:
            session, since = self._idle.pop()
            if time.monotonic() - since > self.idle:
                session.abort()
                self._abandon()
            elif session.alive:
                return session
        return None

    def _abandon(self) -> None:
        idle, self._idle = self._idle, []
        for session, _ in idle:
            session.abort()


def _trust(ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError:  # ssl.SSLError is one
        raise SettingsError("SCENARIO_SMTP: ?ca= must name a file of certificates in PEM that can be read") from None


def mailer_from(url: str | None, sender: str | None, allowed: str | None = None) -> Mailer | None:
    """Return the mailer of the settings, or None without a server. Raise SettingsError if they are wrong."""
    wrong: list[str] = []
    server = senders = None
    try:
        server = parse_server(url) if url else None
    except SettingsError as error:
        wrong.append(str(error))
    try:
        senders = Senders.configured(sender, allowed) if sender else None
    except SettingsError as error:
        wrong.append(str(error))
    if url and not sender:
        wrong.append("SCENARIO_MAIL_FROM is missing: set it with SCENARIO_SMTP, as Name <address@example.com>")
    if wrong:
        raise SettingsError("; ".join(wrong))
    return Mailer(server, senders) if server and senders else None
