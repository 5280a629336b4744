"""The old syntax: a lexer for templates, and the check that warns of it in scenarios."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any, Final

from scenario.check.templates import templates
from scenario.liquid.markup import find_markup
from scenario.source.findings import clip
from scenario.source.report import Report
from scenario.type_guards import Path, walk

_MARKUP: Final = re.compile(
    r"\$(?:(?P<table>[A-Za-z_]\w{0,60})\.)?(?P<name>[A-Za-z_]\w{0,120})\$|(?P<tag>\{\s{0,20}SPLIO\b)",
    re.ASCII | re.IGNORECASE,
)
_LONGEST_TAG: Final = 2_000
_QUOTES: Final = {'"': '"', "'": "'", "“": "”"}


@dataclass(frozen=True, slots=True)
class OldSyntaxPart:
    """A part of a template, from ``start`` up to ``end``."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class PlainText(OldSyntaxPart):
    """Literal text."""


@dataclass(frozen=True, slots=True)
class ExistingLiquid(OldSyntaxPart):
    """Text that is Liquid already."""


@dataclass(frozen=True, slots=True)
class OldVariable(OldSyntaxPart):
    """``$firstname$`` or ``$order.extid$``."""

    table: str  # the text before the dot, or empty
    name: str


@dataclass(frozen=True, slots=True)
class OldTag(OldSyntaxPart):
    """``{SPLIO IF …}``."""

    word: str  # IF, ELSEIF, ELSE, ENDIF, FOREACH, ENDFOREACH, or another word, in capitals
    rest: str  # the text after the word, with its HTML entities resolved
    closed: bool = True  # True if it has a closing brace


def split_template(source: str, *, liquid: bool = False) -> Iterator[OldSyntaxPart]:
    """Yield all parts of a template, in order and without gaps."""
    at = 0
    for start, end in find_markup(source) if liquid else ():
        yield from _find_old_syntax(source, at, start)
        yield ExistingLiquid(start, end)
        at = end
    yield from _find_old_syntax(source, at, len(source))


def _find_old_syntax(source: str, at: int, end: int) -> Iterator[OldSyntaxPart]:
    while found := _MARKUP.search(source, at, end):
        if found.start() > at:
            yield PlainText(at, found.start())
        variable = OldVariable(found.start(), found.end(), found["table"] or "", found["name"])
        part = _make_tag(source, found, end) if found["tag"] else variable
        yield part
        at = part.end
    if end > at:
        yield PlainText(at, end)


def _make_tag(source: str, found: re.Match[str], end: int) -> OldTag:
    following = source.find("{", found.end(), end)
    limit = min(end if following == -1 else following, found.start() + _LONGEST_TAG)
    close = _find_closing_brace(source, found.end(), limit)
    if close is None:
        # A tag is on one line, so an unclosed one ends at the line break.
        close = min((at for mark in "\r\n" if (at := source.find(mark, found.end(), limit)) != -1), default=limit)
        return OldTag(found.start(), close, *_split_tag(source[found.end() : close]), closed=False)
    return OldTag(found.start(), close + 1, *_split_tag(source[found.end() : close]))


def _find_closing_brace(source: str, start: int, limit: int) -> int | None:
    """Return the index of the closing brace: the first outside of quotes or, if quotes are not closed, the first."""
    quote = ""
    for index in range(start, limit):
        character = source[index]
        if quote:
            quote = "" if character == quote else quote
        elif character in _QUOTES and source.find(_QUOTES[character], index + 1, limit) != -1:
            quote = _QUOTES[character]
        elif character == "}":
            return index
    first = source.find("}", start, limit)
    return None if first == -1 else first


def _split_tag(inside: str) -> tuple[str, str]:
    # Visual editors write quotes and '<' as entities, and quotes inside a JSON string are escaped.
    text = unescape(inside).replace('\\"', '"').strip()
    words = re.split(r"\s+", text, maxsplit=1)
    word, rest = words[0], words[1] if len(words) > 1 else ""
    if word.upper() == "ELSE" and re.match(r"IF\b", rest, re.IGNORECASE):
        word, rest = "ELSEIF", rest[2:].strip()
    return word.upper(), rest


_SHOWN: Final = 40


def check_remnants(data: Any, report: Report) -> None:
    """Warn of the first piece of old syntax in each text of a scenario.

    Amounts such as ``$5.00`` or ``100$`` do not match: a variable is a name between two signs.
    """
    for template in templates(data):
        for path, text, key in _find_texts(template.path, template.source):
            parts = split_template(text, liquid=True)
            found = next((part for part in parts if isinstance(part, OldVariable | OldTag)), None)
            if found is not None:
                written = clip(text[found.start : found.end], _SHOWN)
                message = f"'{written}' is the platform's old syntax: 'scenario convert' turns it into Liquid"
                report.add(path, "old-syntax", message, key=key, offset=found.start, severity="warning")


def _find_texts(path: Path, source: Any) -> Iterator[tuple[Path, str, bool]]:
    """Yield the texts of a template, and the keys of a structured body, with their paths and True for keys."""
    for place, value in walk(source, path):
        if place != path and isinstance(key := place[-1], str) and "$" in key[1:]:
            yield place, key, True
        if isinstance(value, str) and ("$" in value or "{" in value):
            yield place, value, False
