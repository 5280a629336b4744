"""Where a list goes on: an opaque text that a page of it ends with, and that the request for the next one gives back.

It is base64url of a JSON object, which callers must not rely on. It holds no secret. It is checked when it comes back,
as anybody can make one.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

from fastapi import Query
from pydantic import TypeAdapter

from gateway.api.problem import CURSOR, Mistake, Problem

MOST: Final = 2048
"""Characters of a cursor."""

Limit = Annotated[int, Query(ge=1, le=250, description="How many items a page has at most")]
"""The parameter ``limit`` of a list; its default is 50."""
Cursor = Annotated[
    str | None,
    Query(
        max_length=MOST,
        pattern=CURSOR,
        description="The `next` of the page before; without it, the first page",
    ),
]
"""The parameter ``cursor`` of a list; its default is None."""

_Shape = TypeVar("_Shape")


def encode_cursor(place: Mapping[str, Any]) -> str:
    """The cursor of a place.

    Args:
        place: What the next page begins after: a JSON object, or what pydantic makes one of (moments, say).
    """
    text = _ANY.dump_json(dict(place))
    return urlsafe_b64encode(text).decode().rstrip("=")


def decode_cursor(cursor: str, shape: type[_Shape]) -> _Shape:
    """The place of a cursor.

    Args:
        cursor: As a caller gave it back.
        shape: What `encode_cursor` was given, as a model, a dataclass or a TypedDict (of ``typing_extensions``, as
            pydantic wants it before Python 3.12): the cursor is held against it.

    Raises:
        Problem: It is none of this list.
    """
    try:
        place = json.loads(urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
        return TypeAdapter(shape).validate_python(place)
    except (ValueError, RecursionError):  # pydantic's, base64's, JSON's and Unicode's errors are ValueErrors
        raise no_cursor() from None


def no_cursor() -> Problem:
    """The problem of a cursor that is none of this list."""
    sentence = "this is not a cursor of this list: give back the `next` of the previous page, unchanged"
    return Problem("invalid", sentence, [Mistake(pointer="query:cursor", code="cursor", detail=sentence)])


_ANY: Final = TypeAdapter(dict[str, Any])
