"""JSON bodies written as text, in which each output is escaped by its position.

In ``"Dear {{ name }}"`` the output is inside a JSON string, and the value's text is escaped. In ``{"quantity": {{
quantity }}}`` it is outside, and the value is written as JSON of its own type. The sink tracks the position while
rendering, so that branches, loops and captures need no analysis.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from json.encoder import encode_basestring
from typing import Final

from liquid.ast import Node
from liquid.builtin.content import Literal
from liquid.exceptions import LiquidTypeError
from liquid.token import TOKEN_CONTENT, Token

from scenario.liquid.engine.context import LiteralText, Sink
from scenario.liquid.engine.errors import make_error
from scenario.liquid.engine.limits import MAX_BODY, size_limit
from scenario.liquid.engine.nodes import child_nodes
from scenario.liquid.engine.values import InString, JsonValueError, json_text, replace_surrogates, to_text
from scenario.source.decoding import KeyTwice, NotJson, TooDeep, read_json

OUTSIDE, INSIDE, ESCAPED = 0, 1, 2
"""Positions in JSON: outside of strings, inside a string, after a backslash in a string."""

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
    """Track JSON's string delimiters through a text, from the state before it. Return the state after it."""
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


class JsonContent(LiteralText):
    """Literal text of a JSON body, scanned once when it is parsed.

    Attributes:
        after: The position after the text for each position before it.
    """

    __slots__ = ("after",)

    def __init__(self, token: Token, text: str) -> None:
        super().__init__(token, text)
        self.after = (scan(text, OUTSIDE), scan(text, INSIDE), scan(text, ESCAPED))


class JsonContentTag(Literal):
    """Parses literal text of a JSON body."""

    node_class = JsonContent


class JsonSink(Sink):
    """An unfinished JSON document.

    Attributes:
        state: The position of the next character.
        marks: For each written piece, its start in the document and the token of the template that wrote it. Errors in
            the document are thereby located in the template.
    """

    __slots__ = ("marks", "state")

    def __init__(self, carried: int = 0) -> None:
        super().__init__(carried)
        self.state = OUTSIDE
        self.marks: list[tuple[int, Token]] = []

    def literal(self, node: JsonContent) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.state = node.after[self.state]
        self.marks.append((self.size, node.token))
        return self.put(node.text)

    def value(self, value: object, token: Token) -> int:
        """Write an output's value: as text inside a string, as JSON outside."""
        self.marks.append((self.size, token))
        if type(value) is str and self.state != ESCAPED:
            text = encode_basestring(value)
            return self.put(text[1:-1] if self.state else text)
        return self._data(value, token)

    def write(self, text: str, /) -> int:
        """Write the output of a tag, which counts as data."""
        before = self.marks[-1][1] if self.marks else Token("", "", 0, "")
        self.marks.append((self.size, Token("tag", "", before.start_index + len(before.value), before.source)))
        return self._data(text, None)

    def _data(self, value: object, token: Token | None) -> int:
        try:
            if self.state == OUTSIDE:
                return self.put(json_text(value))
            if self.state == ESCAPED:
                raise LiquidTypeError("an output directly follows a backslash", token=token)
            if isinstance(value, InString):
                return self.put(value)
            return self.put(encode_basestring(value if type(value) is str else to_text(value))[1:-1])
        except JsonValueError as error:
            raise LiquidTypeError(str(error), token=token) from error


def blank_stray_commas(text: str) -> str:
    """Replace invalid commas by spaces: after an opening bracket, before a closing one, or in a row.

    Loops leave such commas when they skip their last item. Every other character keeps its index.
    """

    def mended(found: re.Match[str]) -> str:
        if found["string"]:
            return found[0]
        kept = found["opening"] or found["first"] or ""
        return kept + found[0][len(kept) :].replace(",", " ")

    return _COMMAS.sub(mended, text)


def finish_document(sink: JsonSink, source: str) -> bytes:
    """Return the document that a template wrote, with stray commas blanked, as valid JSON in UTF-8."""
    text = sink.getvalue()
    try:
        read_json(text)
    except NotJson:
        text = blank_stray_commas(text)
        try:
            read_json(text)
        except TooDeep as error:
            raise make_error(TOO_DEEP, source, find_origin(sink, error.at), limit=True) from error
        except NotJson as error:
            raise make_error(f"the body is not JSON: {error.reason}", source, find_origin(sink, error.at)) from error
    return encode_body(text, source)


def encode_body(text: str, source: str) -> bytes:
    try:
        body = text.encode()
    except UnicodeEncodeError:
        # Lone surrogates occur only in strings, where their replacement is valid.
        body = replace_surrogates(text).encode()
    if len(body) > (most := size_limit(MAX_BODY)):
        raise make_error(f"the body is larger than {most // 1024:,} KB", source, None, limit=True)
    return body


def find_origin(sink: JsonSink, place: int) -> int:
    """Return the index in the template that wrote a character of the document."""
    for start, token in reversed(sink.marks):
        if start <= place:
            return token.start_index + (min(place - start, len(token.value)) if token.kind == TOKEN_CONTENT else 0)
    return 0


_ENDS_A_KEY: Final = re.compile(r'(?:[^"\\]|\\.)*"\s*:|\s*:', re.DOTALL)
"""Text that ends a key begun before it, either at its first quote or, after that quote, at its colon."""
_PARTS: Final = re.compile(r'(?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))|"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)


def has_rendered_keys(nodes: Iterable[Node]) -> bool:
    """Return False only if no output or tag can be in a key.

    A key that the author wrote completely has its quotes and colon in one piece of text. A key that ends in another
    piece than it began in therefore contains an output or a tag. Some texts with a colon after an output give True as
    well.
    """
    pieces: list[JsonContent] = []
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if isinstance(node, JsonContent):
            pieces.append(node)
        pending.extend(child_nodes(node))
    # The first character after a backslash is escaped.
    skipped = (0, 1) if any(ESCAPED in piece.after for piece in pieces) else (0,)
    return any(_ENDS_A_KEY.match(piece.text, start) for piece in pieces for start in skipped)


def refuse_duplicate_keys(body: bytes, sink: JsonSink, source: str) -> None:
    """Reject a body in which a key written by data, not the author, equals another key of the same object."""
    try:
        read_json(body.decode(), unique=True)
    except KeyTwice:
        token = _find_duplicate(sink)
        if token is not None:
            reason = "two keys of the same object are equal: data must not write a duplicate key"
            raise make_error(reason, source, token.start_index) from None


def _find_duplicate(sink: JsonSink) -> Token | None:
    """Return the token that wrote the first duplicate key or its twin, or None if the author wrote all of them."""
    text = sink.getvalue()
    marks = [(start, token) for start, token in sink.marks if token.kind != TOKEN_CONTENT]
    at = 0
    around: list[dict[str, Token | None]] = []
    for part in _PARTS.finditer(text):
        if part["key"] is not None:
            while at < len(marks) and marks[at][0] < part.start():
                at += 1
            writer = marks[at][1] if at < len(marks) and marks[at][0] < part.end() else None
            key = replace_surrogates(json.loads(part["key"]))
            if key in around[-1] and (found := writer or around[-1][key]) is not None:
                return found
            around[-1].setdefault(key, writer)
        elif part[0] in "{[":
            around.append({})
        elif part[0] in "}]":
            around.pop()
    return None
