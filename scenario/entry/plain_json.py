"""Why something cannot travel to a journey as plain JSON: each cause in its own sentence, none with the data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Final, cast

from pydantic import TypeAdapter

from scenario.source.decoding import MOST_DIGITS, TOO_LONG, NotJson, TooDeep, read_json

_TOO_LONG: Final = 10**MOST_DIGITS
DEEPEST: Final = 100
"""Levels: what journeys hand on is wrapped, and at some 200 levels readers of JSON give up."""


def unsent(data: object, what: str) -> str:
    """Why data cannot be written as JSON that a worker reads; a general sentence where the cause is not found.

    Args:
        data: In memory.
        what: What it is called.
    """
    return _cause(data, what) or f"{what} holds something that JSON does not have, such as NaN: send plain JSON"


def unread(content: bytes, what: str, hint: str = "") -> str:
    """Why a text of JSON cannot be read by a worker; empty where the cause is not found.

    Args:
        content: The text.
        what: What it is called.
        hint: What to write, where it is not JSON at all.
    """
    try:
        return _cause(read_json(content.decode()), what)
    except UnicodeDecodeError:
        return f"{what} is not UTF-8"
    except TooDeep:
        return _deep(what)
    except NotJson as error:
        if error.reason == TOO_LONG:
            return f"{what} holds a number of more than {MOST_DIGITS:,} digits: send it as text"
        return f"{what} is not JSON (line {error.line}, column {error.column}){hint and f': {hint}'}"


def has_form(data: object, form: type) -> bool:
    """Whether plain JSON data are those of a dataclass, each of its type; keys that it does not know are passed over.

    Args:
        data: In memory.
        form: The dataclass.
    """
    try:
        TypeAdapter(form).validate_json(json.dumps(data), strict=True)
    except ValueError:
        return False
    return True


def _cause(data: object, what: str) -> str:
    level, seen = [data], set[int]()
    for _ in range(DEEPEST + 1):
        for item in level:
            match item:
                case str() if not _is_whole(item):
                    return f"a text of {what} holds half a character (a lone surrogate): send whole ones"
                case int() if abs(item) >= _TOO_LONG:
                    return f"{what} holds a number of more than {MOST_DIGITS:,} digits: send it as text"
                case float() if not math.isfinite(item):
                    return ""
                case _:
                    pass
        level = [part for item in level for part in _inside(item, seen)]
        if not level:
            return ""
    return _deep(what)


def _deep(what: str) -> str:
    return f"{what} is nested more than {DEEPEST} levels deep"


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _inside(item: object, seen: set[int]) -> Iterator[object]:
    """What an object or a list holds, each but once: one that holds itself has no end."""
    if not isinstance(item, dict | list | tuple) or id(cast("object", item)) in seen:
        return
    seen.add(id(cast("object", item)))
    if isinstance(item, dict):
        yield from cast("dict[object, object]", item)
        yield from cast("dict[object, object]", item).values()
    else:
        yield from cast("list[object] | tuple[object, ...]", item)
