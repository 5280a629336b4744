"""Reads a request's body as JSON that has one meaning for all parsers (RFC 7493).

Python accepts NaN, repeated keys and lone surrogates, and fails on deep nesting.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from email.message import Message as Headers
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.limits import UPLOADS
from gateway.api.problem import Problem, problem_at
from scenario.source.decoding import KeyTwice, NotJson, TooDeep, read_json

WRITING: Final = frozenset({"POST", "PUT", "PATCH"})  # methods with a body
_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")  # how a half character may be written; whole ones are in two of these


def _empty(value: Any) -> Any:
    return {} if value == [] else value


_Map = TypeVar("_Map")
Map = Annotated[_Map, BeforeValidator(_empty)]  # a map. PHP and Lua write an empty one as ``[]``


class RequestBody(BaseModel):
    """A JSON object that a request sends. A docstring below a field is the field's description."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


async def read(receive: Receive) -> bytes:
    """Return the whole body.

    Raise ClientDisconnect if the client is gone, or Problem if it is too large or too slow; see `gateway.api.limits`.
    """
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that repeats a body which was already read."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def media_of(scope: Scope) -> str:
    """Return the media type of a body, such as ``application/json``, or an empty text."""
    said = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    headers = Headers()
    headers["content-type"] = said.decode("latin-1")
    return headers.get_content_type() if said else ""


def decoded(body: bytes, what: str = "the body") -> str:
    """Return a body's text. Raise Problem if it is not UTF-8."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise unreadable(f"{what} is not UTF-8") from None


def parse(text: str, what: str = "the body") -> Any:
    """Parse JSON, called `what` in messages, which quote nothing of it.

    Raise Problem if it is not JSON, or parsers disagree about it.
    """
    try:
        value = read_json(text, unique=True)
    except (TooDeep, KeyTwice) as error:
        raise unreadable(f"{what} cannot be read: {error.reason}") from None
    except NotJson as error:
        raise unreadable(f"{what} is not JSON (line {error.line}, column {error.column}): {error.reason}") from None
    if _HALF.search(text) and not _is_whole(value):
        raise unreadable(f"a text of {what} holds half a character (a lone surrogate): send whole ones")
    return value


def unreadable(sentence: str) -> Problem:
    return problem_at("", "json", sentence, "malformed")


def _is_whole(value: Any) -> bool:
    level = [value]
    while level:
        following: list[Any] = []
        for item in level:
            match item:
                case str():
                    if not item.isascii() and any("\ud800" <= letter <= "\udfff" for letter in item):
                        return False
                case dict():
                    following += [*item, *item.values()]
                case list():
                    following += item
                case _:
                    pass
        level = following
    return True


class StrictJson:
    """An ASGI application that passes only unambiguous JSON to another one. It reads bodies of `other` paths itself."""

    def __init__(self, application: ASGIApp, other: Collection[str] = ()) -> None:
        self._application, self._other = application, other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        checked = scope["type"] == "http" and scope["method"] in WRITING and not self._is_other(scope["path"])
        if checked and media_of(scope).partition("/")[2].rpartition("+")[2] == "json":
            body = await read(receive)
            if body:
                parse(decoded(body))
            receive = replayed(body, receive)
        await self._application(scope, receive, send)

    def _is_other(self, path: str) -> bool:
        return path in self._other or path.startswith(UPLOADS)
