"""Replacement of parts of a parsed template before its first rendering.

One walk over python-liquid's tree replaces blocks by ones that count steps, comparisons by ones that handle ``blank``
and ``Decimal``, and filters by bound, bounded and checked ones. python-liquid reports unknown filters and wrong
arguments only when it renders; here the template is rejected when it is parsed.

A class that adds no attribute is assigned in place, so that every reference to the expression sees it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import lru_cache, partial
from itertools import islice
from typing import Any, ClassVar, Final

from liquid import Environment, RenderContext
from liquid.ast import BlockNode, Node
from liquid.builtin.expressions import Filter, FilteredExpression, KeywordArgument, LoopExpression, Path, logical
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.tags.capture_tag import CaptureNode
from liquid.builtin.tags.case_tag import _AnyExpression as AnyExpression  # pyright: ignore[reportPrivateUsage]
from liquid.exceptions import (
    FilterArgumentError,
    LiquidError,
    LiquidSyntaxError,
    LiquidTypeError,
    ResourceLimitError,
    UndefinedError,
    UnknownFilterError,
)
from liquid.expression import Expression
from liquid.token import Token
from liquid.undefined import Undefined

from scenario.liquid.engine.access import StrictMissing
from scenario.liquid.engine.context import Context
from scenario.liquid.engine.limits import MAX_FILTERS, BoundReached, check_digits, check_range, check_result, step_cost
from scenario.liquid.engine.nodes import CountedBlock, OutputValue, child_nodes
from scenario.liquid.engine.values import JsonValueError, are_equal, describe_type, precedes, to_text
from scenario.type_guards import is_mapping, is_sequence


class FilterValueError(FilterArgumentError):
    """A value or argument that a filter does not accept. The message is for authors and quotes no data."""

    def __init__(self, message: str, token: Token | None = None) -> None:
        super().__init__(message, token=token)


def by_name(*functions: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """Return filters by their names: those of the functions, without the underscore after a word of Python."""
    return {function.__name__.rstrip("_"): function for function in functions}


class FilterCall(Filter):
    """One use of a filter.

    Attributes:
        function: The filter, bound to its environment.
        takes_missing: Whether it accepts a missing value, as ``default`` does.
        takes_context: Whether it reads variables, as ``date`` reads ``now``.
    """

    __slots__ = ("function", "keyword", "positional", "takes_context", "takes_missing")

    def __init__(self, parsed: Filter, function: Callable[..., Any], environment: Environment) -> None:
        super().__init__(parsed.token, parsed.name, parsed.args)
        if getattr(function, "with_environment", False):
            function = partial(function, environment=environment)
        self.function = function
        self.positional: list[Expression] = []
        self.keyword: list[tuple[str, Expression]] = []
        for argument in parsed.args:
            if isinstance(argument, KeywordArgument):
                self.keyword.append((argument.name, argument.value))
            else:
                self.positional.append(argument.value)
        self.takes_missing = parsed.name == "default"
        self.takes_context = bool(getattr(function, "with_context", False))

    def evaluate(self, left: object, context: Context) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
        budget = context.budget
        budget.steps -= 1 + step_cost(left)
        if budget.steps < budget.next_check:
            budget.check()
        arguments = [argument.evaluate(context) for argument in self.positional]
        named: dict[str, object] = {name: value.evaluate(context) for name, value in self.keyword}
        if self.takes_context:
            named["context"] = context
        try:
            if type(left) is StrictMissing and not self.takes_missing:
                left.raise_missing()
            for argument in arguments:
                if type(argument) is StrictMissing:
                    argument.raise_missing()
                elif type(argument) is Decimal:
                    check_result(self.name, argument)
            if type(left) in (int, Decimal):
                check_result(self.name, left)
            elif type(left) is range:
                check_range(left)
            made = self.function(left, *arguments, **named)
            check_result(self.name, made)
            budget.steps -= step_cost(made)
        except (FilterValueError, ResourceLimitError, UndefinedError) as error:
            error.token = error.token or self.token
            raise
        except JsonValueError as error:
            raise FilterValueError(f"'{self.name}': {error}", self.token) from error
        except RecursionError as error:
            raise BoundReached(f"'{self.name}' got a value that is nested too deeply", self.token) from error
        except MemoryError as error:
            raise BoundReached(f"'{self.name}' needs too much memory", self.token) from error
        except (LiquidError, ArithmeticError, ValueError, LookupError, TypeError, AttributeError) as error:
            # python-liquid's filters raise all of these for odd values. Their messages quote the values.
            given = f" and {', '.join(map(describe_type, arguments))}" if arguments else ""
            raise FilterValueError(
                f"'{self.name}' cannot work with {describe_type(left)}{given}", self.token
            ) from error
        return made


def bind_filter(parsed: Filter, environment: Environment) -> FilterCall:
    """Look up a filter and check the number and names of its arguments."""
    function = environment.filters.get(parsed.name)
    if function is None:
        raise UnknownFilterError(f"there is no filter '{parsed.name}'", token=parsed.token)
    if problem := find_argument_problem(parsed, function):
        raise FilterArgumentError(problem, token=parsed.token)
    return FilterCall(parsed, function, environment)


def find_argument_problem(parsed: Filter, function: Callable[..., Any]) -> str | None:
    """Return a message about the number or names of a filter's arguments, or None."""
    required, most, names = list_parameters(function)
    given = [argument for argument in parsed.args if not isinstance(argument, KeywordArgument)]
    for argument in parsed.args:
        if isinstance(argument, KeywordArgument) and argument.name not in names:
            return f"'{parsed.name}' has no argument '{argument.name}'"
    if required <= len(given) <= most:
        return None
    bound, limit = ("at least ", required) if len(given) < required else ("at most ", most)
    if required == most:
        bound = ""
    wanted = f"{bound}{limit or 'no'} argument{'' if limit == 1 else 's'}"
    return f"'{parsed.name}' takes {wanted}, not {len(given)}"


@lru_cache(maxsize=512)
def list_parameters(function: Callable[..., Any]) -> tuple[int, int, frozenset[str]]:
    """Return the least and the greatest number of arguments, and the names of keyword arguments."""
    parameters = inspect.signature(function).parameters
    named = {name for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY}
    _, *positional = (
        one for one in parameters.values() if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    )
    required = sum(one.default is one.empty for one in positional)
    return required, len(positional), frozenset(named - {"context", "environment"})


class Equal(logical.EqExpression):
    """``==``."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        return are_equal(self.left.evaluate(context), self.right.evaluate(context))


class NotEqual(logical.NeExpression):
    """``!=`` and ``<>``."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        return not are_equal(self.left.evaluate(context), self.right.evaluate(context))


class _Ordering(Expression):
    """The evaluation of ``<``, ``>``, ``<=`` and ``>=``."""

    __slots__ = ()
    is_swapped: ClassVar[bool] = False
    or_equal: ClassVar[bool] = False
    left: Expression
    right: Expression

    def evaluate(self, context: RenderContext) -> object:
        first, second = (self.right, self.left) if self.is_swapped else (self.left, self.right)
        left, right = first.evaluate(context), second.evaluate(context)
        answer = precedes(left, right, or_equal=self.or_equal)
        if answer is not None:
            return answer
        message = f"{describe_type(left)} and {describe_type(right)} cannot be compared"
        for value, other, side in ((left, right, first), (right, left, second)):
            if isinstance(value, str) and isinstance(other, int | float | Decimal):
                message = f"{message}: write {side} | number"
        raise LiquidTypeError(message, token=self.token)


class _Less(_Ordering, logical.LtExpression):
    __slots__ = ()


class _Greater(_Ordering, logical.GtExpression):
    __slots__ = ()
    is_swapped = True


class _LessOrEqual(_Ordering, logical.LeExpression):
    __slots__ = ()
    or_equal = True


class _GreaterOrEqual(_Ordering, logical.GeExpression):
    __slots__ = ()
    is_swapped = or_equal = True


class Contains(logical.ContainsExpression):
    """``contains``: a part of a text, an item of a list, or a key of an object."""

    __slots__ = ()

    def evaluate(self, context: Context) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
        left, right = self.left.evaluate(context), self.right.evaluate(context)
        if not logical.is_truthy(left) or not logical.is_truthy(right):
            return False
        context.budget.spend(step_cost(left))
        if isinstance(left, str):
            return to_text(right) in left
        if is_mapping(left):
            return isinstance(right, str | int) and right in left
        if isinstance(left, range):
            # Not iterated, since a range may be almost endless.
            return isinstance(right, int) and right in left
        if is_sequence(left):
            return any(are_equal(item, right) for item in left)
        raise LiquidTypeError(f"'contains' searches a text or a list, not {describe_type(left)}", token=self.token)


class WhenValues(AnyExpression):
    """The values of a ``when``."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> list[bool]:
        left = self.left.evaluate(context)
        return [are_equal(left, right.evaluate(context)) for right in self.expressions]


class BoundedRange(RangeLiteral):
    """``(1..5)``."""

    __slots__ = ()

    def _make_range(self, start: Any, stop: Any) -> range:
        try:
            return super()._make_range(check_digits(start), check_digits(stop))
        except OverflowError as error:
            raise LiquidTypeError("a range goes from one whole number to another", token=self.token) from error


class BoundedLoop(LoopExpression):
    """The source of ``for`` and ``tablerow``. ``limit: 0`` means no items, and a limit of nil means all."""

    __slots__ = ()

    def _to_int(self, obj: object, *, token: Token) -> Any:
        if isinstance(obj, StrictMissing):
            obj.raise_missing()
        # As in Shopify's Liquid, a limit or offset of nil is ignored.
        if obj is None or isinstance(obj, Undefined):
            return None
        try:
            return super()._to_int(check_digits(obj), token=token)
        except (LiquidTypeError, OverflowError) as error:
            raise LiquidTypeError("a loop's limit and offset are whole numbers", token=token) from error

    def _to_iter(self, obj: object, context: RenderContext) -> tuple[Iterator[Any], int]:
        if isinstance(obj, StrictMissing):
            obj.raise_missing()
        return super()._to_iter(obj, context)

    def _slice(
        self, it: Iterator[object], length: int, context: RenderContext, *, limit: int | None, offset: int | str | None
    ) -> tuple[Iterator[object], int]:
        key = f"{self.identifier}-{self.iterable}"
        start = context.stopindex(key) if offset == "continue" else int(offset or 0)
        first = min(max(start, 0), length)
        end = length if limit is None else min(max(start + limit, first), length)
        context.stopindex(key=key, index=end)
        context.raise_for_loop_limit(end - first)
        items = islice(it, first, end)
        return (reversed(list(items)) if self.reversed else items), end - first


_REPLACED: Final[dict[type[Expression], type[Expression]]] = {
    logical.EqExpression: Equal,
    logical.NeExpression: NotEqual,
    logical.LtExpression: _Less,
    logical.GtExpression: _Greater,
    logical.LeExpression: _LessOrEqual,
    logical.GeExpression: _GreaterOrEqual,
    logical.ContainsExpression: Contains,
    AnyExpression: WhenValues,
    LoopExpression: BoundedLoop,
    RangeLiteral: BoundedRange,
}


def instrument(nodes: Iterable[Node], environment: Environment) -> None:
    """Replace parts of a parsed tree, in place. Raise a LiquidError for wrong or too many filters."""
    seen: set[int] = set()
    pending = list(nodes)
    while pending:
        node = pending.pop()
        if type(node) is BlockNode:
            node.__class__ = CountedBlock
        elif isinstance(node, CaptureNode):
            # Whitespace of control blocks is discarded, but a capture keeps a line break, as in Shopify's Liquid.
            node.block.blank = False
        for expression in node.expressions():
            instrument_expression(expression, environment, seen)
        if (
            isinstance(node, OutputValue)
            and type(node.expression) is FilteredExpression
            and not node.expression.filters
        ):
            node.expression = node.expression.left
        pending.extend(child_nodes(node))


def instrument_expression(expression: Expression, environment: Environment, seen: set[int] | None = None) -> None:
    """Replace parts of a parsed expression, in place. Raises as ``instrument`` does."""
    seen = set() if seen is None else seen
    pending = [expression]
    while pending:
        part = pending.pop()
        # Some occur twice: a case's value belongs to each of its "when".
        if id(part) in seen:
            continue
        seen.add(id(part))
        kind = type(part)
        if isinstance(part, Path):
            if isinstance(part.path[0], Path):
                # Static analysis could not determine the data that such a template reads.
                raise LiquidSyntaxError("the name of a variable cannot be in a variable", token=part.token)
        elif kind in _REPLACED:
            part.__class__ = _REPLACED[kind]
            if isinstance(part, LoopExpression):
                # python-liquid's name type compares in Python, at every lookup of any variable in the loop.
                part.identifier = str(part.identifier)
        elif isinstance(part, FilteredExpression):
            filters = part.filters or []
            if len(filters) > MAX_FILTERS:
                message = f"an expression has more than {MAX_FILTERS} filters"
                raise BoundReached(message, filters[MAX_FILTERS].token)
            bound: list[Filter] = [bind_filter(one, environment) for one in filters]
            part.filters = bound or part.filters
        pending.extend(part.children())
        if isinstance(part, AnyExpression):
            pending.append(part.left)
