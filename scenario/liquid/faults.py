"""python-liquid's errors as ours: one sentence, a position, and never a contact's data."""

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

from scenario.errors import LimitExceeded, TemplateError

_NEWLINE: Final = re.compile(r"\r\n|\r|\n")

_REWORDED: Final = (
    (re.compile(r"expected '}}', found end of file"), "'{{' is not closed: add '}}'"),
    (re.compile(r"missing tag name or closing delimiter"), "'{%' is not closed, or no tag's name follows it"),
    (re.compile(r"expected tag end(\w+), found .*"), r"'\1' is not closed: add '{% end\1 %}'"),
    (re.compile(r"(\w+) tag was never closed"), r"'\1' is not closed: add '{% end\1 %}'"),
    (re.compile(r"unexpected tag 'end(\w+)'"), r"'end\1' closes nothing: there is no open '\1'"),
    (re.compile(r"unexpected tag '(else|elsif|when)'"), r"'\1' is outside of its block"),
    (re.compile(r"unexpected tag '?([^']*)'?"), r"there is no tag '\1'"),
    (re.compile(r"expected a primitive expression, found end of expression"), "a value is missing here"),
    (re.compile(r"missing or unexpected path segment"), "a value is missing here"),
    (re.compile(r"missing expression"), "this tag needs an expression"),
    (re.compile(r"expected (.+), found end of expression"), r"expected \1, but the expression ends here"),
    (re.compile(r"expected end of expression, found (.+)"), r"unexpected \1: the expression should have ended before"),
    (re.compile(r"unexpected '(break|continue)'"), r"'\1' is outside of a loop"),
    (re.compile(r"unknown filter '(.*)'"), r"there is no filter '\1'"),
    (re.compile(r"disallowed not operator in logical expression"), "Liquid has no 'not': use 'unless' or '!='"),
    (re.compile(r"disallowed parentheses in logical expression"), "Liquid has no parentheses in conditions: nest 'if'"),
    (re.compile(r"disallowed ternary expression"), "Liquid has no 'if' inside an output: use the 'if' tag"),
)

_LIMITS: Final[dict[type[LiquidError], str]] = {
    BlockNestingError: "blocks are nested more than 30 levels deep",
    ContextDepthError: "partials are nested more than 30 levels deep",
    LoopIterationLimitError: "nested loops go around more than 100,000 times: loop over less",
}


def position(source: str, offset: int) -> tuple[int, int]:
    """The 1-based line and column of an index into a text.

    Lines end as in an editor (LF, CRLF, CR), not as in ``str.splitlines``, which also breaks at U+2028 and others.
    """
    line, start = 1, 0
    for found in _NEWLINE.finditer(source, 0, offset):
        line, start = line + 1, found.end()
    return line, offset - start + 1


def mistake(reason: str, source: str, offset: int | None, *, limit: bool = False, at: str = "") -> TemplateError:
    """A template's error.

    Args:
        reason: What is wrong, in one sentence.
        source: The template's text.
        offset: Where in it, or None where nobody knows.
        limit: Whether a bound was reached.
        at: Which part of a structured body the template is, such as ``lines[0].name``.
    """
    kind = LimitExceeded if limit else TemplateError
    reason = f"{at}: {reason}" if at else reason
    if offset is None:
        return kind(reason)
    offset = min(max(offset, 0), len(source))
    line, column = position(source, offset)
    return kind(reason, line=line, column=column, offset=offset)


def reworded(message: str) -> str:
    """python-liquid's message in a template author's words."""
    for pattern, words in _REWORDED:
        if found := pattern.fullmatch(message):
            return found.expand(words)
    return message


def translated(error: LiquidError, source: str, *, at: str = "") -> TemplateError:
    """The error of ours that says the same.

    Args:
        error: What python-liquid, or our own code inside it, raised.
        source: The template's text.
        at: Which part of a structured body the template is.
    """
    token = error.token
    offset = token.start_index if token is not None and token.start_index >= 0 else None
    if token is not None and token.source != source:
        offset = None
    reason = _LIMITS.get(type(error)) or reworded(str(error.args[0]) if error.args else "the template is malformed")
    return mistake(reason, source, offset, limit=isinstance(error, ResourceLimitError), at=at)
