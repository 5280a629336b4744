"""A parser for templates with mistakes: it reports each, repairs the tokens and continues.

python-liquid stops at the first mistake. Here the tags are balanced first. Then the template is parsed, and any
malformed expression is replaced by an empty one, until it parses. Tokens keep their positions, so that later findings
are located in the author's text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from liquid.ast import Node
from liquid.exceptions import LiquidError, ResourceLimitError
from liquid.parser import get_parser
from liquid.token import TOKEN_COMMENT, TOKEN_EOF, TOKEN_EXPRESSION, TOKEN_OUTPUT, TOKEN_TAG, Token

from scenario.liquid.engine.environment import Engine
from scenario.liquid.engine.errors import translate_error
from scenario.liquid.engine.foreign_syntax import ForeignSyntaxError
from scenario.liquid.engine.lexer import PositionedStream, liquid_tag_stream, template_stream
from scenario.liquid.lint.findings import LintedText
from scenario.source.findings import closest

MAX_MISTAKES: Final = 60
"""Limit of syntax mistakes. Each costs another parse."""

_TAGS_ALIKE: Final = 0.75
"""Higher than usual, since the template is parsed as if it contained the other tag."""

_INNER: Final = {
    "if": frozenset({"elsif", "else"}),
    "unless": frozenset({"elsif", "else"}),
    "case": frozenset({"when", "else"}),
    "for": frozenset({"else"}),
}
_INNER_TAGS: Final = frozenset({"elsif", "else", "when"})
_VERBATIM: Final = frozenset({"raw", "doc"})
_ASSIGNED: Final = re.compile(r"([\w-]+)\s*=")
_LOOPED: Final = re.compile(r"\s*([A-Za-z_][\w-]*)(?!\S)")
_HARMLESS: Final = {"capture": "_", "increment": "_", "decrement": "_", "abort": "''", "assign": "_ = nil"}


def parse_with_repairs(linted: LintedText, engine: Engine) -> list[Node] | None:
    """Return the nodes of a template without its malformed parts, or None if there are too many."""
    tokens = _tokens(linted)
    if tokens is None:
        return None
    tokens = _TagBalancer(linted, engine).balance(_inline_liquid_tags(tokens, linted))
    end = Token(TOKEN_EOF, "", len(linted.source), linted.source)
    for _ in range(MAX_MISTAKES):
        try:
            return get_parser(engine).parse(PositionedStream(tokens, end))
        except LiquidError as error:
            if not _repair(tokens, error, linted):
                return None
    return None


def _tokens(linted: LintedText) -> list[Token] | None:
    source = linted.source
    for _ in range(MAX_MISTAKES):
        try:
            return list(template_stream(source).tokens)
        except LiquidError as error:
            if not report_syntax_error(error, linted) or error.token is None:
                return None
            # An unclosed tag becomes text. Every other character keeps its index.
            at = error.token.start_index
            source = f"{source[:at]}  {source[at + 2 :]}"
    return None


def report_syntax_error(error: LiquidError, linted: LintedText) -> bool:
    """Report a syntax mistake, and return True if parsing can continue."""
    if isinstance(error, ForeignSyntaxError):
        for word in error.found:
            linted.add("foreign-word", word.message, word.offset)
        return True
    ours = translate_error(error, error.token.source if error.token is not None else linted.source)
    is_limit = isinstance(error, ResourceLimitError)
    linted.add("limit" if is_limit else "syntax", ours.reason, ours.offset or 0)
    return not is_limit


def _inline_liquid_tags(tokens: Sequence[Token], linted: LintedText) -> list[Token]:
    made: list[Token] = []
    skip = False
    for index, token in enumerate(tokens):
        if skip:
            skip = False
            continue
        following = tokens[index + 1] if index + 1 < len(tokens) else None
        if token.kind == TOKEN_TAG and token.value == "liquid":
            if following is not None and following.kind == TOKEN_EXPRESSION:
                skip = True
                try:
                    made.extend(liquid_tag_stream(following, 0).tokens)
                except LiquidError as error:
                    report_syntax_error(error, linted)
            continue
        made.append(token)
    return made


class _TagBalancer:
    """A pass that pairs block tags and end tags."""

    def __init__(self, linted: LintedText, engine: Engine) -> None:
        self._linted, self._engine = linted, engine
        self._blocks = {name for name, tag in engine.tags.items() if tag.block and tag.end}
        self._open: list[Token] = []
        self._made: list[Token] = []

    def balance(self, tokens: list[Token]) -> list[Token]:
        """Return the tokens with missing tags added and surplus tags removed. Reports each."""
        dropping = False
        for token in tokens:
            if token.kind == TOKEN_EXPRESSION and dropping:
                continue
            after_else = bool(self._made) and self._made[-1].is_tag("else")
            if token.kind == TOKEN_EXPRESSION and after_else and token.value.strip():
                message = "what follows 'else' is ignored: write 'elsif', or remove it"
                self._linted.add("else-if", message, token.start_index)
            dropping = token.kind == TOKEN_TAG and not self._tag(token)
            if token.kind != TOKEN_TAG:
                self._made.append(token)
        while self._open:
            self._close_unclosed(self._open.pop(), len(self._linted.source))
        return self._made

    def _tag(self, token: Token) -> bool:
        """Process a tag, and return True if it stays."""
        name = token.value
        if name.startswith("end") and name[3:] in self._blocks | _VERBATIM:
            return self._end(token, name[3:])
        if name in _INNER_TAGS:
            return self._inner(token)
        if name in _VERBATIM:
            self._linted.add("syntax", f"'{name}' is not closed: add '{{% end{name} %}}'", token.start_index)
            return False
        if name not in self._engine.tags:
            known = (*self._engine.tags, *_INNER_TAGS, *(f"end{block}" for block in self._blocks))
            meant = closest(name, known, _TAGS_ALIKE)
            self._linted.add("unknown-tag", f"there is no tag '{name}'", token.start_index, suggestion=meant)
            # Continue as if the tag had been correct, so that its counterpart is not reported as well.
            return meant is not None and self._tag(token._replace(value=meant))
        if name in self._blocks:
            self._open.append(token)
        self._made.append(token)
        return True

    def _inner(self, token: Token) -> bool:
        if self._open and token.value in _INNER.get(self._open[-1].value, ()):
            self._made.append(token)
            return True
        for depth, block in enumerate(reversed(self._open)):
            if token.value in _INNER.get(block.value, ()) and token.value != "else":
                for _ in range(depth):
                    self._close_unclosed(self._open.pop(), token.start_index)
                self._made.append(token)
                return True
        self._linted.add("syntax", f"'{token.value}' is outside of its block", token.start_index)
        return False

    def _end(self, token: Token, name: str) -> bool:
        if not any(block.value == name for block in self._open):
            self._linted.add("syntax", f"'end{name}' closes nothing: there is no open '{name}'", token.start_index)
            return False
        while self._open[-1].value != name:
            self._close_unclosed(self._open.pop(), token.start_index)
        self._open.pop()
        self._made.append(token)
        return True

    def _close_unclosed(self, block: Token, at: int) -> None:
        name = block.value
        self._linted.add("unclosed-tag", f"'{name}' is not closed: add '{{% end{name} %}}'", block.start_index)
        if name == "comment" and not any(token.kind == TOKEN_COMMENT for token in self._made[-1:]):
            self._made.append(Token(TOKEN_COMMENT, "", at, self._linted.source))
        self._made.append(Token(TOKEN_TAG, f"end{name}", at, self._linted.source))


def _repair(tokens: list[Token], error: LiquidError, linted: LintedText) -> bool:
    """Report a mistake and remove it from the tokens. Returns False if that is impossible."""
    if not report_syntax_error(error, linted) or error.token is None:
        return False
    place = _find_token(tokens, error.token.start_index)
    if place is None:
        return False
    token = tokens[place]
    if token.kind == TOKEN_EXPRESSION:
        owner = tokens[place - 1] if place else token
        harmless = _harmless(owner, token)
        takes_none = owner.kind == TOKEN_TAG and (owner.value == "else" or owner.value.startswith("end"))
        if takes_none or owner.kind not in (TOKEN_TAG, TOKEN_OUTPUT):
            del tokens[place]
        elif token.value == harmless:
            del tokens[place - 1 : place + 1]
        else:
            tokens[place] = token._replace(value=harmless)
        return True
    if token.kind == TOKEN_TAG:
        if place + 1 < len(tokens) and tokens[place + 1].kind == TOKEN_EXPRESSION:
            del tokens[place : place + 2]
        else:
            tokens.insert(place + 1, Token(TOKEN_EXPRESSION, _harmless(token, token), token.start_index, linted.source))
        return True
    del tokens[place]
    return True


def _harmless(owner: Token, expression: Token) -> str:
    if owner.kind == TOKEN_TAG and owner.value == "assign" and (named := _ASSIGNED.match(expression.value)):
        return f"{named[1]} = nil"
    if owner.kind == TOKEN_TAG and owner.value in ("for", "tablerow"):
        written = expression.value if expression.kind == TOKEN_EXPRESSION else ""
        named = f"{guess_loop_variable(written) or '_'} in nil"
        return named if expression.value != named else "_ in nil"  # not a valid variable name
    return _HARMLESS.get(owner.value, "nil") if owner.kind == TOKEN_TAG else "nil"


def guess_loop_variable(source: str) -> str | None:
    """Return the probable variable of a malformed loop, which is its first word."""
    found = _LOOPED.match(source)
    return found[1] if found else None


def _find_token(tokens: Sequence[Token], offset: int) -> int | None:
    """Return the index of the innermost token at an offset."""
    best: int | None = None
    for index, token in enumerate(tokens):
        if token.start_index <= offset <= token.start_index + len(token.value):
            if best is None or token.kind == TOKEN_EXPRESSION or tokens[best].kind not in (TOKEN_EXPRESSION, TOKEN_TAG):
                best = index
        elif token.start_index > offset and best is not None:
            break
    return best
