"""A template in the old syntax, cut into text, variables and tags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any, Final, NamedTuple, cast

from scenario.check.templates import templates
from scenario.source.findings import clip
from scenario.source.report import Report
from scenario.source.source import Path

_MARKUP: Final = re.compile(
    r"\$(?:(?P<table>[A-Za-z_]\w{0,60})\.)?(?P<name>[A-Za-z_]\w{0,120})\$|(?P<tag>\{\s{0,20}SPLIO\b)",
    re.ASCII | re.IGNORECASE,
)
_OPENING: Final = re.compile(r"\{[{%]")
_CLOSING: Final = {"{{": "}}", "{%": "%}"}
_LONGEST_TAG: Final = 2_000
_QUOTES: Final = {'"': '"', "'": "'", "“": "”"}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a template.

    Attributes:
        start: Where it begins, from 0.
        end: Where it ends.
    """

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Text(Part):
    """Text that is sent as it stands."""


@dataclass(frozen=True, slots=True)
class Liquid(Part):
    """Liquid that is there already."""


@dataclass(frozen=True, slots=True)
class Variable(Part):
    """``$firstname$`` or ``$order.extid$``.

    Attributes:
        table: What stands before the point; empty where there is none.
        name: The field.
    """

    table: str
    name: str


@dataclass(frozen=True, slots=True)
class Tag(Part):
    """``{SPLIO IF …}``.

    Attributes:
        word: IF, ELSEIF, ELSE, ENDIF, FOREACH, ENDFOREACH, or whatever stands there, in capitals.
        rest: What follows the word, with its HTML entities resolved.
        closed: Whether there is a closing brace.
    """

    word: str
    rest: str
    closed: bool = True


def parts(source: str, *, liquid: bool = False) -> Iterator[Part]:
    """All parts of a template, in order and without gaps.

    Args:
        source: The template.
        liquid: Whether braces in it are Liquid already; otherwise they are text.
    """
    at = 0
    for span in _liquid(source) if liquid else ():
        yield from _legacy(source, at, span.start)
        yield span
        at = span.end
    yield from _legacy(source, at, len(source))


def _liquid(source: str) -> Iterator[Liquid]:
    at = 0
    absent: set[str] = set()
    while found := _OPENING.search(source, at):
        closing = _CLOSING[found[0]]
        close = -1 if closing in absent else source.find(closing, found.end())
        if close == -1:
            absent.add(closing)
            at = found.end()
        else:
            at = close + 2
            yield Liquid(found.start(), at)


def _legacy(source: str, at: int, end: int) -> Iterator[Part]:
    while found := _MARKUP.search(source, at, end):
        if found.start() > at:
            yield Text(at, found.start())
        part = _tag(source, found, end) if found["tag"] else _variable(found)
        yield part
        at = part.end
    if end > at:
        yield Text(at, end)


def _variable(found: re.Match[str]) -> Variable:
    return Variable(found.start(), found.end(), found["table"] or "", found["name"])


def _tag(source: str, found: re.Match[str], end: int) -> Tag:
    following = source.find("{", found.end(), end)
    limit = min(end if following == -1 else following, found.start() + _LONGEST_TAG)
    close = _closing(source, found.end(), limit)
    if close is None:
        # A tag is written on one line: what is on the next ones is not part of an unclosed one.
        close = min((at for mark in "\r\n" if (at := source.find(mark, found.end(), limit)) != -1), default=limit)
        return Tag(found.start(), close, *_words(source[found.end() : close]), closed=False)
    return Tag(found.start(), close + 1, *_words(source[found.end() : close]))


def _closing(source: str, start: int, limit: int) -> int | None:
    """The closing brace: the first one outside of quotes, or, where quotes do not close, the first one at all."""
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


def _words(inside: str) -> tuple[str, str]:
    # Visual editors write quotes and '<' as entities, and a tag inside of a JSON string has its quotes escaped.
    text = unescape(inside).replace('\\"', '"').strip()
    words = re.split(r"\s+", text, maxsplit=1)
    word, rest = words[0], words[1] if len(words) > 1 else ""
    if word.upper() == "ELSE" and re.match(r"IF\b", rest, re.IGNORECASE):
        word, rest = "ELSEIF", rest[2:].strip()
    return word.upper(), rest


_SHOWN: Final = 40


class _Text(NamedTuple):
    """A text, where it stands, and whether it is the key there."""

    path: Path
    text: str
    in_key: bool = False


def check_remnants(data: Any, report: Report) -> None:
    """Warns of the first piece of old syntax in each text of a scenario: all of them are converted at once.

    An amount such as ``$5.00`` or ``100$`` is none: a variable is a name between two signs.

    Args:
        data: The scenario as it was written, with the texts of other files in place.
        report: Takes the findings.
    """
    for template in templates(data):
        for text in _texts(template.path, template.source):
            found = next((part for part in parts(text.text, liquid=True) if isinstance(part, Variable | Tag)), None)
            if found is not None:
                written = clip(text.text[found.start : found.end], _SHOWN)
                message = f"'{written}' is the platform's old syntax: 'scenario convert' turns it into Liquid"
                key, at = text.in_key, found.start
                report.add(text.path, "old-syntax", message, key=key, offset=at, severity="warning")


def _texts(path: Path, source: Any) -> Iterator[_Text]:
    """The texts of a template; of a structured body all in it, keys too."""
    if isinstance(source, str):
        if "$" in source or "{" in source:
            yield _Text(path, source)
    elif isinstance(source, Mapping):
        for key, value in cast("Mapping[Any, Any]", source).items():
            if isinstance(key, str) and "$" in key[1:]:
                yield _Text((*path, key), key, in_key=True)
            yield from _texts((*path, key), value)
    elif isinstance(source, list):
        for index, item in enumerate(cast("list[Any]", source)):
            yield from _texts((*path, index), item)
