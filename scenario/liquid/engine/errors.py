"""Translation of python-liquid's errors: one sentence, a position, and never a contact's data."""

from __future__ import annotations

import re
from typing import Final

from liquid.exceptions import (
    BlockNestingError,
    ContextDepthError,
    LiquidError,
    LoopIterationLimitError,
    ResourceLimitError,
)

from scenario.errors import LimitExceeded, MissingVariable, TemplateError
from scenario.liquid.engine.access import MissingValueError
from scenario.source.findings import Lines

_REWORDED: Final = (
    (re.compile(r"expected '}}', found end of file"), "'{{' is not closed: add '}}'"),
    (re.compile(r"missing tag name or closing delimiter"), "'{%' is not closed, or it has no tag name"),
    (re.compile(r"expected tag end(\w+), found .*"), r"'\1' is not closed: add '{% end\1 %}'"),
    (re.compile(r"(\w+) tag was never closed"), r"'\1' is not closed: add '{% end\1 %}'"),
    (re.compile(r"unexpected tag '(raw|doc)'"), r"'\1' is not closed: add '{% end\1 %}'"),
    (re.compile(r"unexpected tag 'end(\w+)'"), r"'end\1' closes nothing: there is no open '\1'"),
    (re.compile(r"unexpected tag '(else|elsif|when)'"), r"'\1' is outside of its block"),
    (re.compile(r"unexpected tag '?([^']*)'?"), r"there is no tag '\1'"),
    (re.compile(r"expected content, found expression"), "this tag takes nothing after its name"),
    (re.compile(r"missing or unexpected path segment"), "a value is missing here"),
    (re.compile(r"range literal length limit reached"), "a range is too long for a loop"),
    (re.compile(r"missing expression"), "this tag needs an expression"),
    (re.compile(r"unexpected '(break|continue)'"), r"'\1' is outside of a loop"),
    (re.compile(r"unexpected (\"'\"|'\"')"), r"the quote \1 is not closed"),
    (re.compile(r"disallowed ternary expression"), "Liquid has no 'if' inside an output: use the 'if' tag"),
)
_EXPECTED: Final = re.compile(r"expected (?P<wanted>.+), found (?P<found>.+)")
_UNEXPECTED: Final = re.compile(r"unexpected token (?P<found>.+)")
_END: Final = "end of expression"

_SIGNS: Final = {
    "assign": "=",
    "colon": ":",
    "comma": ",",
    "dot": ".",
    "dpipe": "||",
    "pipe": "|",
    "range": "..",
    "eq": "==",
    "ne": "!=",
    "ltgt": "<>",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "lbracket": "[",
    "rbracket": "]",
    "lparen": "(",
    "rparen": ")",
}
_WORDS: Final = {
    **dict.fromkeys(("StringLiteral", "string"), "a text in quotes"),
    **dict.fromkeys(("an identifier", "word"), "a name"),
    **dict.fromkeys(("float", "integer"), "a number"),
    "a comma separated list of arguments": "arguments with commas between them",
    "a path with multiple segments": "a path with a '.' in it",
    "a primitive expression": "a value",
    "an argument name": "the name of an argument",
    "expression": "an expression",
    "identindex": "an index in brackets",
    "identstring": "a key in brackets",
    "one of ('colon',)": "':'",
    "output": "an output",
    "rangeexpression": "a range",
    **{kind: f"'{sign}'" for kind, sign in _SIGNS.items()},
}
"""Readable names for python-liquid's kinds of tokens."""

_LIMITS: Final[dict[type[LiquidError], str]] = {
    BlockNestingError: "blocks are nested more than 30 levels deep",
    ContextDepthError: "blocks are nested more than 30 levels deep",
    LoopIterationLimitError: "nested loops run more than 100,000 times: loop over fewer items",
}


def make_error(reason: str, source: str, offset: int | None, *, limit: bool = False, at: str = "") -> TemplateError:
    """Return a template's error.

    Args:
        source: The template's text.
        offset: Index into the text, or None if it is unknown.
        limit: True if a limit was exceeded.
        at: The part of a structured body, such as ``lines[0].name``.
    """
    kind = LimitExceeded if limit else TemplateError
    if offset is None:
        return kind(reason, at=at)
    offset = min(max(offset, 0), len(source))
    line, column = Lines(source).mark(offset)
    return kind(reason, at=at, line=line, column=column, offset=offset)


def reword(message: str) -> str:
    for pattern, words in _REWORDED:
        if known := pattern.fullmatch(message):
            return known.expand(words)
    if stray := _UNEXPECTED.fullmatch(message):
        return f"{_describe_token(stray['found'])} is not expected here"
    if pair := _EXPECTED.fullmatch(message):
        if pair["wanted"] == _END:
            return f"{_describe_token(pair['found'])} is not expected here"
        if pair["found"] == _END:
            return f"{_describe_token(pair['wanted'])} is missing here"
        return f"expected {_describe_token(pair['wanted'])}, not {_describe_token(pair['found'])}"
    return message


def _describe_token(kind: str) -> str:
    quoted = kind if kind.startswith(("'", "(", "[", '"')) else f"'{kind}'"
    return _WORDS.get(kind, quoted if " " not in kind else kind)


def translate_error(error: LiquidError, source: str, *, at: str = "") -> TemplateError:
    token = error.token
    offset = token.start_index if token is not None and token.start_index >= 0 else None
    if token is not None and token.source != source:
        offset = None
    reason = _LIMITS.get(type(error)) or reword(str(error.args[0]) if error.args else "the template is malformed")
    made = make_error(reason, source, offset, limit=isinstance(error, ResourceLimitError), at=at)
    if isinstance(error, MissingValueError):
        place = {"line": made.line, "column": made.column, "offset": made.offset}
        return MissingVariable(made.reason, error.path, at=at, **place)
    return made
