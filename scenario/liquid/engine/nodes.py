"""Tags and nodes that write through sinks, count steps and parse in linear time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TextIO, cast

from liquid import RenderContext
from liquid.ast import BlockNode, ConditionalBlockNode, Node
from liquid.builtin.expressions import BooleanExpression, FilteredExpression
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.case_tag import CaseNode, CaseTag, MultiExpressionBlockNode
from liquid.builtin.tags.case_tag import _AnyExpression as AnyExpression  # pyright: ignore[reportPrivateUsage]
from liquid.builtin.tags.echo_tag import EchoTag
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.if_tag import IfTag as LiquidIfTag
from liquid.builtin.tags.liquid_tag import LiquidTag as LiquidLinesTag
from liquid.builtin.tags.tablerow_tag import TablerowNode, TablerowTag
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.builtin.tags.unless_tag import UnlessTag as LiquidUnlessTag
from liquid.exceptions import LiquidSyntaxError
from liquid.expression import Expression
from liquid.parser import get_parser
from liquid.stream import TokenStream
from liquid.tag import Tag
from liquid.token import TOKEN_EOF, TOKEN_EXPRESSION, TOKEN_OUTPUT, TOKEN_STRING, TOKEN_TAG, Token

from scenario.errors import Aborted
from scenario.liquid.engine.context import Context, DiscardingSink, Sink, note_empty_output
from scenario.liquid.engine.lexer import expression_stream, liquid_tag_stream
from scenario.liquid.engine.limits import check_digits
from scenario.liquid.engine.logic import parse_condition, parse_operand

if TYPE_CHECKING:
    from liquid import Environment


_NO_REASON: Final = "the template says so"
_NO_CONTEXT: Final = cast("RenderContext", None)  # only partials, which do not exist here, need one
_LONGEST_REASON: Final = 200
"""Characters of an abort's reason, which is shown in lists of journeys."""


def child_nodes(node: Node) -> Iterable[Node]:
    return node.children(_NO_CONTEXT, include_partials=False)


class OutputValue(OutputNode):
    """``{{ … }}``."""

    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: Sink) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Write the value to the sink, which escapes it."""
        value = self.expression.evaluate(context)
        written = buffer.value(value, self.token)
        if not written or value is None:
            note_empty_output(self.expression)
        return written

    render = render_to_output  # pyright: ignore[reportAssignmentType]


class OutputTag(Output):
    """Parses ``{{ … }}``."""

    node_class = OutputValue

    def parse(self, stream: TokenStream) -> OutputNode:
        """Parse the expression, with positions up to its end."""
        token = stream.eat(TOKEN_OUTPUT)
        expression = stream.expect(TOKEN_EXPRESSION)
        return self.node_class(token, FilteredExpression.parse(self.env, expression_stream(expression)))


class EchoOutputTag(EchoTag):
    """Parses ``{% echo … %}``."""

    node_class = OutputValue  # pyright: ignore[reportAssignmentType]


class CountedBlock(BlockNode):
    """A sequence of nodes that takes a step for each node, so that loops without output count, too."""

    __slots__ = ()

    def render(self, context: Context, buffer: TextIO) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        budget = context.budget
        budget.steps -= len(self.nodes) + 1
        if budget.steps < budget.next_check:
            budget.check()
        return self.render_to_output(context, buffer)

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Render the nodes. The output is discarded if the block consists of whitespace and tags."""
        if self.blank and context.env.suppress_blank_control_flow_blocks:
            nowhere = cast("TextIO", DiscardingSink())
            for node in self.nodes:
                node.render(context, nowhere)
            return 0
        written = 0
        for node in self.nodes:
            written += node.render(context, buffer)
        return written


class LiquidTag(LiquidLinesTag):
    """Parses ``{% liquid %}`` in linear time and with positions."""

    def parse(self, stream: TokenStream) -> Node:
        token = stream.current
        if stream.peek.kind != TOKEN_EXPRESSION:
            return self.node_class(token, None, block=BlockNode(token, []))
        next(stream)
        lines = stream.current
        inner = liquid_tag_stream(lines, stream.block_depth)
        return self.node_class(token, lines, block=get_parser(self.env).parse_block(inner, end=()))


class TableRowNode(TablerowNode):
    """``{% tablerow %}``, with one column if ``cols`` is not a number."""

    def _int_or_zero(self, arg: object) -> int:
        try:
            return super()._int_or_zero(check_digits(arg))
        except (TypeError, OverflowError):
            return 0


class TableRowTag(TablerowTag):
    """Parses ``{% tablerow %}``."""

    node_class = TableRowNode


class Abort(Node):
    """``{% abort 'reason' %}``: send nothing."""

    __slots__ = ("reason",)

    def __init__(self, token: Token, reason: str) -> None:
        super().__init__(token)
        self.reason = reason

    def __str__(self) -> str:
        return f"{{% abort '{self.reason}' %}}"

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        raise Aborted(self.reason)


class AbortTag(Tag):
    """Parses ``{% abort %}``.

    The reason is one line of plain text, not an expression: it appears in logs and in Temporal's history, which must
    not contain a contact's data.
    """

    name = "abort"
    block = False

    def parse(self, stream: TokenStream) -> Node:
        token = stream.current
        if stream.peek.kind != TOKEN_EXPRESSION:
            return Abort(token, _NO_REASON)
        next(stream)
        tokens = stream.into_inner(tag=token, eat=False)
        if tokens.current.kind != TOKEN_STRING:
            raise LiquidSyntaxError("'abort' takes a reason in quotes", token=tokens.current)
        quoted = tokens.eat(TOKEN_STRING)
        tokens.eat(TOKEN_EOF)
        reason = " ".join(quoted.value.split()) or _NO_REASON
        if len(reason) > _LONGEST_REASON:
            raise LiquidSyntaxError(f"a reason has at most {_LONGEST_REASON} characters", token=quoted)
        return Abort(token, reason)


_OTHERWISE: Final = frozenset({"elsif", "else", TOKEN_EOF})
_OF_CASES: Final = frozenset({"endcase", "when", "else", TOKEN_EOF})


def _parse_conditional(
    environment: Environment, stream: TokenStream, node: type[IfNode | UnlessNode], end: str
) -> Node:
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
            next(stream)  # ignored, as in Shopify's Liquid
        default = block(stream, ends)
    # Further branches are ignored, as in Shopify's Liquid.
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


class IfTag(LiquidIfTag):
    """Parses ``{% if %}``."""

    def parse(self, stream: TokenStream) -> Node:
        return _parse_conditional(self.env, stream, IfNode, "endif")


class UnlessTag(LiquidUnlessTag):
    """Parses ``{% unless %}``."""

    def parse(self, stream: TokenStream) -> Node:
        return _parse_conditional(self.env, stream, UnlessNode, "endunless")


class StrictCaseTag(CaseTag):
    """Parses ``{% case %}``, and rejects the text that python-liquid ignores, such as that after ``when 'a' and``."""

    def parse(self, stream: TokenStream) -> Node:
        token = stream.eat(TOKEN_TAG)
        inner = stream.into_inner(tag=token)
        asked = parse_operand(self.env, inner)
        inner.expect_eos()
        while stream.current.kind not in (TOKEN_TAG, TOKEN_EOF):
            next(stream)  # text before the first `when` is discarded
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


TAGS: Final = (AbortTag, EchoOutputTag, LiquidTag, TableRowTag, StrictCaseTag, UnlessTag, OutputTag, IfTag)
