"""Conditions, read: ``and``, ``or``, ``not``, comparisons, parentheses, and filters on whatever is compared.

From what binds tightest: filters; comparisons; ``not``; ``and`` and ``or``, which are of one rank and are read from the
right, as everywhere in Liquid. What is published with that reading keeps it; the linter asks for parentheses where
another would differ. A chain of comparisons is read from the right, too, as python-liquid does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from liquid import Environment
from liquid.builtin.expressions import BooleanExpression, Filter, FilteredExpression, LoopExpression
from liquid.builtin.expressions.logical import (
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
    LogicalNotExpression,
    LogicalOrExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import parse_primitive
from liquid.exceptions import LiquidSyntaxError
from liquid.expression import Expression
from liquid.stream import TokenStream
from liquid.token import (
    TOKEN_COMMA,
    TOKEN_EOF,
    TOKEN_LPAREN,
    TOKEN_NOT,
    TOKEN_PIPE,
    TOKEN_RANGE,
    TOKEN_RANGE_LITERAL,
    TOKEN_RPAREN,
    TOKEN_WORD,
    Token,
)

from scenario.liquid.engine.foreign import translate
from scenario.liquid.engine.lexer import expression_stream
from scenario.liquid.engine.limits import BoundReached

_OF_LOOPS: Final = frozenset({"as", "cols", "continue", "limit", "offset", "required", "reversed", "with"})
"""Words of other tags, which are names in a condition."""

_LOGIC, _COMPARISON, _MEMBERSHIP = 1, 2, 3
_BINARY: Final[dict[str, tuple[int, Callable[[Token, Expression, Expression], Expression]]]] = {
    "and": (_LOGIC, LogicalAndExpression),
    "or": (_LOGIC, LogicalOrExpression),
    "eq": (_COMPARISON, EqExpression),
    "ne": (_COMPARISON, NeExpression),
    "ltgt": (_COMPARISON, NeExpression),
    "lt": (_COMPARISON, LtExpression),
    "gt": (_COMPARISON, GtExpression),
    "le": (_COMPARISON, LeExpression),
    "ge": (_COMPARISON, GeExpression),
    "contains": (_MEMBERSHIP, ContainsExpression),
}
"""By the kind of an operator's token: how tightly it binds, and what it makes."""

COMPARISONS: Final = (
    EqExpression,
    NeExpression,
    LtExpression,
    GtExpression,
    LeExpression,
    GeExpression,
    ContainsExpression,
)
LOGIC: Final = (LogicalAndExpression, LogicalOrExpression, LogicalNotExpression)


def parse_condition(env: Environment, token: Token) -> BooleanExpression:
    """The condition of a tag, a step or a rule.

    Args:
        env: Whose filters there are.
        token: Its text, with its place in the template.

    Raises:
        ForeignWords: It is written as in another language.
        LiquidSyntaxError: It is malformed in another way.
        BoundReached: It is longer or deeper than anybody writes.
    """
    try:
        parsed = _whole(env, expression_stream(token))
    except LiquidSyntaxError as error:
        raise translate(token) or error from error
    except RecursionError as error:
        raise BoundReached("the condition is nested too deeply", token) from error
    return BooleanExpression(parsed.token, parsed)


def _whole(env: Environment, tokens: TokenStream) -> Expression:
    tokens.tokens = [token._replace(kind=TOKEN_WORD) if token.kind in _OF_LOOPS else token for token in tokens.tokens]
    parsed = _expression(env, tokens, _LOGIC)
    if tokens.current.kind != TOKEN_EOF:
        raise LiquidSyntaxError(_left_over(tokens), token=tokens.current)
    return parsed


def _left_over(tokens: TokenStream) -> str:
    """What is wrong where a condition goes on that could end."""
    stray, before = tokens.current, tokens.tokens[max(tokens.pos - 2, 0) : tokens.pos]
    if stray.kind == TOKEN_RPAREN:
        return "this parenthesis closes nothing"
    if [token.kind for token in before] == [TOKEN_PIPE, TOKEN_WORD]:
        return f"a ':' is missing behind the filter '{before[-1].value}'"
    if stray.kind == TOKEN_COMMA:
        return "a ',' separates the arguments of a filter, not conditions: write 'and' or 'or'"
    return "what follows here belongs to nothing: an operator is missing, such as ==, contains, and, or"


def parse_loop(env: Environment, token: Token) -> LoopExpression:
    """What a loop goes over. Raises as `parse_condition` does."""
    return LoopExpression.parse(env, expression_stream(token))


def parse_operand(env: Environment, tokens: TokenStream) -> Expression:
    """What stands on one side of a comparison: a value or a group, with filters behind it."""
    token = tokens.current
    if token.kind == TOKEN_LPAREN or (token.kind == TOKEN_RANGE_LITERAL and not _is_range(tokens)):
        left = _group(env, tokens)
    else:
        left = parse_primitive(env, tokens)
    if tokens.current.kind != TOKEN_PIPE:
        return left
    return FilteredExpression(left.token, left, Filter.parse(env, tokens, delim=(TOKEN_PIPE,)))


def _expression(env: Environment, tokens: TokenStream, rank: int) -> Expression:
    if tokens.current.kind == TOKEN_NOT:
        if rank > _LOGIC:
            message = "'not' stands before what it turns round, not behind an operator: write not (a == b), or a != b"
            raise LiquidSyntaxError(message, token=tokens.current)
        left: Expression = LogicalNotExpression(next(tokens), _negated(env, tokens))
    else:
        left = parse_operand(env, tokens)
    while True:
        binds, make = _BINARY.get(tokens.current.kind, (0, None))
        if make is None or binds < rank:
            return left
        left = make(next(tokens), left, _expression(env, tokens, binds))


def _negated(env: Environment, tokens: TokenStream) -> Expression:
    """What a ``not`` turns round: the comparison behind it, or another ``not``."""
    if tokens.current.kind == TOKEN_NOT:
        return LogicalNotExpression(next(tokens), _negated(env, tokens))
    return _expression(env, tokens, _COMPARISON)


def _group(env: Environment, tokens: TokenStream) -> Expression:
    """What stands in parentheses: a value keeps what it is, a condition becomes true or false."""
    opening = next(tokens)
    inner = _expression(env, tokens, _LOGIC)
    if tokens.current.kind == TOKEN_EOF:
        raise LiquidSyntaxError("this parenthesis is not closed: add ')'", token=opening)
    tokens.eat(TOKEN_RPAREN)
    return BooleanExpression(opening, inner) if isinstance(inner, COMPARISONS + LOGIC) else inner


def _is_range(tokens: TokenStream) -> bool:
    """Whether the parenthesis opens a range. python-liquid's lexer takes it for one where dots follow anywhere."""
    depth = 0
    for token in tokens.tokens[tokens.pos + 1 :]:
        if token.kind == TOKEN_RANGE and depth == 0:
            return True
        depth += (token.kind in (TOKEN_LPAREN, TOKEN_RANGE_LITERAL)) - (token.kind == TOKEN_RPAREN)
        if depth < 0:
            return False
    return False
