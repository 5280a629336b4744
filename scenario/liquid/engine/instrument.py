"""What happens to a template between parsing and its first rendering.

One walk over python-liquid's tree puts our own parts in place of its parts: blocks that count steps, paths that are
followed fast, comparisons that know ``blank`` and ``Decimal``, filters that are bound, bounded and checked.
python-liquid notices an unknown filter or a wrong argument only when it renders; here that is the template's error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from liquid import RenderContext
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
    is_truthy,
)
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.case_tag import _AnyExpression as AnyExpression  # pyright: ignore[reportPrivateUsage]
from liquid.exceptions import LiquidSyntaxError, LiquidTypeError
from liquid.expression import Expression
from liquid.token import Token
from liquid.undefined import Undefined

from scenario.liquid.engine.access import StrictMissing
from scenario.liquid.engine.context import Context
from scenario.liquid.engine.filter_call import bind
from scenario.liquid.engine.limits import MAX_FILTERS, BoundReached, cost, few_digits
from scenario.liquid.engine.nodes import Block, Value
from scenario.liquid.engine.values import describe, precedes, same, to_text

if TYPE_CHECKING:
    from liquid import Environment, RenderContext


class Equal(EqExpression):
    """``==``."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        """Whether both sides are the same."""
        return same(self.left.evaluate(context), self.right.evaluate(context))


class NotEqual(NeExpression):
    """``!=`` and ``<>``."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        """Whether the sides differ."""
        return not same(self.left.evaluate(context), self.right.evaluate(context))


def _precedes(token: Token, first: Expression, second: Expression, context: RenderContext, *, or_equal: bool) -> bool:
    """Whether one side is less than the other.

    Raises:
        LiquidTypeError: They have no order. It says what to write, and quotes no data.
    """
    left, right = first.evaluate(context), second.evaluate(context)
    answer = precedes(left, right, or_equal=or_equal)
    if answer is not None:
        return answer
    message = f"{describe(left)} and {describe(right)} cannot be compared"
    for value, other, side in ((left, right, first), (right, left, second)):
        if isinstance(value, str) and isinstance(other, int | float | Decimal):
            message = f"{message}: write {side} | number"
    raise LiquidTypeError(message, token=token)


class Less(LtExpression):
    """``<``."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        """Whether the left side is less."""
        return _precedes(self.token, self.left, self.right, context, or_equal=False)


class Greater(GtExpression):
    """``>``."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        """Whether the right side is less."""
        return _precedes(self.token, self.right, self.left, context, or_equal=False)


class LessOrEqual(LeExpression):
    """``<=``."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        """Whether the left side is less or equal."""
        return _precedes(self.token, self.left, self.right, context, or_equal=True)


class GreaterOrEqual(GeExpression):
    """``>=``."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        """Whether the right side is less or equal."""
        return _precedes(self.token, self.right, self.left, context, or_equal=True)


class Contains(ContainsExpression):
    """``contains``: a part of a text, an item of a list, a key of an object."""

    __slots__ = ()

    def evaluate(self, context: Context) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Whether the left side holds the right one.

        Raises:
            LiquidTypeError: The left side holds nothing at all, as a number.
        """
        left, right = self.left.evaluate(context), self.right.evaluate(context)
        if not is_truthy(left) or not is_truthy(right):
            return False
        context.budget.spend(cost(left))
        if isinstance(left, str):
            return to_text(right) in left
        if isinstance(left, Mapping):
            return isinstance(right, str | int) and right in cast("Mapping[Any, Any]", left)
        if isinstance(left, range):
            # Asked, not walked through: a range may have no end to speak of.
            return isinstance(right, int) and right in left
        if isinstance(left, list | tuple):
            return any(same(item, right) for item in cast("Sequence[Any]", left))
        raise LiquidTypeError(f"'contains' looks into a text or a list, not into {describe(left)}", token=self.token)


class When(AnyExpression):
    """The values of a ``when``."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> list[bool]:
        """Which of them equal the case's value."""
        left = self.left.evaluate(context)
        return [same(left, right.evaluate(context)) for right in self.expressions]


class Range(RangeLiteral):
    """``(1..5)``."""

    __slots__ = ()

    def _make_range(self, start: Any, stop: Any) -> range:
        try:
            return super()._make_range(few_digits(start), few_digits(stop))
        except OverflowError as error:
            raise LiquidTypeError("a range goes from one whole number to another", token=self.token) from error


class Loop(LoopExpression):
    """What ``for`` and ``tablerow`` loop over, where ``limit: 0`` means nothing instead of everything, and nil all."""

    __slots__ = ()

    def _to_int(self, obj: object, *, token: Token) -> Any:
        if isinstance(obj, StrictMissing):
            obj.refuse()
        # As in Shopify's Liquid: a limit or an offset of nil is none.
        if obj is None or isinstance(obj, Undefined):
            return None
        try:
            return super()._to_int(few_digits(obj), token=token)
        except (LiquidTypeError, OverflowError) as error:
            raise LiquidTypeError("a loop's limit and offset are whole numbers", token=token) from error

    def _to_iter(self, obj: object, context: RenderContext) -> tuple[Iterator[Any], int]:
        if isinstance(obj, StrictMissing):
            obj.refuse()
        if type(obj) is list:
            items = cast("list[Any]", obj)
            return iter(items), len(items)
        return super()._to_iter(obj, context)

    def _slice(
        self,
        it: Iterator[object],
        length: int,
        context: RenderContext,
        *,
        limit: int | None,
        offset: int | str | None,
    ) -> tuple[Iterator[object], int]:
        key = f"{self.identifier}-{self.iterable}"
        if limit is None and offset is None and not self.reversed:
            context.stopindex(key=key, index=length)
            context.raise_for_loop_limit(length)
            return it, length
        start = context.stopindex(key) if offset == "continue" else int(offset or 0)
        first = min(max(start, 0), length)
        end = length if limit is None else min(max(start + limit, first), length)
        context.stopindex(key=key, index=end)
        context.raise_for_loop_limit(end - first)
        items = islice(it, first, end)
        return (reversed(list(items)) if self.reversed else items), end - first


_REPLACED: Final[dict[type[Expression], type[Expression]]] = {
    EqExpression: Equal,
    NeExpression: NotEqual,
    LtExpression: Less,
    GtExpression: Greater,
    LeExpression: LessOrEqual,
    GeExpression: GreaterOrEqual,
    ContainsExpression: Contains,
    AnyExpression: When,
    LoopExpression: Loop,
    RangeLiteral: Range,
}

_NO_CONTEXT: Final = cast("RenderContext", None)
"""Partials are not followed, so that nobody asks for a context."""


def instrument(nodes: Iterable[Node], environment: Environment) -> None:
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
            instrument_expression(expression, environment, seen)
        if isinstance(node, Value) and type(node.expression) is FilteredExpression and not node.expression.filters:
            node.expression = node.expression.left
        pending.extend(node.children(_NO_CONTEXT, include_partials=False))


def instrument_expression(expression: Expression, environment: Environment, seen: set[int] | None = None) -> None:
    """Put our parts into a freshly parsed expression, in place. Raises as ``instrument`` does."""
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
