"""The receiver remembers what came to the byte, and answers as it is told until it is told otherwise."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from activities.webhook.route import Diverted
from runtime.errors import LocalError
from runtime.local.receiver import NAME, Receiver, ReceiverAnswer, covers, read_answers, set_answer


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
