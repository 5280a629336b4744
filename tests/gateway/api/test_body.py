"""Bodies that readers understand differently, that never end, or are too long: a clear problem, and nothing done."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from gateway.api.app import application
from gateway.api.limits import Bounds
from tests.gateway.api.conftest import Api, http_scope

JSON = {"content-type": "application/json; charset=utf-8"}


SURROGATE = "a text of the body holds half a character (a lone surrogate): send whole ones"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "the body is not JSON (line 1, column 2): it ends before its last bracket is closed"),
        (b'{"a": 1,\n "b": 2,}', "the body is not JSON (line 2, column 8): there is one comma too many"),
        (b'{"a": NaN}', "the body is not JSON (line 1, column 7): NaN and Infinity do not exist there"),
        (b'{"a": 1, "a": 2}', "the body cannot be read: an object has a key twice"),
        (b'{"a": ' + b"[" * 100_000, "the body cannot be read: it is nested too deeply to be read"),
        (b'{"a": "\\uD83d"}', SURROGATE),
        (b'{"\\udc00": 1}', SURROGATE),
        (b'{"a": "\xff"}', "the body is not UTF-8"),
        (
            b'{"a": 1' + b"0" * 5000 + b"}",
            "the body is not JSON (line 1, column 7): a number has more than 4,300 digits",
        ),
    ],
)
async def test_json_that_means_nothing_to_some_is_refused(api: Api, content: bytes, said: str):
    answer = await api.call("POST", "/events", content=content, headers={**JSON, "idempotency-key": "k"})
    assert (answer.status_code, answer.json()["detail"]) == (400, said)
    assert answer.json()["errors"][0]["pointer"] == ""
    assert api.client.asked == []


async def test_whole_characters_are_taken_however_they_are_written(api: Api):
    content = b'\xef\xbb\xbf{"contact": "7", "name": "a", "properties": {"\\ud83d\\ude00": "\\u00e9"}}'
    assert (await api.call("POST", "/events", content=content, headers=JSON)).status_code == 202
    assert api.client.asked[0][2] == {"😀": "é"}


async def raw(api: Api, *messages: Message | None, headers: dict[str, str] | None = None, most: float = 10) -> Any:
    """A request by hand, whose body comes in these messages; after None, or the last, nothing comes any more."""
    sent: list[Message] = []
    given = list(messages)

    async def receive() -> Message:
        message = given.pop(0) if given else None
        if message is None:
            await asyncio.Event().wait()
        return message or {}

    async def send(message: Message) -> None:
        sent.append(message)

    asked = {"authorization": f"Bearer {api.token}", "content-type": "application/json", **(headers or {})}
    scope = http_scope("POST", "/v1/events", asked)
    await Bounds(application(api.client, api.keys), patience=most)(scope, receive, send)  # pyright: ignore[reportArgumentType]
    return sent


def part(content: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": content, "more_body": more}


@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "k"}, {"content-type": "text/plain"}])
async def test_a_body_that_comes_too_slowly_is_given_up(api: Api, headers: dict[str, str]):
    [start, _] = await raw(api, part(b"{"), None, headers=headers, most=0.01)
    assert (start["status"], dict(start["headers"])[b"connection"]) == (408, b"close")


@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "k"}, {"content-type": "text/plain"}])
async def test_a_body_that_does_not_say_how_long_it_is_may_not_be_too_long(api: Api, headers: dict[str, str]):
    [start, _] = await raw(api, part(b" " * 1_200_000), headers=headers)
    assert start["status"] == 413


@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "k"}])
async def test_who_goes_away_is_not_answered(api: Api, headers: dict[str, str]):
    assert await raw(api, part(b"{"), {"type": "http.disconnect"}, headers=headers) == []
    [start, _] = await raw(api, part(b'{"contact": "7", '), part(b'"name": "a"}', more=False), headers=headers)
    assert start["status"] == 202
