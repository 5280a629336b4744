"""Bodies and parameters of requests: those that several routes share, and the objects that routes use.

A body is read as JSON that has one meaning for all parsers (RFC 7493). Python accepts NaN, repeated keys and lone
surrogates, and fails on deep nesting.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from email.message import Message as Headers
from operator import attrgetter
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.api.limits import UPLOADS
from gateway.api.problem import CURSOR, Problem, problem_at
from scenario.model.parts import NAME
from scenario.source.decoding import KeyTwice, NotJson, TooDeep, read_json
from service.authoring import AuthoringService, ContentService
from service.client import Services
from service.view import PageRequest

WRITING: Final = frozenset({"POST", "PUT", "PATCH"})  # methods with a body
_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")  # how a half character may be written; whole ones are in two of these


_Map = TypeVar("_Map")
# PHP and Lua write an empty map as ``[]``.
Map = Annotated[_Map, BeforeValidator(lambda value: {} if value == [] else value)]


class RequestBody(BaseModel):
    """A JSON object that a request sends. A docstring below a field is the field's description."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


Operator = Annotated[str | None, Field(min_length=1, max_length=480, examples=["ann"])]  # the record adds the key


class RecordBody(RequestBody):
    """The reason for an operation, and its operator."""

    reason: str = Field(min_length=1, max_length=500, examples=["the receiver is back"])
    """The reason to record."""
    operator: Operator = None
    """The operator to record, besides the key."""


async def read(scope: Scope, receive: Receive) -> tuple[bytes, Receive]:
    """Return the whole body, and a `receive` that repeats it.

    Raise ClientDisconnect if the client is gone, or Problem if it is too large or too slow; see `gateway.api.limits`.
    """
    body = await Request(scope, receive).body()
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, receive_again


def media_of(scope: Scope) -> str:
    """Return the media type of a body, such as ``application/json``, or an empty text."""
    said = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    headers = Headers()
    headers["content-type"] = said.decode("latin-1")
    return headers.get_content_type() if said else ""


def decoded(body: bytes) -> str:
    """Return a body's text. Raise Problem if it is not UTF-8."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise unreadable("the body is not UTF-8") from None


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
    if _HALF.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise unreadable(f"a text of {what} holds half a character (a lone surrogate): send whole ones") from None
    return value


def unreadable(sentence: str) -> Problem:
    return problem_at("", "json", sentence, "malformed")


class StrictJson:
    """An ASGI application that passes only unambiguous JSON to another one. It reads bodies of `other` paths itself."""

    def __init__(self, application: ASGIApp, other: Collection[str] = ()) -> None:
        self._application, self._other = application, other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_json = media_of(scope).partition("/")[2].rpartition("+")[2] == "json"
        is_other = scope["path"] in self._other or scope["path"].startswith(UPLOADS)
        if scope["method"] in WRITING and is_json and not is_other:
            body, receive = await read(scope, receive)
            if body:
                parse(decoded(body))
        await self._application(scope, receive, send)


LONGEST_CURSOR: Final = 2048  # characters
Cursor = Annotated[
    str | None,
    Query(
        max_length=LONGEST_CURSOR,
        pattern=CURSOR,
        description="The `next` of the page before; without it, the first page",
    ),
]
"""The place at which a page begins."""


def _of_app(name: str) -> Any:

    def find(request: Request) -> Any:
        return attrgetter(name)(request.app.state)

    return Depends(find)


def _page(
    limit: Annotated[int, Query(ge=1, le=250, description="Maximum number of items on the page")] = 50,
    cursor: Cursor = None,
) -> PageRequest:
    return PageRequest(limit, cursor)


Use = Annotated[Services, _of_app("client.services")]  # the use cases
Author = Annotated[AuthoringService, _of_app("authoring")]  # the use cases of authors
Contents = Annotated[ContentService, _of_app("contents")]  # the use case that shows the content of deliveries
Paging = Annotated[PageRequest, Depends(_page)]  # the page of a list
JourneyId = Annotated[
    str,
    Path(
        alias="id",
        min_length=1,
        max_length=1000,
        description="The journey's id, with slashes or with %2F instead of them",
        examples=["post-purchase/3028687/CGX0094"],
    ),
]
ScenarioFilter = Annotated[
    str | None, Query(max_length=100, description="Only those of this scenario; required with a key for some scenarios")
]
ScenarioName = Annotated[
    str, Path(max_length=100, pattern=NAME, description="The scenario's name", examples=["post-purchase"])
]
