"""Secrets and personal data to be looked for, a receiver that sends back all that it gets, and processes that log all.

A secret is looked for as it is, without its prefix, and in spellings that the receiver sends back; see `traces`.
"""

import asyncio
import base64
import re
import ssl
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import httpx
import trustme
from aiohttp import web

from tests.e2e.conftest import ROOT


def _key(prefix: str, seed: int) -> str:
    return prefix + base64.b64encode(bytes(range(seed, seed + 32))).decode()


SECRETS: Final = {
    "TOKEN": "t0ken-of-wax-4711",
    "PAIR": "zoe:pa55-of-wax-4712",
    "PIN": "8841907",
    "SIGN": _key("whsec_", 1),
    "SIGN_OLD": _key("whsec_", 70),
    "SIGN_OURS": _key("whsk_", 130),
    "SIGN_BAD": "whsec_too-short-4713",
}
"""What `SCENARIO_SECRET_…` and the folder of secrets hold."""
CALLBACK_KEY, CALLBACK_OLD = (_key("", seed) for seed in (20, 90))
SMTP_PASSWORD, SMS_TOKEN, COLLECTOR = "smtp-pa55-4714", "sms-t0ken-4715", "c0llector-4716"
LITERAL: Final = "l1teral-4717"
"""Written into `destinations.yaml` by mistake."""
ADDRESSES: Final = ("zoe.obrien@example.org", "698412357", "4 rue du Marche")
"""A contact's: seen by nobody but those to whom it has to be given."""
MARK: Final = "Zo3-P4YL0AD"
"""What only payloads hold: a contact's first name. It may also be in what receivers send back."""
REASON: Final = "r3as0n-4719"
"""Why an operator did something, which may be about the contact."""

_TOKEN: Final = re.compile(rb"/callbacks/(c1\.[A-Za-z0-9_-]{72,})")
_PROCESS: Final = """
import logging
from functools import partial
from runtime.telemetry import logs
logs.configure = partial(logs.configure, level=logging.DEBUG)
from {module} import main
main()
"""


def traces(secret: str) -> set[bytes]:
    bare = secret.removeprefix("whsec_").removeprefix("whsk_")
    encoded = (base64.b64encode(secret.encode()), base64.urlsafe_b64encode(secret.encode()))
    return {
        bare.encode(),
        bare.upper().encode(),
        *(text.rstrip(b"=") for text in encoded),
        *(text.encode() for text in spelled(secret)),
    }


def spelled(text: str) -> list[str]:
    return [
        *("".join(f"{mark}u{ord(character):04X}" for character in text) for mark in ("\\", "\\\\")),
        "".join(f"%{byte:02x}" for byte in text.encode()),
        quote("".join(f"%{byte:02X}" for byte in text.encode())),
        "".join(f"&#{ord(character)};" for character in text),
        "".join(f"&#x{ord(character):x};" for character in text),
        text.encode().hex(),
    ]


def spellings(text: str) -> set[bytes]:
    data, found = text.encode(), {one.encode() for one in spelled(text)}
    for before in range(3):
        shifted = base64.b64encode(bytes(before) + data)[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]
        found |= {shifted, shifted.translate(bytes.maketrans(b"+/", b"-_"))}
    return found | {data, data.hex().upper().encode(), text.encode("utf-16-le"), text.encode("utf-16-be")}


@dataclass
class Echo:
    """A receiver over HTTP and, for those who have a certificate, HTTPS: it answers with the whole request.

    The path says how: ``/busy/2`` answers 503 to the first two requests of a delivery, ``/status/422`` always 422,
    ``/cut`` in the middle of a secret. ``/ok`` and ``/status`` spell out what the request held. Traces are taken, too.

    Attributes:
        requests: What came, as ``(path and query, headers, body)``.
        spans: What came as traces.
        url: Where it listens.
        tls_port: Where it listens with TLS.
    """

    folder: Path
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list[tuple[str, dict[str, str], bytes]])
    spans: bytearray = field(default_factory=bytearray)
    url: str = ""
    tls_port: int = 0
    _seen: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_post("/v1/traces", self._trace)
        application.router.add_route("*", "/{path:.*}", self._receive)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._context()).start()
        plain, self.tls_port = (int(address[1]) for address in self._runner.addresses)
        self.url = f"http://127.0.0.1:{plain}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def _context(self) -> ssl.SSLContext:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        ours = authority.issue_cert("scenario.example")
        ours.private_key_pem.write_to_path(str(self.folder / "client.key"))
        ours.cert_chain_pems[0].write_to_path(str(self.folder / "client.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        theirs = self.folder / "server.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(theirs))
        context.load_cert_chain(theirs)
        context.load_verify_locations(str(self.folder / "ca.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def tls_key(self) -> str:
        return (self.folder / "client.key").read_text().splitlines()[2]

    def tokens(self) -> set[str]:
        return {found.decode() for _, _, body in self.requests for found in _TOKEN.findall(body)}

    async def _trace(self, request: web.Request) -> web.Response:
        assert request.headers["authorization"] == COLLECTOR
        self.spans += await request.read()
        return web.Response()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = dict(request.headers)
        self.requests.append((request.raw_path, headers, body))
        echo: dict[str, Any] = {"url": request.raw_path, "headers": headers, "body": body.decode()}
        echo |= {"pin": int(SECRETS["PIN"]), headers.get("Authorization", "none"): "a name"}
        _, _, how, what, *_ = [*request.path.split("/"), "", ""]
        if how in {"ok", "status"}:
            given = [headers.get("Authorization", ""), *ADDRESSES[:2], *sorted(self.tokens())[:1]]
            basic = [
                base64.b64encode(f"{before}{text}".encode()).decode() for text in given for before in ("", "u:", "ab")
            ]
            echo = {
                "told": body.decode()[:30],
                "spelled": [text for one in given for text in spelled(one)] + [*basic, given[0].upper()],
            } | echo
        self._seen[how, headers.get("webhook-id", "")] += 1
        if how == "busy" and self._seen[how, headers.get("webhook-id", "")] <= int(what):
            return web.json_response(echo, status=503)
        if how == "cut":
            return web.Response(text=f"you sent {SECRETS['TOKEN'][:-4]}", status=503)
        return web.json_response(echo, status=int(what) if how == "status" else 200)


@asynccontextmanager
async def process(module: str, log: Path, environ: Mapping[str, str], *arguments: str) -> AsyncGenerator[None]:
    """A program of the project, as it is but for its log, which holds all that any library has to say."""
    command = (sys.executable, "-W", "ignore", "-c", _PROCESS.format(module=module), *arguments)
    with log.open("ab") as file:
        running = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environ, stdout=file, stderr=file)
    try:
        async with asyncio.timeout(240):
            while b"ready, " not in log.read_bytes():  # noqa: ASYNC240
                assert running.returncode is None, log.read_text()  # noqa: ASYNC240
                await asyncio.sleep(0.05)
        yield
    finally:
        if running.returncode is None:
            running.terminate()
        await running.wait()


async def call_back(address: str, token: str) -> bytes:
    path = f"{address}/callbacks/{token}"
    event = {"name": "planted.answered", "properties": {"text": f"{MARK} {ADDRESSES[0]}"}}
    async with httpx.AsyncClient(trust_env=False) as http:
        upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        answers = [
            await http.get(path),
            await http.get(path, headers={**upgrade, "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="}),
            await http.post(f"{path}/", json=event),
            await http.post(path, content=b"{", headers={"content-type": "application/json"}),
            await http.post(path, content=token.encode()),
            await http.post(path, json={**event, "name": ADDRESSES[0]}),
            await http.post(f"{path}x", json=event),
            await http.post(path, json=event),
        ]
    assert [answer.status_code for answer in answers] == [405, 405, 404, 400, 415, 400, 404, 202]
    said = b"\n".join(answer.content + repr(answer.headers).encode() for answer in answers)
    host, _, port = address.removeprefix("http://").partition(":")
    for line in (f"POST /callbacks/{token} HTTP/9.9", f"POST /callbacks/{token}", f"/callbacks/{token}\x00"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"{line}\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
        await writer.drain()
        said += await reader.read()
        writer.close()
        await writer.wait_closed()
    return said
