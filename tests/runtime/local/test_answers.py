"""What the receiver is told holds until it is told otherwise."""

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest

from activities.webhook.route import Diverted
from runtime.errors import LocalError
from runtime.local.receiver import NAME, Receiver, ReceiverAnswer, covers, read_answers, set_answer


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
    async def asked(
        receiver: Receiver, times: int, path: str = "/hooks.example.com/wax", delivery: str = "a"
    ) -> list[int]:
        statuses: list[int] = []
        async with aiohttp.ClientSession() as session:
            for _ in range(times):
                async with session.post(receiver.url + path, headers={"webhook-id": delivery}) as response:
                    statuses.append(response.status)
        return statuses

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
        assert (
            routes.find("https://a.example.com/wax?x=1").url
            == f"{closed.url.removesuffix('/wax')}/a.example.com/wax?x=1"
        )
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
