"""Hands e-mails to a mail server over a pool of connections.

A connection takes several round trips, so a worker keeps a few. If an idle connection turns out to be closed, the
message uses a new one within the same attempt. Temporal retries everything else.

A refused login pauses all messages, for a time that doubles, because servers lock accounts.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Final

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPConnectTimeoutError,
    SMTPException,
    SMTPHeloError,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from activities.email.errors import MailRefused, MailServerPaused, MailUnanswered, MailUnreachable
from activities.email.message import Envelope
from activities.email.settings import Encryption, Senders, Server, parse_server
from runtime.errors import SettingsError

_CONNECT_SECONDS: Final = 10.0
_GO_AHEAD: Final = 354
_DOT: Final = re.compile(rb"^\.", re.MULTILINE)


@dataclass(frozen=True)
class Reply:
    """The server's acceptance of a message."""

    status: int
    words: str  # its text, often with its own id of the message


class MailSession:
    """A connection for one message at a time."""

    def __init__(self, server: Server, tls: ssl.SSLContext) -> None:
        self._server = server
        self.left = False
        self.answered = False  # the server has answered the current message's first command
        self._unfinished = False
        self._client = SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.encryption is Encryption.IMPLICIT,
            start_tls=False,  # begun in `open`, which knows when to do without
            tls_context=tls,
            local_hostname="localhost",  # until there is a connection to take an address from
            timeout=_CONNECT_SECONDS,
        )

    @property
    def alive(self) -> bool:
        """True if it is open, as far as known without a request."""
        return self._client.is_connected

    async def open(self) -> None:
        """Connect, start TLS and log in, or raise MailUnreachable."""
        server, client = self._server, self._client
        with _opening(server.host):
            await client.connect()
            client.local_hostname = self._own_name()
            await self._greet()
            if server.encryption is Encryption.STARTTLS:
                if client.supports_extension("starttls"):
                    await self._encrypt()
                    await self._greet()
                elif not server.local:
                    raise MailUnreachable("starttls_missing", server.host)
            if server.user is not None:
                await self._login(server.user, server.password)
        client.timeout = None  # from now on, the caller's

    async def send(self, envelope: Envelope, leaving: Callable[[], Awaitable[None]] | None) -> Reply:
        """Hand over one message, or raise MailError. `leaving` is awaited once, just before the message may leave."""
        client, host = self._client, self._server.host
        self.left = self.answered = False
        options: list[str] = []
        with self._talking():
            if self._unfinished:
                await self._forget()
            self._unfinished = True
            if client.supports_extension("size"):
                options.append(f"SIZE={len(envelope.message)}")
            if envelope.utf8:
                if not client.supports_extension("smtputf8"):
                    raise MailRefused("no_smtputf8", host)
                options += ["BODY=8BITMIME", "SMTPUTF8"]
            encoding = "utf-8" if envelope.utf8 else "ascii"
            await client.mail(envelope.sender, options=options, encoding=encoding)
            self.answered = True
            await client.rcpt(envelope.recipient, encoding=encoding)
            if leaving is not None:
                await leaving()
            reply = await client.execute_command(b"DATA")
            if reply.code != _GO_AHEAD:
                raise SMTPResponseException(reply.code, reply.message)
            # By hand from here: the library's own `data` does not tell on which side of the text it failed.
            protocol = client.protocol
            if protocol is None:
                raise MailUnreachable("disconnected", host)
            self.left = True
            # RFC 5321 §4.5.2: a line that begins with a dot gets another one, a dot alone is the end.
            protocol.write(_DOT.sub(b"..", envelope.message) + b".\r\n")
            reply = await protocol.read_response()
            if not 200 <= reply.code < 300:
                raise SMTPResponseException(reply.code, reply.message)
        self._unfinished = False
        return Reply(reply.code, reply.message)

    def abort(self) -> None:
        self._client.close()

    async def close(self, within: float) -> None:
        """Quit and close, waiting at most `within` seconds for the server."""
        with suppress(SMTPException, OSError):
            await self._client.quit(timeout=within)
        self._client.close()

    async def _greet(self) -> None:
        try:
            await self._client.ehlo()
        except SMTPHeloError:
            await self._client.helo()

    async def _encrypt(self) -> None:
        try:
            await self._client.starttls()
        except SMTPResponseException as error:
            if error.code < 0:
                raise
            host = self._server.host
            raise MailUnreachable("starttls_refused", host, status=error.code, reply=error.message) from None

    async def _forget(self) -> None:
        """Reset the connection after a refused message."""
        try:
            await self._client.rset()
        except SMTPResponseException:
            # No word about the message that is to be sent now: it needs another connection.
            raise MailUnreachable("disconnected", self._server.host) from None

    async def _login(self, user: str, password: str) -> None:
        try:
            await self._client.login(user, password)
        except SMTPAuthenticationError as error:
            raise MailUnreachable("login_refused", self._server.host, status=error.code) from None
        except (SMTPTimeoutError, SMTPServerDisconnected, SMTPResponseException):
            raise
        except SMTPException:
            raise MailUnreachable("login_missing", self._server.host) from None

    def _own_name(self) -> str:
        """Return our name for EHLO: a full name, or the connection's address (RFC 5321 §4.1.3), without DNS."""
        name = socket.gethostname()
        if "." in name and re.fullmatch(r"[A-Za-z0-9.-]+", name):
            return name
        address = str(self._client.get_transport_info("sockname")[0]).partition("%")[0]
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    @contextmanager
    def _talking(self) -> Generator[None]:
        """Translate the library's errors, depending on whether the message has left."""
        host = self._server.host
        try:
            yield
        except SMTPResponseException as error:
            if error.code > 0:
                # Also after the text: the server said that it does not take it.
                about_us = not self.answered
                raise MailRefused("", host, status=error.code, reply=error.message, sender=about_us) from None
            raise self._lost("protocol_error", "no_answer") from None
        except SMTPTimeoutError:
            raise self._lost("timeout", "no_answer") from None
        except (SMTPServerDisconnected, OSError):
            raise self._lost("disconnected", "drop_after_data") from None

    def _lost(self, before: str, after: str) -> MailUnreachable | MailUnanswered:
        host = self._server.host
        return MailUnanswered(after, host) if self.left else MailUnreachable(before, host)


@contextmanager
def _opening(host: str) -> Generator[None]:
    """Translate the library's errors before any message."""
    try:
        yield
    except SMTPResponseException as error:
        word = "greeting_refused" if error.code > 0 else "protocol_error"
        raise MailUnreachable(word, host, status=error.code if error.code > 0 else None, reply=error.message) from None
    except SMTPConnectTimeoutError:
        raise MailUnreachable("connect_timeout", host) from None
    except SMTPConnectError as error:
        raise MailUnreachable(_connect_word(error.__cause__), host) from None
    except SMTPTimeoutError:
        raise MailUnreachable("timeout", host) from None
    except ssl.SSLError:
        raise MailUnreachable("tls_failed", host) from None
    except (SMTPServerDisconnected, OSError):
        raise MailUnreachable("disconnected", host) from None


def _connect_word(cause: BaseException | None) -> str:
    if isinstance(cause, ssl.SSLError):
        return "tls_failed"
    if isinstance(cause, socket.gaierror):
        return "dns_failed"
    # Where a name has several addresses, asyncio only tells it in the text.
    if isinstance(cause, ConnectionRefusedError) or f"[Errno {errno.ECONNREFUSED}]" in str(cause):
        return "connect_refused"
    return "connect_failed"


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
