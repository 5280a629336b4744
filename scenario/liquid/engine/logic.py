"""The parser of conditions: ``and``, ``or``, ``not``, comparisons, parentheses, and filters on compared values.

Precedence from highest to lowest: filters; comparisons; ``not``; ``and`` and ``or``. The last two have equal precedence
and associate to the right, as everywhere in Liquid. Published conditions rely on it; the linter asks for parentheses if
another order would give another result. Chains of comparisons associate to the right as well, as in python-liquid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from liquid import Environment
from liquid.builtin.expressions import BooleanExpression, Filter, FilteredExpression, LoopExpression, logical
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

from scenario.liquid.engine.foreign_syntax import explain_foreign_syntax
from scenario.liquid.engine.lexer import expression_stream
from scenario.liquid.engine.limits import BoundReached

_OF_LOOPS: Final = frozenset({"as", "cols", "continue", "limit", "offset", "required", "reversed", "with"})
"""Keywords of other tags, which are names in a condition."""

_LOGIC, _COMPARISON, _MEMBERSHIP = 1, 2, 3
_BINARY: Final[dict[str, tuple[int, Callable[[Token, Expression, Expression], Expression]]]] = {
    "and": (_LOGIC, logical.LogicalAndExpression),
    "or": (_LOGIC, logical.LogicalOrExpression),
    "eq": (_COMPARISON, logical.EqExpression),
    "ne": (_COMPARISON, logical.NeExpression),
    "ltgt": (_COMPARISON, logical.NeExpression),
    "lt": (_COMPARISON, logical.LtExpression),
    "gt": (_COMPARISON, logical.GtExpression),
    "le": (_COMPARISON, logical.LeExpression),
    "ge": (_COMPARISON, logical.GeExpression),
    "contains": (_MEMBERSHIP, logical.ContainsExpression),
}
"""Precedence and expression class by the token of an operator."""

COMPARISONS: Final = (
    logical.EqExpression,
    logical.NeExpression,
    logical.LtExpression,
    logical.GtExpression,
    logical.LeExpression,
    logical.GeExpression,
    logical.ContainsExpression,
)
LOGIC: Final = (logical.LogicalAndExpression, logical.LogicalOrExpression, logical.LogicalNotExpression)


def parse_condition(env: Environment, token: Token) -> BooleanExpression:
    """Parse the condition of a tag, a step or a rule. Raise a LiquidError if it is malformed, too long or too deep."""
    try:
        parsed = _parse_whole(env, expression_stream(token))
    except LiquidSyntaxError as error:
        raise explain_foreign_syntax(token) or error from error
    except RecursionError as error:
        raise BoundReached("the condition is nested too deeply", token) from error
    return BooleanExpression(parsed.token, parsed)


def _parse_whole(env: Environment, tokens: TokenStream) -> Expression:
    tokens.tokens = [token._replace(kind=TOKEN_WORD) if token.kind in _OF_LOOPS else token for token in tokens.tokens]
    parsed = _parse_expression(env, tokens, _LOGIC)
    if tokens.current.kind != TOKEN_EOF:
        raise LiquidSyntaxError(_explain_remainder(tokens), token=tokens.current)
    return parsed


def _explain_remainder(tokens: TokenStream) -> str:
    stray, before = tokens.current, tokens.tokens[max(tokens.pos - 2, 0) : tokens.pos]
    if stray.kind == TOKEN_RPAREN:
        return "this parenthesis has no opening one"
    if [token.kind for token in before] == [TOKEN_PIPE, TOKEN_WORD]:
        return f"a ':' is missing after the filter '{before[-1].value}'"
    if stray.kind == TOKEN_COMMA:
        return "a ',' separates the arguments of a filter, not conditions: write 'and' or 'or'"
    return "an operator is missing before this, such as ==, contains, and, or"


def parse_loop(env: Environment, token: Token) -> LoopExpression:
    """Parse the source of a loop. Raises as `parse_condition` does."""
    return LoopExpression.parse(env, expression_stream(token))


def parse_operand(env: Environment, tokens: TokenStream) -> Expression:
    """Parse one side of a comparison: a value or a group, with its filters."""
    token = tokens.current
    if token.kind == TOKEN_LPAREN or (token.kind == TOKEN_RANGE_LITERAL and not _is_range(tokens)):
        left = _parse_group(env, tokens)
    else:
        left = parse_primitive(env, tokens)
    if tokens.current.kind != TOKEN_PIPE:
        return left
    return FilteredExpression(left.token, left, Filter.parse(env, tokens, delim=(TOKEN_PIPE,)))


def _parse_expression(env: Environment, tokens: TokenStream, rank: int) -> Expression:
    if tokens.current.kind == TOKEN_NOT:
        if rank > _LOGIC:
            place = "'not' comes before the comparison that it negates, not after an operator"
            raise LiquidSyntaxError(f"{place}: write not (a == b), or a != b", token=tokens.current)
        left: Expression = logical.LogicalNotExpression(next(tokens), _parse_negated(env, tokens))
    else:
        left = parse_operand(env, tokens)
    while True:
        binds, make = _BINARY.get(tokens.current.kind, (0, None))
        if make is None or binds < rank:
            return left
        left = make(next(tokens), left, _parse_expression(env, tokens, binds))


def _parse_negated(env: Environment, tokens: TokenStream) -> Expression:
    if tokens.current.kind == TOKEN_NOT:
        return logical.LogicalNotExpression(next(tokens), _parse_negated(env, tokens))
    return _parse_expression(env, tokens, _COMPARISON)


def _parse_group(env: Environment, tokens: TokenStream) -> Expression:
    """Parse parentheses. A value keeps its type, a condition becomes a boolean."""
    opening = next(tokens)
    inner = _parse_expression(env, tokens, _LOGIC)
    if tokens.current.kind == TOKEN_EOF:
        raise LiquidSyntaxError("this parenthesis is not closed: add ')'", token=opening)
    tokens.eat(TOKEN_RPAREN)
    return BooleanExpression(opening, inner) if isinstance(inner, COMPARISONS + LOGIC) else inner


def _is_range(tokens: TokenStream) -> bool:
    """Return True if the parenthesis opens a range. python-liquid's lexer assumes so if dots follow anywhere."""
    depth = 0
    for token in tokens.tokens[tokens.pos + 1 :]:
        if token.kind == TOKEN_RANGE and depth == 0:
            return True
        depth += (token.kind in (TOKEN_LPAREN, TOKEN_RANGE_LITERAL)) - (token.kind == TOKEN_RPAREN)
        if depth < 0:
            return False
    return False
