"""A lexer for templates that runs in linear time.

python-liquid's lexer tries one regular expression at every position. It is quadratic on unclosed ``raw`` tags, runs of
braces and braces inside comments: 60 KB of them take minutes. This lexer finds the next opening brace, then its closing
brace, and remembers if no closing brace remains. Its tokens equal python-liquid's, with two differences: a content
token starts at its text (after whitespace control), and whitespace control includes a template's last line break, as in
Shopify's implementation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from liquid.builtin.expressions import tokenize
from liquid.exceptions import LiquidSyntaxError
from liquid.stream import TokenStream
from liquid.token import (
    TOKEN_COMMENT,
    TOKEN_CONTENT,
    TOKEN_DOC,
    TOKEN_DOT,
    TOKEN_EOF,
    TOKEN_EXPRESSION,
    TOKEN_OUTPUT,
    TOKEN_TAG,
    TOKEN_WORD,
    Token,
)

from scenario.liquid.engine.limits import MAX_BRACKETS, MAX_OPERATORS, MAX_SOURCE, BoundReached

_OPENING: Final = re.compile(r"\{[{%]")
_TAG_NAME: Final = re.compile(r"\{%-?\s*(#|\w+)\s*")
_VERBATIM: Final = {
    name: (re.compile(rf"\{{%-?\s*{name}\s*(-?)%\}}"), re.compile(rf"\{{%-?\s*end{name}\s*(-?)%\}}"))
    for name in ("raw", "doc")
}
_VERBATIM_KIND: Final = {"raw": TOKEN_CONTENT, "doc": TOKEN_DOC}
_OPERATOR: Final = re.compile(r"\b(?:and|or|not)\b")
_LIQUID_LINE: Final = re.compile(r"[ \t]*(?P<name>#|\w+)[ \t]*(?P<expression>[^\n]*?)[ \t\r]*(?:\n+|$)|[\r\n]+")


class PositionedStream(TokenStream):
    """A token stream with a position for its end, for errors such as "found end of expression"."""

    def __init__(self, tokens: Iterable[Token], end: Token, depth: int = 0) -> None:
        super().__init__(iter(tokens), depth)
        self.eof = end

    def into_inner(self, *, tag: Token | None = None, eat: bool = True) -> TokenStream:
        token = self.current
        if token.kind != TOKEN_EXPRESSION:
            raise LiquidSyntaxError("missing expression", token=tag or token)
        if eat:
            next(self)
        return expression_stream(token)


def expression_stream(token: Token) -> PositionedStream:
    text = token.value
    if text.count("[") + text.count("(") > MAX_BRACKETS:
        raise BoundReached(f"an expression has more than {MAX_BRACKETS} brackets", token)
    if len(text) > 3 * MAX_OPERATORS and len(_OPERATOR.findall(text)) > MAX_OPERATORS:
        raise BoundReached(f"an expression has more than {MAX_OPERATORS} 'and', 'or' and 'not'", token)
    end = Token(TOKEN_EOF, "", token.start_index + len(text), token.source)
    return PositionedStream(_words_as_names(tokenize(text, token)), end)


def _words_as_names(tokens: Iterable[Token]) -> Iterator[Token]:
    """Yield the tokens, with every word after a dot as a name, since ``limit`` in ``order.limit`` is no keyword."""
    before = ""
    for token in tokens:
        # A keyword's kind equals its word.
        yield token._replace(kind=TOKEN_WORD) if before == TOKEN_DOT and token.kind == token.value else token
        before = token.kind


def template_stream(source: str) -> PositionedStream:
    if len(source) > MAX_SOURCE:
        end = Token(TOKEN_EOF, "", MAX_SOURCE, source)
        raise BoundReached(f"a template may have {MAX_SOURCE // 1024} KB of text", end)
    return PositionedStream(_Lexer(source).tokens(), Token(TOKEN_EOF, "", len(source), source))


def liquid_tag_stream(token: Token, depth: int) -> PositionedStream:
    """Return the tokens inside a ``{% liquid %}`` tag, which has one tag on each line."""
    tokens: list[Token] = []
    at, text = 0, token.value
    while at < len(text):
        line = _LIQUID_LINE.match(text, at)
        if line is None:
            stray = Token(TOKEN_TAG, text[at], token.start_index + at, token.source)
            raise LiquidSyntaxError("a line of a 'liquid' tag starts with the name of a tag", token=stray)
        at = line.end()
        name, expression = line.group("name"), line.group("expression")
        if name is None or name == "#":
            continue
        tokens.append(Token(TOKEN_TAG, name, token.start_index + line.start("name"), token.source))
        if expression:
            start = token.start_index + line.start("expression")
            tokens.append(Token(TOKEN_EXPRESSION, expression, start, token.source))
    return PositionedStream(tokens, Token(TOKEN_EOF, "", token.start_index + len(text), token.source), depth)


@dataclass(slots=True)
class _Lexer:
    source: str
    at: int = 0
    trim_next: bool = False
    comment_depth: int = 0
    comment_start: int = 0
    # Index of the next closing brace or end tag at the last lookup, or -1 if none remains.
    ahead: dict[str, int] = field(default_factory=dict[str, int])

    def tokens(self) -> Iterator[Token]:
        source, size = self.source, len(self.source)
        while self.at < size:
            opening = _OPENING.search(source, self.at)
            start = opening.start() if opening else size
            if start > self.at:
                yield from self._content(self.at, start)
            self.at = start
            if start < size:
                yield from self._output(start) if source[start + 1] == "{" else self._tag(start)

    def _content(self, start: int, end: int) -> Iterator[Token]:
        if self.comment_depth:
            return
        text = self.source[start:end]
        if self.trim_next:
            stripped = text.lstrip()
            start += len(text) - len(stripped)
            text = stripped
        if self.source.startswith("-", end + 2) and end < len(self.source):
            text = text.rstrip()
        self.trim_next = False
        if text:
            yield Token(TOKEN_CONTENT, text, start, self.source)

    def _find(self, what: str, start: int) -> int:
        found = self.ahead.get(what, 0)
        if found != -1 and found < start:
            found = self.ahead[what] = self.source.find(what, start)
        return found

    def _markup(self, start: int, closing: str) -> tuple[str, int, bool] | None:
        """Return the expression up to a closing brace, the index after it, and whether it trims whitespace."""
        close = self._find(closing, start)
        if close == -1:
            return None
        trims = close > start and self.source[close - 1] == "-"
        return self.source[start : close - trims].rstrip(), close + 2, trims

    def _output(self, start: int) -> Iterator[Token]:
        inside = start + 2 + self.source.startswith("-", start + 2)
        found = self._markup(inside, "}}")
        if found is None:
            yield from self._unclosed(start, "expected '}}', found end of file")
            return
        expression, self.at, trims = found
        if self.comment_depth:
            return
        self.trim_next = trims
        stripped = expression.lstrip()
        yield Token(TOKEN_OUTPUT, self.source[start : self.at], start, self.source)
        yield Token(TOKEN_EXPRESSION, stripped, inside + len(expression) - len(stripped), self.source)

    def _tag(self, start: int) -> Iterator[Token]:
        source = self.source
        named = _TAG_NAME.match(source, start)
        if named is None:
            # Braces in comments are paired, too: a tag ends at the next closing brace.
            close = self._find("%}", start) if self.comment_depth else -1
            if close == -1:
                yield from self._unclosed(start, "missing tag name or closing delimiter")
                return
            self.at = close + 2
            return
        name = named.group(1)
        if name in _VERBATIM:
            verbatim = self._verbatim(name, start)
            if verbatim is not None:
                if verbatim.value and not self.comment_depth:
                    yield verbatim
                return
        found = self._markup(named.end(), "%}")
        if found is None:
            yield from self._unclosed(start, "missing tag name or closing delimiter")
            return
        expression, self.at, trims = found
        tag = Token(TOKEN_TAG, name, named.start(1), source)
        if self.comment_depth:
            yield from self._in_comment(tag, start, trims)
            return
        self.trim_next = trims
        yield tag
        if expression:
            yield Token(TOKEN_EXPRESSION, expression, named.end(), source)
        if name == "comment":
            self.comment_depth, self.comment_start = 1, self.at

    def _in_comment(self, tag: Token, start: int, trims: bool) -> Iterator[Token]:
        if tag.value == "comment":
            self.comment_depth += 1
        elif tag.value == "endcomment":
            self.comment_depth -= 1
        if not self.comment_depth:
            self.trim_next = trims
            yield Token(TOKEN_COMMENT, self.source[self.comment_start : start], self.comment_start, self.source)
            yield tag

    def _verbatim(self, name: str, start: int) -> Token | None:
        """Return a complete ``raw`` or ``doc`` block, or None if this tag does not open one."""
        opening, closing = _VERBATIM[name]
        opened = opening.match(self.source, start)
        if opened is None or self.ahead.get(f"end{name}") == -1:
            return None
        closed = closing.search(self.source, opened.end())
        if closed is None:
            self.ahead[f"end{name}"] = -1
            return None
        self.at = closed.end()
        self.trim_next = bool(closed.group(1))
        text = self.source[opened.end() : closed.start()]
        return Token(_VERBATIM_KIND[name], text, opened.end(), self.source)

    def _unclosed(self, start: int, message: str) -> Iterator[Token]:
        if self.comment_depth:
            self.at = start + 2  # comments may contain unclosed tags
            return
        raise LiquidSyntaxError(message, token=Token(TOKEN_EOF, self.source[start : start + 2], start, self.source))
        yield  # makes this a generator, as its callers expect
