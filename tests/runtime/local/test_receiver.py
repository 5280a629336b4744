"""The receiver remembers what came to the byte, and fails as it is told."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from runtime.local.receiver import Receiver


async def post(url: str, body: bytes = b"{}", **headers: str) -> int:
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as response:
        return response.status


def files(folder: Path) -> list[Any]:
    return [json.loads(path.read_text()) for path in sorted(folder.iterdir())]


async def test_a_request_is_remembered_as_it_came():
    body = b'{"name": "\xc3\xa9",  "n":1}\n\xff'
    async with Receiver() as receiver:
        assert (
            await post(f"{receiver.url}/wax/9f31?a=%20b&c", body, **{"X-Custom": "One", "webhook-id": "msg_1"}) == 200
        )
        [request] = receiver.requests()
    assert (request.number, request.method, request.target, request.path) == (
        1,
        "POST",
        "/wax/9f31?a=%20b&c",
        "/wax/9f31",
    )
    assert request.body == body
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
        answers = [
            await post(url, b"{}", **{"webhook-id": delivery}) for delivery in ("a", "b", "a", "a", "b", "b", "a")
        ]
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
