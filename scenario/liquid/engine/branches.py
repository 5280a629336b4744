"""The tags that ask: ``if``, ``unless`` and ``case``, with our conditions, and filters in what a ``case`` looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from liquid.ast import BlockNode, ConditionalBlockNode, Node
from liquid.builtin.expressions import BooleanExpression
from liquid.builtin.tags.case_tag import CaseNode, CaseTag, MultiExpressionBlockNode
from liquid.builtin.tags.case_tag import _AnyExpression as AnyExpression  # pyright: ignore[reportPrivateUsage]
from liquid.builtin.tags.if_tag import IfNode, IfTag
from liquid.builtin.tags.unless_tag import UnlessNode, UnlessTag
from liquid.exceptions import LiquidSyntaxError
from liquid.expression import Expression
from liquid.parser import get_parser
from liquid.stream import TokenStream
from liquid.token import TOKEN_EOF, TOKEN_EXPRESSION, TOKEN_TAG, Token

from scenario.liquid.engine.logic import parse_condition, parse_operand

if TYPE_CHECKING:
    from liquid import Environment

_OTHERWISE: Final = frozenset({"elsif", "else", TOKEN_EOF})
_OF_CASES: Final = frozenset({"endcase", "when", "else", TOKEN_EOF})


def _fork(environment: Environment, stream: TokenStream, node: type[IfNode | UnlessNode], end: str) -> Node:
    """The tags from an ``if`` or ``unless`` to its end."""
    block = get_parser(environment).parse_block
    ends = _OTHERWISE | {end}
    token = stream.eat(TOKEN_TAG)
    condition = _condition(environment, stream, token)
    consequence = block(stream, ends)
    alternatives: list[ConditionalBlockNode] = []
    while stream.current.is_tag("elsif"):
        other = _condition(environment, stream, next(stream))
        start = stream.current
        alternatives.append(ConditionalBlockNode(start, expression=other, block=block(stream, ends)))
    default: BlockNode | None = None
    if stream.current.is_tag("else"):
        next(stream)
        if stream.current.kind == TOKEN_EXPRESSION:
            next(stream)  # as in Shopify's Liquid: ignored
        default = block(stream, ends)
    # As in Shopify's Liquid: further ones are ignored.
    while not stream.current.is_tag(end) and stream.current.kind != TOKEN_EOF:
        next(stream)
    stream.expect(TOKEN_TAG, value=end)
    return node(token, condition, consequence, alternatives, default)


def _condition(environment: Environment, stream: TokenStream, tag: Token) -> BooleanExpression:
    token = stream.current
    if token.kind != TOKEN_EXPRESSION:
        raise LiquidSyntaxError("missing expression", token=tag)
    next(stream)
    return parse_condition(environment, token)


class WhetherTag(IfTag):
    """Parses ``{% if %}``."""

    def parse(self, stream: TokenStream) -> Node:
        """Parse the tags up to its end."""
        return _fork(self.env, stream, IfNode, "endif")


class UnlessSoTag(UnlessTag):
    """Parses ``{% unless %}``."""

    def parse(self, stream: TokenStream) -> Node:
        """Parse the tags up to its end."""
        return _fork(self.env, stream, UnlessNode, "endunless")


class StrictCaseTag(CaseTag):
    """Parses ``{% case %}``, and refuses what python-liquid drops in silence: all after ``when 'a' and``."""

    def parse(self, stream: TokenStream) -> Node:
        """Parse the tags up to its end."""
        token = stream.eat(TOKEN_TAG)
        inner = stream.into_inner(tag=token)
        asked = parse_operand(self.env, inner)
        inner.expect_eos()
        while stream.current.kind not in (TOKEN_TAG, TOKEN_EOF):
            next(stream)  # what stands before the first `when` is written nowhere
        block = get_parser(self.env).parse_block
        blocks: list[MultiExpressionBlockNode | BlockNode] = []
        while not stream.current.is_tag("endcase"):
            tag = stream.current
            if tag.is_tag("else"):
                next(stream)
                blocks.append(block(stream, _OF_CASES))
            elif tag.is_tag("when"):
                next(stream)
                values = AnyExpression(tag, asked, self._parse_when_expression(stream.into_inner(tag=tag)))
                blocks.append(MultiExpressionBlockNode(tag, block(stream, _OF_CASES), values))
            else:
                raise LiquidSyntaxError(f"unexpected tag {tag.value!r}", token=tag)
        return CaseNode(token, asked, blocks)

    def _parse_when_expression(self, stream: TokenStream) -> list[Expression]:
        values = super()._parse_when_expression(stream)
        if stream.current.kind != TOKEN_EOF:
            raise LiquidSyntaxError("the values of 'when' are separated by 'or' or ','", token=stream.current)
        return values
