"""Keys that data write into a JSON text, ``{"admin": false, "{{ name }}": true}``: none may take another's place.

JSON lets two keys of an object be equal, and receivers mostly take the last. So a value could put its own in the place
of what the author wrote. Only templates with an output in a key are looked at, which a template says when it is parsed:
the others, nearly all of them, pay nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final, cast

from liquid import RenderContext
from liquid.ast import Node
from liquid.token import TOKEN_CONTENT, Token

from scenario.liquid.engine.errors import mistake
from scenario.liquid.engine.values import clean
from scenario.liquid.sinks.json_text import ESCAPED, TOO_DEEP, JsonContent, JsonSink

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
