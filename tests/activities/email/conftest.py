"""Mail servers to send to: a real one (aiosmtpd), and one that breaks off where it is told to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from activities.email.settings import Encryption, Senders, Server
from activities.email.smtp import Mailer
from scenario.recipients import Mailbox

SENDER = Senders(Mailbox("news@shop.example", "Shop"), frozenset({"service@help.example"}))


@dataclass
class Received:
    server: Server
    mails: list[Envelope] = field(default_factory=list[Envelope])
    connections: int = 0
    reply: dict[str, str] = field(default_factory=dict[str, str])
    """Replies to commands, by their names (``RCPT``, ``DATA``)."""

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if "RCPT" in self.reply:
            return self.reply["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        self.mails.append(envelope)
        return self.reply.get("DATA", "250 OK")


@dataclass
class Faulty:
    """A mail server that does as it is told.

    Attributes:
        acts: What to do at a command (``CONNECT``, ``EHLO``, ``MAIL``, ``RCPT``, ``DATA``, ``TEXT``, ``RSET``): a
            reply, ``drop`` or ``hang``. A list is used up, one conversation after the other; then all is well.
        seen: The commands of each conversation.
        texts: The messages that arrived whole.
        hanging: Set once it keeps somebody waiting.
    """

    server: Server
    acts: dict[str, str | list[str]]
    seen: list[list[str]] = field(default_factory=list[list[str]])
    texts: list[bytes] = field(default_factory=list[bytes])
    hanging: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen: list[str] = []
        self.seen.append(seen)
        word = "CONNECT"
        try:
            while word != "QUIT":
                seen.append(word)
                act = await self._answer(word, writer)
                if act is None:
                    return
                if word == "DATA" and not act:
                    self.texts.append(await reader.readuntil(b"\r\n.\r\n"))
                    word = "TEXT"
                else:
                    word = (await reader.readline()).decode().strip().partition(" ")[0].upper() or "QUIT"
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _answer(self, word: str, writer: asyncio.StreamWriter) -> str | None:
        act = self.acts.get(word, "")
        if isinstance(act, list):
            act = act.pop(0) if act else ""
        if act == "hang":
            self.hanging.set()
            await asyncio.sleep(30)
        if act in ("drop", "hang"):
            return None
        known = {"CONNECT": "220 hello", "DATA": "354 go on"}
        writer.write((act or known.get(word, "250 fine")).encode(errors="surrogateescape") + b"\r\n")
        await writer.drain()
        return act


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def mail_server(stack: AsyncExitStack) -> Callable[..., Any]:
    """Starts a real mail server; options are aiosmtpd's, and `tls`: the context of a server that is TLS throughout."""

    async def start(*, tls: ssl.SSLContext | None = None, **options: Any) -> Received:
        received = Received(Server("127.0.0.1", 0))

        def protocol() -> SMTP:
            received.connections += 1
            return SMTP(received, hostname="mail.test", **options)

        await _serve(stack, await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=tls), received)
        if tls:
            received.server = replace(received.server, encryption=Encryption.IMPLICIT)
        return received

    return start


@pytest.fixture
def faulty_server(stack: AsyncExitStack) -> Callable[..., Any]:
    async def start(**acts: str | list[str]) -> Faulty:
        faulty = Faulty(Server("127.0.0.1", 0), acts)
        conversations: set[asyncio.Task[None]] = set()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            conversations.add(task)
            try:
                await faulty.talk(reader, writer)
            except asyncio.CancelledError:
                return

        async def hang_up() -> None:
            for task in conversations:
                task.cancel()
            await asyncio.gather(*conversations)

        await _serve(stack, await asyncio.start_server(talk, "127.0.0.1", 0), faulty)
        stack.push_async_callback(hang_up)
        return faulty

    return start


async def _serve(stack: AsyncExitStack, server: asyncio.Server, what: Received | Faulty) -> None:
    await stack.enter_async_context(server)
    what.server = replace(what.server, port=server.sockets[0].getsockname()[1])


@pytest.fixture
def mailer(stack: AsyncExitStack) -> Callable[..., Any]:
    async def make(where: Received | Faulty | Server, **options: Any) -> Mailer:
        server = where if isinstance(where, Server) else where.server
        made = Mailer(server, SENDER, **options)
        stack.push_async_callback(made.close)
        return made

    return make


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
    return context


@pytest.fixture
def certified(authority: trustme.CA) -> Callable[[str], ssl.SSLContext]:
    def make(name: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
        return context

    return make


@pytest.fixture
def login() -> Callable[..., AuthResult]:
    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"shop", b"p@ss:word")
        return AuthResult(success=good, handled=False)

    return check
