"""What happens to a template between parsing and its first rendering.

One walk over python-liquid's tree puts our own parts in place of its parts: blocks that count steps, paths that are
followed fast, comparisons that know ``blank`` and ``Decimal``, filters that are bound, bounded and checked.
python-liquid notices an unknown filter or a wrong argument only when it renders; here that is the template's error.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, cast

from liquid.ast import BlockNode, Node
from liquid.builtin.expressions import Filter, FilteredExpression, LoopExpression, Path, TernaryFilteredExpression
from liquid.builtin.expressions.logical import (
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.case_tag import _AnyExpression as AnyExpression  # pyright: ignore[reportPrivateUsage]
from liquid.exceptions import LiquidSyntaxError
from liquid.expression import Expression

from scenario.liquid.engine import expressions
from scenario.liquid.engine.filter_call import bind
from scenario.liquid.engine.limits import MAX_FILTERS, BoundReached
from scenario.liquid.engine.nodes import Block, Value

if TYPE_CHECKING:
    from liquid import Environment, RenderContext

_REPLACED: Final[dict[type[Expression], type[Expression]]] = {
    EqExpression: expressions.Equal,
    NeExpression: expressions.NotEqual,
    LtExpression: expressions.Less,
    GtExpression: expressions.Greater,
    LeExpression: expressions.LessOrEqual,
    GeExpression: expressions.GreaterOrEqual,
    ContainsExpression: expressions.Contains,
    AnyExpression: expressions.When,
    LoopExpression: expressions.Loop,
    RangeLiteral: expressions.Range,
}

_NO_CONTEXT: Final = cast("RenderContext", None)
"""Partials are not followed, so that nobody asks for a context."""


def weave(nodes: Iterable[Node], environment: Environment) -> None:
    """Put our parts into a freshly parsed tree, in place.

    Args:
        nodes: The tree.
        environment: Whose filters the expressions name.

    Raises:
        UnknownFilterError: There is no such filter.
        FilterArgumentError: A filter has too few, too many or unknown arguments.
        BoundReached: Too many filters in one expression.
    """
    seen: set[int] = set()
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if type(node) is BlockNode:
            node.__class__ = Block
        elif isinstance(node, CaptureNode):
            # Blanks are dropped from what steers: a capture of a line break is one, as in Shopify's Liquid.
            node.block.blank = False
        for expression in node.expressions():
            weave_expression(expression, environment, seen)
        if isinstance(node, Value) and type(node.expression) is FilteredExpression and not node.expression.filters:
            node.expression = node.expression.left
        pending.extend(node.children(_NO_CONTEXT, include_partials=False))


def weave_expression(expression: Expression, environment: Environment, seen: set[int] | None = None) -> None:
    """Put our parts into a freshly parsed expression, in place. Raises as ``weave`` does."""
    seen = set() if seen is None else seen
    pending = [expression]
    while pending:
        part = pending.pop()
        # Some are reached twice: a case's value belongs to each of its "when".
        if id(part) in seen:
            continue
        seen.add(id(part))
        kind = type(part)
        if kind is Path:
            if isinstance(cast("Path", part).path[0], Path):
                # The data that such a template reads could not be determined.
                raise LiquidSyntaxError("the name of a variable cannot be in a variable", token=part.token)
        elif kind in _REPLACED:
            part.__class__ = _REPLACED[kind]
            if isinstance(part, LoopExpression):
                # python-liquid's names compare themselves in Python, at every look-up of any variable in the loop.
                part.identifier = str(part.identifier)
        elif isinstance(part, FilteredExpression):
            part.filters = _bound(part.filters, environment)
        elif isinstance(part, TernaryFilteredExpression):
            part.filters = _bound(part.filters, environment)
            part.tail_filters = _bound(part.tail_filters, environment)
            pending.append(part.left)
        pending.extend(part.children())
        if isinstance(part, AnyExpression):
            pending.append(part.left)


def _bound(filters: list[Filter] | None, environment: Environment) -> list[Filter] | None:
    if not filters:
        return filters
    if len(filters) > MAX_FILTERS:
        message = f"an expression has more than {MAX_FILTERS} filters"
        raise BoundReached(message, filters[MAX_FILTERS].token)
    return [cast("Filter", bind(one, environment)) for one in filters]
