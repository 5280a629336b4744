"""The parts of an expression that python-liquid gets wrong for us, corrected.

``weave`` puts these in the place of python-liquid's after parsing. Where a class adds no attribute, an expression is
turned into it in place, so that everything that refers to the expression sees the same object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, cast

from liquid import RenderContext
from liquid.builtin.expressions import LoopExpression
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
from liquid.builtin.tags.case_tag import _AnyExpression as AnyExpression  # pyright: ignore[reportPrivateUsage]
from liquid.exceptions import LiquidTypeError
from liquid.expression import Expression
from liquid.token import Token
from liquid.undefined import Undefined

from scenario.liquid.engine.compare import precedes, same
from scenario.liquid.engine.context import Context
from scenario.liquid.engine.limits import cost, few_digits
from scenario.liquid.engine.undefined import StrictMissing
from scenario.liquid.engine.values import describe, to_text


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
