import asyncio
import contextlib
import socket
import ssl
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp.client_reqrep import ConnectionKey

from activities.outcome import Outcome
from activities.webhook.errors import AttemptError
from activities.webhook.http.connections import translate
from activities.webhook.http.exchange import Flight, Request, Tls
from activities.webhook.http.transport import Transport
from scenario.http.urls import Access, Target
from tests.activities.webhook.faults import Receiver, failure, receiver, serving

NAME = "pub.test"


class Authority:
    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.ca = trustme.CA()
        self.file = str(folder / "ca.pem")
        self.ca.cert_pem.write_to_path(self.file)

    def server(self, *names: str, not_after: datetime | None = None, clients: bool = False) -> ssl.SSLContext:
        issued = self.ca.issue_cert(*(names or (NAME,)), not_after=not_after)
        file = str(self.folder / "server.pem")
        issued.private_key_and_cert_chain_pem.write_to_path(file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        if clients:
            context.load_verify_locations(self.file)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self, name: str) -> str:
        file = str(self.folder / f"{name}.pem")
        self.ca.issue_cert(f"{name}@client.example").private_key_and_cert_chain_pem.write_to_path(file)
        return file

    def renew(self, file: str) -> None:
        Path(self.client("renewed")).replace(file)


def expired(authority: Authority) -> ssl.SSLContext:
    return authority.server(not_after=datetime.now(UTC) - timedelta(days=1))


def another_name(authority: Authority) -> ssl.SSLContext:
    return authority.server("other.test")


def unknown_authority(authority: Authority) -> ssl.SSLContext:
    return Authority(authority.folder / "else").server()


@contextlib.contextmanager
def stern(tls: ssl.SSLContext) -> Generator[Receiver]:
    """Accepts one connection and only shakes hands. Unlike asyncio's server it says why it would not: an alert."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(60)
                with tls.wrap_socket(connection, server_side=True) as wrapped:
                    wrapped.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        yield Receiver("127.0.0.1", listener.getsockname()[1])
        thread.join()


async def here(_host: str) -> list[str]:
    return ["127.0.0.1"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(connect_timeout=60, lookup=here) as made:
        yield made


def https(there: Receiver, tls: Tls, host: str = NAME) -> Request:
    access = Access(allow_private=True, ports=(there.port,))
    return Request("POST", there.url("/hook", "https", host), body=b"{}", timeout=60, access=access, tls=tls)


async def test_the_name_stays_the_name_though_a_number_is_dialled(transport: Transport, authority: Authority):
    async with receiver(tls=authority.server()) as there:
        responses = [await transport.send(https(there, Tls(ca_file=authority.file))) for _ in range(2)]
    assert ([response.status for response in responses], there.connections) == ([200, 200], 1)
    assert there.server_names == [NAME]
    assert there.calls[0].header("host") == f"{NAME}:{there.port}"


async def test_a_literal_address_is_verified_as_an_address(transport: Transport, authority: Authority):
    async with receiver(tls=authority.server("127.0.0.1")) as there:
        assert (await transport.send(https(there, Tls(ca_file=authority.file), "127.0.0.1"))).status == 200


@pytest.mark.parametrize(
    ("server", "detail"),
    [
        (expired, "certificate has expired"),
        (another_name, "Hostname mismatch"),
        (unknown_authority, "unable to get local issuer certificate"),
    ],
)
async def test_a_certificate_that_does_not_verify(
    transport: Transport, authority: Authority, server: Callable[[Authority], ssl.SSLContext], detail: str
):
    async with receiver(tls=server(authority)) as there:
        error = await failure(transport, https(there, Tls(ca_file=authority.file)))
    assert isinstance(error, AttemptError)
    assert (error.word, type(error), error.detail) == ("tls_verify_failed", AttemptError, detail)
    assert NAME not in str(error)
    assert there.calls == []
    assert error.verdict.outcome is Outcome.RETRY_SHORT


async def test_an_authority_of_our_own_is_trusted_only_where_it_is_named(
    transport: Transport, authority: Authority, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SSL_CERT_FILE", authority.file)  # the environment does not choose whom we trust
    async with receiver(tls=authority.server()) as there:
        assert (await transport.send(https(there, Tls(ca_file=authority.file)))).status == 200
        assert (await failure(transport, https(there, Tls()))).word == "tls_verify_failed"
    assert len(there.calls) == 1


async def test_tls_1_1_is_too_old(transport: Transport, authority: Authority):
    server = authority.server()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        server.minimum_version = ssl.TLSVersion.TLSv1
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    server.set_ciphers("ALL:@SECLEVEL=0")
    with stern(server) as there:
        error = await failure(transport, https(there, Tls(ca_file=authority.file)))
    assert (error.word, error.detail, type(error)) == ("tls_failed", "TLSV1_ALERT_PROTOCOL_VERSION", AttemptError)
    assert error.verdict.outcome is Outcome.RETRY_SHORT


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_missing_client_certificate(transport: Transport, authority: Authority, version: ssl.TLSVersion):
    server = authority.server(clients=True)
    server.maximum_version = version
    with stern(server) as there:
        error = await failure(transport, https(there, Tls(ca_file=authority.file)))
    if version is ssl.TLSVersion.TLSv1_2:
        assert (error.word, type(error)) == ("tls_failed", AttemptError)
    else:
        # TLS 1.3 lets us send before it tells us that it will not listen; its alert may be overtaken by a reset.
        assert error.word in {"tls_rejected", "reset_before_response"}
        assert isinstance(error, AttemptError)


@pytest.mark.parametrize("connect", [60, 0.5], ids=["the whole time is up", "the time to connect is up"])
async def test_a_handshake_that_never_ends(authority: Authority, out_of_time: Callable[[], None], connect: float):
    greeted = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        greeted.set()
        await reader.read()

    async with Transport(connect_timeout=connect, lookup=here) as transport, serving(say_nothing) as there:
        task = asyncio.create_task(failure(transport, https(there, Tls(ca_file=authority.file))))
        await greeted.wait()
        if connect == 60:
            out_of_time()
        error = await task
    assert (error.word, type(error)) == ("tls_handshake_timeout", AttemptError)


async def test_a_client_certificate_is_shown_where_it_is_set_and_renewed_without_a_restart(
    transport: Transport, authority: Authority
):
    file = Authority(authority.folder / "else").client("stranger")
    ours = Tls(ca_file=authority.file, cert_file=file)
    async with receiver(tls=authority.server(clients=True)) as there:
        for tls in (Tls(ca_file=authority.file), ours):
            await failure(transport, https(there, tls))
        authority.renew(file)
        assert (await transport.send(https(there, ours))).status == 200
    assert len(there.calls) == 1


@pytest.mark.parametrize(
    "tls",
    [
        Tls(ca_file="/nowhere/ca.pem"),
        Tls(cert_file="/nowhere/us.pem"),
        Tls(ca_file=__file__),
        Tls(cert_file=__file__),
        Tls(ca_file="/"),
    ],
    ids=["no authority", "no certificate", "an authority that is none", "a certificate that is none", "a folder"],
)
async def test_files_that_cannot_be_used_are_said_to_be(transport: Transport, tls: Tls):
    error = await failure(transport, https(Receiver("127.0.0.1", 9), tls))
    assert (error.word, type(error)) == ("tls_files_unusable", AttemptError)
    assert "nowhere" not in str(error)
    assert error.verdict.outcome is Outcome.RETRY_SHORT


HTTP2 = "The destination speaks HTTP/2 only: let it, or the proxy in front of it, take HTTP/1.1 too."
FATAL = bytes([21, 3, 3, 0, 2, 2])
"""The beginning of a fatal alert (RFC 8446 §6)."""


@pytest.mark.parametrize(
    ("answer", "word", "detail", "outcome"),
    [
        (b"", "connect_reset", "", Outcome.RETRY),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "tls_failed", "", Outcome.RETRY_SHORT),
        (FATAL + b"\x78", "http2_only", HTTP2, Outcome.RETRY_SHORT),
        (FATAL + b"\x50", "tls_failed", "TLSV1_ALERT_INTERNAL_ERROR", Outcome.RETRY_SHORT),
    ],
    ids=["it hangs up", "it speaks no TLS", "it speaks HTTP/2 only", "it fails"],
)
async def test_a_receiver_ends_the_handshake(
    transport: Transport, authority: Authority, answer: bytes, word: str, detail: str, outcome: Outcome
):
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        if answer:
            writer.write(answer)
            await writer.drain()
            await reader.read()

    async with serving(refuse) as there:
        error = await failure(transport, https(there, Tls(ca_file=authority.file)))
    assert (error.word, type(error), error.verdict.outcome) == (word, AttemptError, outcome)
    assert detail in f"{error} {error.detail}"


def test_what_python_has_no_name_for_openssl_has_words_for():
    reason = ssl.SSLError(1, "[SSL] some unheard of failure (_ssl.c:1006)")
    reason.reason = ""
    key = ConnectionKey("pub.test", 443, True, True, None, None, None)
    error = translate(aiohttp.ClientConnectorSSLError(key, reason), Flight(Target("", "https", "pub.test", 443)))
    assert (error.word, error.detail) == ("tls_failed", "some unheard of failure")
