"""JSON from text, with the same error messages on every Python version, and its size as text."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn

MORE: Final = "there is something after the end"
MOST_DIGITS: Final = 4300
"""Maximum digits of a number (CVE-2020-10735)."""
TOO_LONG: Final = f"a number has more than {MOST_DIGITS:,} digits"
DEPTH: Final = 500
"""Maximum nesting. Python's own limit differs between versions and callers."""
_BLANK: Final = " \t\n\r"  # what JSON takes for white space
_STRUCTURE: Final = re.compile(r'"(?:[^"\\]|\\.)*"|([\[{])|([\]}])|(-?\b(?:NaN|Infinity)\b|\d{4301,})')
"""Strings; and outside of them brackets, NaN and Infinity, and numbers of more than 4,300 digits."""
_REASONS: Final = {
    "Invalid control character at": "a line break or control character is inside a text: write \\n",
    "Unexpected UTF-8 BOM (decode using utf-8-sig)": "a byte order mark comes before it: remove it",
    "Expecting value": "a value is missing",
    "Expecting ',' delimiter": "a comma is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Expecting property name enclosed in double quotes": "a key in double quotes is missing",
    "Extra data": MORE,
    "Unterminated string starting at": "a text is not closed: a quote is missing",
    "Invalid \\escape": "a backslash is followed by something that it cannot escape",
    "Invalid \\uXXXX escape": "'\\u' is not followed by four hexadecimal digits",
}
_GOES_ON: Final = ("Expecting ',' delimiter", "Expecting property name enclosed in double quotes")
"""Python's messages about an object or a list that is still open at the document's end."""


def size_of(data: object) -> int:
    """Return the bytes of plain JSON data as JSON in UTF-8."""
    return len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))


class NotJson(ValueError):
    """A text is not JSON, or cannot be read.

    Attributes:
        reason: The reason, without a place and without content.
        at: Index of the character.
        line: Its line, from 1.
        column: Its column, from 1.
    """

    def __init__(self, reason: str, text: str, at: int) -> None:
        super().__init__(reason)
        self.reason, self.at = reason, at
        self.line = text.count("\n", 0, at) + 1
        self.column = at - text.rfind("\n", 0, at)


class TooDeep(NotJson):
    """More than `DEPTH` nested brackets."""


class KeyTwice(NotJson):
    """An object has a key twice. Readers differ in which one they use (RFC 8259 §4)."""


def read_json(text: str, *, unique: bool = False) -> Any:
    """Read a JSON text. NaN and Infinity, which Python accepts, are not JSON.

    Raise NotJson if it is not JSON, TooDeep if it is nested too deeply, or KeyTwice if a key is repeated although keys
    have to be `unique`.
    """
    if text.count("[") + text.count("{") > DEPTH:
        depth = 0
        for found in _STRUCTURE.finditer(text):
            depth += bool(found[1]) - bool(found[2])
            if depth > DEPTH:
                raise TooDeep("it is nested too deeply to be read", text, found.start())
    pairs = _once if unique else None
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_float, object_pairs_hook=pairs)
    except _Twice:
        raise KeyTwice("an object has a key twice", text, 0) from None
    except json.JSONDecodeError as error:
        raise NotJson(*_told(error.msg, text, error.pos)) from None
    except ValueError:
        at = next((found.start(3) for found in _STRUCTURE.finditer(text) if found[3]), 0)
        digits = text[at : at + 1].isdigit()
        reason = TOO_LONG if digits else "NaN and Infinity do not exist there"
        raise NotJson(reason, text, at) from None


class _Twice(Exception):
    """See `KeyTwice`."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Twice
    return made


def _told(message: str, text: str, at: int) -> tuple[str, str, int]:
    rest = text[at:].lstrip(_BLANK)
    if message in _GOES_ON and not rest:
        return "it ends before its last bracket is closed", text, at
    if message.startswith("Illegal trailing comma"):  # Python 3.13 and later
        return "there is one comma too many", text, at
    if rest[:1] in ("}", "]") and (before := text[:at].rstrip(_BLANK)).endswith(","):
        return "there is one comma too many", text, len(before) - 1
    return _REASONS.get(message, message[:1].lower() + message[1:]), text, at


def _float(digits: str) -> float:
    if len(digits) > MOST_DIGITS:  # what workers read JSON with refuses these, too
        raise ValueError(digits)
    return float(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)
