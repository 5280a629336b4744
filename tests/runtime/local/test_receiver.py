"""Stand-ins for the world: the receiver, the inbox, and the private folder that they write to."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import aiosmtplib
import httpx
import pytest
from yarl import URL

from activities.sms.configured import LocalSms
from activities.sms.provider import TextMessage
from activities.webhook.route import Diverted
from runtime.errors import LocalError, NotInstalled, PortInUse
from runtime.local import make_folder, make_private
from runtime.local.receiver import (
    NAME,
    Inbox,
    Receiver,
    ReceiverAnswer,
    covers,
    keep_mail,
    messages,
    read_answers,
    set_answer,
)
from runtime.process import HOST
from runtime.store import Store


async def post(url: str, body: bytes = b"{}", **headers: str) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        return response.status


def files(folder: Path) -> list[Any]:
    return [json.loads(path.read_text()) for path in sorted(folder.iterdir())]


async def test_a_request_is_remembered_as_it_came():
    body = b'{"name": "\xc3\xa9",  "n":1}\n\xff'
    async with Receiver() as receiver:
        url, headers = f"{receiver.url}/wax/9f31?a=%20b&c", {"X-Custom": "One", "webhook-id": "msg_1"}
        assert await post(url, body, **headers) == 200
        [request] = receiver.requests()
    assert (request.number, request.method, request.body) == (1, "POST", body)
    assert (request.target, request.path) == ("/wax/9f31?a=%20b&c", "/wax/9f31")
    assert ("x-custom", "One") in request.headers
    assert (request.header("x-custom"), request.header("WEBHOOK-ID"), request.header("other")) == ("One", "msg_1", None)


async def test_an_encoded_line_break_is_a_path_like_any():
    async with Receiver(fail={"/told": [503]}) as receiver, aiohttp.ClientSession() as session:
        for spelt in ("%0A", "%E2%80%A8", "%0Ax/", "%00"):
            url = URL(f"{receiver.url}/told/a{spelt}b", encoded=True)
            for status in (503, 200):
                async with session.post(url, headers={"webhook-id": spelt}) as response:
                    assert (spelt, response.status) == (spelt, status)
            assert receiver.requests("/told")[-1].target == f"/told/a{spelt}b"


async def test_every_delivery_is_failed_as_often_as_told():
    async with Receiver(fail={"/whatsapp": [503, 500]}) as receiver:
        url = f"{receiver.url}/whatsapp"
        answers = [await post(url, b"{}", **{"webhook-id": delivery}) for delivery in "abaabba"]
        assert answers == [503, 503, 500, 200, 500, 200, 200]
        assert [request.status for request in receiver.requests()] == answers


async def test_a_body_without_end_is_refused_and_not_remembered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runtime.local.receiver.MAX_BYTES", 3)
    async with Receiver() as receiver:
        assert [await post(receiver.url, body) for body in (b"abc", b"abcd")] == [200, 413]
        assert [request.body for request in receiver.requests()] == [b"abc"]


async def test_requests_are_written_to_files(folder: Path):
    async with Receiver(folder=folder) as receiver:
        await post(f"{receiver.url}/text", b'{"a": "\xc3\xa9"}', **{"X-Name": "v"})
        await post(f"{receiver.url}/bytes", b"\xff\x00")
    first, second = files(folder)
    assert (first["method"], first["target"], first["body"], first["status"]) == ("POST", "/text", '{"a": "é"}', 200)
    assert ["x-name", "v"] in first["headers"]
    assert (second["target"], second["body_base64"]) == ("/bytes", "/wA=")


@pytest.mark.parametrize(
    ("place", "path", "fits"),
    [
        ("wax", "/wax", True),
        ("wax", "/hooks.example.com/wax/9f31", True),
        ("hooks.example.com/wax", "/hooks.example.com/wax/9f31", True),
        ("/wax/9f31/", "/hooks.example.com/wax/9f31", True),
        ("", "/anything", True),
        ("wax", "/waxen", False),
        ("hooks.example.com/9f31", "/hooks.example.com/wax/9f31", False),
    ],
)
def test_a_place_is_whole_parts_of_a_path(place: str, path: str, fits: bool) -> None:
    assert covers(place, path) is fits


async def test_what_is_told_holds_from_the_next_request_on_and_after_a_restart(tmp_path: Path) -> None:
    async def asked(receiver: Receiver, times: int, delivery: str = "a") -> list[int]:
        url = f"{receiver.url}/hooks.example.com/wax"
        return [await post(url, b"{}", **{"webhook-id": delivery}) for _ in range(times)]

    async with Receiver(told=tmp_path / NAME) as receiver:
        assert await asked(receiver, 1) == [200]
        set_answer(tmp_path, "wax", ReceiverAnswer(first=(503, 503)))
        assert await asked(receiver, 3) == [503, 503, 200]
        assert await asked(receiver, 1, delivery="b") == [503]
        set_answer(tmp_path, "wax", ReceiverAnswer(first=(503, 503)))  # said again, it begins again
        assert await asked(receiver, 3) == [503, 503, 200]
        set_answer(tmp_path, "hooks.example.com", ReceiverAnswer(then=422))
        assert await asked(receiver, 1) == [422], "the longer place counts"
        (tmp_path / NAME).write_text("{")
        assert await asked(receiver, 1) == [422], "what cannot be read changes nothing"
    with pytest.raises(LocalError, match=r"receiver\.json cannot be read: delete it, and tell the receiver again"):
        read_answers(tmp_path)
    set_answer(tmp_path, None, None)
    set_answer(tmp_path, "wax", ReceiverAnswer(then=429))
    async with Receiver(told=tmp_path / NAME) as receiver:
        assert await asked(receiver, 1) == [429]
        set_answer(tmp_path, "wax", None)
        assert await asked(receiver, 1) == [200]
        set_answer(tmp_path, "wax", ReceiverAnswer(delay=60))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await asked(receiver, 1)
        assert [request.status for request in receiver.requests()] == [429, 200, 200], (
            "what is slow has come all the same"
        )


async def test_a_place_that_refuses_is_not_listened_at(tmp_path: Path) -> None:
    set_answer(tmp_path, "wax", ReceiverAnswer(refuse=True, then=503))
    async with Receiver(told=tmp_path / NAME) as receiver:
        routes = Diverted(receiver.url, receiver.refuses)
        open_, closed = routes.named("crm"), routes.named("wax")
        refusing = closed.url.removesuffix("/wax")
        assert routes.find("https://a.example.com/wax?x=1").url == f"{refusing}/a.example.com/wax?x=1"
        assert open_.url == f"{receiver.url}/crm"
        [port] = closed.access.ports
        assert closed.url == f"http://127.0.0.1:{port}/wax"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        set_answer(tmp_path, "wax", None)
        assert routes.named("wax").url == f"{receiver.url}/wax"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ReceiverAnswer(), "200"),
        (ReceiverAnswer(first=(503,) * 3), "503 to the first 3 attempts of each message, then 200"),
        (ReceiverAnswer(then=200, delay=20), "200, each after 20 s"),
        (ReceiverAnswer(refuse=True), "connections are refused"),
    ],
)
def test_it_is_said_in_words(answer: ReceiverAnswer, words: str) -> None:
    assert answer.words == words


MAIL = (
    b"From: shop@example.com\r\nTo: ann@example.com\r\nSubject: =?utf-8?q?Merci_=C3=A9?=\r\n"
    b"Message-ID: <msg_2ab@example.com>\r\n\r\nBonjour\r\n.one dot\r\n..two dots\r\n\r\n  spaces  \r\n"
)


async def send(box: Inbox, data: bytes) -> None:
    await aiosmtplib.send(
        data,
        sender="shop@example.com",
        recipients=["ann@example.com"],
        hostname=HOST,
        port=int(box.url.rpartition(":")[2]),
        start_tls=False,
    )


async def test_a_message_is_kept_as_it_came(folder: Path):
    async with Inbox(folder) as box:
        before = datetime.now(UTC)
        await send(box, MAIL)
        [mail] = box.messages()
    assert mail.data == MAIL
    assert mail.path.read_bytes() == MAIL
    assert mail.path.name.endswith("-msg_2ab-example.com.eml")
    assert before <= mail.at <= datetime.now(UTC)
    assert mail.message["subject"] == "Merci é"


async def test_messages_are_listed_in_their_order_and_outlive_the_server(folder: Path):
    async with Inbox(folder) as box:
        for number in range(3):
            await send(box, MAIL.replace(b"Bonjour", b"Bonjour %d" % number))
    assert [mail.message.get_content().splitlines()[0] for mail in messages(folder)] == [
        "Bonjour 0",
        "Bonjour 1",
        "Bonjour 2",
    ]


@pytest.mark.parametrize(
    ("message_id", "name"),
    [
        (b"<../../etc/passwd@x>", "etc-passwd-x"),
        (b"", "message"),
        (b"<" + b"a" * 400 + b"@x>", "a" * 120),
        (b"=?utf-8?q?=C3=A9?=", "utf-8-q-C3-A9"),
    ],
)
def test_a_message_id_names_a_file_of_the_folder(tmp_path: Path, message_id: bytes, name: str):
    path = keep_mail(
        tmp_path, b"Message-ID: " + message_id + b"\r\n\r\nx", datetime(2026, 3, 29, 1, 2, 3, 4, tzinfo=UTC)
    )
    assert path == tmp_path / f"20260329T010203.000004Z-{name}.eml"


def test_the_same_message_twice_in_a_moment_is_two(tmp_path: Path):
    at = datetime(2026, 3, 29, tzinfo=UTC)
    assert [keep_mail(tmp_path, MAIL, at).name for _ in range(3)] == [
        "20260329T000000.000000Z-msg_2ab-example.com.eml",
        "20260329T000000.000000Z-msg_2ab-example.com-2.eml",
        "20260329T000000.000000Z-msg_2ab-example.com-3.eml",
    ]
    assert len(messages(tmp_path)) == 3


def test_files_of_others_are_left_alone(tmp_path: Path):
    (tmp_path / "20260329T000000.000000Z-sms.json").write_text("{}")
    (tmp_path / "draft.eml").write_text("x")
    assert messages(tmp_path) == []
    assert messages(tmp_path / "nowhere") == []


async def test_a_port_in_use_is_named(folder: Path):
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            async with Inbox(folder, port=port):
                pass
    assert str(caught.value) == (
        f"port {port} is in use by another program: stop that program, or choose another port for the local inbox"
    )


async def test_without_aiosmtpd_it_says_how_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "aiosmtpd.smtp", None)
    with pytest.raises(NotInstalled, match=r"^the local inbox is not installed: add it with `pip install aiosmtpd`"):
        async with Inbox(folder):
            pass


@pytest.fixture(autouse=True)
def open_to_all() -> Iterator[None]:
    """New files and folders would be everybody's."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): f"{stat.S_IMODE(path.stat().st_mode):o}" for path in root.rglob("*")}


def test_a_folder_and_those_above_it_are_made_private(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o755)
    make_private(tmp_path / "theirs" / ".scenario" / "demo" / "inbox")
    make_private(tmp_path / "theirs")
    assert modes(tmp_path) == {
        "theirs": "755",
        "theirs/.scenario": "700",
        "theirs/.scenario/demo": "700",
        "theirs/.scenario/demo/inbox": "700",
    }


def test_a_state_that_an_earlier_release_left_open_is_closed(tmp_path: Path) -> None:
    (tmp_path / ".scenario" / "inbox").mkdir(parents=True)
    make_folder(tmp_path / ".scenario" / "inbox")
    assert modes(tmp_path)[".scenario"] == "700"


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "inbox").write_text("")
    with pytest.raises(LocalError, match="inbox cannot be written to"):
        make_folder(tmp_path / "inbox")


async def test_whoever_makes_the_state_makes_it_private(tmp_path: Path) -> None:
    (store := tmp_path / "a" / ".scenario").parent.mkdir()
    async with Store.open(f"sqlite:///{store}/store.db"):
        pass
    (inbox := tmp_path / "b" / ".scenario" / "inbox").parent.parent.mkdir()
    await LocalSms(inbox).send(TextMessage(id="msg_1", to="+33612345678", body="hello"))
    for folder in (store, inbox.parent, inbox):
        assert f"{stat.S_IMODE(folder.stat().st_mode):o}" == "700"


async def test_what_was_received_can_be_read_by_its_user_only(tmp_path: Path) -> None:
    keep_mail(tmp_path, b"subject: hello\r\n\r\nhello")
    async with Receiver(folder=tmp_path) as receiver, httpx.AsyncClient(trust_env=False) as client:
        await client.post(receiver.url, headers={"authorization": "Bearer planted"})
    await LocalSms(tmp_path).send(TextMessage(id="msg_1", to="+33612345678", body="hello"))
    assert list(modes(tmp_path).values()) == ["600"] * 3
