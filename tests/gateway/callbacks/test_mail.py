"""What mail servers hand in, as they write it, into a real store."""

import base64
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest
from starlette.applications import Starlette
from temporalio.service import RPCError, RPCStatusCode

from activities.suppressions import Suppressor
from gateway.callbacks.mail import MAX_BODY, MAX_READ, InboundMail, MailReport, read
from runtime.derived_keys import AddressHashes
from runtime.public_links import ReturnPaths
from runtime.store import Store

MAILS = Path(__file__).parent / "mails"
KEY = b"k" * 32
HASHES, PATHS = AddressHashes([KEY]), ReturnPaths("bounces@mail.example.com", [KEY])
ADA = "ada@example.com"
DELIVERY = "msg_00112233445566778899aabbccddeeff"
SECRET = "3q2+7w" * 8


def mail(name: str, path: str = PATHS.of(DELIVERY, ADA)) -> bytes:
    return (MAILS / f"{name}.eml").read_text("utf-8").replace("{path}", path).encode()


@pytest.fixture
def platform() -> AsyncMock:
    """Who is told of suppressions."""
    return AsyncMock()


def serve(store: Store, platform: AsyncMock, **options: Any) -> httpx.AsyncClient:
    inbound = InboundMail(PATHS, Suppressor(store, HASHES, platform), SECRET, **options)
    transport = httpx.ASGITransport(Starlette(routes=inbound.routes))
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers={"authorization": f"Bearer {SECRET}"})


@pytest.fixture
def http(store: Store, platform: AsyncMock) -> httpx.AsyncClient:
    return serve(store, platform)


def told(platform: AsyncMock) -> list[tuple[str, str]]:
    return [(call.args[0].source, call.args[1]) for call in platform.call_args_list]


async def post(http: httpx.AsyncClient, content: bytes, **params: str) -> Any:
    answer = await http.post("/inbound/email", content=content, params=params)
    assert answer.status_code == 202
    return answer.json()


FOR_GOOD = {
    "postfix-unknown": ("bounce", "550 5.1.1"),
    "exim-unknown": ("bounce", "550 5.1.1"),  # the diagnostic says more than the status, 5.0.0
    "exim-old": ("bounce", "550"),
    "qmail": ("bounce", "5.1.1"),
    "exchange-unknown": ("bounce", "550 5.1.10"),
    "gmail-inactive": ("bounce", "550 5.2.1"),
    "forwarded": ("bounce", "550 5.1.1"),  # it names another address, and the one that was written to
    "arf-abuse": ("fbl", "abuse"),
    "arf-outlook": ("fbl", "abuse"),
}


async def test_what_is_for_good_suppresses(http: httpx.AsyncClient, store: Store, platform: AsyncMock):
    (hashed,) = HASHES.of("email", ADA)
    for name, (source, evidence) in FOR_GOOD.items():
        assert await post(http, mail(name)) == {"delivery": DELIVERY, "suppressed": source}, name
        [row] = await store.suppressions()
        assert (row.channel, row.address_hash, row.source, row.scope) == ("email", hashed, source, "")
        assert (row.evidence, told(platform)[-1]) == (evidence, (source, ADA))
        await post(http, mail(name))
        assert await store.suppressions() == [row], "once, however often it is handed in"
        await store.unsuppress("email", [hashed])


async def test_passing_troubles_are_counted(http: httpx.AsyncClient, store: Store, platform: AsyncMock):
    for number, name in ((0, "postfix-full"), (1, "postfix-expired"), (1, "postfix-expired"), (2, "qmail-vague")):
        # The same delivery counts once.
        assert (await store.suppressions(), platform.called) == ([], False)
        said = await post(http, mail(name, PATHS.of(f"msg_{number:032x}", ADA)))
        assert said["suppressed" if number == 2 else "counted"] == "soft"
    assert told(platform) == [("soft", ADA)]


PROVES_NOTHING = "no return path proves that it is about an address that it names"
OTHERS = ReturnPaths("bounces@mail.example.com", [b"x" * 32]).of(DELIVERY, ADA)
IGNORED = [
    (mail("postfix-blocked"), "a failure that may not be about the address"),
    (mail("postfix-delayed"), "delayed: it is still being tried"),
    (mail("postfix-delivered"), "a notification without a failure"),
    (mail("arf-not-spam"), "not a complaint"),
    (mail("vacation"), "no bounce"),
    (mail("forged"), PROVES_NOTHING),
    (mail("postfix-unknown", "bounces@mail.example.com"), "it names no return path of ours"),
    (mail("postfix-unknown", OTHERS), PROVES_NOTHING),
    (mail("postfix-unknown").replace(ADA.encode(), b"eve@example.com"), PROVES_NOTHING),
    (b"From: \xff\n\n" + PATHS.of(DELIVERY, ADA).encode(), "unreadable"),
]


async def test_the_rest_is_ignored_with_a_word(http: httpx.AsyncClient, store: Store, platform: AsyncMock):
    for content, why in IGNORED:
        assert (await post(http, content))["ignored"].startswith(why)
    assert (await store.suppressions(), platform.called) == ([], False)


async def test_the_return_path_may_be_told_beside_the_mail(http: httpx.AsyncClient):
    """As some servers put a mailing list's or an alias's address in place of the recipient's."""
    path, content = PATHS.of(DELIVERY, ADA), mail("postfix-unknown", "bounces@mail.example.com")
    assert await post(http, content, recipient=path) == {"delivery": DELIVERY, "suppressed": "bounce"}


def basic(words: str) -> str:
    return "Basic " + base64.b64encode(words.encode()).decode()


async def test_only_who_has_the_key_is_let_in(http: httpx.AsyncClient, store: Store):
    content, refused = mail("postfix-unknown"), ("Bearer x", "Bearer", SECRET, f"Digest {SECRET}", "Basic !", "")
    for value in (*refused, basic(f"{SECRET}:x")):
        answer = await http.post("/inbound/email", content=content, headers={"authorization": value})
        assert (answer.status_code, "www-authenticate" in answer.headers) == (401, True)
    assert await store.suppressions() == []
    for value in (f"bearer {SECRET}", basic(f"postfix:{SECRET}")):
        answer = await http.post("/inbound/email", content=content, headers={"authorization": value})
        assert (answer.status_code, "www-authenticate" in answer.headers) == (202, False)


async def test_it_is_handed_in_again_where_it_cannot_be_taken(http: httpx.AsyncClient, platform: AsyncMock):
    platform.side_effect = [RPCError("away", RPCStatusCode.UNAVAILABLE, b""), None]
    answer = await http.post("/inbound/email", content=mail("postfix-unknown"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    await post(http, mail("postfix-unknown"))
    assert told(platform) == [("bounce", ADA)] * 2


async def test_a_mail_that_brings_the_whole_of_a_large_one_back_is_taken(http: httpx.AsyncClient):
    content = mail("exim-unknown").replace(b"Hello", b"x" * 70 + (b"\n" + b"x" * 70) * 60_000)
    assert len(content) > 4 * MAX_READ
    assert (await post(http, content))["suppressed"] == "bounce"


async def test_bodies_are_bounded(http: httpx.AsyncClient):
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY // 2**20 + 1):
            yield b"x" * 2**20

    assert (await http.post("/inbound/email", content=endless())).status_code == 413


async def test_a_mail_that_takes_too_long_to_be_read_keeps_nobody(
    store: Store, platform: AsyncMock, monkeypatch: pytest.MonkeyPatch
):
    def slow(_content: bytes) -> MailReport:
        time.sleep(0.5)
        return MailReport()

    monkeypatch.setattr("gateway.callbacks.mail.read", slow)
    http = serve(store, platform, reading=0.05)
    assert (await http.post("/inbound/email", content=mail("qmail"))).status_code == 503


async def test_no_log_names_an_address(http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    for name in ("postfix-unknown", "forged", "qmail", "vacation", "postfix-full"):
        await post(http, mail(name))
    ours = [record.getMessage() for record in caplog.records if record.name.startswith(("gateway", "flufl"))]
    assert (len(ours), "@" in "".join(ours)) == (5, False)


NESTED = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(3_000))


@pytest.mark.parametrize(
    "content",
    [
        NESTED,
        b"Content-Type: message/rfc822\n\n" * 5_000,
        b"Content-Type: multipart/report; boundary=a\n\n" + b"--a\nContent-Type: message/delivery-status\n\n" * 4_000,
        b"Content-Type: message/delivery-status\n\nAction: failed\nStatus: 5.1.1\n\n" * 2_000,
        b"Content-Type: message/feedback-report; charset=nonsense\n\nFeedback-Type: abuse",
        b"Content-Type: text/rfc822-headers; charset=nonsense\nContent-Transfer-Encoding: base64\n\n\xff\xfe",
        b"To: " + b"a@b.c, " * 30_000 + b"\n\n",
        b"Final-Recipient: rfc822; " + b"<" * 100_000 + b"@\n\n",
        b"Subject: failure notice\n\nHi. This is the qmail-send program\n\n" + b"<a@b.c>:\n" * 20_000,
        b"X-Failed-Recipients: " + b"\xe9@b.c, " * 10_000 + b"\n\n550 " * 100,
        b"Content-Type: text/plain\n\n" + b"5.1.1 " * 40_000,
        b"\x00" * MAX_READ,
        b": :\n\n",
    ],
)
def test_a_hostile_mail_is_read_within_bounds(content: bytes):
    began = time.process_time()
    report = read(content)
    assert time.process_time() - began < 5
    assert len(report.addresses) <= 50
