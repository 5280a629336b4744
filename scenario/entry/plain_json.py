"""Entries as plain JSON, and reasons why data cannot travel to a journey so. No message contains the data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from scenario.entry.entry import LARGEST, is_too_deep
from scenario.errors import EntryError, ScenarioError
from scenario.source.decoding import MOST_DIGITS, TOO_LONG, NotJson, TooDeep, read_json
from scenario.type_guards import is_mapping, is_sequence

Form = TypeVar("Form")

_TOO_LONG: Final = 10**MOST_DIGITS
DEEPEST: Final = 100
"""Maximum nesting. Journeys wrap the data, and readers of JSON give up at some 200 levels."""


def plain_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry as plain JSON for the workflow. Raise EntryError if JSON cannot hold it, or it is too long."""
    try:
        content = json.dumps(entry, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise EntryError(unsent(entry, "the entry")) from None
    if is_too_deep(entry):
        raise EntryError(f"the entry is nested more than {DEEPEST} levels deep")
    if len(content) > LARGEST:
        raise EntryError(f"the entry has {len(content)} bytes, and may have {LARGEST}: leave out what no step names")
    return dict(entry)


def unsent(data: object, what: str) -> str:
    """Return why data, called `what`, cannot be written as JSON."""
    return _cause(data, what) or f"{what} holds something that JSON does not have, such as NaN: send plain JSON"


def unread(content: bytes, what: str, hint: str = "") -> str:
    """Return why a worker cannot read a JSON text, called `what`, or nothing. `hint` is for a text that is no JSON."""
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


def reader_of(form: type[Form]) -> TypeAdapter[Form]:
    """Return a reader of JSON data as a dataclass. It ignores unknown keys, and takes milliseconds to make."""
    return TypeAdapter(form)


def read_form(reader: TypeAdapter[Form], data: object, what: str) -> Form:
    """Return JSON data as a dataclass, or raise ScenarioError. Pydantic's own error would quote the data."""
    try:
        return reader.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ScenarioError(f"{what} is not for this version: {first['msg']} at '{place}'") from None


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
    """Yield the values of an object or a list once each, also if it contains itself."""
    if not (is_mapping(item) or is_sequence(item)) or id(item) in seen:
        return
    seen.add(id(item))
    yield from item
    if is_mapping(item):
        yield from item.values()
