"""The parts of a template that write or steer, in the shape that our sinks and bounds need."""

from __future__ import annotations

from typing import Final, TextIO, cast

from liquid import RenderContext
from liquid.ast import BlockNode, Node
from liquid.builtin.expressions import FilteredExpression, StringLiteral
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.echo_tag import EchoTag
from liquid.builtin.tags.include_tag import IncludeNode, IncludeTag
from liquid.builtin.tags.liquid_tag import LiquidTag
from liquid.builtin.tags.tablerow_tag import TablerowNode, TablerowTag
from liquid.exceptions import LiquidSyntaxError
from liquid.parser import get_parser
from liquid.stream import TokenStream
from liquid.tag import Tag
from liquid.token import TOKEN_EOF, TOKEN_EXPRESSION, TOKEN_OUTPUT, TOKEN_STRING, Token

from scenario.errors import Aborted
from scenario.liquid.engine.context import Context
from scenario.liquid.engine.lexer import expression_stream, liquid_tag_stream
from scenario.liquid.engine.limits import few_digits
from scenario.liquid.engine.sink import Nowhere, Sink

_NO_REASON: Final = "the template says so"
_LONGEST_REASON: Final = 200
"""Characters of an abort's reason, which stands in lists of journeys."""


class Value(OutputNode):
    """``{{ … }}``."""

    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: Sink) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Hand the value to the sink, which knows how to write it where it stands."""
        return buffer.value(self.expression.evaluate(context), self.token)

    render = render_to_output  # pyright: ignore[reportAssignmentType]


class ValueTag(Output):
    """Parses ``{{ … }}``."""

    node_class = Value

    def parse(self, stream: TokenStream) -> OutputNode:
        """Parse the expression with positions up to its end."""
        token = stream.eat(TOKEN_OUTPUT)
        expression = stream.expect(TOKEN_EXPRESSION)
        return self.node_class(token, FilteredExpression.parse(self.env, expression_stream(expression)))


class EchoValueTag(EchoTag):
    """Parses ``{% echo … %}``."""

    node_class = Value  # pyright: ignore[reportAssignmentType]


class Block(BlockNode):
    """A sequence of nodes that takes a step for each node, so that loops over nothing count, too."""

    __slots__ = ()

    def render(self, context: Context, buffer: TextIO) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Render the nodes.

        Raises:
            BoundReached: The budget is used up.
        """
        budget = context.budget
        budget.steps -= len(self.nodes) + 1
        if budget.steps < budget.next_look:
            budget.look()
        return self.render_to_output(context, buffer)

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Render the nodes, into nothing where they are nothing but blanks and tags."""
        if self.blank and context.env.suppress_blank_control_flow_blocks:
            nowhere = cast("TextIO", Nowhere())
            for node in self.nodes:
                node.render(context, nowhere)
            return 0
        written = 0
        for node in self.nodes:
            written += node.render(context, buffer)
        return written


class LinesTag(LiquidTag):
    """Parses ``{% liquid %}``, in linear time and with positions."""

    def parse(self, stream: TokenStream) -> Node:
        """Parse one tag a line."""
        token = stream.current
        if stream.peek.kind != TOKEN_EXPRESSION:
            return self.node_class(token, None, block=BlockNode(token, []))
        next(stream)
        lines = stream.current
        inner = liquid_tag_stream(lines, stream.block_depth)
        return self.node_class(token, lines, block=get_parser(self.env).parse_block(inner, end=()))


class Rows(TablerowNode):
    """``{% tablerow %}``, with one column where ``cols`` is not a number."""

    def _int_or_zero(self, arg: object) -> int:
        try:
            return super()._int_or_zero(few_digits(arg))
        except (TypeError, OverflowError):
            return 0


class RowsTag(TablerowTag):
    """Parses ``{% tablerow %}``."""

    node_class = Rows


class Abort(Node):
    """``{% abort 'reason' %}``: nothing is to be sent."""

    __slots__ = ("reason",)

    def __init__(self, token: Token, reason: str) -> None:
        super().__init__(token)
        self.reason = reason

    def __str__(self) -> str:
        return f"{{% abort '{self.reason}' %}}"

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """End the rendering.

        Raises:
            Aborted: Always.
        """
        raise Aborted(self.reason)


class AbortTag(Tag):
    """Parses ``{% abort %}``.

    The reason is one line of plain text, not an expression: it ends up in logs and in Temporal's history, where a
    contact's data has no place.
    """

    name = "abort"
    block = False

    def parse(self, stream: TokenStream) -> Node:
        """Parse the tag and its reason, if any."""
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


class FixedIncludeTag(IncludeTag):
    """Parses ``{% include 'name' %}``, where the name must be literal: data never chooses a template."""

    def parse(self, stream: TokenStream) -> Node:
        """Parse the tag."""
        node = cast("IncludeNode", super().parse(stream))
        if not isinstance(node.name, StringLiteral):
            raise LiquidSyntaxError("'include' takes a name in quotes", token=node.token)
        return node
