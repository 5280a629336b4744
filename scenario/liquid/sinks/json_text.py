"""A JSON body written as text: each output escapes itself by where it stands.

``"Dear {{ name }}"`` is inside a JSON string: the value's text is escaped. ``{"quantity": {{ quantity }}}`` is outside:
the value is written as a JSON literal of its own type. The sink knows at run time which it is, so that branches, loops
and captures need no analysis: whatever path was taken, the sink has seen every character of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from json.encoder import encode_basestring
from typing import Any, Final, cast

from liquid import RenderContext
from liquid.ast import Node
from liquid.builtin.content import Literal
from liquid.exceptions import LiquidTypeError
from liquid.token import TOKEN_CONTENT, Token

from scenario.liquid.engine.errors import mistake
from scenario.liquid.engine.limits import MAX_BODY
from scenario.liquid.engine.sink import Content, Sink
from scenario.liquid.engine.values import InString, NoJson, clean, json_text, to_text
from scenario.source.decoding import NotJson, TooDeep, read_json

OUTSIDE, INSIDE, ESCAPED = 0, 1, 2
"""Where in JSON a character stands: outside of any string, inside one, right after a backslash in one."""

TOO_DEEP: Final = "the body is nested too deeply to be read"
_DELIMITER: Final = re.compile(r'["\\]')
_COMMAS: Final = re.compile(
    r"""
    (?P<string>"(?:[^"\\]|\\.)*")            # strings are stepped over
    | (?P<opening>[\[{])(?:\s*,)+            # [ ,     commas after an opening
    | ,(?:\s*,)*(?=\s*(?:[\]}]|\Z))          # , ]     commas before a closing
    | (?P<first>,)(?:\s*,)+                  # , ,     commas in a row
    """,
    re.VERBOSE | re.DOTALL,
)


def scan(text: str, state: int) -> int:
    """Follow JSON's string delimiters through a text.

    Args:
        text: Characters of a JSON document.
        state: Where the first of them stands: ``OUTSIDE``, ``INSIDE`` or ``ESCAPED``.

    Returns:
        Where the character after the last would stand.
    """
    at = 0
    if state == ESCAPED and text:
        at, state = 1, INSIDE
    while found := _DELIMITER.search(text, at):
        at = found.end()
        if found[0] == '"':
            state = INSIDE if state == OUTSIDE else OUTSIDE
        elif state == INSIDE:
            if at == len(text):
                return ESCAPED
            at += 1
    return state


class JsonContent(Content):
    """Literal text of a JSON body, scanned once when it is parsed.

    Attributes:
        after: The state after the text for each state before it.
    """

    __slots__ = ("after",)

    def __init__(self, token: Token, text: str) -> None:
        super().__init__(token, text)
        self.after = (scan(text, OUTSIDE), scan(text, INSIDE), scan(text, ESCAPED))


class JsonContentTag(Literal):
    """Parses literal text of a JSON body."""

    node_class = JsonContent


class JsonSink(Sink):
    """A JSON document in the making.

    Attributes:
        state: Where the next character stands.
        marks: For each piece written, where it starts in the document and which part of the template wrote it, so that
            a mistake in the document leads back to the template.
    """

    __slots__ = ("marks", "state")

    def __init__(self, carried: int = 0) -> None:
        super().__init__(carried)
        self.state = OUTSIDE
        self.marks: list[tuple[int, Token]] = []

    def literal(self, node: JsonContent) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take the template's own JSON."""
        self.state = node.after[self.state]
        self.marks.append((self.size, node.token))
        return self.put(node.text)

    def value(self, value: object, token: Token) -> int:
        """Take an output's value: as text inside a string, as a literal outside.

        Raises:
            LiquidTypeError: The output follows a backslash, or JSON has no form for the value.
        """
        self.marks.append((self.size, token))
        if type(value) is str and self.state != ESCAPED:
            text = encode_basestring(value)
            return self.put(text[1:-1] if self.state else text)
        return self._data(value, token)

    def write(self, text: str, /) -> int:
        """Take what a tag writes by itself. It is data, too."""
        before = self.marks[-1][1] if self.marks else Token("", "", 0, "")
        self.marks.append((self.size, Token("tag", "", before.start_index + len(before.value), before.source)))
        return self._data(text, None)

    def _data(self, value: object, token: Token | None) -> int:
        try:
            if self.state == OUTSIDE:
                return self.put(json_text(value))
            if self.state == ESCAPED:
                raise LiquidTypeError("an output stands right after a backslash", token=token)
            if isinstance(value, InString):
                return self.put(value)
            return self.put(encode_basestring(value if type(value) is str else to_text(value))[1:-1])
        except NoJson as error:
            raise LiquidTypeError(str(error), token=token) from error


def mend_commas(text: str) -> str:
    """Blank out the commas that no JSON has: after an opening bracket, before a closing one, in a row.

    That is what loops leave whose last item was filtered out. Commas become blanks, so that every other character
    keeps its place.
    """

    def mended(found: re.Match[str]) -> str:
        if found["string"]:
            return found[0]
        kept = found["opening"] or found["first"] or ""
        return kept + found[0][len(kept) :].replace(",", " ")

    return _COMMAS.sub(mended, text)


def finished(sink: JsonSink, source: str) -> bytes:
    """The document that a template wrote.

    Args:
        sink: What it wrote to.
        source: The template's text, for error positions.

    Returns:
        Valid JSON in UTF-8, written as the template wrote it, with its stray commas blanked out.

    Raises:
        TemplateError: It is not JSON; with the line and column of the template that went wrong.
        LimitExceeded: It is larger than ``MAX_BODY``.
    """
    text = sink.getvalue()
    try:
        read_json(text)
    except NotJson:
        text = mend_commas(text)
        try:
            read_json(text)
        except TooDeep as error:
            raise mistake(TOO_DEEP, source, _origin(sink, error.at), limit=True) from error
        except NotJson as error:
            raise mistake(f"the body is not JSON: {error.reason}", source, _origin(sink, error.at)) from error
    return encoded(text, source)


def encoded(text: str, source: str) -> bytes:
    """A document's bytes.

    Raises:
        LimitExceeded: There are more than ``MAX_BODY``.
    """
    try:
        body = text.encode()
    except UnicodeEncodeError:
        # Lone surrogates can only be in strings: what they become is valid there.
        body = clean(text).encode()
    if len(body) > MAX_BODY:
        raise mistake(f"the body is larger than {MAX_BODY // 1024} KB", source, None, limit=True)
    return body


def _origin(sink: JsonSink, place: int) -> int:
    """Which index of the template wrote a character of the document."""
    mark: tuple[int, Token] | None = None
    for candidate in sink.marks:
        if candidate[0] > place:
            break
        mark = candidate
    if mark is None:
        return 0
    start, token = mark
    if token.kind != "content":
        return token.start_index
    return token.start_index + min(place - start, len(token.value))


_NO_CONTEXT: Final = cast("RenderContext", None)

_ENDS_A_KEY: Final = re.compile(r'(?:[^"\\]|\\.)*"\s*:|\s*:', re.DOTALL)
"""A piece of text that ends a key begun before it: by its first quote, or where that has come already, by its colon."""
_PARTS: Final = re.compile(r'(?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))|"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)


def has_written_keys(nodes: Iterable[Node]) -> bool:
    """Whether an output or a tag may stand in a key, or be one.

    No path through the template is followed: a key that the author wrote whole has both its quotes and its colon in one
    piece of text, so that each that ends in another piece than it began in has something between.

    Args:
        nodes: A template, parsed by the JSON engine.

    Returns:
        False only where there is none. True also of some texts with a colon after an output.
    """
    pieces = list(_pieces(nodes))
    # Right after a backslash, the first character of the next piece says nothing.
    skipped = (0, 1) if any(ESCAPED in piece.after for piece in pieces) else (0,)
    return any(_ENDS_A_KEY.match(piece.text, start) for piece in pieces for start in skipped)


def _pieces(nodes: Iterable[Node]) -> Iterable[JsonContent]:
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if isinstance(node, JsonContent):
            yield node
        pending.extend(node.children(_NO_CONTEXT, include_partials=False))


class _Twins(Exception):
    """Two keys of one object are equal."""


def refuse_twins(body: bytes, sink: JsonSink, source: str) -> None:
    """Refuse a body in which a key that data wrote is equal to another of the same object.

    Keys that the author wrote twice are left alone.

    Args:
        body: The finished body.
        sink: What the template wrote to.
        source: The template's text, for error positions.

    Raises:
        TemplateError: There is such a key; with the line and column of what wrote it.
    """
    try:
        json.loads(body.decode(), object_pairs_hook=_all_different)
    except RecursionError as error:
        raise mistake(TOO_DEEP, source, None, limit=True) from error
    except _Twins:
        token = _twin(sink)
        if token is not None:
            reason = "two keys of the same object are equal: what data write must not take another key's place"
            raise mistake(reason, source, token.start_index) from None


def _all_different(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise _Twins


def _twin(sink: JsonSink) -> Token | None:
    """What wrote the first key that is equal to one before it, or that one; None where the author wrote them all."""
    text = sink.getvalue()
    marks = [(start, token) for start, token in sink.marks if token.kind != TOKEN_CONTENT]
    at = 0
    around: list[dict[str, Token | None]] = []
    for part in _PARTS.finditer(text):
        if part["key"] is not None:
            while at < len(marks) and marks[at][0] < part.start():
                at += 1
            writer = marks[at][1] if at < len(marks) and marks[at][0] < part.end() else None
            key = clean(json.loads(part["key"]))
            if key in around[-1] and (found := writer or around[-1][key]) is not None:
                return found
            around[-1].setdefault(key, writer)
        elif part[0] in "{[":
            around.append({})
        elif part[0] in "}]":
            around.pop()
    return None
